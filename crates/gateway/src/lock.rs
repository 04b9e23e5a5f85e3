//! The lock that makes a gateway the only one of its data directory.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::GatewayRunError;

/// A held lock. It belongs to the open file, not to the process: a successor that gets the descriptor holds it too, so that a handover
/// leaves no moment without a holder.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock, or names who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, GatewayRunError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(GatewayRunError::io("open", path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                return Err(GatewayRunError::Locked {
                    lock: path.to_owned(),
                    holder: if known {
                        format!("process {}", pid.trim())
                    } else {
                        "an unknown process".into()
                    },
                });
            }
            Err(error) => return Err(GatewayRunError::io("lock", path)(error.into())),
        }
        Ok(Self(file).signed(path))
    }

    /// The lock that a predecessor passed on.
    pub(crate) fn inherited(descriptor: OwnedFd, path: &Path) -> Self {
        Self(File::from(descriptor)).signed(path)
    }

    /// Writes who we are into the file, over what is there, which needs no room on a full disk. The lock holds without it too.
    fn signed(self, path: &Path) -> Self {
        let name = format!("{}\n", std::process::id());
        let written = self
            .0
            .write_all_at(name.as_bytes(), 0)
            .and_then(|()| self.0.set_len(name.len() as u64));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "the lock does not say who holds it");
            // Better nobody than a predecessor; and where even that fails, its number leads to no gateway.
            let _ = self.0.set_len(0);
        }
        self
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_learns_the_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        let copy = first.as_fd().try_clone_to_owned().unwrap();
        drop(first);
        assert!(
            matches!(Lock::take(&path), Err(GatewayRunError::Locked { .. })),
            "a passed copy holds it"
        );
        drop(copy);
        Lock::take(&path).unwrap();
    }
}
