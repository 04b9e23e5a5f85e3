//! One request, one connection, over the unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::wire::ErrorView;

/// No request takes longer: what takes time is answered with an operation.
const DEADLINE: Duration = Duration::from_secs(30);

/// More than 10,000 databases need; less than would hurt.
const LARGEST_ANSWER: usize = 64 << 20;

/// Why a request over the local socket failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no control plane answers at {path} ({reason}); start one with `pilothouse serve`, or name its directory with --data-dir", path = path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        reason: io::Error,
    },
    /// The socket belongs to somebody else.
    #[error("{path} may be used only by root and by the account that runs the control plane", path = path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The control plane refused.
    #[error("{}", .0.message)]
    Refused(ErrorView),
    /// The answer did not come, or was not one.
    #[error("the control plane did not answer as expected: {0}")]
    Broken(String),
}

/// A client of the local socket.
#[derive(Clone, Debug)]
pub struct LocalClient {
    socket: PathBuf,
}

impl LocalClient {
    /// A client of the socket at that path. Connects with each request.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// `GET`
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// `DELETE`
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::DELETE, path, Bytes::new()).await
    }

    /// `POST` with a body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::POST, path, body).await
    }

    /// `PATCH` with a body.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(Method::PATCH, path, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        self.request(method, path, body.into()).await
    }

    async fn request<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        match tokio::time::timeout(DEADLINE, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Broken(format!(
                "no answer within {} s",
                DEADLINE.as_secs()
            ))),
        }
    }

    fn away(&self, reason: io::Error) -> ClientError {
        let path = self.socket.clone();
        match reason.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Denied { path },
            _ => ClientError::NotRunning { path, reason },
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|reason| self.away(reason))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(broken)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            decode(response).await
        };
        // The connection is driven here rather than by a task of its own: it ends with the answer.
        let mut answer = std::pin::pin!(answer);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            answer = &mut answer => answer,
            driven = &mut connection => match driven {
                Err(error) => Err(broken(error)),
                Ok(()) => answer.await,
            },
        }
    }
}

async fn decode<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| ClientError::Broken(error.to_string()))?.to_bytes();
    if status == StatusCode::OK || status == StatusCode::ACCEPTED {
        return serde_json::from_slice(&body).map_err(broken);
    }
    match serde_json::from_slice(&body) {
        Ok(refusal) => Err(ClientError::Refused(refusal)),
        Err(_) => Err(ClientError::Broken(format!("status {status}"))),
    }
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    /// Answers one request with these bytes.
    async fn against(answer: &str) -> Result<serde_json::Value, ClientError> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(buffer[..read].starts_with(b"GET /databases HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let client = LocalClient::new(&socket);
        tokio::join!(client.get("/databases"), serve).0
    }

    #[tokio::test]
    async fn answers_refusals_and_nonsense_are_told_apart() {
        let answer = against("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
        assert_eq!(answer.unwrap(), serde_json::json!([]));
        let body = r#"{"code":"not_found","message":"no such \"x\""}"#;
        let answer = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        match against(&answer).await {
            Err(ClientError::Refused(refusal)) => assert_eq!(
                (refusal.code.as_str(), refusal.message.as_str()),
                ("not_found", "no such \"x\"")
            ),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            against("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await,
            Err(ClientError::Broken(_))
        ));
        assert!(matches!(
            against("SSH-2.0-OpenSSH\r\n").await,
            Err(ClientError::Broken(_))
        ));
        assert!(matches!(against("").await, Err(ClientError::Broken(_))));
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_way_out() {
        let error = LocalClient::new(Path::new("/nowhere/control.sock"))
            .get::<()>("/")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("pilothouse serve"), "{error}");
    }
}
