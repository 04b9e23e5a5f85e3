//! A bucket: where it is and as whom it is used.

use std::fmt;

use pilothouse_model::{BucketName, Secret};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use crate::{BackupError, FailureKind, RemoteUrl, Scheme};

/// A bucket of an S3-compatible service and the key it is used with. Its `Debug` gives no secret away.
#[derive(Clone)]
pub struct S3Bucket {
    host: String,
    place: Bucket,
    credentials: Credentials,
}

impl S3Bucket {
    /// A bucket of the service at `endpoint`, which reads `https://HOST` or `http://HOST:PORT`.
    ///
    /// Its name is put into the path of every request, which all services understand, or with `virtual_host` before the name of the host,
    /// which few insist on.
    ///
    /// # Errors
    /// [`FailureKind::WrongPath`] when the endpoint is none.
    pub fn new(
        endpoint: &str,
        region: &str,
        name: &BucketName,
        virtual_host: bool,
        access_key: &str,
        secret_key: &Secret,
    ) -> Result<Self, BackupError> {
        let (url, bare) = endpoint_of(endpoint)?;
        let style = if virtual_host {
            UrlStyle::VirtualHost
        } else {
            UrlStyle::Path
        };
        let parsed = bare.parse().map_err(|_| unusable("it has no legal host"))?;
        let place = Bucket::new(parsed, style, name.as_str().to_owned(), region.to_owned())
            .map_err(|_| unusable("the bucket's name cannot stand before its host"))?;
        Ok(Self {
            host: url.host().to_owned(),
            place,
            credentials: Credentials::new(access_key, secret_key.expose()),
        })
    }

    /// Whether [`S3Bucket::new`] would take that endpoint.
    ///
    /// # Errors
    /// [`FailureKind::WrongPath`] when it would not.
    pub fn check_endpoint(endpoint: &str) -> Result<(), BackupError> {
        endpoint_of(endpoint).map(drop)
    }

    /// The object as it may be shown.
    pub(crate) fn shown(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.place.name())
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn place(&self) -> &Bucket {
        &self.place
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

/// The endpoint taken apart, and as text with nothing but scheme, host and port.
fn endpoint_of(text: &str) -> Result<(RemoteUrl, String), BackupError> {
    let url = RemoteUrl::parse(text)?;
    if !matches!(url.scheme(), Scheme::Http | Scheme::Https) {
        return Err(unusable("it begins with neither https:// nor http://"));
    }
    let bare = format!("{}/", url.shown().trim_end_matches('/'));
    if !url.user().is_empty() || url.request_target() != bare || bare.matches('/').count() != 3 {
        return Err(unusable("it has more than a host and a port"));
    }
    Ok((url, bare))
}

fn unusable(why: &str) -> BackupError {
    BackupError::new(FailureKind::WrongPath, format!("not an address of S3: {why}"))
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.shown(""), self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(endpoint: &str, name: &str, virtual_host: bool) -> Result<S3Bucket, BackupError> {
        let name = BucketName::parse(name).expect("a name");
        S3Bucket::new(
            endpoint,
            "us-east-1",
            &name,
            virtual_host,
            "key-of-one",
            &Secret::new("hush"),
        )
    }

    #[test]
    fn endpoints_are_a_scheme_a_host_and_a_port() {
        for (endpoint, virtual_host, base) in [
            ("https://s3.example", false, "https://s3.example/b.x/"),
            ("https://s3.example/", true, "https://b.x.s3.example/"),
            ("http://127.0.0.1:9000", false, "http://127.0.0.1:9000/b.x/"),
            ("http://[::1]:9000", false, "http://[::1]:9000/b.x/"),
        ] {
            let bucket = new(endpoint, "b.x", virtual_host).expect(endpoint);
            assert_eq!(bucket.place().base_url().as_str(), base);
        }
        for endpoint in [
            "",
            "s3.example",
            "ftp://s3.example",
            "https://",
            "https://me:hush@s3.example",
            "https://s3.example/path",
            "https://s3.example/?x=hush",
            "https://s3.example//",
        ] {
            let error = new(endpoint, "b", false).expect_err(endpoint);
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
        assert!(new("https://s3.example", "a_b", false).is_ok());
        assert!(new("http://127.0.0.1:9000", "b", true).is_err());
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", new("https://s3.example", "b", false).expect("a bucket"));
        assert_eq!(shown, "s3://b/ at s3.example");
    }
}
