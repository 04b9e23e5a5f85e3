//! Opens key file and store, or refuses to begin with less than there was.
//!
//! A server that no record knows is erased at the start, so a store that is missing beside servers must never be taken for a new one;
//! and a new key beside an old store would make every password in it unreadable.

use std::io;
use std::path::{Path, PathBuf};

use pilothouse_control::GATEWAY_PROCESSES;
use pilothouse_secrets::Keyring;
use pilothouse_store::Store;

/// Why the state is not complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// There are servers and no records of them.
    #[error(
        "{store} is missing, and {servers} holds servers; without their records they would be erased. \
         Put a copy of the store back, or move {servers} away to begin anew",
        store = store.display(), servers = servers.display()
    )]
    StoreMissing {
        /// Where it should be.
        store: PathBuf,
        /// Where the servers are.
        servers: PathBuf,
    },
    /// There are records and no key for their secrets.
    #[error("{key} is missing; without it no password in the store can be read. Put the copy back", key = key.display())]
    KeyMissing {
        /// Where it should be.
        key: PathBuf,
    },
    /// The system refused to look.
    #[error("cannot look at {path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Key file and store of a data directory; both are made in one that is new.
pub(super) fn open(root: &Path) -> anyhow::Result<(Keyring, Store)> {
    let (key, store) = (root.join("key"), root.join("store.redb"));
    check(&key, &store, &root.join("servers"))?;
    Ok((Keyring::open_or_create(&key)?, Store::open(&store)?))
}

fn check(key: &Path, store: &Path, servers: &Path) -> Result<(), StateError> {
    let is_there = |path: &Path| {
        path.try_exists().map_err(|source| StateError::Io {
            path: path.to_owned(),
            source,
        })
    };
    // An empty file is what is left of a store, not a new one: what a disk that ran full or a slip of the hand leaves behind.
    if has_content(store)? {
        return if is_there(key)? {
            Ok(())
        } else {
            Err(StateError::KeyMissing { key: key.to_owned() })
        };
    }
    if holds_servers(servers).map_err(|source| StateError::Io {
        path: servers.to_owned(),
        source,
    })? {
        return Err(StateError::StoreMissing {
            store: store.to_owned(),
            servers: servers.to_owned(),
        });
    }
    Ok(())
}

fn has_content(path: &Path) -> Result<bool, StateError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StateError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether there is a server other than the gateway, which has no record and loses nothing.
fn holds_servers(servers: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(servers) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let gateways = GATEWAY_PROCESSES.map(|id| id.to_string());
    for entry in entries {
        let name = entry?.file_name();
        if gateways.iter().all(|gateway| name != gateway.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_beside_what_is_there_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let look = || check(&at("key"), &at("store.redb"), &at("servers"));
        assert!(look().is_ok(), "a new directory");
        for gateway in GATEWAY_PROCESSES {
            std::fs::create_dir_all(at("servers").join(gateway.to_string())).unwrap();
        }
        assert!(look().is_ok(), "the gateway needs no record");
        std::fs::create_dir(at("servers").join("some-server")).unwrap();
        let error = look().unwrap_err();
        assert!(
            matches!(error, StateError::StoreMissing { .. }) && error.to_string().contains("store.redb"),
            "{error}"
        );
        std::fs::write(at("store.redb"), "").unwrap();
        assert!(
            matches!(look(), Err(StateError::StoreMissing { .. })),
            "an empty file is no store"
        );
        std::fs::write(at("store.redb"), "content").unwrap();
        assert!(matches!(look(), Err(StateError::KeyMissing { .. })));
        std::fs::write(at("key"), "").unwrap();
        assert!(look().is_ok());
    }

    #[tokio::test]
    async fn a_new_directory_gets_both_and_keeps_them() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (_, store) = open(directory.path()).unwrap();
            store.close().await.unwrap();
        }
        std::fs::remove_file(directory.path().join("key")).unwrap();
        assert!(open(directory.path()).is_err());
        assert!(!directory.path().join("key").exists(), "no other key was made");
    }
}
