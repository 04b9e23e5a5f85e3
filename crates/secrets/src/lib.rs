//! Secrets: sealed at rest, generated from the system's randomness, hashed and verified for logins.
//!
//! - [`Keyring`] seals and opens what is stored, with a key file that lies outside the store.
//! - [`generate`] makes passwords and keys; [`sha256_hex`] makes the form that Redis ACLs take.
//! - [`LoginVerifier`] checks passwords of API logins without letting a flood of them take the machine.
//!
//! Called by `control` and `server`. It never logs, never prints, never talks to a network, and keeps no clear text beyond a call:
//! what it hands out is [`pilothouse_model::Secret`], which prints nothing and is wiped when dropped.
//! Start reading at [`Keyring`].

mod error;
mod key_file;
mod keyring;
mod login;
mod random;

pub use error::SecretsError;
pub use keyring::Keyring;
pub use login::LoginVerifier;
pub use random::{generate, sha256_hex};
