//! Whether an account can reach a directory: every folder on the way must let the account pass.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::account::Account;

/// A folder that an account cannot pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the account {account} cannot pass {path} (mode {mode:03o}), which leads to {target}. \
     Either let it pass with `chmod o+x {path}`, or keep the data elsewhere, for instance below /var/lib",
    path = path.display(), target = target.display()
)]
pub struct Blocked {
    /// Who.
    pub account: String,
    /// Which folder stands in the way.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Where the account has to get.
    pub target: PathBuf,
}

impl Account {
    /// Looks whether the account can pass `target` and every folder above it, and names the first that it cannot.
    ///
    /// Judges by owner, group and mode, as access lists are rare here: one that lets the account pass is not seen, one that keeps it out
    /// neither; the launch of a server shows that. A folder that cannot be looked at is passed over.
    pub fn check_passage(&self, target: &Path) -> Result<(), Blocked> {
        // What a symbolic link leads through counts, not the link.
        let real = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let way: Vec<_> = real.ancestors().collect();
        for folder in way.into_iter().rev() {
            let Ok(facts) = std::fs::metadata(folder) else {
                continue;
            };
            if !self.may_pass(facts.uid(), facts.gid(), facts.mode()) {
                return Err(Blocked {
                    account: self.name.clone(),
                    path: folder.to_owned(),
                    mode: facts.mode() & 0o7777,
                    target: target.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The kernel's rule: the first class that fits decides, even when a later one would allow more.
    fn may_pass(&self, owner: u32, group: u32, mode: u32) -> bool {
        let bit = if self.uid == 0 {
            0o111
        } else if self.uid == owner {
            0o100
        } else if self.gid == group {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn account(uid: u32, gid: u32) -> Account {
        Account {
            name: "servers".into(),
            uid,
            gid,
        }
    }

    #[test]
    fn owner_counts_before_group_and_group_before_others() {
        for (who, owner, mode, passes) in [
            (account(7, 8), (0, 0), 0o755, true),
            (account(7, 8), (0, 0), 0o770, false),
            (account(7, 8), (0, 8), 0o710, true),
            (account(7, 8), (0, 8), 0o701, false),
            (account(7, 8), (7, 0), 0o100, true),
            (account(7, 8), (7, 8), 0o077, false),
            (account(0, 0), (7, 8), 0o100, true),
        ] {
            assert_eq!(
                who.may_pass(owner.0, owner.1, mode),
                passes,
                "{who:?} {owner:?} {mode:o}"
            );
        }
    }

    #[test]
    fn the_blocking_folder_is_named() {
        let parent = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap();
        let closed = parent.path().join("closed");
        let target = closed.join("data");
        std::fs::create_dir_all(&target).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = account(64_999, 64_999);
        let error = stranger.check_passage(&target).unwrap_err();
        assert_eq!((error.path.clone(), error.mode), (closed.clone(), 0o700));
        assert!(
            error.to_string().contains(&format!("chmod o+x {}", closed.display())),
            "{error}"
        );
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(stranger.check_passage(&target), Ok(()));
    }
}
