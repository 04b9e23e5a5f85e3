//! A control plane of a test's own, and a client of its socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_api_local::wire::{AcceptedView, DatabaseView, ErrorView, OperationView};
use pilothouse_control::{Control, IdSchemes};
use pilothouse_test_support::wait_for;
use pilothouse_test_support::world::World;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane that answers on a socket.
pub(crate) struct Local {
    control: Control,
    socket: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
    _directory: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{self}");
        serde_json::from_slice(&self.body).expect("a success has the promised body")
    }

    /// The code of a failure with that status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self}");
        let error: ErrorView = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"));
        assert!(!error.message.is_empty(), "{self}");
        error.code
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Local {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let world = Arc::new(World::new());
        let control = pilothouse_control::testing::control(world, directory.path(), IdSchemes::default())
            .await
            .expect("a new store can be made");
        let socket = directory.path().join("control.sock");
        let listener = pilothouse_api_local::bind(&socket).expect("nobody else has the socket");
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(pilothouse_api_local::serve(listener, control.clone(), stop.clone()));
        Self {
            control,
            socket,
            stop,
            tasks,
            _directory: directory,
        }
    }

    /// Ends it; fails when something does not end.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait())
            .await
            .expect("the socket is closed in time");
        self.control.stop(PATIENCE).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body.to_string().as_bytes()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, b"").await
    }

    /// A request with exactly this body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let reply = self.exchange(&[head.as_bytes(), body].concat(), false).await;
        reply.unwrap_or_else(|| panic!("{method} {path} was not answered"))
    }

    /// Exactly these bytes and no more; `None` when the connection is closed without an answer.
    pub(crate) async fn raw(&self, request: &[u8]) -> Option<Reply> {
        self.exchange(request, true).await
    }

    /// A client that has said all it will say is taken for gone, so only one that is to be misunderstood says so.
    async fn exchange(&self, request: &[u8], end: bool) -> Option<Reply> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await.ok()?;
            // The server may answer and close before it has read everything.
            let _ = stream.write_all(request).await;
            if end {
                let _ = stream.shutdown().await;
            }
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
            let status = std::str::from_utf8(&answer[..end])
                .ok()?
                .split(' ')
                .nth(1)?
                .parse()
                .ok()?;
            Some(Reply {
                status,
                body: answer[end + 4..].to_vec(),
            })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .expect("an answer comes in time")
    }

    /// Waits for the end of what was accepted, and answers the operation.
    pub(crate) async fn finished(&self, reply: &Reply) -> OperationView {
        let accepted: AcceptedView = reply.ok();
        let path = format!("/operations/{}", accepted.operation.expect("there was something to do"));
        wait_for(PATIENCE, "the end of the operation", async || {
            let operation: OperationView = self.get(&path).await.ok();
            operation.done.then_some(operation)
        })
        .await
    }

    /// Makes a database and waits until it is there.
    pub(crate) async fn create(&self, body: &Value) -> DatabaseView {
        let operation = self.finished(&self.post("/databases", body).await).await;
        assert_eq!(operation.failure, None);
        let name = body["name"].as_str().expect("a database has a name");
        self.get(&format!("/databases/{name}")).await.ok()
    }
}
