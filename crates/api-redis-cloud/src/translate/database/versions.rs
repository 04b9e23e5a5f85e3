//! Versions of the engine and of its protocol.

use pilothouse_control::Control;
use pilothouse_model::{EngineKind, EngineVersion};

use crate::error::TaskError;
use crate::wire::database::{DatabaseRequest, RespVersion};

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

/// What clients may choose to speak; nothing before version 6 speaks the newer one.
pub(super) fn resp_version(request: &DatabaseRequest, version: EngineVersion) -> Result<String, TaskError> {
    if request.resp_version == Some(RespVersion::Resp3) && version.major < 6 {
        let why = format!("version {version} does not speak resp3");
        return Err(TaskError::new("DATABASE_RESP_VERSION_IS_NOT_SUPPORTED", why));
    }
    let default = if (version.major, version.minor) >= (7, 2) {
        "resp3"
    } else {
        "resp2"
    };
    let wanted = request.resp_version.map_or(default, RespVersion::as_str);
    Ok(wanted.to_owned())
}
