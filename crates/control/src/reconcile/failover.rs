//! Promotion: intent, route closed, fence, drain, promote, outcome, route opened (design §8).
//!
//! Nothing is acknowledged to a client by the candidate before the outcome is durable, so an intent without an outcome can always be
//! given up: the old primary then still has every write that anybody was told of.

use std::time::{Duration, Instant};

use pilothouse_gateway_protocol::{Backend, Route, RouteState};
use pilothouse_model::{
    Database, FailoverIntent, ProcessState, ReplicationFacts, Server, ServerId, ServerRole, Severity, TlsMode,
};
use pilothouse_planner::{Access, FailOver, RouteWish};
use pilothouse_store::Urgency;

use super::record::about_server;
use super::{Record, StepError};
use crate::routes::allowed_sources;
use crate::{Control, fault};

/// Time between two looks at a candidate that is still reading.
const DRAIN_POLL: Duration = Duration::from_micros(500);
/// How long a graceful switch holds writes back at most.
const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the candidate may take to obey.
const PROMOTE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a killed process may take to be seen dead.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

impl Control {
    /// Makes the candidate the primary.
    pub(super) async fn carry_out_failover(&self, record: &Record, wanted: &FailOver) -> Result<(), StepError> {
        let started = Instant::now();
        let shard = record.layout.shard_of(wanted.candidate).ok_or(StepError::Outdated)?;
        let candidate = record.layout.server(wanted.candidate).ok_or(StepError::Outdated)?;
        let old = record.layout.server(wanted.old_primary).ok_or(StepError::Outdated)?;
        let epoch = shard.lineage.epoch + 1;
        let last_seen = self.0.memories.of(old.id).lock().replication.clone();
        // No write reaches the old primary through the gateway from here on; the intent is on disk before anything is commanded.
        let (held, intent) = tokio::join!(self.hold_route(record, old), self.commit_intent(record, wanted, epoch));
        held?;
        intent?;
        fault::point("failover-intent").await;
        let drained = if wanted.graceful {
            self.catch_up(record, old, candidate).await?
        } else {
            self.fence(old).await?;
            self.drain(record, candidate).await?
        };
        fault::point("failover-fenced").await;
        if record.spec.cluster {
            self.await_news_of_slots(record, candidate).await?;
        }
        let deadline = Instant::now() + PROMOTE_TIMEOUT;
        let memory = self.0.memories.of(candidate.id);
        let promoted = self.promote(record, candidate, deadline).await?;
        fault::point("failover-promoted").await;
        self.commit_outcome(record, wanted, epoch, &promoted, &drained, last_seen.as_ref(), started)
            .await?;
        fault::point("failover-outcome").await;
        {
            let mut known = memory.lock();
            known.replication = Some(promoted);
            known.facts_at = None;
        }
        self.apply_live(record, candidate, Access::Open).await?;
        // In a cluster the pass that follows leads connections to a primary that is open.
        if !record.spec.cluster {
            self.set_route_to(record, candidate).await?;
        }
        tracing::info!(name = %record.name, to = %candidate.id, took = ?started.elapsed(), reason = %wanted.reason, "failed over");
        Ok(())
    }

    async fn commit_intent(&self, record: &Record, wanted: &FailOver, epoch: u64) -> Result<(), StepError> {
        let intent = FailoverIntent {
            epoch,
            candidate: wanted.candidate,
            old_primary: Some(wanted.old_primary),
            reason: wanted.reason.clone(),
            at: self.now(),
        };
        self.amend(record.id, Urgency::Failover, move |database| {
            if database.deleted_at.is_some() {
                return Err(StepError::Outdated);
            }
            let shard = database
                .layout
                .shard_of_mut(intent.candidate)
                .ok_or(StepError::Outdated)?;
            let allowed = shard.lineage.epoch + 1 == epoch && shard.lineage.synced.contains(&intent.candidate);
            if !allowed {
                return Err(StepError::Outdated);
            }
            shard.lineage.intent = Some(intent);
            Ok(None)
        })
        .await
    }

    /// Makes sure that the old primary can accept no write any more: its process is dead.
    async fn fence(&self, old: &Server) -> Result<(), StepError> {
        let memory = self.0.memories.of(old.id);
        if !matches!(memory.lock().process, ProcessState::Running { .. }) {
            return Ok(());
        }
        self.0.runtime.kill(old.id, Instant::now() + KILL_TIMEOUT).await?;
        memory.lock().process_gone(ProcessState::Leftover);
        // What else of it lives is ended before it is started again; a promotion waits only for the main process.
        memory.lock().process = self.0.runtime.state(old.id);
        Ok(())
    }

    /// Waits until the candidate itself says that its link is down: only then has it read all that reached this machine.
    ///
    /// Bounded from its last progress, not from the death of the primary: a candidate that was stalled has everything still to read. A link
    /// that stays up without progress is held by a child of the dead primary.
    async fn drain(&self, record: &Record, candidate: &Server) -> Result<ReplicationFacts, StepError> {
        let mut seen = self.ask_candidate(record, candidate).await?;
        let mut moved = Instant::now();
        while seen.link_up == Some(true) && seen.role == ServerRole::Replica {
            if moved.elapsed() >= self.0.settings.drain_timeout {
                break;
            }
            tokio::time::sleep(DRAIN_POLL).await;
            let now = self.ask_candidate(record, candidate).await?;
            if now.offset != seen.offset {
                moved = Instant::now();
            }
            seen = now;
        }
        Ok(seen)
    }

    async fn ask_candidate(&self, record: &Record, candidate: &Server) -> Result<ReplicationFacts, StepError> {
        self.ask_replication(record, candidate, Instant::now() + PROMOTE_TIMEOUT)
            .await
    }

    async fn promote(
        &self,
        record: &Record,
        candidate: &Server,
        deadline: Instant,
    ) -> Result<ReplicationFacts, StepError> {
        let memory = self.0.memories.of(candidate.id);
        let mut kept = self.session(record, candidate, &memory, deadline).await?;
        let promoted = kept.session().promote(deadline).await;
        let outcome = match promoted {
            Ok(()) => kept.session().replication(deadline).await,
            Err(error) => Err(error),
        };
        Ok(kept.settle(outcome)?)
    }

    /// Holds writes of the living primary back and waits until the candidate has them all; then closes the old primary.
    async fn catch_up(&self, record: &Record, old: &Server, candidate: &Server) -> Result<ReplicationFacts, StepError> {
        let give_up = Instant::now() + GRACEFUL_TIMEOUT;
        let target = self.hold_writes(record, old, give_up).await?;
        let seen = loop {
            let seen = self.ask_replication(record, candidate, give_up).await?;
            if seen.offset >= target {
                break seen;
            }
            if Instant::now() >= give_up {
                self.let_writes_go(record, old, false).await?;
                self.abandon_intent(record, candidate.id).await?;
                return Err(StepError::Outdated);
            }
            tokio::time::sleep(DRAIN_POLL).await;
        };
        // Clients of the old primary are gone before the new one accepts anything.
        self.let_writes_go(record, old, true).await?;
        Ok(seen)
    }

    /// Holds writes back; returns how far the primary is from then on.
    async fn hold_writes(&self, record: &Record, old: &Server, deadline: Instant) -> Result<u64, StepError> {
        let millis = u64::try_from(GRACEFUL_TIMEOUT.as_millis()).unwrap_or(u64::MAX) * 2;
        let memory = self.0.memories.of(old.id);
        let mut kept = self.session(record, old, &memory, deadline).await?;
        let paused = kept.session().pause_writes(millis, deadline).await;
        let outcome = match paused {
            Ok(()) => kept.session().replication(deadline).await,
            Err(error) => Err(error),
        };
        Ok(kept.settle(outcome)?.offset)
    }

    /// Ends the holding back; with `close` the server lets nobody in first.
    async fn let_writes_go(&self, record: &Record, old: &Server, close: bool) -> Result<(), StepError> {
        let deadline = Instant::now() + PROMOTE_TIMEOUT;
        let memory = self.0.memories.of(old.id);
        let mut kept = self.session(record, old, &memory, deadline).await?;
        let mut outcome = Ok(());
        if close {
            outcome = kept.session().fence(deadline).await;
            memory.lock().applied = None;
        }
        if outcome.is_ok() {
            outcome = kept.session().resume_writes(deadline).await;
        }
        Ok(kept.settle(outcome)?)
    }

    pub(super) async fn ask_replication(
        &self,
        record: &Database,
        server: &Server,
        deadline: Instant,
    ) -> Result<ReplicationFacts, StepError> {
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().replication(deadline).await;
        Ok(kept.settle(outcome)?)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one event; a struct for them would be used once"
    )]
    async fn commit_outcome(
        &self,
        record: &Record,
        wanted: &FailOver,
        epoch: u64,
        promoted: &ReplicationFacts,
        drained: &ReplicationFacts,
        old_last_seen: Option<&ReplicationFacts>,
        started: Instant,
    ) -> Result<(), StepError> {
        let candidate = wanted.candidate;
        let old_primary = wanted.old_primary;
        let reason = wanted.reason.clone();
        let replication_id = promoted.replication_id.clone();
        let offset = drained.offset;
        let facts = serde_json::json!({
            "epoch": epoch,
            "from": old_primary,
            "to": candidate,
            "promoted_at_offset": offset,
            "old_primary_last_seen_offset": old_last_seen.map(|seen| seen.offset),
            "graceful": wanted.graceful,
            "took_ms": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        self.amend(record.id, Urgency::Failover, move |database| {
            take_over(database, candidate, epoch, replication_id, offset)?;
            let message = format!("{candidate} took over {} from {old_primary}: {reason}", database.name);
            let mut event = about_server(database, candidate, "failover-completed", Severity::Warning, message);
            event.facts = facts;
            Ok(Some(event))
        })
        .await
    }

    async fn abandon_intent(&self, record: &Record, candidate: ServerId) -> Result<(), StepError> {
        self.amend(record.id, Urgency::Failover, move |database| {
            if let Some(shard) = database.layout.shard_of_mut(candidate) {
                shard.lineage.intent = None;
            }
            Ok(None)
        })
        .await
    }

    /// Finishes or abandons a promotion whose outcome is not recorded.
    pub(super) async fn resolve_intent(
        &self,
        record: &Record,
        candidate: ServerId,
        promoted: bool,
    ) -> Result<(), StepError> {
        let intent = record
            .layout
            .shard_of(candidate)
            .and_then(|shard| shard.lineage.intent.clone())
            .ok_or(StepError::Outdated)?;
        let old_lives = intent
            .old_primary
            .is_some_and(|old| matches!(self.0.memories.of(old).lock().process, ProcessState::Running { .. }));
        // While the old primary lives it has every write that was acknowledged: the candidate follows it again.
        if !promoted || old_lives {
            return self.abandon_intent(record, candidate).await;
        }
        let seen = self
            .0
            .memories
            .of(intent.candidate)
            .lock()
            .replication
            .clone()
            .ok_or(StepError::Outdated)?;
        let epoch = intent.epoch;
        self.amend(record.id, Urgency::Failover, move |database| {
            take_over(database, candidate, epoch, seen.replication_id, seen.offset)?;
            let message = format!("{candidate} took over {}: finished after a restart", database.name);
            Ok(Some(about_server(
                database,
                candidate,
                "failover-completed",
                Severity::Warning,
                message,
            )))
        })
        .await
    }

    /// Holds connections that would go to the old primary. Clients of a cluster reach the others meanwhile.
    async fn hold_route(&self, record: &Record, old: &Server) -> Result<(), StepError> {
        let elsewhere = record.spec.cluster && !self.0.routes.is(&self.route_to(record, old));
        if elsewhere {
            return Ok(());
        }
        self.set_route(record, RouteWish::Held).await
    }

    fn route_to(&self, record: &Record, server: &Server) -> Route {
        self.route(record, RouteState::Open(self.backend(record, server)))
    }

    /// Sets the route of a database where the wish differs from what is set.
    pub(super) async fn set_route(&self, record: &Record, wish: RouteWish) -> Result<(), StepError> {
        let state = match wish {
            RouteWish::Open(server) => {
                let server = record.layout.server(server).ok_or(StepError::Outdated)?;
                RouteState::Open(self.backend(record, server))
            }
            RouteWish::Held => RouteState::Held,
            RouteWish::Closed => RouteState::Closed,
            RouteWish::Absent | RouteWish::Unchanged => return Ok(()),
        };
        self.send_route(record, state).await
    }

    async fn set_route_to(&self, record: &Record, server: &Server) -> Result<(), StepError> {
        let state = if record.spec.network.traffic_stopped {
            RouteState::Closed
        } else {
            RouteState::Open(self.backend(record, server))
        };
        self.send_route(record, state).await
    }

    async fn send_route(&self, record: &Record, state: RouteState) -> Result<(), StepError> {
        let route = self.route(record, state);
        if self.0.routes.is(&route) {
            return Ok(());
        }
        self.0.gateway.set(route.clone()).await?;
        self.0.routes.was_set(route);
        Ok(())
    }

    fn route(&self, record: &Record, state: RouteState) -> Route {
        Route {
            database: record.id,
            endpoint: record.endpoint(),
            state,
            source_allow: allowed_sources(&self.store().view(), record),
            max_connections: record.spec.network.max_connections,
        }
    }

    /// Where clients of the database reach a server: plain ones over the unix socket, which is cheaper than TCP on the same machine.
    pub(crate) fn backend(&self, database: &Database, server: &Server) -> Backend {
        match database.spec.network.tls {
            TlsMode::Disabled => {
                let root = self.0.runtime.directory(server.id);
                Backend::Unix(pilothouse_engine::ServerDirectory { root }.admin_socket())
            }
            TlsMode::Enabled => Backend::Tcp((self.0.settings.server_address, server.ports.tls).into()),
        }
    }
}

/// The candidate is the primary of a new epoch; nobody is in sync with it yet.
fn take_over(
    database: &mut Database,
    candidate: ServerId,
    epoch: u64,
    replication_id: String,
    offset: u64,
) -> Result<(), StepError> {
    let shard = database.layout.shard_of_mut(candidate).ok_or(StepError::Outdated)?;
    if shard.lineage.intent.as_ref().is_none_or(|intent| intent.epoch != epoch) {
        return Err(StepError::Outdated);
    }
    shard.lineage.epoch = epoch;
    shard.lineage.primary = Some(candidate);
    shard.lineage.replication_id = replication_id;
    shard.lineage.offset = offset;
    shard.lineage.synced.clear();
    shard.lineage.intent = None;
    database.topology_epoch += 1;
    Ok(())
}
