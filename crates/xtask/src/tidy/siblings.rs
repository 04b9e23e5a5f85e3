//! Siblings have the same files: learn one dialect or engine, know all.

use super::root;

const DIALECT: [&str; 9] = [
    "src/lib.rs",
    "src/routes.rs",
    "src/auth.rs",
    "src/ids.rs",
    "src/state.rs",
    "src/error.rs",
    "src/wire",
    "src/translate",
    "src/handlers",
];
const ENGINE: [&str; 12] = [
    "src/lib.rs",
    "src/driver.rs",
    "src/capabilities.rs",
    "src/config.rs",
    "src/launch.rs",
    "src/probe.rs",
    "src/replication.rs",
    "src/users.rs",
    "src/schemas.rs",
    "src/backup.rs",
    "src/client.rs",
    "src/error.rs",
];

/// A file that a sibling lacks wants a line in its `lib.rs` that names it and says why. `api-local` is no dialect: it is our own.
pub(super) fn check() -> Vec<String> {
    let mut complaints = Vec::new();
    let crates = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    for entry in crates {
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted: &[&str] = if name.starts_with("engine-") {
            &ENGINE
        } else if name.starts_with("api-") && name != "api-local" {
            &DIALECT
        } else {
            continue;
        };
        let head = std::fs::read_to_string(entry.path().join("src/lib.rs")).unwrap_or_default();
        for file in wanted {
            let short = file.trim_start_matches("src/");
            if !entry.path().join(file).exists() && !head.contains(&format!("No `{short}`")) {
                complaints.push(format!(
                    "crates/{name}: has no {file}, and its lib.rs does not say \"No `{short}`\" and why"
                ));
            }
        }
    }
    complaints
}
