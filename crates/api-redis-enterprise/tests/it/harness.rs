//! A cluster of a test's own, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use pilothouse_api::{Limits, Listener, ListenerControl, ListenerOptions};
use pilothouse_api_redis_enterprise::{
    AdminAccount, BootstrapPolicy, DEFAULT_SOFTWARE_VERSION, ID_SCHEMES, RedisEnterprise, RedisEnterpriseOptions,
    dialect,
};
use pilothouse_control::{Control, IdSchemes, TenantScope};
use pilothouse_model::Secret;
use pilothouse_test_support::world::World;
use pilothouse_test_support::{wait_for, wait_until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Credentials of the user that the bootstrap makes.
pub(crate) const ADMIN: (&str, &str) = ("admin@redis.local", "pw");
/// Credentials of the account of the configuration.
pub(crate) const CONFIGURED: (&str, &str) = ("root", "configured");

/// A control plane with this dialect on two listeners.
pub(crate) struct Cluster {
    pub(crate) control: Control,
    pub(crate) enterprise: RedisEnterprise,
    https: Listener,
    pub(crate) http: Listener,
    world: Arc<World>,
    directory: tempfile::TempDir,
    stop: CancellationToken,
    tasks: TaskTracker,
    login: Option<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self}");
        self.json()
    }

    /// The code of a failure with that status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self}");
        let body = self.json();
        assert_eq!(body["description"], body["message"], "{self}");
        body["error_code"]
            .as_str()
            .unwrap_or_else(|| panic!("no error_code: {self}"))
            .to_owned()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Cluster {
    /// A node that belongs to no cluster yet.
    pub(crate) async fn idle(bootstrap: BootstrapPolicy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start(Arc::new(World::new()), directory, bootstrap).await
    }

    async fn start(world: Arc<World>, directory: tempfile::TempDir, bootstrap: BootstrapPolicy) -> Self {
        // After a restart the last task of the control plane before may still hold the store for a moment.
        let control = wait_for(Duration::from_secs(10), "the store to be free", async || {
            let schemes = IdSchemes::new(ID_SCHEMES.to_vec());
            pilothouse_control::testing::control(Arc::clone(&world), directory.path(), schemes)
                .await
                .ok()
        })
        .await;
        let enterprise = dialect(control.clone(), options(bootstrap));
        let listen = |open| listener(enterprise.clone(), open);
        let (https, http) = (listen(true).await, listen(false).await);
        enterprise.attach(Arc::new(https.clone()), Arc::new(http.clone()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        let running = enterprise.clone();
        tasks.spawn(async move { running.run(stopped).await });
        Self {
            control,
            enterprise,
            https,
            http,
            world,
            directory,
            stop,
            tasks,
            login: None,
        }
    }

    /// A cluster that was made with [`ADMIN`], who is the caller from now on.
    pub(crate) async fn ready() -> Self {
        let mut cluster = Self::idle(BootstrapPolicy::Loopback).await;
        cluster.bootstrap().await;
        cluster.log_in(ADMIN);
        cluster
    }

    /// Makes the cluster and waits until it exists.
    pub(crate) async fn bootstrap(&self) {
        let body = json!({"action": "create_cluster", "cluster": {"name": "my.cluster"},
            "credentials": {"username": ADMIN.0, "password": ADMIN.1}});
        self.post("/v1/bootstrap/create_cluster", &body).await.ok();
        wait_until(Duration::from_secs(15), "the bootstrap", async || {
            self.as_user(ADMIN, "GET", "/v1/bootstrap", None).await.ok()["bootstrap_status"]["state"] == "completed"
        })
        .await;
    }

    /// Stops everything and starts it again on the same directory, as after a crash of the control plane.
    pub(crate) async fn restarted(self) -> Self {
        self.stop.cancel();
        self.tasks.close();
        self.https.shut_down(Duration::from_secs(5)).await;
        self.http.shut_down(Duration::from_secs(5)).await;
        self.tasks.wait().await;
        self.control.stop(Duration::from_secs(5)).await;
        let Self {
            control,
            enterprise,
            https,
            http,
            world,
            directory,
            login,
            ..
        } = self;
        drop((control, enterprise, https, http));
        let mut again = Self::start(world, directory, BootstrapPolicy::Loopback).await;
        again.login = login;
        again
    }

    pub(crate) fn log_in(&mut self, (login, password): (&str, &str)) {
        self.login = Some((login.to_owned(), password.to_owned()));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.https.address()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.call("PUT", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let login = self
            .login
            .as_ref()
            .map(|(login, password)| (login.as_str(), password.as_str()));
        self.send(login, method, path, body).await
    }

    /// A call of somebody else.
    pub(crate) async fn as_user(&self, login: (&str, &str), method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.send(Some(login), method, path, body).await
    }

    /// A call without credentials.
    pub(crate) async fn anonymous(&self, method: &str, path: &str) -> Reply {
        self.send(None, method, path, None).await
    }

    async fn send(&self, login: Option<(&str, &str)>, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = login
            .map(|login| format!("Authorization: {}\r\n", basic(login)))
            .unwrap_or_default();
        self.raw(method, path, &headers, body.as_bytes()).await
    }

    /// A request with these header lines, each ended with CRLF.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: cluster\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.bytes(&bytes).await
    }

    /// Exactly these bytes, and whatever comes back until the end of the connection.
    pub(crate) async fn bytes(&self, bytes: &[u8]) -> Reply {
        request(self.address(), bytes).await
    }
}

/// Sends bytes to an address and reads the answer.
pub(crate) async fn request(address: SocketAddr, bytes: &[u8]) -> Reply {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that has refused already may not read the rest.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), talk)
        .await
        .expect("an answer in time");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or_else(|| {
            panic!(
                "no answer to {:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
            )
        });
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Reply {
        status,
        head,
        body: answer[end + 4..].to_vec(),
    }
}

pub(crate) fn basic((login, password): (&str, &str)) -> String {
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{login}:{password}"))
    )
}

fn options(bootstrap: BootstrapPolicy) -> RedisEnterpriseOptions {
    RedisEnterpriseOptions {
        admin: AdminAccount {
            user: CONFIGURED.0.to_owned(),
            password: Secret::new(CONFIGURED.1),
        },
        bootstrap,
        tenants: TenantScope::All,
        software_version: DEFAULT_SOFTWARE_VERSION.to_owned(),
        servers_max: 5_000,
    }
}

async fn listener(enterprise: RedisEnterprise, open: bool) -> Listener {
    let options = ListenerOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        dialect: enterprise.service(),
        limits: Limits::default(),
    };
    if open {
        Listener::bind(options).await.unwrap()
    } else {
        Listener::closed(options)
    }
}
