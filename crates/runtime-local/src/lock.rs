//! The directory lock: held exactly as long as any process of a server lives.
//!
//! We take it on a fresh open file description and hand that description down: launcher, server and every child of the server share
//! it, so the kernel frees the lock when the last of them is gone. Nobody else ever opens the lock file for longer than a test takes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::Errno;

/// Which file a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of an open file.
    pub(crate) fn of(file: impl AsFd) -> Result<Self, Errno> {
        fstat(file).map(|facts| Self::from_stat(&facts))
    }

    /// Of a file that was looked at.
    pub(crate) fn from_stat(facts: &rustix::fs::Stat) -> Self {
        Self {
            device: facts.st_dev,
            inode: facts.st_ino,
        }
    }
}

/// A lock file that is open but not locked by us.
#[derive(Debug)]
pub(crate) struct LockFile(OwnedFd);

impl LockFile {
    pub(crate) fn new(file: OwnedFd) -> Self {
        Self(file)
    }

    pub(crate) fn id(&self) -> Result<FileId, Errno> {
        FileId::of(&self.0)
    }

    /// Whether some process holds the lock. Asks for a shared lock, so that two askers do not take each other for a holder.
    pub(crate) fn is_held(&self) -> Result<bool, Errno> {
        match flock(&self.0, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                // Unlocked in so many words: a process being spawned at this moment has a copy of the descriptor until its exec,
                // and closing ours alone would leave the lock with it.
                flock(&self.0, FlockOperation::Unlock)?;
                Ok(false)
            }
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock; gives the file back when another process holds it.
    pub(crate) fn try_lock(self) -> Result<Result<HeldLock, Self>, Errno> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Ok(HeldLock(Some(self.0)))),
            Err(Errno::WOULDBLOCK) => Ok(Err(self)),
            Err(error) => Err(error),
        }
    }
}

/// The lock, held by us. Dropping it unlocks.
#[derive(Debug)]
pub(crate) struct HeldLock(Option<OwnedFd>);

impl HeldLock {
    /// Another descriptor of the same lock, for a child.
    pub(crate) fn share(&self) -> std::io::Result<OwnedFd> {
        self.descriptor().try_clone_to_owned()
    }

    /// Leaves the lock to those it was shared with.
    pub(crate) fn leave_to_child(mut self) {
        drop(self.0.take());
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0
            .as_ref()
            .expect("only leave_to_child and drop take it, and they end the value")
            .as_fd()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            // Cannot fail on a descriptor that was locked; were it to, closing it is what remains to be done.
            let _ = flock(&file, FlockOperation::Unlock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> LockFile {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .unwrap();
        LockFile::new(file.into())
    }

    #[test]
    fn a_shared_lock_outlives_the_one_who_shared_it() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("lock");
        let asker = open(&path);
        assert!(!asker.is_held().unwrap());
        let held = open(&path).try_lock().unwrap().unwrap();
        assert!(asker.is_held().unwrap());
        assert!(open(&path).try_lock().unwrap().is_err());

        let child = held.share().unwrap();
        held.leave_to_child();
        assert!(asker.is_held().unwrap());
        drop(child);
        assert!(!asker.is_held().unwrap());
    }

    #[test]
    fn dropping_unlocks_even_when_a_copy_is_left() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("lock");
        let held = open(&path).try_lock().unwrap().unwrap();
        let _copy = held.share().unwrap();
        drop(held);
        assert!(!open(&path).is_held().unwrap());
    }
}
