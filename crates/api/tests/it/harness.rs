//! A dialect of a few paths, and a client that speaks bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pilothouse_api::{
    Answer, Dialect, Limits, Listener, ListenerOptions, Refusal, Request, Response, StatusCode, TlsIdentity,
    bytes_response,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// `/echo` gives the body back, `/panic` panics, `/wait` waits for [`Paths::go`] and counts itself in [`Paths::done`].
#[derive(Default)]
pub(crate) struct Paths {
    pub(crate) started: Notify,
    pub(crate) go: Notify,
    pub(crate) done: AtomicU32,
}

pub(crate) struct TestDialect(pub(crate) Arc<Paths>);

impl Dialect for TestDialect {
    fn name(&self) -> &'static str {
        "test"
    }

    fn answer(self: Arc<Self>, request: Request) -> Answer {
        let paths = Arc::clone(&self.0);
        Box::pin(async move {
            match request.path.as_str() {
                "/panic" => panic!("announced"),
                "/wait" => {
                    paths.started.notify_one();
                    paths.go.notified().await;
                    paths.done.fetch_add(1, Ordering::SeqCst);
                    text(StatusCode::OK, "waited")
                }
                _ => bytes_response(StatusCode::OK, "text/plain", request.body),
            }
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let status = match refusal {
            Refusal::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::BodyUnreadable | Refusal::QueryMalformed | Refusal::NotHttp => StatusCode::BAD_REQUEST,
        };
        text(status, "refused")
    }
}

fn text(status: StatusCode, text: &'static str) -> Response {
    bytes_response(status, "text/plain", text)
}

/// Short times, so that tests of them end soon.
pub(crate) fn limits() -> Limits {
    Limits {
        body_bytes: 1000,
        head_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        handshake_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

pub(crate) async fn listen(tls: Option<Arc<TlsIdentity>>, limits: Limits) -> (Listener, Arc<Paths>) {
    let paths = Arc::new(Paths::default());
    let options = ListenerOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        tls,
        dialect: Arc::new(TestDialect(Arc::clone(&paths))),
        limits,
    };
    (Listener::bind(options).await.unwrap(), paths)
}

/// Sends bytes on a connection of their own and gives back everything until its end.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    read_all(&mut stream).await
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection ends in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a known end, and leaves the connection open.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut byte)).await;
        read.expect("an answer in time").expect("the connection stays open");
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}
