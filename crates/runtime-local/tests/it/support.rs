//! A runtime on a data directory of its own, and processes that are gone when the test is over, however it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{Exit, LaunchRequest, Limits, Running, Runtime, RuntimeError};
use pilothouse_runtime_local::{Account, LauncherCommand, LocalOptions, LocalRuntime, LogLimits};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

/// Long enough for any machine; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    // Kills what runs here before the folder goes: fields are dropped in order.
    _processes: Processes,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            _processes: Processes(folder.path().to_owned()),
            folder,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self) -> LocalOptions {
        LocalOptions {
            data_dir: self.path().join("pilothouse"),
            mark: "data-directory-1".into(),
            run_as: account(),
            launcher: launcher(&[]),
            search_path: Vec::new(),
            server_port_range: 20_000..=29_999,
            port_probe_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            logs: LogLimits::default(),
        }
    }

    pub(crate) fn runtime(&self) -> LocalRuntime {
        LocalRuntime::new(self.options()).unwrap()
    }
}

/// Everything that runs in a folder below this one was started by the test.
struct Processes(PathBuf);

impl Drop for Processes {
    fn drop(&mut self) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let runs_here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.0));
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
                .and_then(Pid::from_raw);
            if let (true, Some(pid)) = (runs_here, pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn account() -> Option<Account> {
    is_root().then(|| Account::find("nobody").unwrap().expect("every system has it"))
}

pub(crate) fn launcher(arguments: &[&str]) -> LauncherCommand {
    LauncherCommand {
        program: env!("CARGO_BIN_EXE_test-launcher").into(),
        arguments: std::iter::once("launch")
            .chain(arguments.iter().copied())
            .map(Into::into)
            .collect(),
    }
}

pub(crate) fn request(server: ServerId, program: &str, arguments: &[&str]) -> LaunchRequest {
    LaunchRequest {
        server,
        program: program.into(),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment: Vec::new(),
        files: Vec::new(),
        directories: Vec::new(),
        limits: Limits::default(),
        incarnation: 1,
    }
}

pub(crate) fn sleeper(server: ServerId) -> LaunchRequest {
    request(server, "/bin/sleep", &["1000"])
}

pub(crate) fn shell(server: ServerId, script: &str) -> LaunchRequest {
    request(server, "/bin/sh", &["-c", script])
}

pub(crate) fn redis(server: ServerId) -> LaunchRequest {
    let config = "port 0\nunixsocket redis.sock\ndir data\nsave \"\"\nlogfile \"\"\n";
    LaunchRequest {
        files: vec![("redis.conf".into(), config.into())],
        directories: vec!["data".into()],
        ..request(server, "/usr/bin/redis-server", &["redis.conf"])
    }
}

/// Waits until the redis-server in this directory answers. Its socket stands where its data does: it enters that folder first.
pub(crate) async fn pong(directory: &Path) {
    eventually("PONG", || {
        let mut socket = UnixStream::connect(directory.join("data/redis.sock")).ok()?;
        socket.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        socket.read_exact(&mut answer).ok()?;
        (&answer == b"+PONG\r\n").then_some(())
    })
    .await;
}

/// Waits for a condition.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) async fn next(exits: &mut mpsc::UnboundedReceiver<Exit>) -> Exit {
    tokio::time::timeout(PATIENCE, exits.recv())
        .await
        .expect("an exit is told")
        .expect("the runtime lives")
}

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// It exists and is not only waiting to be collected.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(field(&stat, 3).as_deref(), None | Some("Z" | "X"))
}

/// A field of `/proc/<pid>/stat`, counted as the manual does.
pub(crate) fn field(stat: &str, number: usize) -> Option<String> {
    stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .nth(number - 3)
        .map(str::to_owned)
}

pub(crate) fn start_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    field(&stat, 22).unwrap().parse().unwrap()
}

pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap()
        .trim()
        .to_owned()
}

/// Starts a process that is nobody's child, in a session of its own, in this folder. With `lock`, it has that file open at 3.
pub(crate) fn orphan(folder: &Path, lock: Option<OwnedFd>) -> u32 {
    let stdin = lock.map_or_else(Stdio::null, Stdio::from);
    let output = Command::new("/bin/sh")
        .args(["-c", "exec 3<&0; setsid sleep 1000 >/dev/null 2>&1 & echo $!"])
        .current_dir(folder)
        .stdin(stdin)
        .output()
        .unwrap();
    let pid: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let give_up = Instant::now() + PATIENCE;
    let is_leader = || field(&fs::read_to_string(format!("/proc/{pid}/stat")).unwrap(), 6) == Some(pid.to_string());
    let is_sleep = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() == "sleep";
    while !(is_leader() && is_sleep()) {
        assert!(Instant::now() < give_up, "setsid did not happen");
        std::thread::yield_now();
    }
    pid
}

/// Opens and locks the lock file of a server's directory.
pub(crate) fn lock(directory: &Path) -> OwnedFd {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(directory.join("lock"))
        .unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    file.into()
}

/// Writes a record as the launcher would.
pub(crate) fn write_record(directory: &Path, pid: u32, start_time: u64, boot_id: &str) {
    let record = format!(
        r#"{{"pid":{pid},"start_time":{start_time},"boot_id":"{boot_id}","incarnation":7,"lock_descriptor":3,"program":"/bin/sleep"}}"#
    );
    fs::write(directory.join("process.json"), record).unwrap();
}

/// Stops a server for good.
pub(crate) async fn stop(runtime: &LocalRuntime, server: ServerId) {
    runtime.kill(server, soon()).await.unwrap();
    runtime.wait_released(server, soon()).await.unwrap();
    assert_eq!(runtime.state(server), ProcessState::Absent);
}

#[track_caller]
pub(crate) fn assert_locked(result: Result<Running, RuntimeError>) {
    assert!(matches!(result, Err(RuntimeError::Locked)), "{result:?}");
}
