//! The folders of the data directory: who owns them, and how directories of servers come and go.
//!
//! ```text
//! data_dir/            0710 root:account (as we found it, when everything runs as one account)
//!   servers/           0710 root:account
//!     <server id>/     0700 of the account, with `mark`, `lock`, `process.json`, `server.log` and what the engine keeps
//!   trash/             0700 ours: what is being erased, and directories not yet ready
//! ```

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use pilothouse_model::ServerId;
use pilothouse_runtime::RuntimeError;
use rustix::fs::{Mode, RenameFlags, fchmod, fchown, fstat, fsync, renameat, renameat_with};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::account::Account;
use crate::directory::{DATA, Directory, FOLDER_FLAGS, MARK, PRIVATE_FOLDER, SYNCING};
use crate::error::{Context, system};
use crate::identity::ticks_since_boot;

/// Where everything stands, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    data_dir: PathBuf,
    mark: String,
    account: Option<Account>,
}

impl Tree {
    /// Makes the folders, gives them their owners and modes, and checks that the account reaches them.
    pub(crate) fn prepare(data_dir: &Path, mark: String, account: Option<Account>) -> Result<Self, RuntimeError> {
        let data_dir = std::path::absolute(data_dir).at("finding the data directory", data_dir)?;
        let tree = Self {
            data_dir,
            mark,
            account,
        };
        let root = rustix::process::geteuid().is_root();
        if let Some(account) = &tree.account
            && !root
            && account.uid != rustix::process::geteuid().as_raw()
        {
            let reason = format!("only root can run servers as account {}", account.name);
            let refusal = io::Error::new(io::ErrorKind::PermissionDenied, reason);
            return Err(system("choosing the account of servers", &tree.data_dir, refusal));
        }
        fs::create_dir_all(&tree.data_dir).at("making the data directory", &tree.data_dir)?;
        for (folder, shared) in [
            (tree.data_dir.clone(), true),
            (tree.servers(), true),
            (tree.trash(), false),
        ] {
            match fs::DirBuilder::new().create(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(system("making a folder", &folder, error));
                }
                _ => {}
            }
            let opened = rustix::fs::open(&folder, FOLDER_FLAGS, Mode::empty()).at("opening a folder", &folder)?;
            match &tree.account {
                Some(account) if root && shared => {
                    fchown(&opened, Some(Uid::ROOT), Some(Gid::from_raw(account.gid)))
                        .at("giving a folder away", &folder)?;
                    fchmod(&opened, Mode::RWXU | Mode::XGRP).at("setting the mode of a folder", &folder)?;
                }
                _ if folder != tree.data_dir => {
                    fchmod(&opened, PRIVATE_FOLDER).at("setting the mode of a folder", &folder)?;
                }
                _ => {}
            }
        }
        sync_folder(&tree.data_dir)?;
        if let Some(account) = &tree.account {
            account.check_passage(&tree.servers()).map_err(|blocked| {
                let path = blocked.path.clone();
                let refusal = io::Error::new(io::ErrorKind::PermissionDenied, blocked);
                system("checking that servers reach their directories", &path, refusal)
            })?;
        }
        Ok(tree)
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn servers(&self) -> PathBuf {
        self.data_dir.join("servers")
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.data_dir.join("trash")
    }

    pub(crate) fn server(&self, server: ServerId) -> PathBuf {
        self.servers().join(server.to_string())
    }

    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The user that directories of servers belong to.
    pub(crate) fn owner(&self) -> u32 {
        self.account
            .as_ref()
            .map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid)
    }

    /// A name in the trash that nothing has.
    pub(crate) fn trash_name(&self, of: &str) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.trash()
            .join(format!("{of}.{}.{}.{count}", std::process::id(), ticks_since_boot()))
    }

    /// Opens a server's directory, proven to be ours; `None` when there is none.
    pub(crate) fn open(&self, server: ServerId) -> Result<Option<Directory>, RuntimeError> {
        let path = self.server(server);
        let foreign = |reason: String| RuntimeError::Foreign {
            path: path.clone(),
            reason,
        };
        let fd = match rustix::fs::open(&path, FOLDER_FLAGS, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(foreign("it is not a folder".into())),
            Err(error) => return Err(system("opening a server's directory", &path, error.into())),
        };
        let owner = fstat(&fd).at("looking at a server's directory", &path)?.st_uid;
        if owner != self.owner() {
            return Err(foreign(format!(
                "it belongs to user {owner} and servers run as user {}",
                self.owner()
            )));
        }
        let directory = Directory::new(fd, path.clone(), self.account.clone());
        let mut mark = String::new();
        match directory
            .open_file(MARK.as_ref())
            .at("opening the mark of a server's directory", &path)?
        {
            None => return Err(foreign("it carries no mark".into())),
            Some(file) => {
                let read = fs::File::from(file).take(4096).read_to_string(&mut mark);
                read.at("reading the mark of a server's directory", &path)?;
            }
        }
        if mark.trim_end() != self.mark {
            return Err(foreign("it carries the mark of another data directory".into()));
        }
        Ok(Some(directory))
    }

    /// Opens a server's directory and makes it when there is none. It appears under its name whole: marked, owned and synced.
    pub(crate) fn open_or_make(&self, server: ServerId) -> Result<Directory, RuntimeError> {
        if let Some(directory) = self.open(server)? {
            return Ok(directory);
        }
        let path = self.server(server);
        let unready = self.trash_name(&format!("new-{server}"));
        let what = "making a server's directory";
        let made = (|| -> Result<(), RuntimeError> {
            fs::DirBuilder::new().create(&unready).at(what, &path)?;
            let fd = rustix::fs::open(&unready, FOLDER_FLAGS, Mode::empty()).at(what, &path)?;
            let directory = Directory::new(fd, path.clone(), self.account.clone());
            fchmod(&directory, PRIVATE_FOLDER).at(what, &path)?;
            let mark = format!("{}\n", self.mark);
            directory
                .stage(Path::new(MARK), |file| file.write_all(mark.as_bytes()))?
                .publish()?;
            directory.open_lock().at(what, &path)?;
            directory.give_away(&directory).at(what, &path)?;
            fsync(&directory).at(what, &path)?;
            renameat_with(
                rustix::fs::CWD,
                &unready,
                rustix::fs::CWD,
                &path,
                RenameFlags::NOREPLACE,
            )
            .at(what, &path)
        })();
        if let Err(error) = made {
            // Best effort: what stays is in the trash, which is emptied at every start.
            let _ = fs::remove_dir_all(&unready);
            return Err(error);
        }
        sync_folder(&self.servers())?;
        self.open(server)?
            .ok_or_else(|| system(what, &path, io::ErrorKind::NotFound.into()))
    }

    /// Moves a server's directory into the trash, durably, and returns where it is now.
    pub(crate) fn discard(&self, server: ServerId) -> Result<PathBuf, RuntimeError> {
        let (from, to) = (self.server(server), self.trash_name(&server.to_string()));
        fs::rename(&from, &to).at("moving a server's directory into the trash", &from)?;
        sync_folder(&self.trash())?;
        sync_folder(&self.servers())?;
        Ok(to)
    }

    /// Moves the data of a server into the trash and leaves an empty folder, durably. `None` when there was nothing.
    pub(crate) fn discard_data(&self, directory: &Directory) -> Result<Option<PathBuf>, RuntimeError> {
        let (from, to) = (directory.path().join(DATA), self.trash_name(DATA));
        let discarded = match renameat(directory, DATA, rustix::fs::CWD, &to) {
            Ok(()) => {
                sync_folder(&self.trash())?;
                Some(to)
            }
            Err(Errno::NOENT) => None,
            Err(error) => return Err(system("moving data into the trash", &from, error.into())),
        };
        directory.make_folder(Path::new(DATA))?;
        fsync(directory).at(SYNCING, directory.path())?;
        Ok(discarded)
    }

    /// Every server that has a directory.
    pub(crate) fn list(&self) -> Result<Vec<ServerId>, RuntimeError> {
        let servers = self.servers();
        let mut found = Vec::new();
        for entry in fs::read_dir(&servers).at("listing directories of servers", &servers)? {
            let entry = entry.at("listing directories of servers", &servers)?;
            if let Some(server) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                found.push(server);
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Makes what was renamed in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), RuntimeError> {
    let what = "syncing a folder";
    let folder = rustix::fs::open(path, FOLDER_FLAGS, Mode::empty()).at(what, path)?;
    fsync(&folder).at(what, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn tree() -> (tempfile::TempDir, Tree) {
        let temporary = tempfile::tempdir().unwrap();
        let tree = Tree::prepare(&temporary.path().join("pilothouse"), "mark-1".into(), None).unwrap();
        (temporary, tree)
    }

    #[test]
    fn directories_are_private_and_marked() {
        let (_keep, tree) = tree();
        let server = ServerId::new();
        assert!(tree.open(server).unwrap().is_none());
        let directory = tree.open_or_make(server).unwrap();
        let facts = fs::metadata(directory.path()).unwrap();
        assert_eq!(facts.permissions().mode() & 0o7777, 0o700);
        assert_eq!(facts.uid(), tree.owner());
        tree.open_or_make(server).unwrap();
        assert_eq!(tree.list().unwrap(), [server]);
        assert_eq!(fs::read_dir(tree.trash()).unwrap().count(), 0);
    }

    #[test]
    fn unmarked_and_strange_directories_are_refused() {
        let (_keep, tree) = tree();
        let check = |make: &dyn Fn(&Path), words: &str| {
            let server = ServerId::new();
            make(&tree.server(server));
            let error = tree.open_or_make(server).unwrap_err();
            assert!(
                matches!(&error, RuntimeError::Foreign { reason, .. } if reason.contains(words)),
                "{error:?}"
            );
        };
        check(&|path| fs::create_dir(path).unwrap(), "no mark");
        check(&|path| fs::write(path, "").unwrap(), "not a folder");
        check(&|path| symlink("/", path).unwrap(), "not a folder");
        check(
            &|path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join(MARK), "mark-2\n").unwrap();
            },
            "another data directory",
        );
    }

    #[test]
    fn data_is_renamed_away_and_left_empty() {
        let (_keep, tree) = tree();
        let directory = tree.open_or_make(ServerId::new()).unwrap();
        assert!(tree.discard_data(&directory).unwrap().is_none());
        directory.write(Path::new("data/dump.rdb"), b"x").unwrap();
        let trashed = tree.discard_data(&directory).unwrap().unwrap();
        assert!(trashed.join("dump.rdb").exists());
        assert_eq!(fs::read_dir(directory.path().join(DATA)).unwrap().count(), 0);
    }
}
