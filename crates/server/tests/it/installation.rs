//! A whole installation of a test's own: the program serves, with real database servers, and is killed and started again at will.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use pilothouse_test_support::{TestDir, free_port, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::program::{PROGRAM, program_at};

const PATIENCE: Duration = Duration::from_secs(60);
const USER: &str = "admin@example.com";
const PASSWORD: &str = "secret-of-test";
/// Both, as HTTP wants them.
pub(crate) const AUTHORIZATION: &str = "Basic YWRtaW5AZXhhbXBsZS5jb206c2VjcmV0LW9mLXRlc3Q=";
/// An account that every system has, for tests that run as root.
const RUN_AS: &str = "65534:65534";

/// An installation; everything of it is ended when this is dropped.
pub(crate) struct Installation {
    pub(crate) directory: TestDir,
    /// What is started; another copy after an upgrade.
    pub(crate) program: PathBuf,
    /// Settings of this test's own, as variables without their prefix.
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) port: u16,
    serving: Option<Child>,
}

/// A database of it.
#[derive(Clone, Copy)]
pub(crate) struct Database {
    pub(crate) uid: u64,
    port: u16,
}

impl Installation {
    /// One that nobody has started yet.
    pub(crate) fn unstarted() -> Self {
        Self {
            directory: TestDir::new(),
            program: PROGRAM.into(),
            settings: Vec::new(),
            port: free_port(),
            serving: None,
        }
    }

    /// Starts one and bootstraps its cluster.
    pub(crate) async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    /// The same with settings of its own.
    pub(crate) async fn with(settings: Vec<(&'static str, String)>) -> Self {
        let mut installation = Self::unstarted();
        installation.settings = settings;
        installation.start();
        let request = json!({
            "action": "create_cluster",
            "cluster": { "name": "test.local" },
            "credentials": { "username": USER, "password": PASSWORD },
        });
        let (status, answer) = installation.ask("POST", "/v1/bootstrap/create_cluster", &request);
        assert_eq!(status, 200, "{answer}");
        wait_for(PATIENCE, "the cluster is there", async || {
            (installation.ask("GET", "/v1/bdbs", &Value::Null).0 == 200).then_some(())
        })
        .await;
        installation
    }

    /// Starts the control plane and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let http = format!("127.0.0.1:{}", self.port);
        let log = fs::File::options().append(true).create(true).open(self.log_file());
        let mut command = program_at(&self.program, self.directory.path());
        command
            .arg("serve")
            .env("PILOTHOUSE_SERVER__DATA_DIR", self.directory.join("data"))
            .env("PILOTHOUSE_SERVER__RUN_AS", RUN_AS)
            .env("PILOTHOUSE_ADMIN__PASSWORD", "secret-of-admin")
            .env("PILOTHOUSE_LISTEN__REDIS_ENTERPRISE_HTTP", http)
            .stdout(Stdio::piped())
            .stderr(log.expect("the directory is ours"));
        for off in [
            "REDIS_ENTERPRISE",
            "REDIS_CLOUD",
            "KVROCKS_CONTROLLER",
            "TROVE",
            "GLOBO",
            "METRICS",
        ] {
            command.env(format!("PILOTHOUSE_LISTEN__{off}"), "off");
        }
        for (name, value) in &self.settings {
            command.env(format!("PILOTHOUSE_{name}"), value);
        }
        let mut serving = command.spawn().expect("the program can be started");
        let mut line = String::new();
        let stdout = serving.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it can be read");
        assert!(line.starts_with("pilothouse ready"), "{line:?}");
        self.serving = Some(serving);
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("serve.log")
    }

    /// What every control plane of this installation has said on stderr.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).expect("it was started")
    }

    /// Process ids of gateways that run.
    pub(crate) fn gateways(&self) -> Vec<u32> {
        let ours = self.directory.path().to_string_lossy().into_owned();
        let processes = fs::read_dir("/proc").expect("there are processes").flatten();
        let pids = processes.filter_map(|process| process.file_name().to_string_lossy().parse::<u32>().ok());
        let is_ours = |pid: &u32| {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split('\0').nth(1) == Some("gateway") && command.contains(&ours)
        };
        pids.filter(is_ours).collect()
    }

    /// `kill -9` of the control plane.
    pub(crate) fn kill(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.kill().expect("it is ours");
            serving.wait().expect("it is ours");
        }
    }

    /// A request to the Redis Enterprise API.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {AUTHORIZATION}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("a status");
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// A new database that is active.
    pub(crate) async fn create(&self, name: &str, kind: &Value) -> Database {
        let mut wanted = json!({ "name": name, "memory_size": 100 << 20 });
        let more = kind.as_object().expect("an object").clone();
        wanted.as_object_mut().expect("an object").extend(more);
        let (status, answer) = self.ask("POST", "/v1/bdbs", &wanted);
        assert_eq!(status, 200, "{answer}");
        let uid = answer["uid"].as_u64().expect("a number");
        let port = wait_for(PATIENCE, &format!("{name} is active"), async || {
            let shown = self.show(uid);
            (shown["status"] == "active").then(|| shown["port"].as_u64())?
        })
        .await;
        let port = u16::try_from(port).expect("a port");
        Database { uid, port }
    }

    /// A database as it is shown.
    pub(crate) fn show(&self, uid: u64) -> Value {
        self.ask("GET", &format!("/v1/bdbs/{uid}"), &Value::Null).1
    }

    /// Removes a database and waits until it is gone.
    pub(crate) async fn delete(&self, database: Database) {
        let path = format!("/v1/bdbs/{}", database.uid);
        assert_eq!(self.ask("DELETE", &path, &Value::Null).0, 200);
        wait_for(PATIENCE, "the database is gone", async || {
            (self.ask("GET", &path, &Value::Null).0 == 404).then_some(())
        })
        .await;
    }

    /// How many servers have a directory, the gateway left out.
    pub(crate) fn servers(&self) -> usize {
        let directories = fs::read_dir(self.directory.join("data/servers")).expect("it can be read");
        let configured = directories.filter(|entry| {
            let path = entry.as_ref().expect("it can be read").path();
            path.join("redis.conf").exists()
        });
        configured.count()
    }

    /// Files that transfers have left in their scratch directory.
    pub(crate) fn scratch_files(&self) -> usize {
        fs::read_dir(self.directory.join("data/scratch"))
            .expect("it can be read")
            .count()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.kill();
        // Servers and gateway outlive the control plane. They name our directory, which nobody else has.
        let ours = self.directory.path().to_string_lossy().into_owned();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = process
                .file_name()
                .to_string_lossy()
                .parse()
                .ok()
                .and_then(Pid::from_raw);
            let command = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = pid.filter(|_| command.contains(&ours)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

impl Database {
    /// One command through the endpoint, with the reply's first line without its type.
    pub(crate) fn call(self, arguments: &[&str]) -> String {
        call_on(&self.connect(), arguments)
    }

    /// The endpoint.
    pub(crate) fn address(self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }

    /// A connection to the endpoint.
    pub(crate) fn connect(self) -> TcpStream {
        TcpStream::connect(self.address()).expect("the endpoint accepts")
    }

    /// Fills it with `keys` keys of `bytes` bytes each, all named after `prefix`.
    pub(crate) fn fill(self, prefix: &str, keys: usize, bytes: usize) {
        let script =
            "for i = 1, ARGV[2] do redis.call('SET', ARGV[1] .. i, string.rep('v', ARGV[3]) .. i) end return 'OK'";
        let (keys, bytes) = (keys.to_string(), bytes.to_string());
        assert_eq!(self.call(&["EVAL", script, "0", prefix, &keys, &bytes]), "OK");
    }

    /// How many keys it holds.
    pub(crate) fn keys(self) -> String {
        self.call(&["DBSIZE"])
    }
}

/// One command over a connection, with the reply's first line without its type.
pub(crate) fn call_on(mut stream: &TcpStream, arguments: &[&str]) -> String {
    let mut request = format!("*{}\r\n", arguments.len());
    for argument in arguments {
        request += &format!("${}\r\n{argument}\r\n", argument.len());
    }
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut lines = BufReader::new(stream).lines();
    let mut line = || lines.next().and_then(Result::ok).unwrap_or_default();
    let first = line();
    match first.strip_prefix('$') {
        Some("-1") => String::new(),
        Some(_) => line(),
        None => first.trim_start_matches([':', '+']).to_owned(),
    }
}

/// The only file of a directory.
pub(crate) fn only_file(directory: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(directory)
        .expect("it can be read")
        .map(|file| file.expect("it can be read").path());
    let mut files: Vec<std::path::PathBuf> = files.collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}
