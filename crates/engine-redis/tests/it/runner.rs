//! Starts servers as the runtime would, from a launch description, in a directory of their own.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pilothouse_engine::{
    Engine, Fence, LaunchDescription, Login, ManagementAccess, Peer, ServerDirectory, ServerSettings, Session,
};
use pilothouse_engine_redis::RedisEngine;
use pilothouse_model::{EngineVersion, EvictionPolicy, Persistence, Secret, ServerPorts};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A product that is installed here.
#[derive(Clone)]
pub(crate) struct Product {
    pub(crate) engine: RedisEngine,
    binary: PathBuf,
    version: EngineVersion,
}

/// The products that are installed here. Redis must be.
pub(crate) fn products() -> Vec<Product> {
    let mut products = Vec::new();
    for engine in [RedisEngine::redis(), RedisEngine::valkey()] {
        match find(engine) {
            Some(product) => products.push(product),
            None => println!("skipped: {} is not installed", engine.binary_probe().binary),
        }
    }
    assert!(!products.is_empty(), "these tests need the package redis-server");
    products
}

fn find(engine: RedisEngine) -> Option<Product> {
    let probe = engine.binary_probe();
    let path = std::env::var_os("PATH")?;
    let binary = std::env::split_paths(&path)
        .map(|folder| folder.join(probe.binary))
        .find(|binary| binary.is_file())?;
    let printed = Command::new(&binary).args(probe.arguments).output().ok()?.stdout;
    let version = engine.parse_version(&String::from_utf8_lossy(&printed))?.version;
    Some(Product {
        engine,
        binary,
        version,
    })
}

/// When a call must have ended.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Asks until the answer is yes.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut ask: F) {
    let end = soon();
    while !ask().await {
        assert!(Instant::now() < end, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server process and its directory. Killed when dropped.
pub(crate) struct Server {
    pub(crate) product: Product,
    pub(crate) directory: ServerDirectory,
    pub(crate) settings: ServerSettings,
    process: Child,
    _temporary: TempDir,
}

impl Server {
    /// Starts a server with [`settings`] changed by `change`.
    pub(crate) async fn start(product: &Product, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = ServerDirectory {
            root: temporary.path().to_owned(),
        };
        let mut settings = settings();
        change(&mut settings);
        let process = spawn(product, &settings, &directory, "");
        let server = Self {
            product: product.clone(),
            directory,
            settings,
            process,
            _temporary: temporary,
        };
        server.session().await;
        server
    }

    /// Starts a server and opens it to clients.
    pub(crate) async fn start_open(
        product: &Product,
        change: impl FnOnce(&mut ServerSettings),
    ) -> (Self, Box<dyn Session>) {
        let server = Self::start(product, change).await;
        let mut session = server.session().await;
        session.apply(&server.settings, soon()).await.unwrap();
        (server, session)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until the process ended by itself.
    pub(crate) async fn ended(&mut self) {
        let process = &mut self.process;
        eventually("the end of the server", async || process.try_wait().unwrap().is_some()).await;
    }

    /// Starts it again in the same directory.
    pub(crate) async fn restart(&mut self) {
        self.respawn("");
        self.session().await;
    }

    /// Starts it again with more lines in its file, without waiting.
    pub(crate) fn respawn(&mut self, more: &str) {
        self.process = spawn(&self.product, &self.settings, &self.directory, more);
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.process.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn access(&self) -> ManagementAccess {
        ManagementAccess {
            cluster: self.settings.cluster.is_some(),
            socket: self.directory.admin_socket(),
            secret: self.settings.management_secret.clone(),
        }
    }

    /// A new management session, as soon as the server takes one.
    pub(crate) async fn session(&self) -> Box<dyn Session> {
        let end = soon();
        loop {
            match self.product.engine.connect(&self.access(), soon()).await {
                Ok(session) => return session,
                Err(error) => assert!(Instant::now() < end, "{error}: {}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the server printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.root.join("log")).unwrap_or_default()
    }

    /// A client connection to the plain port.
    pub(crate) fn client(&self, login: &str, password: &str) -> redis::RedisResult<redis::Connection> {
        connect(&format!(
            "redis://{login}:{password}@127.0.0.1:{}",
            self.settings.ports.plain
        ))
    }

    /// A connection of the management account for what sessions do not offer.
    pub(crate) fn management(&self) -> redis::Connection {
        let socket = self.directory.admin_socket();
        let secret = self.settings.management_secret.expose();
        connect(&format!(
            "redis+unix://{}?user=pilothouse&pass={secret}",
            socket.display()
        ))
        .unwrap()
    }

    /// A value of the running server.
    pub(crate) fn config(&self, name: &str) -> String {
        let pair: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query(&mut self.management())
            .unwrap();
        pair[1].clone()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer {
            node: None,
            host: "127.0.0.1".into(),
            port: self.settings.ports.plain,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(url: &str) -> redis::RedisResult<redis::Connection> {
    let connection = redis::Client::open(url)?.get_connection_with_timeout(Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(connection)
}

/// One command, its reply as text.
pub(crate) fn run(connection: &mut redis::Connection, words: &[&str]) -> Result<String, String> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    match command.query::<redis::Value>(connection) {
        Ok(redis::Value::BulkString(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(redis::Value::Okay) => Ok("OK".into()),
        Ok(redis::Value::SimpleString(text)) => Ok(text),
        Ok(redis::Value::Int(number)) => Ok(number.to_string()),
        Ok(other) => Ok(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn spawn(product: &Product, settings: &ServerSettings, directory: &ServerDirectory, more: &str) -> Child {
    let LaunchDescription {
        files,
        directories,
        arguments,
        environment,
    } = product.engine.launch(product.version, settings, directory);
    for path in directories {
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(directory.root.join(path))
            .unwrap();
    }
    for file in files {
        use std::io::Write as _;
        let path = directory.root.join(file.path);
        let mut options = fs::OpenOptions::new();
        let mut handle = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .unwrap();
        handle.write_all(file.content.as_bytes()).unwrap();
        handle.write_all(more.as_bytes()).unwrap();
    }
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.root.join("log"))
        .unwrap();
    Command::new(&product.binary)
        .args(arguments)
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Settings of a plain open database without persistence: `default` with the password `secret`, free ports.
pub(crate) fn settings() -> ServerSettings {
    let [plain, tls] = [free_port(), free_port()];
    ServerSettings {
        bind: vec!["127.0.0.1".parse().unwrap()],
        ports: ServerPorts { plain, tls, bus: 0 },
        tls: None,
        encrypt_replication: false,
        memory_bytes: 0,
        persistence: Persistence::Disabled,
        eviction: EvictionPolicy::Noeviction,
        tuning: BTreeMap::new(),
        management_secret: Secret::new("management-secret"),
        replication_secret: Secret::new("replication \"secret\""),
        logins: vec![login("default", "secret", "+@all ~* &*")],
        disabled_commands: vec![],
        fence: Fence::Open,
        cluster: None,
    }
}

/// A port that nobody listens on, given out once per process, below those that the system gives to connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id()
            .wrapping_mul(97)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(20_000 + number % 12_000).expect("below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An enabled login with one password.
pub(crate) fn login(name: &str, password: &str, rules: &str) -> Login {
    Login {
        name: name.into(),
        enabled: true,
        password_sha256: vec![sha256(password)],
        without_password: false,
        rules: rules.into(),
    }
}

pub(crate) fn sha256(text: &str) -> Secret {
    Secret::new(
        Sha256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    )
}
