//! Whether an account can reach a directory: every parent of it must let the account pass.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pilothouse_runtime_local::Account;

/// A directory that an account cannot pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the account {account} cannot pass {path} (mode {mode:03o}), which leads to {target}. \
     Either let it pass with `chmod o+x {path}`, or keep the data elsewhere, for instance below /var/lib",
    path = path.display(), target = target.display()
)]
pub struct Blocked {
    /// Who.
    pub account: String,
    /// Which directory stands in the way.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Where the account has to get.
    pub target: PathBuf,
}

/// Looks whether `account` can pass `target` and every parent of it. Reads modes only: an access list that lets the account pass is not
/// seen, one that keeps it out neither; the launch of a server shows that.
pub fn blocked(target: &Path, account: &Account) -> Result<(), Blocked> {
    // What a symbolic link leads through counts, not the link.
    let real = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
    let parents: Vec<_> = real.ancestors().collect();
    for path in parents.into_iter().rev() {
        let Ok(metadata) = std::fs::metadata(path) else {
            continue;
        };
        if !may_pass(account, metadata.uid(), metadata.gid(), metadata.mode()) {
            return Err(Blocked {
                account: account.name.clone(),
                path: path.to_owned(),
                mode: metadata.mode() & 0o7777,
                target: target.to_owned(),
            });
        }
    }
    Ok(())
}

/// The kernel's rule: the first class that fits decides, even when a later one would allow more.
fn may_pass(account: &Account, uid: u32, gid: u32, mode: u32) -> bool {
    let bit = if account.uid == uid {
        0o100
    } else if account.gid == gid {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
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
    fn the_first_class_that_fits_decides() {
        for (who, owner, mode, passes) in [
            (account(7, 7), (0, 0), 0o755, true),
            (account(7, 7), (0, 0), 0o700, false),
            (account(7, 7), (0, 7), 0o710, true),
            (account(7, 7), (0, 7), 0o701, false),
            (account(7, 7), (7, 0), 0o077, false),
        ] {
            assert_eq!(
                may_pass(&who, owner.0, owner.1, mode),
                passes,
                "{who:?} {owner:?} {mode:o}"
            );
        }
    }

    #[test]
    fn the_blocking_parent_is_named() {
        let parent = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap();
        let closed = parent.path().join("closed");
        let target = closed.join("data");
        std::fs::create_dir_all(&target).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = account(64_999, 64_999);
        let error = blocked(&target, &stranger).unwrap_err();
        assert_eq!((error.path.clone(), error.mode), (closed.clone(), 0o700));
        assert!(
            error.to_string().contains(&format!("chmod o+x {}", closed.display())),
            "{error}"
        );
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(blocked(&target, &stranger), Ok(()));
    }
}
