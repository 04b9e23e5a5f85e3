//! The account that servers run as, and whether it can reach their directories.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pilothouse_runtime::RuntimeError;
use serde::{Deserialize, Serialize};

use crate::error::{Context, system};

/// An account of the system. Servers get its user and its group, and no supplementary groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Id of the user's own group.
    pub gid: u32,
    /// Login name.
    pub name: String,
}

impl Account {
    /// Looks an account up by name, `/etc/passwd` first and then whatever else the system knows (`getent`). Blocking.
    ///
    /// # Errors
    /// When `/etc/passwd` cannot be read. An unknown name is `None`.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        if let Some(account) = in_passwd(&fs::read_to_string("/etc/passwd")?, name) {
            return Ok(Some(account));
        }
        let answer = Command::new("getent")
            .args(["passwd", "--", name])
            .stdin(Stdio::null())
            .output();
        Ok(answer
            .ok()
            .and_then(|answer| in_passwd(&String::from_utf8_lossy(&answer.stdout), name)))
    }

    /// Every folder on the way to `path`, itself included, must let the account pass; the error names the first that does not.
    ///
    /// Judges by owner, group and mode, as access lists are rare here; a folder that only an access list opens is refused too early.
    pub(crate) fn check_passage(&self, path: &Path) -> Result<(), RuntimeError> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        for folder in way {
            let facts = fs::metadata(folder).at("looking at the way to the data directory", folder)?;
            if !self.may_pass(facts.uid(), facts.gid(), facts.mode()) {
                let reason = format!(
                    "account {} (uid {}) may not pass: `chmod o+x {}` or choose another data directory",
                    self.name,
                    self.uid,
                    folder.display()
                );
                return Err(system(
                    "checking that servers reach their directories",
                    folder,
                    io::Error::new(io::ErrorKind::PermissionDenied, reason),
                ));
            }
        }
        Ok(())
    }

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

fn in_passwd(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, _password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (login == name).then_some(())?;
        Some(Account {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            name: name.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nredis:x:101:102::/var/lib/redis:/usr/sbin/nologin\nbroken\n";
        let found = in_passwd(passwd, "redis").unwrap();
        assert_eq!((found.uid, found.gid), (101, 102));
        assert_eq!(in_passwd(passwd, "redi"), None);
        assert_eq!(in_passwd(passwd, "broken"), None);
        assert_eq!(Account::find("root").unwrap().unwrap().uid, 0);
        assert_eq!(Account::find("no-such-account-here").unwrap(), None);
    }

    #[test]
    fn owner_counts_before_group_and_group_before_others() {
        let account = Account {
            uid: 7,
            gid: 8,
            name: "x".into(),
        };
        assert!(account.may_pass(7, 0, 0o100));
        assert!(
            !account.may_pass(7, 8, 0o011),
            "the owner is judged by the owner's bit alone"
        );
        assert!(account.may_pass(0, 8, 0o710));
        assert!(!account.may_pass(0, 8, 0o701));
        assert!(account.may_pass(0, 0, 0o701));
        assert!(!account.may_pass(0, 0, 0o770));
    }

    #[test]
    fn the_blocking_folder_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let blocked = temporary.path().join("blocked");
        fs::create_dir(&blocked).unwrap();
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account {
            uid: 54_321,
            gid: 54_321,
            name: "stranger".into(),
        };
        let error = stranger.check_passage(&blocked).unwrap_err().to_string();
        assert!(error.contains(&format!("{}:", temporary.path().display())), "{error}");
        assert!(error.contains("stranger"), "{error}");
    }
}
