//! Generated secrets and the hashes of chosen ones.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use pilothouse_model::Secret;
use rand::{Rng, RngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Letters and digits that nobody mistakes for each other, safe in URLs and shells.
const ALPHABET: &[u8; 54] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ2345678";

/// A random secret of that many characters; each carries 5.75 bits.
pub fn generate(length: usize) -> Secret {
    let mut random = rand::rng();
    Secret::new(
        (0..length)
            .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
            .collect::<String>(),
    )
}

/// SHA-256 of a secret as 64 hexadecimal digits: what Redis ACLs take after `#`.
pub fn sha256_hex(secret: &Secret) -> Secret {
    Secret::new(
        Sha256::digest(secret.expose().as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    )
}

/// argon2id with the crate's recommended costs, in PHC form.
pub(crate) fn hash_argon2(password: &Secret) -> String {
    let mut salt = Zeroizing::new([0_u8; 16]);
    rand::rng().fill_bytes(salt.as_mut());
    let salt = SaltString::encode_b64(salt.as_ref()).expect("16 bytes are a salt of allowed length");
    Argon2::default()
        .hash_password(password.expose().as_bytes(), &salt)
        .expect("the default costs are allowed")
        .to_string()
}

/// Whether the password is the one that was hashed; a hash that cannot be read matches nothing.
pub(crate) fn matches_argon2(password: &Secret, phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

/// Random bytes as text, for keys of this process.
pub(crate) fn random_key() -> [u8; 32] {
    let mut key = [0_u8; 32];
    rand::rng().fill_bytes(&mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_only_their_password() {
        let hash = hash_argon2(&Secret::new("right"));
        assert!(hash.starts_with("$argon2id$"));
        assert!(matches_argon2(&Secret::new("right"), &hash));
        assert!(!matches_argon2(&Secret::new("wrong"), &hash));
        assert!(!matches_argon2(&Secret::new("right"), "not a hash"));
    }

    #[test]
    fn sha256_is_the_known_one() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(&Secret::new("abc")).expose(), known);
    }

    #[test]
    fn generated_secrets_have_their_length_and_differ() {
        assert_eq!(generate(48).expose().len(), 48);
        assert_ne!(generate(48), generate(48));
    }
}
