//! Sealing of passwords at rest, generation of secrets, and the hashes that API logins are checked against.
//!
//! Used by control, and by the server at the first start. The key file lies beside the store and outside of it: whoever has only the
//! store file has no secret. Nothing here is ever printed. Start reading at [`Keyring`] for secrets that must come back, and at
//! [`LoginVerifier`] for those that must not.

mod error;
mod keyring;
mod login;
mod password;

pub use error::SecretsError;
pub use keyring::Keyring;
pub use login::LoginVerifier;
pub use password::{generate, sha256_hex};
