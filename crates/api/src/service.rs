//! From bytes on a connection to a dialect's handler and back.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use tokio_util::task::TaskTracker;

use crate::linger::Unread;
use crate::{Limits, Query, Request, RequestId, Response, Traffic};

/// An answer on its way.
pub type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// One API: it answers complete requests, and words the refusals of the toolkit.
pub trait Dialect: Send + Sync + 'static {
    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// Answers a request. The future runs to its end even when the client hangs up; a panic in it becomes [`Refusal::Panicked`].
    fn answer(self: Arc<Self>, request: Request) -> Answer;

    /// Says in the words of this API why the toolkit answers instead of a handler.
    fn refuse(&self, refusal: &Refusal) -> Response;
}

/// Why the toolkit answers instead of a handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is longer than the listener takes.
    #[error("the body is longer than {limit_bytes} bytes")]
    BodyTooLong {
        /// What the listener takes.
        limit_bytes: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// The body is malformed on the level of HTTP.
    #[error("the body cannot be read")]
    BodyUnreadable,
    /// What came is no HTTP request.
    #[error("this is not a valid HTTP request")]
    NotHttp,
    /// The head of the request is longer than the listener takes.
    #[error("the head of the request is too long")]
    HeadTooLong,
    /// The query cannot be decoded.
    #[error("the query is not valid percent-encoded UTF-8")]
    QueryMalformed,
    /// A handler panicked: our fault. The log has more under this id.
    #[error("internal error, see the log for request {0}")]
    Panicked(String),
}

/// What all connections of a listener share to serve requests.
pub(crate) struct Service {
    /// Answers.
    dialect: Arc<dyn Dialect>,
    /// What a client may send.
    limits: Limits,
    /// What was answered.
    pub(crate) traffic: Traffic,
    /// Handlers under way, so that a shutdown can wait for those whose clients are gone.
    pub(crate) requests: TaskTracker,
}

impl Service {
    pub(crate) fn new(dialect: Arc<dyn Dialect>, limits: Limits) -> Self {
        Self {
            dialect,
            limits,
            traffic: Traffic::default(),
            requests: TaskTracker::new(),
        }
    }

    pub(crate) fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::clone(&self.dialect)
    }

    pub(crate) fn dialect_name(&self) -> &'static str {
        self.dialect.name()
    }

    /// Reads the rest of a request, has it answered, and never fails. Dropped when the client hangs up, which stops nothing that began.
    /// Notes in `unread` that it refused a request whose rest is still to come.
    pub(crate) async fn respond(
        &self,
        peer: SocketAddr,
        secure: bool,
        request: hyper::Request<Incoming>,
        unread: &Unread,
    ) -> Response {
        let id = RequestId::next();
        let begun = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = match self.read(id, peer, secure, request).await {
            Ok(request) => self.detached(request).await,
            Err(refusal) => self.refused(&refusal, unread),
        };
        let elapsed = begun.elapsed();
        self.traffic.count(response.status(), elapsed);
        tracing::debug!(
            dialect = self.dialect.name(), request = %id, %peer, %method, path, status = response.status().as_u16(),
            elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX), "request"
        );
        response
    }

    async fn read(
        &self,
        id: RequestId,
        peer: SocketAddr,
        secure: bool,
        request: hyper::Request<Incoming>,
    ) -> Result<Request, Refusal> {
        let (head, body) = request.into_parts();
        // The body first: one that is left unread costs the client its connection.
        let body = self.read_body(body).await?;
        let query = Query::parse(head.uri.query().unwrap_or("")).map_err(|_| Refusal::QueryMalformed)?;
        let path = head.uri.path().to_owned();
        Ok(Request {
            id,
            peer,
            secure,
            method: head.method,
            path,
            query,
            headers: head.headers,
            body,
        })
    }

    async fn read_body(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limit_bytes = self.limits.body_bytes;
        let too_long = Refusal::BodyTooLong { limit_bytes };
        let announced = body.size_hint();
        if announced.exact() == Some(0) {
            return Ok(Bytes::new());
        }
        if announced.lower() > u64::try_from(limit_bytes).unwrap_or(u64::MAX) {
            return Err(too_long);
        }
        // Dropping the half-read body closes the connection after the answer.
        match tokio::time::timeout(self.limits.body_timeout, Limited::new(body, limit_bytes).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long),
            Ok(Err(_)) => Err(Refusal::BodyUnreadable),
            Err(_) => Err(Refusal::BodyTooSlow),
        }
    }

    /// The refusal, and the end of the connection where the rest of a body would be taken for the next request.
    fn refused(&self, refusal: &Refusal, unread: &Unread) -> Response {
        let mut response = self.dialect.refuse(refusal);
        if *refusal != Refusal::QueryMalformed {
            unread.note();
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Runs the handler as a task of its own, so that it outlives the connection.
    async fn detached(&self, request: Request) -> Response {
        let (id, method, path) = (request.id, request.method.clone(), request.path.clone());
        match self.requests.spawn(Arc::clone(&self.dialect).answer(request)).await {
            Ok(response) => response,
            Err(failure) => {
                tracing::error!(dialect = self.dialect.name(), request = %id, %method, path, %failure, "a handler panicked");
                let mut response = self.dialect.refuse(&Refusal::Panicked(id.to_string()));
                if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
                    response.headers_mut().insert("x-request-id", value);
                }
                response
            }
        }
    }
}
