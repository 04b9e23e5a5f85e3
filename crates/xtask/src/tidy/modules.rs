//! Every file is compiled: one that no `mod` names is forgotten, and its tests never run.

use super::{Source, sources};

/// Files that are roots by their place.
const ROOTS: [&str; 3] = ["lib.rs", "main.rs", "mod.rs"];

pub(super) fn check() -> Vec<String> {
    forgotten(&sources())
}

fn forgotten(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let Some((folder, file)) = source.path.rsplit_once('/') else {
            continue;
        };
        let module = file.trim_end_matches(".rs");
        // Benches, examples and binaries are named by the manifest or found by their folder.
        let is_target = ["/benches", "/examples", "/bin", "/tests"]
            .iter()
            .any(|end| folder.ends_with(end));
        if ROOTS.contains(&file) || is_target {
            continue;
        }
        let folder_file = format!("{folder}.rs");
        let parents = sources.iter().filter(|other| {
            other.path == folder_file
                || ROOTS.iter().any(|root| {
                    other
                        .path
                        .strip_suffix(root)
                        .is_some_and(|at| at.trim_end_matches('/') == folder)
                })
        });
        let named = |text: &str| {
            text.lines()
                .any(|line| line.trim_end().ends_with(&format!("mod {module};")))
        };
        if !parents.into_iter().any(|parent| named(&parent.text)) {
            complaints.push(format!(
                "{}: no `mod {module};` names it: it is never compiled",
                source.path
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::{Source, forgotten};

    #[test]
    fn finds_the_file_that_nobody_names() {
        let sources = [
            ("crates/a/src/lib.rs", "mod b;\npub mod d;"),
            ("crates/a/src/b/mod.rs", "pub(crate) mod c;"),
            ("crates/a/src/b/c.rs", ""),
            ("crates/a/src/b/lost.rs", ""),
            ("crates/a/src/d.rs", "mod e;"),
            ("crates/a/src/d/e.rs", ""),
            ("crates/a/benches/speed.rs", ""),
        ]
        .map(|(path, text)| Source {
            path: path.to_owned(),
            text: text.to_owned(),
        });
        let complaints = forgotten(&sources);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with("crates/a/src/b/lost.rs:"));
    }
}
