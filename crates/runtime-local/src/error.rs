//! From the system's errors to those of the runtime contract: a full disk is told apart, everything else keeps what was tried and where.

use std::io;
use std::path::Path;

use pilothouse_runtime::RuntimeError;

/// Says what was tried and where, when the system refuses.
pub(crate) trait Context<T> {
    /// Wraps the error; a full disk or quota becomes [`RuntimeError::NoSpace`].
    fn at(self, what: &'static str, path: impl AsRef<Path>) -> Result<T, RuntimeError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn at(self, what: &'static str, path: impl AsRef<Path>) -> Result<T, RuntimeError> {
        self.map_err(|error| system(what, path.as_ref(), error.into()))
    }
}

/// One error of the system.
pub(crate) fn system(what: &'static str, path: &Path, source: io::Error) -> RuntimeError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RuntimeError::NoSpace { path },
        _ => RuntimeError::Io { what, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_full_disk_is_told_apart() {
        for full in [Errno::NOSPC, Errno::DQUOT] {
            let error = Err::<(), _>(full).at("writing", "/x").unwrap_err();
            assert!(matches!(error, RuntimeError::NoSpace { .. }), "{error:?}");
        }
        let error = Err::<(), _>(Errno::ACCESS).at("writing", "/x").unwrap_err();
        assert!(matches!(error, RuntimeError::Io { what: "writing", .. }), "{error:?}");
    }
}
