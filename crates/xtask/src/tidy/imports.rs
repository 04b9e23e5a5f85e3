//! Who may import whom: the table of ARCHITECTURE.md.

use super::root;

/// Crate and what it may use of ours. `server` may use everything; `test-support` only as a dev-dependency.
const MAY_USE: [(&str, &[&str]); 19] = [
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
    ("api-redis-cloud", &["api", "control", "model"]),
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

/// Our crates among the dependencies of a manifest, those of its tests apart.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    let name = |text: &str| text.split(['.', ' ', '=', ']']).next().map(str::to_owned);
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
            // `[dependencies.pilothouse-model]`, also for one platform only.
            if let Some((before, rest)) = line.split_once("dependencies.pilothouse-")
                && !before.ends_with("dev-")
            {
                found.extend(name(rest));
            }
        } else if section.ends_with("dependencies]")
            && !section.ends_with("dev-dependencies]")
            && let Some(rest) = line.strip_prefix("pilothouse-")
        {
            found.extend(name(rest));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn finds_every_form_of_a_dependency_but_those_of_tests() {
        let manifest = "[package]\nname = \"pilothouse-api\"\n\
            [dependencies]\npilothouse-model.workspace = true\npilothouse-store = { path = \"../store\" }\nserde.workspace = true\n\
            [target.'cfg(unix)'.dependencies]\npilothouse-runtime.workspace = true\n\
            [build-dependencies]\npilothouse-engine.workspace = true\n\
            [dependencies.pilothouse-backup]\nworkspace = true\n\
            [dev-dependencies]\npilothouse-test-support.workspace = true\n\
            [dev-dependencies.pilothouse-planner]\nworkspace = true\n";
        assert_eq!(
            dependencies(manifest),
            ["model", "store", "runtime", "engine", "backup"]
        );
    }
}
