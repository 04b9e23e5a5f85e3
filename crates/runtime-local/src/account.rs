//! The account that servers run as; whether it can reach their directories is in `passage`.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

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
}
