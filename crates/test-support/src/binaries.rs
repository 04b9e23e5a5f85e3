//! Finding the real servers that tests run against.

use std::env;
use std::path::{Path, PathBuf};

/// Where distributions put servers that are not on an ordinary account's path.
const FURTHER_FOLDERS: &[&str] = &["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/// The program with that name, from `PATH` and the usual system folders.
///
/// Without one the caller returns early, and the test says in its output what it did not try.
///
/// # Panics
/// With the environment variable `CI` set, because there a test that tries nothing must not pass.
#[expect(clippy::print_stderr, reason = "a skipped test has to say so")]
pub fn find_server(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FURTHER_FOLDERS.iter().map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| is_program(file));
    if found.is_none() {
        assert!(
            env::var_os("CI").is_none(),
            "{name} is not installed, and with CI set nothing may be skipped"
        );
        eprintln!("skipped: {name} is not installed");
    }
    found
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_by_name() {
        assert!(find_server("sh").is_some_and(|path| path.is_absolute()));
    }
}
