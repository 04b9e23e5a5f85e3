//! The HTTP toolkit of all dialects: listeners with or without TLS, requests read completely and within limits before anybody looks at
//! them, handlers that run detached from the connection, route tables, certificates.
//!
//! Called by the dialects (`api-*`), which implement [`Dialect`] and hold a [`RouteTable`], and by `server`, which binds a
//! [`Listener`] for each of them. It knows no dialect: whatever a client reads, refusals included, is worded by the dialect.
//!
//! What it promises, whoever uses it:
//! - a handler starts only when its request is here completely, and then runs to its end even when the client hangs up;
//! - a panic of a handler is answered by the dialect's own error and logged with a request id, and disturbs nobody else;
//! - nothing a client sends is unbounded: head, body, time to send them, connections.
//!
//! Start reading at [`Dialect`], then [`Listener`], then [`RouteTable`].

mod body;
mod certificate;
mod credentials;
mod limits;
mod linger;
mod listener;
mod path;
mod query;
mod request;
mod response;
mod route;
mod service;
mod tls;
mod traffic;
mod worded;

pub use body::{BodyError, JsonObject, json_object};
pub use bytes::Bytes;
pub use certificate::{CertificateError, CertificateFacts, GeneratedCertificate, certificate_facts, self_signed};
pub use credentials::{Credentials, MalformedCredentials};
pub use hyper::header;
pub use hyper::{HeaderMap, Method, StatusCode};
pub use limits::Limits;
pub use listener::{Listener, ListenerControl, ListenerOptions};
pub use path::{MalformedPath, Params};
pub use query::Query;
pub use request::{Request, RequestId};
pub use response::{Response, bytes as bytes_response, empty as empty_response, json as json_response};
pub use route::{Match, Priority, Route, RouteTable};
pub use service::{Answer, Dialect, Refusal};
pub use tls::{MinimumTls, TlsError, TlsIdentity};
pub use traffic::Traffic;
