//! Verifying passwords of API logins, at a price that neither a busy client nor an attacker can drive up.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::{PasswordHash as Phc, PasswordVerifier};
use hmac::{Hmac, Mac};
use pilothouse_model::{PasswordHash, Secret, UserId};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::keyring::argon2_phc;
use crate::random::{generate, random_bytes};

/// How long a successful login spares the next one the slow hash.
const LIFETIME: Duration = Duration::from_secs(60);
/// Most remembered logins; one takes about 100 bytes.
const MOST_ENTRIES: usize = 4096;
/// Slow hashes at once: each keeps a processor busy and 19 MiB of memory.
const SLOW_HASHES: usize = 2;
/// Longer passwords are refused unhashed. Far above what any of the APIs lets a user set.
const LONGEST_PASSWORD: usize = 4096;

/// What a login is stood for in memory. Made with a key that only this process knows and never writes, so it gives nothing away.
type LoginMac = [u8; 32];

/// Verifies passwords against [`PasswordHash`]es. Cheap to clone; all clones share cache and pool.
///
/// A success is remembered for 60 s, for exactly this user, this password and this list of hashes, so a change of any of them takes
/// effect at once. A failure is never remembered, and takes as long whether the user exists or not.
#[derive(Clone)]
pub struct LoginVerifier {
    shared: Arc<Shared>,
}

struct Shared {
    /// Keyed once; each login clones the state.
    mac: Hmac<Sha256>,
    lifetime: Duration,
    logins: Mutex<HashMap<LoginMac, Login>>,
    /// Held during each slow hash.
    pool: Arc<Semaphore>,
}

struct Login {
    user: UserId,
    ends: Instant,
}

impl LoginVerifier {
    /// With an empty cache and a key of its own.
    #[expect(
        clippy::new_without_default,
        reason = "draws a random key, which a default should not"
    )]
    pub fn new() -> Self {
        Self::with_lifetime(LIFETIME)
    }

    fn with_lifetime(lifetime: Duration) -> Self {
        let key = random_bytes::<32>();
        let mac = Hmac::new_from_slice(key.as_slice()).expect("a key of any length is taken");
        let logins = Mutex::default();
        let pool = Arc::new(Semaphore::new(SLOW_HASHES));
        Self {
            shared: Arc::new(Shared {
                mac,
                lifetime,
                logins,
                pool,
            }),
        }
    }

    /// Whether `password` is one of those that `hashes` were made from.
    ///
    /// For a login name that does not exist, call it with a made-up id and no hashes: it then answers `false` as slowly as for a wrong password.
    /// Cancel-safe; a slow hash that has begun runs to its end and keeps its place in the pool until then.
    /// Must be called within a Tokio runtime.
    pub async fn verify(&self, user: UserId, hashes: &[PasswordHash], password: &Secret) -> bool {
        if password.expose().len() > LONGEST_PASSWORD {
            return false;
        }
        let mac = self.shared.mac_of(user, hashes, password);
        if self.shared.remembers(&mac) {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.shared.pool).acquire_owned().await else {
            return false; // never: nobody closes the pool
        };
        // Many requests of one client often begin together; the first one's hash answers for all of them.
        if self.shared.remembers(&mac) {
            return true;
        }
        let phcs: Vec<String> = hashes.iter().map(|hash| hash.argon2.clone()).collect();
        let password = password.clone();
        let slow = spawn_blocking(move || {
            let _permit = permit;
            any_matches(&phcs, &password)
        });
        let correct = slow.await.unwrap_or(false);
        if correct {
            self.shared.remember(mac, user);
        }
        correct
    }

    /// Drops what is remembered of a user: call it whenever one is changed, locked or deleted.
    pub fn forget(&self, user: UserId) {
        self.shared.lock().retain(|_, login| login.user != user);
    }
}

impl fmt::Debug for LoginVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginVerifier").finish_non_exhaustive()
    }
}

impl Shared {
    /// The hashes are part of it: their salts are random, so a login remembered under an old list is never found under a new one,
    /// not even one whose verification began before the change and ended after [`LoginVerifier::forget`].
    fn mac_of(&self, user: UserId, hashes: &[PasswordHash], password: &Secret) -> LoginMac {
        let mut mac = self.mac.clone();
        mac.update(user.as_bytes());
        for hash in hashes {
            mac.update(hash.argon2.as_bytes());
            mac.update(b"\0");
        }
        mac.update(b"\0");
        mac.update(password.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn remembers(&self, mac: &LoginMac) -> bool {
        self.lock().get(mac).is_some_and(|login| Instant::now() < login.ends)
    }

    fn remember(&self, mac: LoginMac, user: UserId) {
        let now = Instant::now();
        let mut logins = self.lock();
        if logins.len() >= MOST_ENTRIES {
            logins.retain(|_, login| now < login.ends);
        }
        if logins.len() >= MOST_ENTRIES {
            let oldest = logins.iter().min_by_key(|(_, login)| login.ends).map(|(mac, _)| *mac);
            oldest.map(|mac| logins.remove(&mac));
        }
        logins.insert(
            mac,
            Login {
                user,
                ends: now + self.lifetime,
            },
        );
    }

    /// A panic while the map was locked cannot have left it half changed in a way that matters.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LoginMac, Login>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn any_matches(phcs: &[String], password: &Secret) -> bool {
    /// What a login without hashes is compared with, to take the same time.
    static DECOY: LazyLock<String> = LazyLock::new(|| argon2_phc(&generate(32)));

    if phcs.is_empty() {
        let _ = matches(&DECOY, password);
        return false;
    }
    phcs.iter().any(|phc| matches(phc, password))
}

fn matches(phc: &str, password: &Secret) -> bool {
    Phc::new(phc).is_ok_and(|phc| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &phc)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use pilothouse_model::Timestamp;

    use super::*;
    use crate::Keyring;

    fn hash(password: &str) -> PasswordHash {
        Keyring::ephemeral().hash_password(&Secret::new(password), Timestamp::default())
    }

    fn remembered(verifier: &LoginVerifier) -> usize {
        verifier.shared.lock().len()
    }

    #[tokio::test]
    async fn any_of_the_passwords_is_right_and_no_other() {
        let (verifier, user) = (LoginVerifier::new(), UserId::new());
        let hashes = [hash("one"), hash("two")];
        for (password, right) in [
            ("one", true),
            ("two", true),
            ("three", false),
            ("", false),
            ("one\0", false),
        ] {
            for _ in 0..2 {
                assert_eq!(
                    verifier.verify(user, &hashes, &Secret::new(password)).await,
                    right,
                    "{password:?}"
                );
            }
        }
        assert_eq!(remembered(&verifier), 2, "failures must not be remembered");
        assert!(!verifier.verify(user, &[], &Secret::new("one")).await);
        assert!(
            !verifier
                .verify(user, &hashes, &Secret::new("x".repeat(LONGEST_PASSWORD + 1)))
                .await
        );
    }

    #[tokio::test]
    async fn a_damaged_hash_fits_nothing() {
        let broken = PasswordHash {
            argon2: "$argon2id$nonsense".to_owned(),
            ..hash("one")
        };
        assert!(
            !LoginVerifier::new()
                .verify(UserId::new(), &[broken], &Secret::new("one"))
                .await
        );
    }

    #[tokio::test]
    async fn a_remembered_login_needs_no_hash() {
        let (verifier, user, hashes, password) =
            (LoginVerifier::new(), UserId::new(), [hash("one")], Secret::new("one"));
        assert!(verifier.verify(user, &hashes, &password).await);
        let _busy = verifier
            .shared
            .pool
            .acquire_many(SLOW_HASHES as u32)
            .await
            .expect("pool is open");
        assert!(
            verifier.verify(user, &hashes, &password).await,
            "must not wait for the pool"
        );
        let slow = verifier.verify(UserId::new(), &hashes, &password);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), slow).await.is_err(),
            "another user must"
        );
    }

    #[tokio::test]
    async fn a_change_of_the_hashes_or_of_the_user_takes_effect_at_once() {
        let (verifier, user, password) = (LoginVerifier::new(), UserId::new(), Secret::new("one"));
        assert!(verifier.verify(user, &[hash("one")], &password).await);
        assert!(!verifier.verify(user, &[hash("two")], &password).await);
        verifier.forget(UserId::new());
        assert_eq!(remembered(&verifier), 1);
        verifier.forget(user);
        assert_eq!(remembered(&verifier), 0);
    }

    #[tokio::test]
    async fn a_remembered_login_ends() {
        let (verifier, user, hashes) = (
            LoginVerifier::with_lifetime(Duration::ZERO),
            UserId::new(),
            [hash("one")],
        );
        assert!(verifier.verify(user, &hashes, &Secret::new("one")).await);
        let mac = verifier.shared.mac_of(user, &hashes, &Secret::new("one"));
        assert!(!verifier.shared.remembers(&mac));
    }

    #[test]
    fn the_cache_is_bounded_and_the_oldest_goes_first() {
        let (verifier, user) = (LoginVerifier::new(), UserId::new());
        let mac = |n: usize| verifier.shared.mac_of(user, &[], &Secret::new(n.to_string()));
        for n in 0..=MOST_ENTRIES {
            verifier.shared.remember(mac(n), user);
        }
        assert_eq!(remembered(&verifier), MOST_ENTRIES);
        assert!(!verifier.shared.remembers(&mac(0)));
        assert!(verifier.shared.remembers(&mac(MOST_ENTRIES)));
    }
}
