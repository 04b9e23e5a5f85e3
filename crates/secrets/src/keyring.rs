//! The key file, and what is sealed with it: XChaCha20-Poly1305 with a random nonce for every secret.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use pilothouse_model::{PasswordHash, Sealed, Secret, Timestamp};
use rand::RngCore;
use zeroize::Zeroizing;

use crate::password::hash_argon2;
use crate::{SecretsError, sha256_hex};

/// Names key and cipher in every sealed text, so that both can be changed later.
const PREFIX: &str = "v1:";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// First line of the key file.
const HEADER: &str = "pilothouse key v1";

/// Seals and opens secrets. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<XChaCha20Poly1305>);

impl Keyring {
    /// Reads the key file, or makes it: mode 0600, whole and synced before it counts.
    pub fn open_or_create(path: &Path) -> Result<Self, SecretsError> {
        let io = |source| SecretsError::Io {
            path: path.to_owned(),
            source,
        };
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
                rand::rng().fill_bytes(key.as_mut());
                create(path, &key).map_err(io)?;
                Ok(Self::with_key(&key))
            }
            Err(error) => Err(io(error)),
        }
    }

    /// A key that lives only in memory; for tests and simulations.
    pub fn ephemeral() -> Self {
        let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
        rand::rng().fill_bytes(key.as_mut());
        Self::with_key(&key)
    }

    fn with_key(key: &[u8; KEY_BYTES]) -> Self {
        Self(Arc::new(XChaCha20Poly1305::new(Key::from_slice(key))))
    }

    fn read(path: &Path, mut file: File) -> Result<Self, SecretsError> {
        let io = |source| SecretsError::Io {
            path: path.to_owned(),
            source,
        };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(io)?;
        let damaged = || SecretsError::Damaged { path: path.to_owned() };
        let encoded = text.strip_prefix(HEADER).ok_or_else(damaged)?.trim();
        let decoded = Zeroizing::new(STANDARD_NO_PAD.decode(encoded).map_err(|_| damaged())?);
        let key: &[u8; KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| damaged())?;
        Ok(Self::with_key(key))
    }

    /// Seals a secret. Two seals of the same secret differ.
    pub fn seal(&self, secret: &Secret) -> Sealed {
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let cipher = self
            .0
            .encrypt(XNonce::from_slice(&nonce), secret.expose().as_bytes())
            .expect("encryption of a text in memory fails only beyond 256 GiB");
        let mut whole = nonce.to_vec();
        whole.extend_from_slice(&cipher);
        Sealed::from_cipher_text(format!("{PREFIX}{}", STANDARD_NO_PAD.encode(whole)))
    }

    /// Opens a sealed secret.
    pub fn open(&self, sealed: &Sealed) -> Result<Secret, SecretsError> {
        let encoded = sealed
            .cipher_text()
            .strip_prefix(PREFIX)
            .ok_or(SecretsError::Unsealable)?;
        let whole = STANDARD_NO_PAD.decode(encoded).map_err(|_| SecretsError::Unsealable)?;
        let (nonce, cipher) = whole.split_at_checked(NONCE_BYTES).ok_or(SecretsError::Unsealable)?;
        let plain = self
            .0
            .decrypt(XNonce::from_slice(nonce), cipher)
            .map_err(|_| SecretsError::Unsealable)?;
        String::from_utf8(plain)
            .map(Secret::new)
            .map_err(|_| SecretsError::Unsealable)
    }

    /// Hashes a password for logging in to APIs and, later, into databases. Takes tens of milliseconds of processor time: call it where
    /// that hurts nobody.
    pub fn hash_password(&self, password: &Secret, now: Timestamp) -> PasswordHash {
        PasswordHash {
            argon2: hash_argon2(password),
            sealed_sha256: self.seal(&sha256_hex(password)),
            issued_at: now,
        }
    }
}

/// Writes the key file under another name, syncs it, and gives it its name only then.
fn create(path: &Path, key: &[u8; KEY_BYTES]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let text = Zeroizing::new(format!("{HEADER}\n{}\n", STANDARD_NO_PAD.encode(key)));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Links and does not rename: a key file that appeared meanwhile is never replaced.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let keyring = Keyring::ephemeral();
        let secret = Secret::new("pa$$wörd");
        let sealed = keyring.seal(&secret);
        assert!(!sealed.cipher_text().contains("pa$$"));
        assert_ne!(sealed, keyring.seal(&secret));
        assert_eq!(keyring.open(&sealed).expect("own seal"), secret);
        assert!(matches!(
            Keyring::ephemeral().open(&sealed),
            Err(SecretsError::Unsealable)
        ));
        for position in [3, 10, sealed.cipher_text().len() - 1] {
            let mut changed = sealed.cipher_text().to_owned().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = Sealed::from_cipher_text(String::from_utf8(changed).expect("ascii"));
            assert!(keyring.open(&changed).is_err(), "changed at {position}");
        }
        assert!(keyring.open(&Sealed::from_cipher_text("v1:".to_owned())).is_err());
        assert!(keyring.open(&Sealed::from_cipher_text("plain".to_owned())).is_err());
    }

    #[test]
    fn the_key_file_lasts_and_is_private() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        let first = Keyring::open_or_create(&path).expect("made");
        let sealed = first.seal(&Secret::new("x"));
        let again = Keyring::open_or_create(&path).expect("read");
        assert_eq!(again.open(&sealed).expect("same key"), Secret::new("x"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(
            Keyring::open_or_create(&path),
            Err(SecretsError::Exposed { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(&path, "nonsense").expect("write");
        assert!(matches!(
            Keyring::open_or_create(&path),
            Err(SecretsError::Damaged { .. })
        ));
    }
}
