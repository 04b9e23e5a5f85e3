//! Versions of the engine and of its protocol.

use pilothouse_control::Control;
use pilothouse_model::{EngineKind, EngineVersion};

use crate::error::TaskError;
use crate::wire::database::DatabaseRequest;

/// The installed version that a request names, or the newest.
pub(crate) fn version(wanted: Option<&str>, control: &Control) -> Result<EngineVersion, TaskError> {
    let installed = installed(control);
    let found = match wanted {
        None | Some("latest" | "default") => installed.last(),
        Some(wanted) => installed
            .iter()
            .rev()
            .find(|version| short(**version) == wanted || version.to_string() == wanted),
    };
    found.copied().ok_or_else(|| {
        let why = format!("version {} is not installed", wanted.unwrap_or("of Redis"));
        TaskError::new("DATABASE_REDIS_VERSION_INVALID_VALUE", why)
    })
}

/// Installed versions of Redis, oldest first.
pub(crate) fn installed(control: &Control) -> Vec<EngineVersion> {
    let mut versions: Vec<EngineVersion> = control
        .engines()
        .into_iter()
        .filter(|engine| engine.kind == EngineKind::Redis)
        .map(|engine| engine.version)
        .collect();
    versions.sort_unstable();
    versions
}

/// `MAJOR.MINOR`.
pub(crate) fn short(version: EngineVersion) -> String {
    format!("{}.{}", version.major, version.minor)
}

pub(super) fn resp_version(request: &DatabaseRequest, version: EngineVersion) -> String {
    let default = if (version.major, version.minor) >= (7, 2) {
        "resp3"
    } else {
        "resp2"
    };
    request
        .resp_version
        .map_or(default, |wanted| wanted.as_str())
        .to_owned()
}
