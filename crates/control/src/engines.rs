//! Which versions of which products are installed.

use pilothouse_engine::Engines;
use pilothouse_model::{EngineKind, EngineVersion, InstalledEngine};
use pilothouse_runtime::Runtime;

use crate::{Control, ControlError, Field};

/// Finds every installed version of every product; newest first, one binary per version.
pub(crate) async fn discover(engines: &Engines, runtime: &dyn Runtime) -> Vec<InstalledEngine> {
    let mut found: Vec<InstalledEngine> = Vec::new();
    for engine in engines.iter() {
        let probe = engine.binary_probe();
        for (binary, printed) in runtime.ask_binaries(probe.binary, probe.arguments).await {
            let Some(version) = engine.parse_version(&printed) else {
                continue;
            };
            let known = found
                .iter()
                .any(|other| other.kind == engine.kind() && other.version == version.version);
            if !known {
                let (kind, version, compatible) = (engine.kind(), version.version, version.compatible);
                found.push(InstalledEngine {
                    kind,
                    version,
                    compatible,
                    binary,
                });
            }
        }
    }
    found.sort_by(|a, b| a.kind.cmp(&b.kind).then(b.version.cmp(&a.version)));
    found
}

impl Control {
    /// The installed binary of that product and version.
    pub(crate) fn installed(&self, kind: EngineKind, version: EngineVersion) -> Result<InstalledEngine, ControlError> {
        self.engines()
            .into_iter()
            .find(|found| found.kind == kind && found.version == version)
            .ok_or_else(|| {
                ControlError::invalid(Field::Version, format!("{kind} {version} is not installed on any host"))
            })
    }
}
