//! Files of a server that others read, and that are removed, while it runs: reached without following what the server put there.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path};

use pilothouse_runtime::RuntimeError;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, fsync, linkat, openat, unlinkat};
use rustix::io::Errno;

use crate::directory::{Directory, FOLDER_FLAGS, SYNCING};
use crate::error::{Context, system};

/// Gives the file a second name at `to`, which must not exist; copies it where it cannot have one.
pub(crate) fn lend(directory: Option<&Directory>, path: &Path, to: &Path) -> Result<(), RuntimeError> {
    let what = "opening a file of a server";
    let missing = || system(what, path, io::ErrorKind::NotFound.into());
    let directory = directory.ok_or_else(missing)?;
    let full = directory.path().join(path);
    let (folder, name) = folder_of(directory, path)?;
    // NONBLOCK: a fifo in place of the file must not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(&folder, name, flags, Mode::empty()).at(what, &full)?;
    let facts = fstat(&file).at(what, &full)?;
    if !rustix::fs::FileType::from_raw_mode(facts.st_mode).is_file() {
        let refusal = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        return Err(system(what, &full, refusal));
    }
    if linkat(&folder, name, CWD, to, AtFlags::empty()).is_ok() {
        // The name may lead to another file by now; only the one that was looked at is lent.
        let lent = fs::symlink_metadata(to).at("lending a file", to)?;
        if lent.is_file() && (lent.ino(), lent.dev()) == (facts.st_ino, facts.st_dev) {
            return Ok(());
        }
        fs::remove_file(to).at("lending a file", to)?;
    }
    copy(fs::File::from(file), to)
}

fn copy(mut file: fs::File, to: &Path) -> Result<(), RuntimeError> {
    let what = "copying a file of a server";
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create_new(true).mode(0o600).open(to).at(what, to)?;
    let copied = io::copy(&mut file, &mut copy).at(what, to);
    if copied.is_err() {
        // Best effort: a half copy is of no use to anybody.
        let _ = fs::remove_file(to);
    }
    copied.map(drop)
}

/// Removes a file, durably. Success when it is gone already.
pub(crate) fn remove(directory: Option<&Directory>, path: &Path) -> Result<(), RuntimeError> {
    let Some(directory) = directory else { return Ok(()) };
    let (folder, name) = folder_of(directory, path)?;
    match unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => fsync(&folder).at(SYNCING, directory.path()),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(system(
            "removing a file of a server",
            &directory.path().join(path),
            error.into(),
        )),
    }
}

/// The open folder that the path lies in, and the last component.
fn folder_of<'a>(directory: &Directory, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), RuntimeError> {
    let what = "opening a folder of a server";
    let full = || directory.path().join(path);
    let outside = || {
        let refusal = io::Error::new(io::ErrorKind::InvalidInput, "it leads out of the server's directory");
        system("using a path", &full(), refusal)
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(outside());
    };
    let mut folder = openat(directory, ".", FOLDER_FLAGS, Mode::empty()).at(what, full())?;
    for component in parent.components() {
        let Component::Normal(part) = component else {
            return Err(outside());
        };
        folder = openat(&folder, part, FOLDER_FLAGS, Mode::empty()).at(what, full())?;
    }
    Ok((folder, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use pilothouse_model::ServerId;

    use super::*;
    use crate::tree::Tree;

    #[test]
    fn a_lent_file_outlives_its_replacement_and_links_are_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Tree::prepare(&temporary.path().join("pilothouse"), "mark-1".into(), None).unwrap();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        directory.write(Path::new("data/dump.rdb"), b"first").unwrap();
        let lent = temporary.path().join("lent");
        let dump = Path::new("data/dump.rdb");
        lend(Some(&directory), dump, &lent).unwrap();
        directory.write(dump, b"second").unwrap();
        assert_eq!(fs::read(&lent).unwrap(), b"first");
        assert!(
            lend(Some(&directory), dump, &lent).is_err(),
            "what exists is not replaced"
        );

        let secret = temporary.path().join("secret");
        fs::write(&secret, "hush").unwrap();
        symlink(&secret, directory.path().join("data/link")).unwrap();
        symlink(temporary.path(), directory.path().join("away")).unwrap();
        for path in ["data/link", "away/secret", "../secret", "data/missing"] {
            let to = temporary.path().join("stolen");
            assert!(lend(Some(&directory), Path::new(path), &to).is_err(), "{path}");
            assert!(!to.exists(), "{path}");
        }
        assert!(remove(Some(&directory), Path::new("away/secret")).is_err());
        assert!(secret.exists());
    }

    #[test]
    fn removing_is_done_once_and_again() {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Tree::prepare(&temporary.path().join("pilothouse"), "mark-1".into(), None).unwrap();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        let dump = Path::new("data/dump.rdb");
        directory.write(dump, b"first").unwrap();
        remove(Some(&directory), dump).unwrap();
        assert!(!directory.path().join(dump).exists());
        remove(Some(&directory), dump).unwrap();
        remove(None, dump).unwrap();
    }
}
