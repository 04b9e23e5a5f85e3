//! Sealing and opening of what is stored.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use pilothouse_model::{PasswordHash, Sealed, Secret, Timestamp};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::random::{hex, random_bytes};
use crate::{SecretsError, key_file, sha256_hex};

pub(crate) const KEY_BYTES: usize = 32;
/// Long enough to be drawn at random for every sealing without ever meeting twice.
const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 16;
/// Format 1: `1.<key id>.<base64url of nonce and cipher text>`, XChaCha20-Poly1305 with the part before the last dot authenticated too.
const FORMAT: &str = "1";

/// Seals secrets for the store and opens them again. Cheap to clone; all clones share one key.
///
/// What is sealed names its format and its key, so that both can change later while old records still open.
#[derive(Clone)]
pub struct Keyring {
    key: Arc<Key>,
}

/// One key with the id under which sealed secrets name it.
pub(crate) struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl Key {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            id: key_id(key),
            cipher: XChaCha20Poly1305::new(key.into()),
        }
    }
}

/// A name for a key that gives nothing of it away: the start of a digest with a prefix of its own.
pub(crate) fn key_id(key: &[u8; KEY_BYTES]) -> String {
    let digest = Sha256::new()
        .chain_update(b"pilothouse key id\0")
        .chain_update(key)
        .finalize();
    hex(&digest[..8])
}

impl Keyring {
    /// Reads the key file, or makes key and file when there is none. Use [`Keyring::load`] where a store exists already:
    /// a new key opens nothing that was sealed before.
    ///
    /// # Errors
    /// A key file that others can read or write, that belongs to another account or is damaged, and whatever the system refuses.
    /// A damaged key file is never replaced.
    pub fn open_or_create(path: &Path) -> Result<Self, SecretsError> {
        match key_file::read(path)? {
            Some(key) => Ok(Self::with(key)),
            None => key_file::create(path).map(Self::with),
        }
    }

    /// Reads the key file and never makes one.
    ///
    /// # Errors
    /// As [`Keyring::open_or_create`], and [`SecretsError::Missing`].
    pub fn load(path: &Path) -> Result<Self, SecretsError> {
        key_file::read(path)?
            .map(Self::with)
            .ok_or_else(|| SecretsError::Missing { path: path.to_owned() })
    }

    /// A key that is never written anywhere: for tests and simulations.
    pub fn ephemeral() -> Self {
        Self::with(Key::new(&random_bytes()))
    }

    fn with(key: Key) -> Self {
        Self { key: Arc::new(key) }
    }

    /// Seals a secret. Two sealings of one secret differ.
    pub fn seal(&self, secret: &Secret) -> Sealed {
        let head = format!("{FORMAT}.{}", self.key.id);
        let nonce = random_bytes::<NONCE_BYTES>();
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: head.as_bytes(),
        };
        let cipher_text = self
            .key
            .cipher
            .encrypt(XNonce::from_slice(nonce.as_slice()), payload)
            .expect("sealing fails for more than 256 GiB only");
        let body = [nonce.as_slice(), &cipher_text].concat();
        Sealed::from_cipher_text(format!("{head}.{}", URL_SAFE_NO_PAD.encode(body)))
    }

    /// Opens what [`Keyring::seal`] sealed.
    ///
    /// # Errors
    /// [`SecretsError::WrongKey`] when it names another key, [`SecretsError::Tampered`] when any part of it was changed.
    pub fn open(&self, sealed: &Sealed) -> Result<Secret, SecretsError> {
        let (head, body) = sealed.cipher_text().rsplit_once('.').ok_or(SecretsError::Tampered)?;
        match head.split_once('.') {
            Some((FORMAT, id)) if id == self.key.id => {}
            Some((FORMAT, id)) if is_key_id(id) => {
                return Err(SecretsError::WrongKey {
                    sealed_with: id.to_owned(),
                    held: self.key.id.clone(),
                });
            }
            _ => return Err(SecretsError::Tampered),
        }
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| SecretsError::Tampered)?;
        let (nonce, cipher_text) = body.split_at_checked(NONCE_BYTES).ok_or(SecretsError::Tampered)?;
        let clear = self
            .key
            .cipher
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg: cipher_text,
                    aad: head.as_bytes(),
                },
            )
            .map_err(|_| SecretsError::Tampered)?;
        String::from_utf8(clear).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            SecretsError::Tampered
        })
    }

    /// Hashes a password for [`crate::LoginVerifier`] and keeps what a Redis ACL user of the same person would need.
    ///
    /// Takes tens of milliseconds of one processor and 19 MiB on purpose: call it where blocking is allowed.
    pub fn hash_password(&self, password: &Secret, now: Timestamp) -> PasswordHash {
        PasswordHash {
            argon2: argon2_phc(password),
            sealed_sha256: self.seal(&sha256_hex(password)),
            issued_at: now,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("key", &self.key.id).finish()
    }
}

/// argon2id with the parameters of RFC 9106's low-memory recommendation as the crate keeps them, in PHC form.
pub(crate) fn argon2_phc(password: &Secret) -> String {
    let salt =
        SaltString::encode_b64(random_bytes::<SALT_BYTES>().as_slice()).expect("16 bytes are a salt of legal length");
    Argon2::default()
        .hash_password(password.expose().as_bytes(), &salt)
        .expect("argon2 refuses passwords of 4 GiB only")
        .to_string()
}

fn is_key_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secret() -> Secret {
        Secret::new("pässword")
    }

    #[test]
    fn opens_what_it_sealed() {
        let keyring = Keyring::ephemeral();
        for text in ["", "x", "pässword", &"long".repeat(10_000)] {
            let secret = Secret::new(text);
            assert_eq!(keyring.open(&keyring.seal(&secret)).expect("opens"), secret);
        }
        assert_ne!(
            keyring.seal(&secret()),
            keyring.seal(&secret()),
            "the nonce must be fresh"
        );
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let keyring = Keyring::ephemeral();
        let sealed = keyring.seal(&secret());
        let text = sealed.cipher_text();
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = Sealed::from_cipher_text(String::from_utf8(bytes).expect("ASCII"));
            assert!(keyring.open(&changed).is_err(), "a change at {at} went unnoticed");
        }
        for length in 0..text.len() {
            let cut = Sealed::from_cipher_text(text[..length].to_owned());
            assert!(keyring.open(&cut).is_err(), "a cut at {length} went unnoticed");
        }
    }

    #[test]
    fn another_key_is_named() {
        let (one, other) = (Keyring::ephemeral(), Keyring::ephemeral());
        match other.open(&one.seal(&secret())) {
            Err(SecretsError::WrongKey { sealed_with, held }) => {
                assert_eq!((sealed_with, held), (one.key.id.clone(), other.key.id.clone()));
            }
            result => panic!("{result:?}"),
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        assert!(matches!(Keyring::load(&path), Err(SecretsError::Missing { .. })));
        let sealed = Keyring::open_or_create(&path).expect("makes it").seal(&secret());
        assert_eq!(
            fs::metadata(&path).expect("exists").permissions().mode() & 0o7777,
            0o600
        );
        for keyring in [Keyring::open_or_create(&path), Keyring::load(&path)] {
            assert_eq!(keyring.expect("reads it").open(&sealed).expect("opens"), secret());
        }
        assert_eq!(
            fs::read_dir(directory.path()).expect("lists").count(),
            1,
            "a draft was left behind"
        );
    }

    #[test]
    fn makers_at_the_same_time_agree_on_one_key() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        let ids: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        Keyring::open_or_create(&path)
                            .expect("makes or reads it")
                            .key
                            .id
                            .clone()
                    })
                })
                .collect();
            makers
                .into_iter()
                .map(|maker| maker.join().expect("does not panic"))
                .collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn an_exposed_key_file_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        Keyring::open_or_create(&path).expect("makes it");
        for mode in [0o640, 0o604, 0o622, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changes the mode");
            match Keyring::open_or_create(&path) {
                Err(SecretsError::Exposed { found, .. }) => assert_eq!(found, format!("mode {mode:04o}")),
                result => panic!("{mode:o}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        Keyring::open_or_create(&path).expect("makes it");
        let whole = fs::read_to_string(&path).expect("reads");
        let swapped = if whole.contains('a') {
            whole.replace('a', "b")
        } else {
            whole.replace('b', "a")
        };
        for damage in [
            "",
            "\0\0\0",
            "pilothouse-key",
            "pilothouse-key 2 x y",
            &whole[..whole.len() - 8],
            &swapped,
        ] {
            fs::write(&path, damage).expect("writes");
            let result = Keyring::open_or_create(&path);
            assert!(
                matches!(result, Err(SecretsError::Damaged { .. })),
                "{damage:?}: {result:?}"
            );
            assert_eq!(fs::read_to_string(&path).expect("reads"), damage);
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let keyring = Keyring::ephemeral();
        let hash = keyring.hash_password(&secret(), Timestamp::default());
        let printed = format!("{keyring:?} {hash:?} {:?}", keyring.seal(&secret()));
        assert!(!printed.contains("pässword"));
        assert!(!printed.contains(sha256_hex(&secret()).expose()));
        assert_eq!(keyring.open(&hash.sealed_sha256).expect("opens"), sha256_hex(&secret()));
    }
}
