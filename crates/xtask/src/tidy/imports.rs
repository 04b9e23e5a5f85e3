//! Who may import whom: the table of ARCHITECTURE.md.

use super::root;

/// Crate and what it may use of ours. `server` may use everything; `test-support` only as a dev-dependency.
const MAY_USE: [(&str, &[&str]); 18] = [
    ("model", &[]),
    ("planner", &["model"]),
    ("store", &["model"]),
    ("secrets", &["model"]),
    ("engine", &["model"]),
    ("runtime", &["model"]),
    ("gateway-protocol", &["model"]),
    ("backup", &["model"]),
    ("engine-redis", &["engine", "model"]),
    ("runtime-local", &["runtime", "model"]),
    ("gateway", &["gateway-protocol", "model"]),
    (
        "control",
        &[
            "planner",
            "store",
            "secrets",
            "engine",
            "runtime",
            "backup",
            "gateway-protocol",
            "model",
        ],
    ),
    ("api", &["control", "model"]),
    ("api-local", &["api", "control", "model"]),
    ("api-redis-enterprise", &["api", "control", "model"]),
    ("test-support", &["engine", "runtime", "gateway-protocol", "model"]),
    ("xtask", &[]),
    ("server", &["*"]),
];

/// Compares the manifests with the table.
pub(super) fn check() -> Vec<String> {
    let mut complaints = Vec::new();
    let crates = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    for name in crates.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!("crates/{name}: not in the table of who may import whom"));
            continue;
        };
        let manifest =
            std::fs::read_to_string(root().join("crates").join(&name).join("Cargo.toml")).unwrap_or_default();
        for used in dependencies(&manifest) {
            if !allowed.contains(&"*") && !allowed.contains(&used.as_str()) {
                complaints.push(format!(
                    "crates/{name}: must not import {used}; it may import {allowed:?}"
                ));
            }
        }
    }
    complaints
}

/// Our crates among the ordinary dependencies of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]"
            && let Some(rest) = line.strip_prefix("pilothouse-")
        {
            found.extend(rest.split(['.', ' ', '=']).next().map(str::to_owned));
        }
    }
    found
}
