//! Files and functions stay readable. A ratchet: what is larger than the rule today is listed in `ratchet.txt` and may only shrink.

use std::collections::BTreeMap;

use super::{Source, root, sources};

/// Lines of a file without its unit tests.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// Complaints about what is larger than the rule and than the ratchet.
pub(super) fn check() -> Vec<String> {
    let known = known();
    let mut complaints = Vec::new();
    for (what, lines, max) in measured() {
        let allowed = known.get(&what).copied().unwrap_or(max);
        if lines > allowed {
            complaints.push(format!("{what}: {lines} lines, at most {allowed}: split it"));
        }
    }
    complaints
}

/// The content of `ratchet.txt` as it should be now.
pub(crate) fn ratchet() -> String {
    measured()
        .into_iter()
        .filter(|(_, lines, max)| lines > max)
        .map(|(what, lines, _)| format!("{lines} {what}\n"))
        .collect()
}

fn known() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("crates/xtask/ratchet.txt")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (lines, what) = line.split_once(' ')?;
            Some((what.to_owned(), lines.parse().ok()?))
        })
        .collect()
}

/// Every file and function that is production code: its name, its lines, the rule.
fn measured() -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        found.push((source.path.clone(), source.production().lines().count(), FILE_LINES_MAX));
        found.extend(
            functions(source)
                .into_iter()
                .map(|(name, lines)| (format!("{}:{name}", source.path), lines, FUNCTION_LINES_MAX)),
        );
    }
    found
}

/// Functions by the layout that rustfmt gives them: the closing brace stands under the first letter of the signature.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.production().lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else {
            continue;
        };
        let closing = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|later| *later == closing) {
            found.push((name, length + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?.split(['(', '<']).next()?;
    // A declaration has no body, and one on one line needs no measuring.
    (!line.ends_with([';', '}'])).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Source, functions};

    #[test]
    fn measures_functions_and_leaves_tests_out() {
        let text = "//! Doc.\npub(crate) async fn long(\n    a: u8,\n) {\n    if a {\n    }\n}\n\nimpl A {\n    fn short() {}\n\n    \
            const fn two<T>() {\n    }\n}\n\ntrait B {\n    fn none();\n}\n\n#[cfg(test)]\nmod tests {\n    fn test() {\n    }\n}\n";
        let source = Source {
            path: "crates/a/src/lib.rs".to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(functions(&source), [("long".to_owned(), 6), ("two".to_owned(), 2)]);
    }
}
