//! What of this machine's files a transfer may touch, and with whose rights.
//!
//! Paths come from clients of an API. What counts is never the path, but where the opened file or directory really is: links, `..` and
//! changes between a check and its use lead nowhere.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{BackupError, FailureKind};

/// What directories and files of this machine may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileAccess {
    /// Only below this directory; anywhere when `None`.
    pub root: Option<PathBuf>,
    /// Never below these.
    pub closed: Vec<PathBuf>,
    /// With the rights of this account instead of our own. Only root can.
    pub account: Option<FileAccount>,
}

/// An account of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileAccount {
    /// User id.
    pub uid: u32,
    /// Group id; there are no others.
    pub gid: u32,
}

impl FileAccess {
    /// Does work with the rights of the account. Blocking.
    pub(crate) fn act<T: Send>(&self, work: impl FnOnce() -> Result<T, BackupError> + Send) -> Result<T, BackupError> {
        let Some(account) = self.account else {
            return work();
        };
        // Rights belong to a thread. This one gives ours up for good and ends with the work.
        let worker = move || {
            become_account(account)
                .map_err(|error| BackupError::file("cannot take the rights of the account of servers", error))?;
            work()
        };
        thread::scope(|scope| {
            let running = thread::Builder::new()
                .name("backup-files".to_owned())
                .spawn_scoped(scope, worker)
                .map_err(|error| BackupError::file("cannot start a thread", error))?;
            let broke = || BackupError::new(FailureKind::Other, "the transfer broke down");
            running.join().unwrap_or_else(|_| Err(broke()))
        })
    }

    /// Refuses what was opened when it is where nothing may be. `asked` is how the client called it.
    pub(crate) fn check(&self, opened: &File, asked: &Path) -> Result<(), BackupError> {
        let refused = |why: String| Err(BackupError::new(FailureKind::NoPermission, why));
        let real = fs::read_link(through(opened))
            .map_err(|error| BackupError::file(format!("cannot use {}", asked.display()), error))?;
        if self.closed.iter().any(|closed| real.starts_with(resolved(closed))) {
            return refused(format!("{} is closed to transfers", asked.display()));
        }
        match &self.root {
            Some(root) if !real.starts_with(resolved(root)) => {
                refused(format!("{} lies outside of {}", asked.display(), root.display()))
            }
            _ => Ok(()),
        }
    }
}

/// A path that leads to exactly what was opened, whatever becomes of its name.
pub(crate) fn through(opened: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn become_account(account: FileAccount) -> std::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    Ok(set_thread_res_uid(uid, uid, uid)?)
}
