//! A simulated world: servers, their disks and their replication, the runtime that starts them and the gateway in front of them.
//!
//! One value plays engine, runtime and gateway at once, so that a fault in one is felt in the others as in reality. It is deterministic:
//! nothing happens in it but what a call does. The truth it keeps (which write was acknowledged, which replica had it) is what the
//! invariants of a test are checked against.

mod engine;
mod gateway;
mod runtime;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pilothouse_gateway_protocol::{Backend, Route, RouteState};
use pilothouse_model::{DatabaseId, ServerId};
use pilothouse_runtime::Exit;
use tokio::sync::mpsc;

pub use server::{Dataset, Process, SimServer};

/// A simulated world; clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

/// Everything there is.
pub struct State {
    /// Servers that have a directory.
    pub servers: BTreeMap<ServerId, SimServer>,
    /// Routes of the gateway.
    pub routes: BTreeMap<DatabaseId, Route>,
    /// Writes that were acknowledged, and whether a replica had them then.
    pub acknowledged: BTreeMap<DatabaseId, Vec<Acknowledged>>,
    /// The next launches fail with this.
    pub launch_failures: Vec<String>,
    /// The disk is full: nothing can be written or started.
    pub disk_full: bool,
    /// Memory that every write takes.
    pub write_bytes: u64,
    /// Servers that may follow another; the links of all others cost nothing, however many there are.
    pub(crate) followers: BTreeSet<ServerId>,
    next_pid: u32,
    next_history: u64,
    next_write: u64,
    next_port: u16,
    exits: mpsc::UnboundedSender<Exit>,
    exits_taken: Option<mpsc::UnboundedReceiver<Exit>>,
}

/// A write that a client was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which write.
    pub write: u64,
    /// A replica that may take over had it when it was acknowledged.
    pub replicated: bool,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An empty world.
    pub fn new() -> Self {
        let (exits, receiver) = mpsc::unbounded_channel();
        Self(Arc::new(Mutex::new(State {
            servers: BTreeMap::new(),
            routes: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            launch_failures: Vec::new(),
            disk_full: false,
            write_bytes: 0,
            followers: BTreeSet::new(),
            next_pid: 1000,
            next_history: 1,
            next_write: 1,
            next_port: 20_000,
            exits,
            exits_taken: Some(receiver),
        })))
    }

    /// The state, to look at or to tamper with.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The control plane was lost: whoever comes next may take the receiver of exits anew, and hears only of what happens from then on.
    pub fn control_plane_lost(&self) {
        let mut state = self.lock();
        let (exits, receiver) = mpsc::unbounded_channel();
        state.exits = exits;
        state.exits_taken = Some(receiver);
        // Servers end the holding back of writes by themselves, before another control plane is there.
        for process in state.servers.values_mut().filter_map(|server| server.process.as_mut()) {
            process.paused = false;
        }
    }

    /// Takes the receiver of exits, for a test that tells of them itself.
    pub fn take_exits_for_test(&self) -> Option<mpsc::UnboundedReceiver<Exit>> {
        self.lock().exits_taken.take()
    }

    /// A client writes through the endpoint. `Some(write)` when it was acknowledged.
    pub fn write(&self, database: DatabaseId) -> Option<u64> {
        let mut state = self.lock();
        let primary = state.behind_endpoint(database)?;
        let write = state.next_write;
        let server = state.servers.get_mut(&primary)?;
        let process = server.process.as_mut()?;
        if !process.takes_writes() {
            return None;
        }
        process.data.append(write);
        if server.persistent {
            server.disk = Some(process.data.clone());
        }
        state.next_write += 1;
        state.replicate();
        let replicated = state.servers.values().any(|other| {
            other.process.as_ref().is_some_and(|process| {
                process.source_server == Some(primary) && process.link_up && process.data.writes.contains(&write)
            })
        });
        state
            .acknowledged
            .entry(database)
            .or_default()
            .push(Acknowledged { write, replicated });
        Some(write)
    }

    /// What a client reads through the endpoint.
    pub fn read(&self, database: DatabaseId) -> Option<Vec<u64>> {
        let state = self.lock();
        let process = state.servers.get(&state.behind_endpoint(database)?)?.process.as_ref()?;
        process.takes_writes().then(|| process.data.read())
    }

    /// Lets replication go on by one step everywhere.
    pub fn replicate(&self) {
        self.lock().replicate();
    }

    /// SIGKILL.
    pub fn kill(&self, server: ServerId) {
        self.lock().end(server, "signal 9");
    }

    /// SIGSTOP.
    pub fn stop(&self, server: ServerId) {
        if let Some(process) = self
            .lock()
            .servers
            .get_mut(&server)
            .and_then(|server| server.process.as_mut())
        {
            process.stopped = true;
        }
    }

    /// SIGCONT to every process.
    pub fn resume_all(&self) {
        for process in self
            .lock()
            .servers
            .values_mut()
            .filter_map(|server| server.process.as_mut())
        {
            process.stopped = false;
            process.stalled = false;
        }
    }

    /// The data files of the server are lost.
    pub fn lose_disk(&self, server: ServerId) {
        if let Some(server) = self.lock().servers.get_mut(&server) {
            server.disk = None;
        }
    }

    /// Whether the replica receives without reading: what reached its machine stays in its socket.
    pub fn stall(&self, server: ServerId, stalled: bool) {
        if let Some(process) = self
            .lock()
            .servers
            .get_mut(&server)
            .and_then(|server| server.process.as_mut())
        {
            process.stalled = stalled;
        }
    }

    /// Servers of the database behind whose endpoint clients may write now, by what they say themselves.
    pub fn writable(&self, servers: &[ServerId]) -> Vec<ServerId> {
        let state = self.lock();
        let open = |id: &&ServerId| {
            state
                .servers
                .get(id)
                .and_then(|server| server.process.as_ref())
                .is_some_and(Process::takes_writes)
        };
        servers.iter().filter(open).copied().collect()
    }
}

impl State {
    /// The server that the endpoint of a database leads to.
    pub fn behind_endpoint(&self, database: DatabaseId) -> Option<ServerId> {
        let RouteState::Open(Backend::Unix(socket)) = &self.routes.get(&database)?.state else {
            return None;
        };
        self.servers
            .iter()
            .find(|(id, _)| runtime::directory(**id).join("admin.sock") == *socket)
            .map(|(id, _)| *id)
    }

    fn new_history(&mut self) -> String {
        self.next_history += 1;
        format!("{:040x}", self.next_history)
    }

    /// Ends a process as a signal would.
    pub fn end(&mut self, id: ServerId, how: &str) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let Some(process) = server.process.take() else { return };
        let exit = Exit {
            server: id,
            pid: process.pid,
            incarnation: process.incarnation,
            how: how.to_owned(),
        };
        // Nobody listens while the control plane is down: it finds out when it looks.
        let _ = self.exits.send(exit);
        self.links();
    }
}
