//! A simulated server: its disk, its process, its dataset, its replication.

use pilothouse_engine::{Fence, ServerSettings};
use pilothouse_model::ServerId;

use super::State;

/// How a snapshot file begins.
const FILE_HEAD: &str = "simulated snapshot\n";

/// A dataset and its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Names the history.
    pub history: String,
    /// The history that this one continues.
    pub previous: String,
    /// Every write, in order.
    pub writes: Vec<u64>,
}

impl Dataset {
    /// Adds a write.
    pub fn append(&mut self, write: u64) {
        self.writes.push(write);
    }

    /// Moves the offset on without a write of anybody.
    pub(super) fn mark(&mut self) {
        self.writes.push(MARK);
    }

    /// What clients wrote.
    pub fn read(&self) -> Vec<u64> {
        self.writes.iter().copied().filter(|write| *write != MARK).collect()
    }

    /// Its writes as a snapshot file holds them.
    pub fn to_file(&self) -> Vec<u8> {
        let lines = self.writes.iter().map(|write| format!("{write}\n"));
        format!("{FILE_HEAD}{}", lines.collect::<String>()).into_bytes()
    }

    /// The writes that a snapshot file holds; `None` when it is damaged.
    pub fn from_file(content: &[u8]) -> Option<Vec<u64>> {
        let text = std::str::from_utf8(content).ok()?.strip_prefix(FILE_HEAD)?;
        text.lines().map(|line| line.parse().ok()).collect()
    }

    /// How far it is.
    pub fn offset(&self) -> u64 {
        self.writes.len() as u64
    }
}

/// A server with a directory.
#[derive(Clone, Debug, Default)]
pub struct SimServer {
    /// What its files would bring back.
    pub disk: Option<Dataset>,
    /// It writes every change to its disk.
    pub persistent: bool,
    /// Its last snapshot file.
    pub snapshot: Option<Vec<u8>>,
    /// A file that was put among its data to be loaded at the start.
    pub placed: Option<Vec<u8>>,
    /// Its process.
    pub process: Option<Process>,
}

/// A mark in the stream; no client writes it.
const MARK: u64 = u64::MAX;
/// How long a primary holds its stream back from a replica that just synced, in steps of replication. Real servers do so for up to a second.
const UNFED_STEPS: u32 = 3;

/// A running process.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault or a fact of its own")]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// As it was started with.
    pub incarnation: u64,
    /// Stopped by a signal.
    pub stopped: bool,
    /// Receives without reading.
    pub stalled: bool,
    /// What it holds.
    pub data: Dataset,
    /// Whom it follows: the port, and the server that had it.
    pub source_port: Option<u16>,
    /// Whom it follows.
    pub source_server: Option<ServerId>,
    /// The link is up.
    pub link_up: bool,
    /// A full sync is under way.
    pub syncing: bool,
    /// Received and not read yet.
    pub received: Vec<u64>,
    /// After a full sync the link is up and nothing flows for so many steps.
    pub unfed_steps: u32,
    /// Writes are held back.
    pub paused: bool,
    /// Who may use it.
    pub fence: Fence,
    /// The port it listens on.
    pub port: u16,
    /// What was applied last.
    pub settings: Option<ServerSettings>,
}

impl Process {
    /// A client that reaches it may write.
    pub fn takes_writes(&self) -> bool {
        !self.stopped && !self.paused && self.source_port.is_none() && self.fence == Fence::Open
    }
}

impl State {
    /// Links whose source is gone are down; what was received before is still there to be read.
    pub(super) fn links(&mut self) {
        for id in self.follower_ids() {
            let source = self.process_of(id).and_then(|process| process.source_server);
            let serves = |source| {
                self.process_of(source)
                    .is_some_and(|process| process.fence != Fence::Closed)
            };
            if source.is_none_or(serves) {
                continue;
            }
            if let Some(process) = self.servers.get_mut(&id).and_then(|server| server.process.as_mut()) {
                process.source_server = None;
                process.syncing = false;
                if process.received.is_empty() {
                    process.link_up = false;
                }
            }
        }
    }

    /// The process of a server, if it runs.
    pub(super) fn process_of(&self, id: ServerId) -> Option<&Process> {
        self.servers.get(&id)?.process.as_ref()
    }

    fn follower_ids(&self) -> Vec<ServerId> {
        self.followers.iter().copied().collect()
    }

    /// One step of replication: links come up, data flows.
    pub(super) fn replicate(&mut self) {
        for id in self.follower_ids() {
            self.replicate_one(id);
        }
    }

    fn replicate_one(&mut self, id: ServerId) {
        let Some(process) = self.process_of(id) else { return };
        let Some(port) = process.source_port else { return };
        if process.stopped {
            return;
        }
        let source = self.servers.iter().find_map(|(other, server)| {
            let process = server.process.as_ref()?;
            let feeds = process.port == port && !process.stopped && process.fence != Fence::Closed;
            feeds.then(|| (*other, process.data.clone()))
        });
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let persistent = server.persistent;
        let Some(process) = server.process.as_mut() else { return };
        let Some((source, data)) = source else { return };
        process.source_server = Some(source);
        let continues = process.data.history == data.history || process.data.history == data.previous;
        let goes_on = continues && data.writes.starts_with(&process.data.writes);
        if !(process.link_up || process.syncing || goes_on) {
            // A full sync takes a step of its own.
            process.syncing = true;
            self.begin_to_feed(source);
            return;
        }
        let synced_anew = process.syncing;
        if synced_anew {
            process.data = data;
            process.syncing = false;
            process.link_up = true;
            process.received.clear();
            process.unfed_steps = UNFED_STEPS;
        } else if process.unfed_steps > 0 {
            process.unfed_steps -= 1;
        } else {
            process.link_up = true;
            process.data.history.clone_from(&data.history);
            process.data.previous.clone_from(&data.previous);
            let have = process.data.writes.len() + process.received.len();
            process.received.extend(data.writes.get(have..).unwrap_or_default());
            if !process.stalled {
                process.read_received();
            }
        }
        if persistent {
            server.disk = server.process.as_ref().map(|process| process.data.clone());
        }
        if synced_anew {
            self.drop_replicas_of(id);
        }
    }

    /// A server that was started from a file begins another history when the first replica asks for its data.
    fn begin_to_feed(&mut self, source: ServerId) {
        let history = self.new_history();
        if let Some(server) = self.servers.get_mut(&source)
            && server.placed.take().is_some()
            && let Some(process) = &mut server.process
        {
            process.data.history = history;
            process.data.previous.clear();
        }
    }

    /// A server whose data were replaced lets its replicas go: what they have continues nothing any more.
    fn drop_replicas_of(&mut self, source: ServerId) {
        for process in self.servers.values_mut().filter_map(|server| server.process.as_mut()) {
            if process.source_server == Some(source) {
                process.source_server = None;
                process.link_up = false;
                process.syncing = false;
                process.received.clear();
            }
        }
    }
}

impl Process {
    /// Reads what was received.
    pub(super) fn read_received(&mut self) {
        let received = std::mem::take(&mut self.received);
        self.data.writes.extend(received);
        if self.source_server.is_none() {
            self.link_up = false;
        }
    }
}
