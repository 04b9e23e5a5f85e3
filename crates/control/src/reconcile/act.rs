//! Act: one step at a time. Every step is idempotent, and the process may die on every line.

use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, ErrorClass, Fence, Peer, ServerDirectory, ServerSettings, SyncSource};
use pilothouse_model::{
    Database, Lineage, Operation, OperationResult, Persistence, Server, ServerId, Severity, Subject,
};
use pilothouse_planner::Step;
use pilothouse_runtime::{LaunchRequest, Limits, RuntimeError};
use pilothouse_store::Urgency;

use super::record::about_server;
use super::{Record, StepError};
use crate::{Control, events, fault, health};

/// How long a server may take to do what it is told.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a deliberate end may take: the server saves what its persistence asks for first.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Memory that a server may use beyond its limit for data: buffers, copy on write of a snapshot, fragmentation.
const MEMORY_HEADROOM_BYTES: u64 = 256 << 20;
/// Open files of a server: its connections and its own.
const OPEN_FILES: u64 = 65_536;

impl Control {
    /// Carries out one step.
    pub(super) async fn act_on(
        &self,
        record: &Record,
        operation: Option<&Operation>,
        step: &Step,
    ) -> Result<(), StepError> {
        fault::point("before-step").await;
        let server = |id: ServerId| record.layout.server(id).ok_or(StepError::Outdated);
        match step {
            Step::Adopt(id) => self.adopt(record, server(*id)?).await,
            Step::Start(id) => self.start_server(record, server(*id)?).await,
            Step::Clear(id, why) => self.clear(record, server(*id)?, why).await,
            Step::Establish(id) => self.establish(record, server(*id)?).await,
            Step::Apply(id, access) => self.apply(record, server(*id)?, *access).await,
            Step::RecordLineage(id) => self.record_lineage(record, *id).await,
            Step::Release(id) => self.release(record, server(*id)?).await,
            Step::FollowSource(id) => self.follow_source(record, server(*id)?).await,
            Step::Attach { replica, primary } => self.attach(record, server(*replica)?, server(*primary)?).await,
            Step::MarkSynced(id) => self.confirm_synced(record, server(*id)?).await,
            Step::MarkUnsynced(id) => self.mark_synced(record, *id, false).await,
            Step::FailOver(failover) => self.carry_out_failover(record, failover).await,
            Step::ResolveIntent { candidate, promoted } => self.resolve_intent(record, *candidate, *promoted).await,
            Step::Restart(id) => self.restart(record, server(*id)?).await,
            Step::Remove(id) => self.remove_server(record, *id).await,
            Step::DeclareRecovery(why) => self.declare_recovery(record, why).await,
            Step::AbandonCreation(why) => self.abandon_creation(record, why).await,
            Step::Meet { server: id, peers } => self.meet(record, server(*id)?, peers).await,
            Step::Forget { server: id, nodes } => self.forget(record, server(*id)?, nodes).await,
            Step::ClaimSlots { server: id, slots } => self.claim_slots(record, server(*id)?, slots).await,
            Step::RecordSlots(shares) => self.record_slots(record, shares).await,
            Step::MoveSlots { from, to, slots } => self.move_slots(record, server(*from)?, server(*to)?, slots).await,
            Step::Flush => self.flush(record, operation).await,
            Step::Delete => self.erase_database(record).await,
        }?;
        fault::point("after-step").await;
        Ok(())
    }

    /// Starts the server, fenced: what it reads from disk lets nobody in but us.
    async fn start_server(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let memory = self.0.memories.of(server.id);
        match self.correct_version(record, server).await {
            Ok(()) => {}
            // No version of its series is there: a start that failed, which is counted, told, and tried again less and less often.
            Err(StepError::Control(error)) => {
                health::count_failed_start(self, server.id, &error.to_string());
                return Ok(());
            }
            Err(other) => return Err(other),
        }
        self.end_stray(record, server).await;
        // What an earlier persistence left behind must not come back as if it were the data.
        if record.spec.persistence == Persistence::Disabled && self.0.runtime.data_bytes(server.id).await? > 0 {
            self.0.runtime.clear_data(server.id).await?;
        }
        let settings = self.server_settings(record, server, Fence::Closed)?;
        let request = self.launch_request(record, server, &settings)?;
        fault::point("before-launch").await;
        match self.0.runtime.launch(request).await {
            Ok(running) => {
                fault::point("after-launch").await;
                {
                    let mut known = memory.lock();
                    known.process_runs(running);
                    known.started = Some(Instant::now());
                    known.files = Some(settings);
                }
                *memory.session.lock().await = None;
                health::watch(self, record, server, &memory);
                Ok(())
            }
            Err(error) => {
                health::count_failed_start(self, server.id, &error.to_string());
                if matches!(error, RuntimeError::Locked) {
                    memory.lock().process_gone(pilothouse_model::ProcessState::Unknown);
                }
                tracing::warn!(server = %server.id, %error, "the server did not start");
                Ok(())
            }
        }
    }

    /// How a server of the database is started with these settings.
    pub(crate) fn launch_request(
        &self,
        record: &Database,
        server: &Server,
        settings: &ServerSettings,
    ) -> Result<LaunchRequest, StepError> {
        let engine = self.0.engines.get(record.spec.engine).ok_or(StepError::Outdated)?;
        let directory = ServerDirectory {
            root: self.0.runtime.directory(server.id),
        };
        let launch = engine.launch(server.version, settings, &directory);
        let mut files: Vec<_> = launch.files.into_iter().map(|file| (file.path, file.content)).collect();
        files.extend(
            self.settings_files(record, server)?
                .into_iter()
                .map(|(path, content)| (path.into(), content)),
        );
        Ok(LaunchRequest {
            server: server.id,
            program: self.serving(record.spec.engine, server.version)?.binary,
            arguments: launch.arguments,
            environment: launch.environment,
            files,
            directories: launch.directories,
            limits: limits(record),
            incarnation: server.incarnation,
        })
    }

    /// Ends what is left of an earlier process, or a process that must go.
    async fn clear(&self, record: &Record, server: &Server, why: &str) -> Result<(), StepError> {
        tracing::info!(server = %server.id, name = %record.name, why, "processes of a server are ended");
        self.end_processes(server.id).await
    }

    /// Names the first primary.
    async fn establish(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let replication_id = self.replication_id(server.id);
        let id = server.id;
        self.amend(record.id, Urgency::Normal, move |database| {
            let shard = database.layout.shard_of_mut(id).ok_or(StepError::Outdated)?;
            if shard.lineage.primary.is_none() {
                let (epoch, primary) = (shard.lineage.epoch + 1, Some(id));
                shard.lineage = Lineage {
                    epoch,
                    primary,
                    replication_id,
                    ..Lineage::default()
                };
            }
            Ok(None)
        })
        .await
    }

    fn replication_id(&self, server: ServerId) -> String {
        let memory = self.0.memories.of(server);
        let known = memory.lock();
        known
            .replication
            .as_ref()
            .map(|replication| replication.replication_id.clone())
            .unwrap_or_default()
    }

    async fn release(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().promote(deadline).await;
        kept.settle(outcome)?;
        let mut known = memory.lock();
        known.facts_at = None;
        // It may still hold the account of a database elsewhere, with which it could follow no sibling.
        known.applied = None;
        Ok(())
    }

    /// Records once that the primary's files hold data: from then on a start that would come up empty is a loss, not a beginning.
    pub(super) async fn note_restartable(&self, record: &Record) -> Result<(), StepError> {
        if record.spec.persistence == Persistence::Disabled {
            return Ok(());
        }
        let mut found = Vec::new();
        for shard in record.layout.shards.iter().filter(|shard| !shard.lineage.restartable) {
            let Some(primary) = shard.lineage.primary else { continue };
            if self.0.runtime.data_bytes(primary).await? > 0 {
                found.push(primary);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let generation = record.generation;
        self.amend(record.id, Urgency::Normal, move |database| {
            let same = database.generation == generation;
            for primary in &found {
                let shard = database.layout.shard_of_mut(*primary).ok_or(StepError::Outdated)?;
                shard.lineage.restartable |= same && shard.lineage.primary == Some(*primary);
            }
            Ok(None)
        })
        .await
    }

    async fn record_lineage(&self, record: &Record, primary: ServerId) -> Result<(), StepError> {
        let replication_id = self.replication_id(primary);
        let restartable = record.spec.persistence != Persistence::Disabled
            && self.0.runtime.data_bytes(primary).await.is_ok_and(|bytes| bytes > 0);
        self.amend(record.id, Urgency::Normal, move |database| {
            let shard = database.layout.shard_of_mut(primary).ok_or(StepError::Outdated)?;
            if shard.lineage.primary != Some(primary) || shard.lineage.intent.is_some() {
                return Err(StepError::Outdated);
            }
            // Another history: whoever was in sync was so with the one before.
            if !shard.lineage.replication_id.is_empty() {
                shard.lineage.synced.clear();
            }
            shard.lineage.replication_id = replication_id;
            shard.lineage.restartable |= restartable;
            Ok(None)
        })
        .await
    }

    async fn follow_source(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let wanted = record.spec.replica_of.as_ref().ok_or(StepError::Outdated)?;
        let source = SyncSource {
            peer: Peer {
                node: None,
                host: wanted.host.clone(),
                port: wanted.port,
            },
            username: wanted.username.clone(),
            password: wanted.password.as_ref().map(|sealed| self.open(sealed)).transpose()?,
            tls: wanted.tls,
        };
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().follow_external(&source, deadline).await;
        kept.settle(outcome)?;
        let mut known = memory.lock();
        known.facts_at = None;
        known.source = Some(wanted.clone());
        Ok(())
    }

    /// Restarts a running server deliberately: it ends by itself and saves what its persistence asks for. The next pass starts it.
    async fn restart(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let is_primary = record
            .layout
            .shards
            .iter()
            .any(|shard| shard.lineage.primary == Some(server.id));
        if is_primary {
            self.set_route(record, pilothouse_planner::RouteWish::Held).await?;
        }
        memory.lock().end_asked = true;
        let asked = match self.session(record, server, &memory, deadline).await {
            Ok(mut kept) => {
                let outcome = kept.session().shutdown(deadline).await;
                kept.settle(outcome)
            }
            Err(error) => Err(error),
        };
        match asked {
            // The connection ends with the server: that is what was wanted.
            Ok(())
            | Err(EngineError {
                class: ErrorClass::Transient,
                ..
            }) => {}
            Err(error) => return Err(error.into()),
        }
        if self.0.runtime.wait_released(server.id, deadline).await.is_err() {
            self.end_processes(server.id).await?;
        }
        memory.lock().process_gone(pilothouse_model::ProcessState::Absent);
        Ok(())
    }

    async fn remove_server(&self, record: &Record, server: ServerId) -> Result<(), StepError> {
        self.erase_server(server).await?;
        let (id, now) = (record.id, self.now());
        self.transact(Urgency::Normal, move |transaction| {
            let Some(row) = transaction.view().get::<Database>(&id) else {
                return Ok(());
            };
            let mut database = row.record.as_ref().clone();
            for shard in &mut database.layout.shards {
                let leaving = shard.leaving;
                shard
                    .servers
                    .retain(|other| other.id != server || !(other.leaving || leaving));
                shard.lineage.synced.retain(|other| *other != server);
            }
            database
                .layout
                .shards
                .retain(|shard| !(shard.leaving && shard.servers.is_empty()));
            let message = format!("server {server} of {} was removed", database.name);
            transaction.append_event(
                now,
                about_server(&database, server, "server-removed", Severity::Info, message),
            );
            transaction.release_wire_ids(&Subject::Server(server));
            transaction.put(database);
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn declare_recovery(&self, record: &Record, why: &str) -> Result<(), StepError> {
        let why = why.to_owned();
        self.amend(record.id, Urgency::Failover, move |database| {
            database.needs_recovery = true;
            let message = format!("{} waits for recovery: {why}", database.name);
            Ok(Some(events::about(
                database,
                "recovery-needed",
                Severity::Critical,
                "reconcile",
                database.operation,
                message,
            )))
        })
        .await
    }

    async fn flush(&self, record: &Record, operation: Option<&Operation>) -> Result<(), StepError> {
        for shard in &record.layout.shards {
            let primary = shard.primary().ok_or(StepError::Outdated)?;
            let deadline = Instant::now() + STEP_TIMEOUT;
            let memory = self.0.memories.of(primary.id);
            let mut kept = self.session(record, primary, &memory, deadline).await?;
            let outcome = kept.session().flush(deadline).await;
            kept.settle(outcome)?;
        }
        fault::point("after-flush").await;
        if let Some(operation) = operation {
            self.finish_operation(record.id, operation.id, OperationResult::Succeeded)
                .await?;
        }
        Ok(())
    }
}

/// What the host lets a server of the database use.
pub(crate) fn limits(database: &Database) -> Limits {
    let data = database.spec.memory_bytes_per_server();
    // A snapshot may copy every page while writes go on: twice the data, and room to work.
    let memory_bytes = if data == 0 {
        0
    } else {
        data.saturating_mul(2).saturating_add(MEMORY_HEADROOM_BYTES)
    };
    Limits {
        memory_bytes,
        cpu_millis: 0,
        open_files: OPEN_FILES,
    }
}
