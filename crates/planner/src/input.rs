//! What a decision is made from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_model::{
    ClusterFacts, Database, EngineVersion, Operation, ProcessState, ReplicationFacts, ServerId, Timestamp,
};

/// Everything that a decision about one database is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The record: desired and target state.
    pub database: &'a Database,
    /// The operation being carried out.
    pub operation: Option<&'a Operation>,
    /// What was seen of each server. A server without an entry is one that nobody looked at.
    pub servers: &'a BTreeMap<ServerId, ServerState>,
    /// The time.
    pub now: Timestamp,
    /// Rules of the installation.
    pub policy: &'a Policy,
}

/// Rules of the installation that decisions follow.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a creation may take before it is given up.
    pub creation_deadline: Duration,
    /// How long a change may take before its operation is reported as failed; the loop goes on trying.
    pub change_deadline: Duration,
    /// How long to leave a database alone whose state is as wanted.
    pub idle_pause: Duration,
    /// How long to wait before looking again at something that is under way.
    pub busy_pause: Duration,
    /// Starts that may end at once, in a row, before a creation is given up.
    pub creation_start_attempts: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            creation_deadline: Duration::from_secs(60),
            change_deadline: Duration::from_secs(120),
            idle_pause: Duration::from_secs(5),
            busy_pause: Duration::from_millis(10),
            creation_start_attempts: 3,
        }
    }
}

/// What was seen of one server, and what control remembers having done to its process.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// The process.
    pub process: ProcessState,
    /// The incarnation it was started with, when it runs.
    pub incarnation: Option<u64>,
    /// What the probes say.
    pub verdict: Verdict,
    /// It loads its data.
    pub loading: bool,
    /// What it says of its replication; `None` when it did not answer.
    pub replication: Option<ReplicationFacts>,
    /// How it sees its cluster; `None` when it did not answer or is in none.
    pub cluster: Option<Arc<ClusterFacts>>,
    /// The version that runs.
    pub version: Option<EngineVersion>,
    /// What was applied to the process that runs now.
    pub applied: Applied,
    /// Clients may use it, by what it says itself; `None` when it did not say.
    pub open: Option<bool>,
    /// It was last told to follow the source elsewhere that is wanted now, with the credentials that are wanted now.
    pub source_applied: bool,
    /// Bytes of data in its files; asked only of servers that do not run.
    pub data_bytes: Option<u64>,
    /// How its starts went.
    pub starts: Starts,
}

/// What the probes of a server say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody knows yet.
    Unknown,
    /// It answers.
    Alive,
    /// It does not answer but works: a long script, a fork, a loaded machine.
    Busy,
    /// It does not answer and does nothing, or was busy for too long: as good as dead.
    Hung,
}

/// What was applied to the process that runs now, as far as control remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing, or nobody knows (a restart of the control plane): the process is as it started, fenced, or open.
    Unknown,
    /// An older version of its settings.
    Stale,
    /// Its present settings as a server that clients may not use.
    Closed,
    /// Its present settings as a server that clients may use.
    Open,
}

/// How the starts of a server went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Starts in a row that ended before the server answered.
    pub failures: u32,
    /// Not before this time.
    pub not_before: Option<Timestamp>,
    /// Why the last one failed, with the last lines of the server's log.
    pub last_failure: String,
}

impl ServerState {
    /// A server that nobody looked at yet.
    pub fn unknown() -> Self {
        Self {
            process: ProcessState::Unknown,
            incarnation: None,
            verdict: Verdict::Unknown,
            loading: false,
            replication: None,
            cluster: None,
            version: None,
            applied: Applied::Unknown,
            open: None,
            source_applied: false,
            data_bytes: None,
            starts: Starts::default(),
        }
    }

    /// Its main process runs.
    pub const fn runs(&self) -> bool {
        matches!(self.process, ProcessState::Running { .. })
    }

    /// Its main process is known to have ended.
    pub const fn is_dead(&self) -> bool {
        matches!(self.process, ProcessState::Absent | ProcessState::Leftover)
    }

    /// It runs, answers and has loaded its data.
    pub fn serves(&self) -> bool {
        self.runs() && self.verdict == Verdict::Alive && !self.loading && self.replication.is_some()
    }
}
