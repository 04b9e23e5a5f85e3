//! What is known of server processes between two looks. Lost with the control plane, and found again by looking.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pilothouse_engine::{ServerSettings, Session};
use pilothouse_model::{ClusterFacts, ProcessState, ReplicaSource, ReplicationFacts, ServerFacts, ServerId, Timestamp};
use pilothouse_planner::{Applied, Starts, Verdict};
use pilothouse_runtime::Running;
use tokio_util::sync::CancellationToken;

/// All servers that were looked at.
#[derive(Default)]
pub(crate) struct Memories(Mutex<HashMap<ServerId, Arc<ServerMemory>>>);

impl Memories {
    /// The memory of a server; made when it is asked for first.
    pub(crate) fn of(&self, server: ServerId) -> Arc<ServerMemory> {
        Arc::clone(
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(server)
                .or_default(),
        )
    }

    /// The memory of a server, if there is one.
    pub(crate) fn get(&self, server: ServerId) -> Option<Arc<ServerMemory>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&server)
            .cloned()
    }

    /// Forgets a server that is gone.
    pub(crate) fn forget(&self, server: ServerId) {
        if let Some(memory) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&server) {
            memory.lock().process_gone(ProcessState::Absent);
        }
    }
}

/// What is known of one server.
#[derive(Default)]
pub(crate) struct ServerMemory {
    known: Mutex<Known>,
    /// The management connection of the reconcile loop. The probe has one of its own, so that a long command delays no probe.
    pub(crate) session: tokio::sync::Mutex<Option<Box<dyn Session>>>,
}

/// What is known of one server.
pub(crate) struct Known {
    /// Its process.
    pub(crate) process: ProcessState,
    /// The process that runs.
    pub(crate) running: Option<Running>,
    /// What the probes say.
    pub(crate) verdict: Verdict,
    /// What it last said of itself in full.
    pub(crate) facts: Option<Arc<ServerFacts>>,
    /// What it last said of its replication; newer than `facts`.
    pub(crate) replication: Option<ReplicationFacts>,
    /// How it last saw its cluster.
    pub(crate) cluster: Option<Arc<ClusterFacts>>,
    /// When `facts` were taken, on the monotonic clock.
    pub(crate) facts_at: Option<Instant>,
    /// When anything was last seen.
    pub(crate) seen_at: Timestamp,
    /// What was applied to the process that runs.
    pub(crate) applied: Option<AppliedSettings>,
    /// The source elsewhere that the process was told to follow.
    pub(crate) source: Option<ReplicaSource>,
    /// The settings that its files hold; outlives the process.
    pub(crate) files: Option<ServerSettings>,
    /// How its starts went.
    pub(crate) starts: Starts,
    /// When the process that runs was started by us, on the monotonic clock.
    pub(crate) started: Option<Instant>,
    /// Its end was asked for: it is no news.
    pub(crate) end_asked: bool,
    /// Ends the probing of the process that runs.
    pub(crate) watch: Option<CancellationToken>,
}

/// Settings that were applied to a process.
pub(crate) struct AppliedSettings {
    /// The settings.
    pub(crate) settings: ServerSettings,
    /// The revision of the store whose state they were last found to equal.
    pub(crate) revision: u64,
    /// The files of the server hold them too.
    pub(crate) on_disk: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            process: ProcessState::Unknown,
            running: None,
            verdict: Verdict::Unknown,
            facts: None,
            replication: None,
            cluster: None,
            facts_at: None,
            seen_at: Timestamp::default(),
            applied: None,
            source: None,
            files: None,
            starts: Starts::default(),
            started: None,
            end_asked: false,
            watch: None,
        }
    }
}

impl ServerMemory {
    /// What is known. Held for a moment only, never across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A process runs from now on of which nothing is known yet but its identity.
    pub(crate) fn process_runs(&mut self, running: Running) {
        self.process_gone(ProcessState::Running { pid: running.pid });
        self.running = Some(running);
        self.end_asked = false;
    }

    /// No process runs any more: whatever was known of it is void.
    pub(crate) fn process_gone(&mut self, process: ProcessState) {
        if let Some(watch) = self.watch.take() {
            watch.cancel();
        }
        self.process = process;
        self.running = None;
        self.verdict = Verdict::Unknown;
        self.facts = None;
        self.replication = None;
        self.cluster = None;
        self.facts_at = None;
        self.applied = None;
        self.source = None;
        self.started = None;
    }

    /// What was applied, in the words of the planner. `wanted` makes the settings that are wanted now; it is asked only when the store
    /// has changed since they were last compared.
    pub(crate) fn applied(
        &mut self,
        revision: u64,
        wanted: impl FnOnce(&ServerSettings) -> Option<ServerSettings>,
    ) -> Applied {
        let Some(applied) = &mut self.applied else {
            return Applied::Unknown;
        };
        if applied.revision != revision {
            match wanted(&applied.settings) {
                Some(wanted) if wanted == applied.settings => applied.revision = revision,
                _ => return Applied::Stale,
            }
        }
        if !applied.on_disk {
            return Applied::Stale;
        }
        match applied.settings.fence {
            pilothouse_engine::Fence::Open => Applied::Open,
            pilothouse_engine::Fence::Closed | pilothouse_engine::Fence::Replication => Applied::Closed,
        }
    }
}
