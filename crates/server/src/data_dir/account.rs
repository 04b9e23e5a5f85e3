//! The account that servers and gateway run as when we are root.

use pilothouse_runtime_local::Account;

use crate::config::RunAs;

/// Why the account cannot be used.
#[derive(Debug, thiserror::Error)]
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
    /// The list of accounts cannot be read.
    #[error("cannot look up the account {name:?}: {source}")]
    Unknown {
        /// The name.
        name: String,
        /// The system's words.
        source: std::io::Error,
    },
}

/// Looks the account up. Blocking.
pub fn find_account(wanted: &RunAs) -> Result<Account, AccountError> {
    let account = match wanted {
        RunAs::Ids { uid, gid } => Account {
            name: format!("{uid}:{gid}"),
            uid: *uid,
            gid: *gid,
        },
        RunAs::Name(name) => Account::find(name)
            .map_err(|source| AccountError::Unknown {
                name: name.clone(),
                source,
            })?
            .ok_or_else(|| AccountError::Missing { name: name.clone() })?,
    };
    if account.uid == 0 {
        return Err(AccountError::Root { name: account.name });
    }
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_account_comes_with_the_command_that_makes_it() {
        let error = find_account(&RunAs::Name("nobody-here".into()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("nologin nobody-here") && error.ends_with("(NAME, or UID:GID)"),
            "{error}"
        );
    }

    #[test]
    fn accounts_are_found_and_root_is_refused() {
        assert_eq!(find_account(&RunAs::Ids { uid: 7, gid: 8 }).unwrap().name, "7:8");
        assert!(find_account(&RunAs::Name("nobody".into())).unwrap().uid > 0);
        assert!(matches!(
            find_account(&RunAs::Name("root".into())),
            Err(AccountError::Root { .. })
        ));
    }
}
