//! The account that servers and gateway run as when we are root.
//!
//! Looked up in `/etc/passwd` and `/etc/group` only: asking the directory services of the machine needs libc calls that are not safe.
//! Accounts that live elsewhere are named by their numbers.

use crate::config::RunAs;

/// Why the account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// There is none of that name.
    #[error(
        "there is no account {name:?}, under which database servers are to run. Make it with\n  \
         useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {name}\n\
         or name another one with --run-as, server.run_as or PILOTHOUSE_SERVER__RUN_AS (NAME, or UID:GID)"
    )]
    Missing {
        /// The name.
        name: String,
    },
    /// It is root under another name.
    #[error("the account {name:?} is root; database servers never run as root")]
    Root {
        /// The name.
        name: String,
    },
}

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, or its numbers where it has none.
    pub name: String,
    /// User id; never 0.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

impl Account {
    /// Looks the account up.
    pub fn find(wanted: &RunAs) -> Result<Self, AccountError> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::find_in(wanted, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn find_in(wanted: &RunAs, passwd: &str, group: &str) -> Result<Self, AccountError> {
        let account = match wanted {
            RunAs::Ids { uid, gid } => Self {
                name: format!("{uid}:{gid}"),
                uid: *uid,
                gid: *gid,
                groups: Vec::new(),
            },
            RunAs::Name(name) => {
                let (uid, gid) = ids(name, passwd).ok_or_else(|| AccountError::Missing { name: name.clone() })?;
                Self {
                    name: name.clone(),
                    uid,
                    gid,
                    groups: groups(name, group),
                }
            }
        };
        if account.uid == 0 {
            return Err(AccountError::Root { name: account.name });
        }
        Ok(account)
    }

    /// Whether the account is in that group.
    pub fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// `name:password:uid:gid:…`
fn ids(name: &str, passwd: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        found.then_some((uid, gid))
    })
}

/// `group:password:gid:member,member`
fn groups(name: &str, group: &str) -> Vec<u32> {
    let of_line = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|member| member == name).then_some(gid)
    };
    group.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# comment\ntoor:x:0:0::/:/bin/sh\npilothouse:x:990:991::/nonexistent:/bin/false\n";
    const GROUP: &str = "root:x:0:\nssl-cert:x:110:www,pilothouse\nother:x:111:pilothouse2\n";

    fn find(name: &str) -> Result<Account, AccountError> {
        Account::find_in(&RunAs::Name(name.into()), PASSWD, GROUP)
    }

    #[test]
    fn accounts_are_found_with_their_groups() {
        let account = find("pilothouse").unwrap();
        assert_eq!((account.uid, account.gid), (990, 991));
        assert!(account.is_in(991) && account.is_in(110) && !account.is_in(111));
    }

    #[test]
    fn a_missing_account_comes_with_the_command_that_makes_it() {
        let error = find("nobody-here").unwrap_err().to_string();
        assert!(
            error.contains("useradd --system") && error.ends_with("(NAME, or UID:GID)"),
            "{error}"
        );
        assert!(error.contains("nologin nobody-here"), "{error}");
    }

    #[test]
    fn root_is_refused_under_any_name() {
        assert_eq!(find("toor"), Err(AccountError::Root { name: "toor".into() }));
        assert_eq!(find("root"), Err(AccountError::Root { name: "root".into() }));
    }
}
