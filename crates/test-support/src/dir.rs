//! Temporary directories that an unprivileged account can reach.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A directory of one test, removed when dropped.
///
/// As root, tests start servers under another account: the directory is therefore open to everybody (0755), and so is the whole path to it.
#[derive(Debug)]
pub struct TestDir {
    directory: tempfile::TempDir,
}

impl TestDir {
    /// A new, empty directory.
    ///
    /// # Panics
    /// When the system refuses it.
    #[expect(clippy::new_without_default, reason = "it touches the disk")]
    pub fn new() -> Self {
        let parent = std::env::temp_dir();
        let parent = if open_to_everybody(&parent) {
            parent
        } else {
            PathBuf::from("/tmp")
        };
        let directory = tempfile::Builder::new()
            .prefix("pilothouse-test-")
            .tempdir_in(parent)
            .expect("a temporary directory can be made");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .expect("the mode of an own directory can be changed");
        Self { directory }
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path inside it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }
}

impl AsRef<Path> for TestDir {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

fn open_to_everybody(path: &Path) -> bool {
    path.is_absolute()
        && path
            .ancestors()
            .all(|part| fs::metadata(part).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_reaches_it_and_it_goes_away() {
        let directory = TestDir::new();
        let path = directory.path().to_owned();
        assert!(open_to_everybody(&path));
        fs::write(directory.join("file"), "x").expect("writes");
        drop(directory);
        assert!(!path.exists());
    }
}
