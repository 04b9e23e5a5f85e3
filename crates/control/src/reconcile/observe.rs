//! Probe: what is seen of a database's servers, as the planner wants it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, ErrorClass, ManagementAccess, ServerDirectory, Session};
use pilothouse_model::{Database, ProcessState, Server, ServerId};
use pilothouse_planner::{Applied, ServerState, Verdict};

use tokio::sync::MutexGuard;

use super::Record;
use crate::Control;
use crate::memory::{Known, ServerMemory};

/// How long a server may take to answer a look.
const LOOK_TIMEOUT: Duration = Duration::from_millis(250);
/// How old full facts may be.
const FACTS_AGE_MAX: Duration = Duration::from_secs(5);
/// A process that was started this short ago is not expected to listen yet: it is asked again and again until it does.
const BOOT_PATIENCE: Duration = Duration::from_millis(200);
const BOOT_POLL: Duration = Duration::from_millis(1);

impl Control {
    /// Looks at every server of the database at once.
    pub(super) async fn observe(&self, record: &Record) -> BTreeMap<ServerId, ServerState> {
        let looks = record
            .layout
            .servers()
            .map(|server| async move { (server.id, self.look_at(record, server).await) });
        futures_util::future::join_all(looks).await.into_iter().collect()
    }

    async fn look_at(&self, record: &Record, server: &Server) -> ServerState {
        let memory = self.0.memories.of(server.id);
        let (process, verdict) = {
            let known = memory.lock();
            (known.process, known.verdict)
        };
        let runs = matches!(process, ProcessState::Running { .. });
        // A hung server is not asked: it would only cost the time-out, and the failover path must be quick.
        if runs && verdict != Verdict::Hung && record.deleted_at.is_none() {
            self.ask(record, server, &memory).await;
        }
        let data_bytes = match process {
            ProcessState::Absent => self.0.runtime.data_bytes(server.id).await.ok(),
            _ => None,
        };
        let revision = self.store().view().revision().0;
        let mut known = memory.lock();
        let applied = self.applied_to(record, server, &mut known, revision);
        ServerState {
            process: known.process,
            incarnation: known.running.map(|running| running.incarnation),
            verdict: known.verdict,
            loading: known.facts.as_ref().is_some_and(|facts| facts.loading.is_some()),
            replication: known.replication.clone(),
            cluster: known.cluster.clone(),
            version: known.facts.as_ref().map(|facts| facts.version),
            applied,
            open: known.facts.as_ref().map(|facts| !facts.fenced),
            source_applied: known.source == record.spec.replica_of,
            data_bytes,
            starts: known.starts.clone(),
        }
    }

    fn applied_to(&self, record: &Database, server: &Server, known: &mut Known, revision: u64) -> Applied {
        known.applied(revision, |applied| {
            self.server_settings(record, server, applied.fence).ok()
        })
    }

    /// Asks the server what it says of itself; in full when that is not known or old, else only for replication.
    async fn ask(&self, record: &Record, server: &Server, memory: &Arc<ServerMemory>) {
        let booting = {
            let known = memory.lock();
            known.started.filter(|_| known.facts.is_none())
        };
        let give_up = booting.map_or_else(Instant::now, |started| started + BOOT_PATIENCE);
        loop {
            match self.ask_once(record, server, memory).await {
                Ok(()) => return,
                Err(_) if Instant::now() < give_up && memory.lock().running.is_some() => {
                    tokio::time::sleep(BOOT_POLL).await;
                }
                Err(error) => {
                    tracing::debug!(server = %server.id, %error, "the server does not answer");
                    memory.lock().replication = None;
                    return;
                }
            }
        }
    }

    async fn ask_once(&self, record: &Record, server: &Server, memory: &Arc<ServerMemory>) -> Result<(), EngineError> {
        let deadline = Instant::now() + LOOK_TIMEOUT;
        let full = {
            let known = memory.lock();
            let fresh = known.facts_at.is_some_and(|at| at.elapsed() < FACTS_AGE_MAX);
            !fresh || known.facts.as_ref().is_none_or(|facts| facts.loading.is_some())
        };
        let asked_of = memory.lock().running;
        let now = self.now();
        if full {
            let mut kept = self.session(record, server, memory, deadline).await?;
            let outcome = kept.session().observe(deadline).await;
            let facts = kept.settle(outcome)?;
            let mut known = memory.lock();
            if known.running != asked_of {
                return Ok(());
            }
            known.replication = Some(facts.replication.clone());
            known.facts = Some(Arc::new(facts));
            known.facts_at = Some(Instant::now());
            known.answered(now);
        } else {
            let mut kept = self.session(record, server, memory, deadline).await?;
            let outcome = kept.session().replication(deadline).await;
            let replication = kept.settle(outcome)?;
            let mut known = memory.lock();
            if known.running != asked_of {
                return Ok(());
            }
            known.replication = Some(replication);
            known.answered(now);
        }
        if record.spec.cluster {
            self.ask_of_cluster(record, server, memory, deadline).await?;
        }
        Ok(())
    }

    async fn ask_of_cluster(
        &self,
        record: &Record,
        server: &Server,
        memory: &Arc<ServerMemory>,
        deadline: Instant,
    ) -> Result<(), EngineError> {
        let asked_of = memory.lock().running;
        let mut kept = self.session(record, server, memory, deadline).await?;
        let outcome = kept.session().cluster(deadline).await;
        let view = kept.settle(outcome)?;
        let mut known = memory.lock();
        if known.running == asked_of {
            known.cluster = Some(Arc::new(view));
        }
        Ok(())
    }

    /// The kept management connection of a server, opened if there is none.
    pub(crate) async fn session<'a>(
        &self,
        record: &Database,
        server: &Server,
        memory: &'a ServerMemory,
        deadline: Instant,
    ) -> Result<Kept<'a>, EngineError> {
        let mut slot = memory.session.lock().await;
        let session = match slot.take() {
            Some(session) => session,
            None => self.connect(record, server, deadline).await?,
        };
        Ok(Kept {
            slot,
            session: Some(session),
        })
    }

    /// Opens a management connection to a server.
    pub(crate) async fn connect(
        &self,
        record: &Database,
        server: &Server,
        deadline: Instant,
    ) -> Result<Box<dyn Session>, EngineError> {
        let refused = |message: String| EngineError::new(ErrorClass::Unsupported, message);
        let engine = self
            .0
            .engines
            .get(record.spec.engine)
            .ok_or_else(|| refused("no such engine".to_owned()))?;
        let secret = self
            .open(&server.management_secret)
            .map_err(|error| refused(error.to_string()))?;
        let directory = ServerDirectory {
            root: self.0.runtime.directory(server.id),
        };
        engine
            .connect(
                &ManagementAccess {
                    socket: directory.admin_socket(),
                    secret,
                    cluster: record.spec.cluster,
                },
                deadline,
            )
            .await
    }
}

/// The kept management connection of a server, in use. Dropped without [`Kept::settle`] it is closed: nobody knows what is under way
/// on it.
pub(crate) struct Kept<'a> {
    slot: MutexGuard<'a, Option<Box<dyn Session>>>,
    session: Option<Box<dyn Session>>,
}

impl Kept<'_> {
    /// The connection.
    pub(crate) fn session(&mut self) -> &mut dyn Session {
        self.session
            .as_deref_mut()
            .expect("taken only by settle, which ends the use")
    }

    /// Ends the use: the connection is kept unless it failed.
    pub(crate) fn settle<T>(mut self, outcome: Result<T, EngineError>) -> Result<T, EngineError> {
        if !matches!(&outcome, Err(error) if error.class == ErrorClass::Transient) {
            *self.slot = self.session.take();
        }
        outcome
    }
}

impl Known {
    /// The server answered.
    fn answered(&mut self, now: pilothouse_model::Timestamp) {
        self.seen_at = now;
        self.verdict = Verdict::Alive;
    }
}
