//! A request as handlers see it: complete, in memory, within limits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use crate::{Credentials, MalformedCredentials, Query};

/// Names one request in logs and in answers about our own faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// The next one; unique in this process, and told apart from those of earlier processes by a prefix made of the start time.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static STARTED: LazyLock<u64> = LazyLock::new(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs()
        });
        write!(f, "{:08x}-{:06x}", *STARTED, self.0)
    }
}

/// A request, complete and in memory.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names it in logs.
    pub id: RequestId,
    /// Who sent it.
    pub peer: SocketAddr,
    /// It came over TLS.
    pub secure: bool,
    /// Its method.
    pub method: Method,
    /// The path as sent, still percent-encoded; [`crate::RouteTable::find`] decodes it.
    pub path: String,
    /// The query, decoded.
    pub query: Query,
    /// The header lines.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Request {
    /// The credentials of the `Authorization` header; `None` when there is none.
    pub fn credentials(&self) -> Result<Option<Credentials>, MalformedCredentials> {
        Credentials::of(&self.headers)
    }

    /// The value of a header as text; `None` when absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
