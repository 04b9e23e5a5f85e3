//! A gateway process of the test's own, servers behind it and clients in front of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as PlainTcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pilothouse_gateway_protocol::{Backend, Gateway, GatewayClient, GatewayPaths, Route, RouteState};
use pilothouse_model::{DatabaseId, Endpoint};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes, so that a hang fails and a slow machine does not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A time in which what must not happen would have happened.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);

/// A gateway process; killed when dropped.
pub(crate) struct TestGateway {
    pub(crate) directory: TempDir,
    pub(crate) paths: GatewayPaths,
    pub(crate) id: String,
    process: Child,
}

impl TestGateway {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let id = format!("test-{}", DatabaseId::new());
        std::fs::write(directory.path().join("id"), &id).unwrap();
        Self {
            paths: GatewayPaths::new(directory.path()),
            process: spawn(directory.path(), arguments),
            directory,
            id,
        }
    }

    /// The control plane's end, with an empty table.
    pub(crate) fn client(&self) -> Arc<GatewayClient> {
        self.client_with(Vec::new())
    }

    pub(crate) fn client_with(&self, initial: Vec<Route>) -> Arc<GatewayClient> {
        GatewayClient::start_with_patience(self.paths.socket.clone(), self.id.clone(), initial, PATIENCE)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts again in the same data directory.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.directory.path(), &[]);
    }

    /// Starts a successor and gives the predecessor.
    pub(crate) fn take_over(&mut self) -> Child {
        let successor = spawn(self.directory.path(), &["--take-over"]);
        std::mem::replace(&mut self.process, successor)
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap()
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a gateway, with the customary low limit of descriptors, which it has to raise by itself.
pub(crate) fn spawn(data_dir: &Path, arguments: &[&str]) -> Child {
    command("sh")
        .args([
            "-c",
            "ulimit -S -n 256; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_pilothouse-gateway"),
        ])
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments)
        .spawn()
        .unwrap()
}

/// A process that says things only to us.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// How a process ended, and what it said.
pub(crate) async fn ended(mut process: Child) -> (ExitStatus, String) {
    let waited = tokio::task::spawn_blocking(move || {
        let status = process.wait().unwrap();
        let text = std::io::read_to_string(process.stderr.take().unwrap()).unwrap();
        (status, text)
    });
    let (status, text) = timeout(PATIENCE, waited).await.expect("the process ends").unwrap();
    assert_eq!(status.signal(), None, "{text}");
    (status, text)
}

/// An endpoint that nothing else uses: every call has a loopback address of its own, so that no connection made anywhere in this test
/// run happens to use its port.
pub(crate) fn free_endpoint() -> Endpoint {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let address = Ipv4Addr::new(
        127,
        u8::try_from(1 + pid % 200).unwrap(),
        u8::try_from(pid / 200 % 256).unwrap(),
        u8::try_from(number % 254 + 1).unwrap(),
    );
    free_endpoint_at(IpAddr::V4(address))
}

pub(crate) fn free_endpoint_at(address: IpAddr) -> Endpoint {
    let port = PlainTcpListener::bind((address, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    Endpoint { address, port }
}

pub(crate) fn address(endpoint: Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.address, endpoint.port)
}

pub(crate) fn route(database: DatabaseId, endpoint: Endpoint, state: RouteState) -> Route {
    Route {
        database,
        endpoint,
        state,
        source_allow: Vec::new(),
        max_connections: 0,
    }
}

/// A database with a route to `server`.
pub(crate) async fn open_route(client: &GatewayClient, server: SocketAddr) -> Route {
    let route = route(
        DatabaseId::new(),
        free_endpoint(),
        RouteState::Open(Backend::Tcp(server)),
    );
    client.set(route.clone()).await.unwrap();
    route
}

/// A server that first sends its greeting, then echoes, and closes when the client has.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Echo {
    pub(crate) async fn start(greeting: &'static str) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").await.unwrap(), greeting)
    }

    pub(crate) fn start_at(listener: TcpListener, greeting: &'static str) -> Self {
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move {
                    let _ = stream.write_all(greeting.as_bytes()).await;
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Self {
            address,
            accepted,
            _tasks: tasks,
        }
    }
}

pub(crate) async fn connect(endpoint: Endpoint) -> TcpStream {
    let stream = timeout(PATIENCE, TcpStream::connect(address(endpoint))).await;
    stream.expect("it accepts").unwrap()
}

/// Reads exactly what is expected.
pub(crate) async fn expect(stream: &mut TcpStream, expected: &str) {
    let mut read = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut read))
        .await
        .expect("it answers")
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&read), expected);
}

/// Sends, and expects the same back.
pub(crate) async fn echo(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    expect(stream, text).await;
}

/// The peer closes, without having said anything more.
pub(crate) async fn expect_close(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    match timeout(PATIENCE, stream.read(&mut rest)).await.expect("it closes") {
        // A reset is a close that came while bytes were under way.
        Ok(0) | Err(_) => {}
        Ok(length) => panic!("{:?} instead of a close", String::from_utf8_lossy(&rest[..length])),
    }
}

/// The peer stays silent and open for a while.
pub(crate) async fn expect_silence(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    let read = timeout(A_WHILE, stream.read(&mut rest)).await;
    assert!(read.is_err(), "{read:?} instead of silence");
}

/// Waits for a condition.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what} does not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How many connections an endpoint has.
pub(crate) async fn connections(client: &GatewayClient, database: DatabaseId) -> u64 {
    let load = client.load().await.unwrap();
    let load = load
        .iter()
        .find(|load| load.database == Some(database))
        .expect("the endpoint exists");
    load.connections
}
