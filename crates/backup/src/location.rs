//! Where to, with secrets opened; and URLs, parsed once and strictly.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pilothouse_model::{ObjectPath, Secret};

use crate::{BackupError, FailureKind, FileAccess, S3Bucket};

/// A `model::Location` with its secret opened.
#[derive(Clone, Debug)]
pub enum OpenedLocation {
    /// A directory to write to, or a file to read.
    Directory {
        /// Absolute.
        path: PathBuf,
        /// What of this machine may be used.
        access: Arc<FileAccess>,
    },
    /// A URL that [`RemoteUrl::parse`] accepts; it may hold a password.
    Url {
        /// The URL.
        url: Secret,
    },
    /// Objects of a bucket whose keys begin with a path, or one object to read.
    S3 {
        /// The bucket.
        bucket: Arc<S3Bucket>,
        /// What keys begin with, or the key.
        path: ObjectPath,
    },
}

/// What a URL speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http://`, to read only.
    Http,
    /// `https://`, to read only.
    Https,
    /// `ftp://`.
    Ftp,
    /// `ftps://`: TLS from the first byte on port 990, which is the default; on any other port the connection is upgraded with `AUTH TLS`.
    Ftps,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Ftp, Self::Ftps];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ftp => "ftp",
            Self::Ftps => "ftps",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ftp => 21,
            Self::Ftps => 990,
        }
    }

    /// Whether backups can be written there.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Ftp | Self::Ftps)
    }
}

/// A URL in its parts. Its `Debug` and [`RemoteUrl::shown`] give no secret away.
#[derive(Clone)]
pub struct RemoteUrl {
    scheme: Scheme,
    user: String,
    password: Secret,
    /// Name or address; IPv6 without brackets.
    host: String,
    port: u16,
    /// From the first slash on, still encoded, without fragment.
    path_and_query: String,
}

impl RemoteUrl {
    /// Parses `scheme://[user[:password]@]host[:port][/path]`.
    ///
    /// # Errors
    /// [`FailureKind::Unsupported`] for another scheme, [`FailureKind::WrongPath`] for anything that is not a URL.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        let wrong = |why: &str| BackupError::new(FailureKind::WrongPath, format!("not a usable URL: {why}"));
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| !scheme.is_empty())
            .ok_or_else(|| wrong("it has no scheme"))?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
            .ok_or_else(|| BackupError::new(FailureKind::Unsupported, "a URL scheme that is not supported here"))?;
        if rest.chars().any(|c| c.is_control() || c == ' ') {
            return Err(wrong("it has a space or a control character"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_port(address).ok_or_else(|| wrong("its port is not a number"))?;
        let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || !host.chars().all(legal) {
            return Err(wrong("it has no legal host"));
        }
        let decoded = |text: &str| decode(text).ok_or_else(|| wrong("a percent sign begins no legal character"));
        let url = Self {
            scheme,
            user: decoded(user)?,
            password: Secret::new(decoded(password)?),
            host: host.to_owned(),
            port: port.unwrap_or(scheme.default_port()),
            path_and_query: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        };
        decoded(url.path())?;
        Ok(url)
    }

    /// What it speaks.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The URL without user name, password and query, which may be a secret too.
    pub fn shown(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority(), self.path())
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn password(&self) -> &Secret {
        &self.password
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL for an HTTP request: everything but the login.
    pub(crate) fn request_target(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority(), self.path_and_query)
    }

    /// The path as a server's file system names it: below the login's directory, or absolute after a second slash.
    pub(crate) fn remote_path(&self) -> String {
        let path = decode(self.path()).expect("was decoded when it was parsed");
        path.strip_prefix('/').unwrap_or(&path).to_owned()
    }

    fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            if !host.contains(':') {
                return None;
            }
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':')?)
                },
            )
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    match port {
        None | Some("") => Some((host, None)),
        Some(port) => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
            Some((host, Some(port)))
        }
    }
}

/// Percent-decodes; refuses what is not UTF-8 or would smuggle a control character into a command.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RemoteUrl {
        RemoteUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn takes_urls_apart() {
        let url = parse("FTP://us%40er:p%3Aw@host.example:2121/a%20b/c");
        assert_eq!(
            (url.scheme(), url.user(), url.host(), url.port()),
            (Scheme::Ftp, "us@er", "host.example", 2121)
        );
        assert_eq!(url.password().expose(), "p:w");
        assert_eq!(url.remote_path(), "a b/c");
        assert_eq!(parse("ftp://h//srv/b").remote_path(), "/srv/b");
        assert_eq!(parse("ftp://h").remote_path(), "");
        assert_eq!(parse("ftps://h/x").port(), 990);
        let url = parse("https://u:p@[::1]:8443?token=x#part");
        assert_eq!((url.host(), url.port()), ("::1", 8443));
        assert_eq!(url.request_target(), "https://[::1]:8443/?token=x");
    }

    #[test]
    fn shows_neither_login_nor_query() {
        for text in [
            "http://me:hush@h:81/dump.rdb?token=hush",
            "http://hush@h:81/dump.rdb#hush",
        ] {
            assert_eq!(parse(text).shown(), "http://h:81/dump.rdb");
            assert_eq!(format!("{:?}", parse(text)), "http://h:81/dump.rdb");
        }
    }

    #[test]
    fn refuses_what_is_no_url() {
        for text in [
            "",
            "h",
            "://h",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://h:x/",
            "ftp://h/%0d%0aDELE%20x",
            "ftp://h/%ff",
            "ftp://h/%4",
            "http://[::1/",
            "http://[x]/",
            "http://a b/",
            "http://h\r\n/",
            "http://a\\b/",
        ] {
            let error = RemoteUrl::parse(text).expect_err(text);
            assert_eq!(error.kind(), FailureKind::WrongPath, "{text}");
        }
        for text in ["sftp://h/x", "file:///etc/passwd", "redis://h", "gopher://h"] {
            assert_eq!(
                RemoteUrl::parse(text).expect_err(text).kind(),
                FailureKind::Unsupported,
                "{text}"
            );
        }
    }
}
