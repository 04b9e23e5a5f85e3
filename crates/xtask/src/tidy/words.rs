//! Words that must not stand in the code, each with what to do instead.

use super::sources;

/// The word, where it may stand all the same, and what to do instead.
const BANNED: [(&str, &[&str], &str); 7] = [
    ("#[ignore", &[], "assert what happens today and say why it is wrong"),
    ("todo!(", &[], "finish it, or refuse with an error"),
    ("unimplemented!(", &[], "finish it, or refuse with an error"),
    ("dbg!(", &[], "use tracing"),
    (
        "process::Command",
        &[
            "crates/runtime-local/",
            "crates/server/src/db/",
            "/tests/",
            "/benches/",
            "crates/test-support/",
            "crates/xtask/",
        ],
        "only runtime-local starts processes",
    ),
    (
        "tokio::spawn(",
        &["/tests/", "/benches/", "crates/test-support/"],
        "give the task an owner",
    ),
    (
        "thread::sleep(",
        &["/tests/", "/benches/", "crates/test-support/"],
        "wait for a condition with a deadline",
    ),
];

/// Looks for banned words, and for files without a word of what they are.
pub(super) fn check() -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.path.starts_with("crates/xtask/") {
            continue;
        }
        if !source.text.starts_with("//!") {
            complaints.push(format!(
                "{}: does not open with a `//!` line that says what it is",
                source.path
            ));
        }
        for (word, allowed, instead) in BANNED {
            let exempt = allowed.iter().any(|part| source.path.contains(part));
            let code = if source.is_test() {
                source.text.as_str()
            } else {
                source.production()
            };
            let stands = code
                .lines()
                .any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            if stands && !exempt {
                complaints.push(format!("{}: has `{word}`: {instead}", source.path));
            }
        }
    }
    complaints
}
