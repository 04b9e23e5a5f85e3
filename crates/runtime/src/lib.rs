//! The runtime contract: how control starts, adopts, watches and stops server processes, without knowing where they run.
//!
//! One implementation today, `runtime-local`: processes of this machine. Everything is named by [`ServerId`]; a server has one directory
//! and at most one live process session at a time. All methods are idempotent: asking for what is already so is success.

mod error;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pilothouse_model::{HostFacts, MachineLoad, ProcessState, ServerId, ServerPorts, Timestamp};
use tokio::sync::mpsc;

pub use error::RuntimeError;

/// How to start a process.
#[derive(Clone, Debug)]
pub struct LaunchRequest {
    /// Whose directory.
    pub server: ServerId,
    /// The binary, absolute.
    pub program: PathBuf,
    /// Its arguments. Never a secret: other users can read them.
    pub arguments: Vec<String>,
    /// Environment, in addition to a minimal one.
    pub environment: Vec<(String, String)>,
    /// Files to write into the server's directory first, relative path and content; each whole or not at all, mode 0600, of the server's account.
    pub files: Vec<(PathBuf, String)>,
    /// Directories to make first, relative to the server's directory, mode 0700.
    pub directories: Vec<PathBuf>,
    /// Limits, where the host can set them.
    pub limits: Limits,
    /// Told apart from an earlier start of the same server; recorded with the process and given back by [`Runtime::adopt`].
    pub incarnation: u64,
}

/// Limits of a server. 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all processes of the server, bytes.
    pub memory_bytes: u64,
    /// Processors, in thousandths.
    pub cpu_millis: u64,
    /// Open files.
    pub open_files: u64,
}

/// A process that runs and whose identity was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Process id.
    pub pid: u32,
    /// The incarnation it was started with.
    pub incarnation: u64,
}

/// A process of a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Whose process.
    pub server: ServerId,
    /// Which process.
    pub pid: u32,
    /// The incarnation it was started with.
    pub incarnation: u64,
    /// `exit code N`, `signal N`, or `unknown` when it was not our child.
    pub how: String,
}

/// What processor and scheduler say about a process: tells a hung server from one that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessActivity {
    /// Processor time used since its start.
    pub cpu_time: Duration,
    /// It was stopped by a signal.
    pub stopped: bool,
}

/// A file of a server's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its path below `data/`.
    pub name: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// Starts, adopts, watches and stops server processes.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Where the server's directory is. Pure: says nothing about whether it exists.
    fn directory(&self, server: ServerId) -> PathBuf;

    /// Starts the server and returns once it has become the wanted program. Refused while any process of an earlier start lives
    /// ([`RuntimeError::Locked`]). Success with the running process when it already runs with this incarnation.
    /// The process is in a session of its own and outlives us. Not cancel-safe: run it to its end.
    async fn launch(&self, request: LaunchRequest) -> Result<Running, RuntimeError>;

    /// Looks whether a process of the server runs, proves its identity and watches it from now on.
    async fn adopt(&self, server: ServerId) -> Result<(ProcessState, Option<Running>), RuntimeError>;

    /// What is known of the server's process without asking the system.
    fn state(&self, server: ServerId) -> ProcessState;

    /// Sends SIGKILL to every process of the server's session and returns when the main process was seen to end, or at the deadline
    /// with [`RuntimeError::Timeout`]. Children may still hold the directory lock: see [`Runtime::wait_released`].
    async fn kill(&self, server: ServerId, deadline: Instant) -> Result<(), RuntimeError>;

    /// Returns when no process of the server lives and its directory lock is free, or at the deadline.
    async fn wait_released(&self, server: ServerId, deadline: Instant) -> Result<(), RuntimeError>;

    /// Takes the receiver of process ends. There is one, taken once, by the health monitor.
    fn take_exits(&self) -> Option<mpsc::UnboundedReceiver<Exit>>;

    /// What the scheduler says about the server's process; `None` when there is none.
    fn activity(&self, server: ServerId) -> Option<ProcessActivity>;

    /// Writes a file into the directory of the server, whole or not at all, mode 0600, of the server's account.
    async fn write_file(&self, server: ServerId, path: PathBuf, content: Vec<u8>) -> Result<(), RuntimeError>;

    /// Moves a file of this host into the directory of the server, to be read by its process; mode 0600, of the server's account.
    async fn place_file(&self, server: ServerId, from: PathBuf, to: PathBuf) -> Result<(), RuntimeError>;

    /// Gives a file of the server's directory a second name at `to`, or copies it there, so that it can be read while the server goes on
    /// and replaces it. Links that the server made are not followed. `to` must not exist.
    async fn lend_file(&self, server: ServerId, path: PathBuf, to: PathBuf) -> Result<(), RuntimeError>;

    /// Removes a file of the server's directory, durably. Success when there is none.
    async fn remove_file(&self, server: ServerId, path: PathBuf) -> Result<(), RuntimeError>;

    /// Bytes of data that the server's files hold, so that a start that would come up empty is noticed before it happens; 0 when there are none.
    async fn data_bytes(&self, server: ServerId) -> Result<u64, RuntimeError>;

    /// The files below `data/` of the server.
    async fn data_files(&self, server: ServerId) -> Result<Vec<DataFile>, RuntimeError>;

    /// Empties the data of a server that does not run: what stands in `data/` is renamed away and erased in the background.
    async fn clear_data(&self, server: ServerId) -> Result<(), RuntimeError>;

    /// Renames the server's directory into the trash, durably, and erases it in the background. Refused while a process lives.
    async fn erase(&self, server: ServerId) -> Result<(), RuntimeError>;

    /// Every server that has a directory here, whether we know it or not.
    async fn list(&self) -> Result<Vec<ServerId>, RuntimeError>;

    /// The last lines that the server printed.
    async fn log_tail(&self, server: ServerId, lines: usize) -> Result<Vec<String>, RuntimeError>;

    /// Free ports of the server port range that nobody listens on and that are not in `taken`: plain, TLS, and for a server of a cluster
    /// one for its links. Probed, not held: a lost bind race shows as a server that ends at once, and the caller picks again.
    async fn free_ports(&self, taken: &[u16], cluster: bool) -> Result<ServerPorts, RuntimeError>;

    /// Runs a binary found on the search path with these arguments and returns each absolute path with what it printed. May be called
    /// often: what a file printed may be remembered for as long as the file is the same.
    async fn ask_binaries(&self, name: &str, arguments: &[&str]) -> Vec<(PathBuf, String)>;

    /// What the host is.
    async fn host_facts(&self) -> HostFacts;

    /// How loaded the host is.
    fn machine_load(&self) -> MachineLoad;

    /// Sizes of the directories of servers, bytes, for those that are known.
    async fn disk_usage(&self) -> BTreeMap<ServerId, u64>;
}
