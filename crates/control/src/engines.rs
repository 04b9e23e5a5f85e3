//! Which versions of which products are installed.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_engine::Engines;
use pilothouse_model::{EngineKind, EngineVersion, InstalledEngine};
use pilothouse_runtime::Runtime;

use crate::{Control, ControlError, Field};

/// Time between two looks at what is installed.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// Begins to look at what is installed: packages come and go while we run.
pub(crate) fn start_looking(control: &Control) {
    let own = control.clone();
    control.0.tasks.spawn(async move {
        let stopped = own.0.tasks.stopped().clone();
        while stopped
            .run_until_cancelled(tokio::time::sleep(LOOK_PERIOD))
            .await
            .is_some()
        {
            own.rediscover_engines().await;
        }
    });
}

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
    /// Looks again for server binaries.
    pub async fn rediscover_engines(&self) {
        let found = discover(&self.0.engines, self.0.runtime.as_ref()).await;
        let before = self.0.installed.load();
        if **before != found {
            let versions: Vec<_> = found
                .iter()
                .map(|found| format!("{} {}", found.kind, found.version))
                .collect();
            tracing::info!(?versions, "other engines are installed now");
            self.0.installed.store(Arc::new(found));
        }
    }

    /// The installed binary of that product and version.
    pub(crate) fn installed(&self, kind: EngineKind, version: EngineVersion) -> Result<InstalledEngine, ControlError> {
        self.engines()
            .into_iter()
            .find(|found| found.kind == kind && found.version == version)
            .ok_or_else(|| {
                ControlError::invalid(Field::Version, format!("{kind} {version} is not installed on any host"))
            })
    }

    /// The installed binary that runs servers recorded with that version: the very one, or, where its package was replaced, the newest
    /// patch of its series.
    pub(crate) fn serving(&self, kind: EngineKind, version: EngineVersion) -> Result<InstalledEngine, ControlError> {
        self.installed(kind, version).or_else(|missing| {
            self.engines()
                .into_iter()
                .filter(|found| found.kind == kind && found.version.series() == version.series())
                .max_by_key(|found| found.version)
                .ok_or(missing)
        })
    }
}
