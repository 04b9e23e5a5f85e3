//! The `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use pilothouse_model::Secret;

/// What a client shows to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Basic {
        /// The name as sent.
        login: String,
        /// The password.
        password: Secret,
    },
    /// A token: `Bearer`, or `JWT`, the word that some clients use instead.
    Token(Secret),
}

/// The header is there and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Authorization header is malformed")]
pub struct MalformedCredentials;

impl Credentials {
    /// Reads the header; `None` when there is none.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, MalformedCredentials> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Ok(None);
        };
        let text = value.to_str().map_err(|_| MalformedCredentials)?;
        let (scheme, rest) = text.trim().split_once(' ').ok_or(MalformedCredentials)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(rest).map_err(|_| MalformedCredentials)?;
            let decoded = String::from_utf8(decoded).map_err(|_| MalformedCredentials)?;
            let (login, password) = decoded.split_once(':').ok_or(MalformedCredentials)?;
            Ok(Some(Self::Basic {
                login: login.to_owned(),
                password: Secret::new(password),
            }))
        } else if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("jwt") {
            Ok(Some(Self::Token(Secret::new(rest))))
        } else {
            Err(MalformedCredentials)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<Credentials>, MalformedCredentials> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        Credentials::of(&headers)
    }

    #[test]
    fn basic_and_tokens_are_read() {
        let basic = Credentials::Basic {
            login: "a@b".to_owned(),
            password: Secret::new("c:d"),
        };
        assert_eq!(read("Basic YUBiOmM6ZA=="), Ok(Some(basic.clone())));
        assert_eq!(read("basic  YUBiOmM6ZA=="), Ok(Some(basic)));
        assert_eq!(read("Bearer x.y"), Ok(Some(Credentials::Token(Secret::new("x.y")))));
        assert_eq!(read("JWT x.y"), Ok(Some(Credentials::Token(Secret::new("x.y")))));
        assert_eq!(Credentials::of(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn garbage_is_refused() {
        for bad in [
            "Basic",
            "Basic !!!",
            "Basic YQ==",
            "Basic /w==",
            "Digest x",
            "",
            "Basic YUBiOmM6ZA",
        ] {
            assert_eq!(read(bad), Err(MalformedCredentials), "{bad}");
        }
    }
}
