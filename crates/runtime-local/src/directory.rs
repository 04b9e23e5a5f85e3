//! One directory of a server: read and written without following what the server put there.
//!
//! As root we write into directories that belong to an account less trusted than us. Every path below a server's directory is walked
//! one component at a time from an open descriptor and symbolic links are refused, so a server cannot lead us elsewhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use pilothouse_runtime::RuntimeError;
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fchown, fstat, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::account::Account;
use crate::error::{Context, system};

/// File name of the mark.
pub(crate) const MARK: &str = "mark";
/// File name of the lock.
pub(crate) const LOCK: &str = "lock";
/// The folder that engines keep their data in.
pub(crate) const DATA: &str = "data";

/// What is tried, for errors.
pub(crate) const SYNCING: &str = "syncing a server's directory";
pub(crate) const PRIVATE_FOLDER: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
/// A folder, itself and not where a link leads.
pub(crate) const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A server's directory, open.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    account: Option<Account>,
}

impl Directory {
    /// A directory that was opened as `path`; what is made in it belongs to `account`.
    pub(crate) fn new(fd: OwnedFd, path: PathBuf, account: Option<Account>) -> Self {
        Self { fd, path, account }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the lock file, making it when it is missing.
    pub(crate) fn open_lock(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.fd, LOCK, flags, PRIVATE_FILE)?;
        self.give_away(&file)?;
        Ok(file)
    }

    /// Opens a regular file to read; `None` when there is none.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        self.open_existing(path, OFlags::RDONLY)
    }

    /// Opens a regular file to read and to cut; `None` when there is none.
    pub(crate) fn open_file_for_cutting(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        self.open_existing(path, OFlags::RDWR)
    }

    fn open_existing(&self, path: &Path, access: OFlags) -> io::Result<Option<OwnedFd>> {
        // NONBLOCK: a fifo in place of the file must not hold us up.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.fd, path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let facts = fstat(&file)?;
        if !rustix::fs::FileType::from_raw_mode(facts.st_mode).is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if access == OFlags::RDWR && facts.st_uid != fstat(&self.fd)?.st_uid {
            // A second name for somebody else's file, put there to have us cut it.
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "belongs to another user",
            ));
        }
        Ok(Some(file))
    }

    /// Makes a folder and those above it, 0700 of the account. Success when it is there. Durable with the next sync of the directory.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<(), RuntimeError> {
        self.walk(path).map(drop)
    }

    /// Writes files, each whole or not at all: all of them are on disk before the first appears under its name. Syncs the directory.
    pub(crate) fn write_all(&self, files: &[(PathBuf, String)]) -> Result<(), RuntimeError> {
        let mut staged = Vec::with_capacity(files.len());
        for (path, content) in files {
            staged.push(self.stage(path, |file| file.write_all(content.as_bytes()))?);
        }
        let mut folders = BTreeMap::new();
        for (file, (path, _)) in staged.into_iter().zip(files) {
            folders.insert(path.parent().unwrap_or(Path::new("")), file.publish()?);
        }
        folders.remove(Path::new(""));
        for folder in folders.values() {
            fsync(folder).at(SYNCING, &self.path)?;
        }
        fsync(&self.fd).at(SYNCING, &self.path)
    }

    /// Writes one file, whole or not at all.
    pub(crate) fn write(&self, path: &Path, mut content: &[u8]) -> Result<(), RuntimeError> {
        self.write_from(path, &mut content)
    }

    /// Writes one file from a reader, whole or not at all.
    pub(crate) fn write_from(&self, path: &Path, source: &mut impl Read) -> Result<(), RuntimeError> {
        let folder = self.stage(path, |file| io::copy(source, file).map(drop))?.publish()?;
        self.sync(&folder)
    }

    /// Moves a file of this host to `to`. It keeps its place on disk where it can; otherwise it is copied and then removed.
    pub(crate) fn place(&self, from: &Path, to: &Path) -> Result<(), RuntimeError> {
        let what = "opening the file to be placed";
        let mut source = fs::OpenOptions::new().read(true).open(from).at(what, from)?;
        let facts = fstat(&source).at(what, from)?;
        if !rustix::fs::FileType::from_raw_mode(facts.st_mode).is_file() {
            let refusal = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(system(what, from, refusal));
        }
        let (folder, name) = self.parent(to)?;
        // A file with a second name must not change its owner under the one who uses that name, and one that was reached by a
        // symbolic link would leave us the link.
        let sole = facts.st_nlink == 1 && fs::symlink_metadata(from).at(what, from)?.is_file();
        if sole && self.take_over(&source, from, &folder, name)? {
            return self.sync(&folder);
        }
        self.write_from(to, &mut source)?;
        fs::remove_file(from).at("removing the file that was placed", from)
    }

    /// Tries to rename `from`; false when it lies on another file system.
    fn take_over(&self, file: &fs::File, from: &Path, folder: &OwnedFd, name: &OsStr) -> Result<bool, RuntimeError> {
        let what = "placing a file";
        self.give_away(file).at(what, from)?;
        fchmod(file, PRIVATE_FILE).at(what, from)?;
        fsync(file).at(what, from)?;
        match renameat(rustix::fs::CWD, from, folder, name) {
            Ok(()) => Ok(true),
            Err(Errno::XDEV) => Ok(false),
            Err(error) => Err(system(what, from, error.into())),
        }
    }

    /// Writes a file beside its place and syncs it.
    pub(crate) fn stage<'a>(
        &self,
        path: &'a Path,
        fill: impl FnOnce(&mut fs::File) -> io::Result<()>,
    ) -> Result<Staged<'a>, RuntimeError> {
        let (folder, name) = self.parent(path)?;
        let mut temporary = OsStr::new(".").to_owned();
        temporary.push(name);
        temporary.push(".new");
        let full = self.path.join(path);
        let what = "writing a file";
        // What a writer that was killed left behind.
        match unlinkat(&folder, &temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(system(what, &full, error.into())),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &temporary, flags, PRIVATE_FILE).at(what, &full)?;
        let staged = Staged {
            folder,
            temporary,
            name,
            full,
            published: false,
        };
        let mut file = fs::File::from(file);
        self.give_away(&file).at(what, &staged.full)?;
        fill(&mut file).at(what, &staged.full)?;
        file.sync_data().at(what, &staged.full)?;
        Ok(staged)
    }

    /// The open folder that a path lies in, and the last component.
    fn parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr), RuntimeError> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.walk(parent)?, name)),
            _ => Err(self.outside(path)),
        }
    }

    /// Opens a folder below this one, component by component, making what is missing. What is made in this directory itself becomes
    /// durable when the caller syncs it, so that several folders cost one sync.
    fn walk(&self, path: &Path) -> Result<OwnedFd, RuntimeError> {
        let what = "opening a folder of a server";
        let full = || self.path.join(path);
        let mut folder = self.fd.try_clone().at(what, full())?;
        let mut below = false;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(self.outside(path));
            };
            let made = match mkdirat(&folder, name, PRIVATE_FOLDER) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(system("making a folder of a server", &full(), error.into())),
            };
            let next = openat(&folder, name, FOLDER_FLAGS, Mode::empty()).at(what, full())?;
            if made {
                self.give_away(&next).at(what, full())?;
                if below {
                    fsync(&folder).at(SYNCING, full())?;
                }
            }
            (folder, below) = (next, true);
        }
        Ok(folder)
    }

    /// Makes durable what was renamed into a folder, and the folder itself.
    fn sync(&self, folder: &OwnedFd) -> Result<(), RuntimeError> {
        fsync(folder).at(SYNCING, &self.path)?;
        fsync(&self.fd).at(SYNCING, &self.path)
    }

    fn outside(&self, path: &Path) -> RuntimeError {
        let refusal = io::Error::new(io::ErrorKind::InvalidInput, "it leads out of the server's directory");
        system("using a path", &self.path.join(path), refusal)
    }

    /// Makes the account the owner.
    pub(crate) fn give_away(&self, file: impl AsFd) -> io::Result<()> {
        if let Some(account) = &self.account {
            fchown(file, Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)))?;
        }
        Ok(())
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file that is on disk but does not have its name yet.
pub(crate) struct Staged<'a> {
    folder: OwnedFd,
    temporary: std::ffi::OsString,
    name: &'a OsStr,
    full: PathBuf,
    published: bool,
}

impl Staged<'_> {
    /// Gives the file its name; the caller syncs the folder that is returned.
    pub(crate) fn publish(mut self) -> Result<OwnedFd, RuntimeError> {
        renameat(&self.folder, &self.temporary, &self.folder, self.name).at("publishing a file", &self.full)?;
        self.published = true;
        self.folder.try_clone().at("publishing a file", &self.full)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: the next writer of the same file removes it otherwise.
            let _ = unlinkat(&self.folder, &self.temporary, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use pilothouse_model::ServerId;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn tree() -> (tempfile::TempDir, Tree) {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Tree::prepare(&temporary.path().join("pilothouse"), "mark-1".into(), None).unwrap();
        (temporary, tree)
    }

    #[test]
    fn files_are_private_whole_and_stay_inside() {
        let (keep, tree) = tree();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        directory.write(Path::new("tls/key.pem"), b"one").unwrap();
        directory.write(Path::new("tls/key.pem"), b"two").unwrap();
        let path = directory.path().join("tls/key.pem");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file stays"
        );

        for bad in ["../x", "/etc/x", "a/../../x", "", ".."] {
            assert!(directory.write(Path::new(bad), b"").is_err(), "{bad}");
        }
        // A server that leads us to a folder outside by a link.
        let outside = keep.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, directory.path().join("link")).unwrap();
        assert!(directory.write(Path::new("link/x"), b"").is_err());
        fs::write(outside.join("victim"), "safe").unwrap();
        symlink(outside.join("victim"), directory.path().join("conf")).unwrap();
        directory.write(Path::new("conf"), b"new").unwrap();
        assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "safe");
        assert_eq!(fs::read_to_string(directory.path().join("conf")).unwrap(), "new");
    }

    #[test]
    fn placed_files_leave_their_old_place() {
        let (keep, tree) = tree();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        let (from, other_name) = (keep.path().join("dump"), keep.path().join("second-name"));
        fs::write(&from, "data").unwrap();
        directory.place(&from, Path::new("data/dump.rdb")).unwrap();
        assert!(!from.exists());
        assert_eq!(
            fs::read_to_string(directory.path().join("data/dump.rdb")).unwrap(),
            "data"
        );

        fs::write(&from, "shared").unwrap();
        fs::hard_link(&from, &other_name).unwrap();
        directory.place(&from, Path::new("data/dump.rdb")).unwrap();
        let placed = fs::metadata(directory.path().join("data/dump.rdb")).unwrap();
        assert_ne!(
            placed.ino(),
            fs::metadata(&other_name).unwrap().ino(),
            "a file with a second name is copied"
        );
        assert!(!from.exists());
        assert!(
            directory.place(keep.path(), Path::new("data/x")).is_err(),
            "folders are refused"
        );
    }
}
