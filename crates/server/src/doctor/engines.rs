//! Which database servers are installed.

use pilothouse_engine::Engines;
use pilothouse_runtime::Runtime;

use super::{Check, Verdict};

/// One check for each binary found, and one for each product without any.
pub(super) async fn checks(runtime: &dyn Runtime, engines: &Engines) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut missing = Vec::new();
    for engine in engines.iter() {
        let probe = engine.binary_probe();
        let printed = runtime.ask_binaries(probe.binary, probe.arguments).await;
        let before = checks.len();
        for (path, text) in printed {
            if let Some(found) = engine.parse_version(&text) {
                let compatible = if found.compatible == found.version {
                    String::new()
                } else {
                    format!(", speaks Redis {}", found.compatible)
                };
                let finding = format!("{} {}{compatible}, {}", engine.kind(), found.version, path.display());
                checks.push(Check::new("engine", Verdict::Ok, finding));
            }
        }
        if checks.len() == before {
            missing.push((engine.kind(), probe));
        }
    }
    let none_at_all = checks.is_empty();
    for (kind, probe) in missing {
        let verdict = if none_at_all { Verdict::Problem } else { Verdict::Note };
        let finding = format!("{kind} is not available: no {} on the search path", probe.binary);
        let remedy = format!(
            "apt-get install {}, or name its folder in engines.search_path",
            probe.package
        );
        checks.push(Check::new("engine", verdict, finding).remedy(remedy));
    }
    checks
}
