//! The tidy checks. Each returns its complaints, one sentence each, naming the file and the rule.

mod imports;
mod modules;
mod siblings;
pub(crate) mod size;
mod words;

use std::path::{Path, PathBuf};

/// Every complaint of every check.
pub(crate) fn all() -> Vec<String> {
    [
        imports::check(),
        modules::check(),
        siblings::check(),
        size::check(),
        words::check(),
    ]
    .concat()
}

/// The root of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The text before the unit tests at its end.
    fn production(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
    }

    /// It is a test or a bench, or serves only those.
    fn is_test(&self) -> bool {
        [
            "/tests/",
            "/benches/",
            "/tests.rs",
            "/simulation/",
            "crates/test-support/",
        ]
        .iter()
        .any(|part| self.path.contains(part))
    }
}

/// Every Rust file of the crates.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join("crates"), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let shown = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            found.push(Source { path: shown, text });
        }
    }
}

#[cfg(test)]
mod tests {
    fn none(complaints: &[String]) {
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }

    #[test]
    fn crates_import_only_what_they_may() {
        none(&super::imports::check());
    }

    #[test]
    fn every_file_is_compiled() {
        none(&super::modules::check());
    }

    #[test]
    fn siblings_have_the_same_files() {
        none(&super::siblings::check());
    }

    #[test]
    fn files_and_functions_stay_readable() {
        none(&super::size::check());
    }

    #[test]
    fn no_banned_words() {
        none(&super::words::check());
    }
}
