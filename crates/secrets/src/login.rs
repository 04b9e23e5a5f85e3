//! Checking API passwords: slow on purpose once, then fast for a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pilothouse_model::{PasswordHash, Secret, UserId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::password::{matches_argon2, random_key};

/// How long a login that succeeded is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Most users remembered at once.
const ENTRIES_MAX: usize = 4096;
/// Hashes computed at once: each takes 19 MiB and a processor for tens of milliseconds.
const CONCURRENT_HASHES: usize = 2;

/// Checks passwords of API users.
///
/// A login that succeeded is remembered for a minute as a MAC under a key that only this process knows; a failed one never is, so a
/// wrong password costs a full hash each time, on a bounded pool.
#[derive(Clone)]
pub struct LoginVerifier(Arc<Inner>);

struct Inner {
    key: [u8; 32],
    remembered: Mutex<HashMap<UserId, Remembered>>,
    hashing: Semaphore,
}

struct Remembered {
    mac: [u8; 32],
    until: Instant,
}

impl Default for LoginVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl LoginVerifier {
    /// A verifier that remembers nobody.
    pub fn new() -> Self {
        let hashing = Semaphore::new(CONCURRENT_HASHES);
        Self(Arc::new(Inner {
            key: random_key(),
            remembered: Mutex::default(),
            hashing,
        }))
    }

    /// Whether `password` is one of the user's. Cancel-safe.
    pub async fn verify(&self, user: UserId, hashes: &[PasswordHash], password: &Secret) -> bool {
        let mac = self.mac(user, hashes, password);
        if self.remembers(user, &mac) {
            return true;
        }
        let Ok(_permit) = self.0.hashing.acquire().await else {
            return false;
        };
        // Somebody with the same password may have been checked while we waited.
        if self.remembers(user, &mac) {
            return true;
        }
        let (password, phcs) = (
            password.clone(),
            hashes.iter().map(|hash| hash.argon2.clone()).collect::<Vec<_>>(),
        );
        let checked = tokio::task::spawn_blocking(move || phcs.iter().any(|phc| matches_argon2(&password, phc)));
        let right = checked.await.unwrap_or(false);
        if right {
            self.remember(user, mac);
        }
        right
    }

    /// Forgets a user whose passwords or rights changed.
    pub fn forget(&self, user: UserId) {
        self.remembered().remove(&user);
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<UserId, Remembered>> {
        self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembers(&self, user: UserId, mac: &[u8; 32]) -> bool {
        self.remembered()
            .get(&user)
            .is_some_and(|entry| entry.until > Instant::now() && bool::from(entry.mac.ct_eq(mac)))
    }

    fn remember(&self, user: UserId, mac: [u8; 32]) {
        let now = Instant::now();
        let mut remembered = self.remembered();
        if remembered.len() >= ENTRIES_MAX {
            remembered.retain(|_, entry| entry.until > now);
        }
        if remembered.len() < ENTRIES_MAX {
            remembered.insert(
                user,
                Remembered {
                    mac,
                    until: now + REMEMBERED,
                },
            );
        }
    }

    /// Key, user, the passwords that are valid now and the one given, each of known length or delimited: a change of any is another MAC.
    fn mac(&self, user: UserId, hashes: &[PasswordHash], password: &Secret) -> [u8; 32] {
        let mut inner = Sha256::new();
        inner.update(self.0.key);
        inner.update(user.as_bytes());
        for hash in hashes {
            inner.update(hash.argon2.len().to_be_bytes());
            inner.update(hash.argon2.as_bytes());
        }
        inner.update(password.expose().as_bytes());
        // The outer hash with the key closes the construction against length extension.
        let mut outer = Sha256::new();
        outer.update(self.0.key);
        outer.update(inner.finalize());
        outer.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keyring;
    use pilothouse_model::Timestamp;

    #[tokio::test]
    async fn remembers_success_and_forgets_on_change() {
        let keyring = Keyring::ephemeral();
        let verifier = LoginVerifier::new();
        let user = UserId::new();
        let old = [keyring.hash_password(&Secret::new("old"), Timestamp::default())];
        assert!(verifier.verify(user, &old, &Secret::new("old")).await);
        assert!(verifier.verify(user, &old, &Secret::new("old")).await);
        assert!(!verifier.verify(user, &old, &Secret::new("new")).await);
        let new = [keyring.hash_password(&Secret::new("new"), Timestamp::default())];
        assert!(
            !verifier.verify(user, &new, &Secret::new("old")).await,
            "a changed password ends what was remembered"
        );
        verifier.forget(user);
        assert!(!verifier.verify(user, &[], &Secret::new("old")).await);
    }
}
