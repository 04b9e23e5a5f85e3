//! New secrets from the randomness of the operating system.

use pilothouse_model::Secret;
use rand::rngs::OsRng;
use rand::{Rng, TryRngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Letters and digits that survive URLs, shells and reading aloud: no `0 O 1 l I`. 57 of them, 5.83 bits a character.
const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// A new secret of `length` characters; 32 of them carry 186 bits. Every character is equally likely.
///
/// # Panics
/// When the operating system has no randomness to give, because nothing safe can be done then.
pub fn generate(length: usize) -> Secret {
    let mut random = OsRng.unwrap_err();
    let text: String = (0..length)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect();
    Secret::new(text)
}

/// The SHA-256 of a secret as 64 hexadecimal digits: what `ACL SETUSER … #…` takes. As good as the password towards a Redis server,
/// therefore a secret itself.
pub fn sha256_hex(secret: &Secret) -> Secret {
    Secret::new(hex(&Sha256::digest(secret.expose().as_bytes())))
}

/// Random bytes that are wiped when dropped.
pub(crate) fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    OsRng
        .try_fill_bytes(bytes.as_mut())
        .expect("an operating system without randomness cannot run this program safely");
    bytes
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_differ_and_use_the_whole_alphabet_only() {
        let long = generate(20_000);
        for c in ALPHABET {
            assert!(long.expose().bytes().any(|b| b == *c), "{} never comes", char::from(*c));
        }
        assert!(long.expose().bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(generate(32).expose().len(), 32);
        assert!(generate(32) != generate(32));
        assert!(generate(0).is_empty());
    }

    #[test]
    fn sha256_is_the_form_redis_takes() {
        assert_eq!(
            sha256_hex(&Secret::new("abc")).expose(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
