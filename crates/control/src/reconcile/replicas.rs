//! Replicas: whom they follow, and whether they may take over.

use std::time::{Duration, Instant};

use pilothouse_model::{ReplicationFacts, Server, ServerId, ServerRole, Severity};
use pilothouse_store::Urgency;

use super::act::STEP_TIMEOUT;
use super::record::about_server;
use super::{Record, StepError};
use crate::Control;

/// How long a replica may take to show that it gets what the primary writes, before the pass goes on and comes back.
const FEED_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a replica stands still before its link is made anew.
const STANDSTILL: Duration = Duration::from_millis(15);
/// Time between two looks at a replica that is expected to move.
const FEED_POLL: Duration = Duration::from_micros(500);

impl Control {
    /// Makes the replica follow the primary.
    pub(super) async fn attach(&self, record: &Record, replica: &Server, primary: &Server) -> Result<(), StepError> {
        let peer = self.peer(record, primary);
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(replica.id);
        let mut kept = self.session(record, replica, &memory, deadline).await?;
        let outcome = kept.session().attach(&peer, deadline).await;
        kept.settle(outcome)?;
        memory.lock().facts_at = None;
        Ok(())
    }

    /// Makes sure that the replica gets what the primary writes from now on, and records it.
    ///
    /// A link that is up does not say so: after a full sync a primary holds its stream back until it heard of the replica, up to a second
    /// later, while both sides already call the replica online. Who took it at its word would promote a copy without those writes.
    pub(super) async fn confirm_synced(&self, record: &Record, replica: &Server) -> Result<(), StepError> {
        let shard = record.layout.shard_of(replica.id);
        let primary = shard.and_then(pilothouse_model::Shard::primary);
        let primary = primary.ok_or(StepError::Outdated)?;
        let give_up = Instant::now() + FEED_TIMEOUT;
        let mark = self.mark_stream(record, primary).await?;
        let mut seen = self.ask_follower(record, replica).await?;
        let mut moved = Instant::now();
        let mut relinked = false;
        while seen.offset < mark {
            if Instant::now() >= give_up {
                return Err(StepError::NotFed(replica.id));
            }
            let stands = moved.elapsed() >= STANDSTILL;
            if stands && !relinked && self.ask_replication(record, primary, give_up).await?.online_replicas > 0 {
                self.relink(record, replica).await?;
                relinked = true;
            }
            tokio::time::sleep(FEED_POLL).await;
            let now = self.ask_follower(record, replica).await?;
            if now.offset != seen.offset {
                moved = Instant::now();
            }
            seen = now;
        }
        self.mark_synced(record, replica.id, true).await
    }

    async fn mark_stream(&self, record: &Record, primary: &Server) -> Result<u64, StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(primary.id);
        let mut kept = self.session(record, primary, &memory, deadline).await?;
        let outcome = kept.session().mark_stream(deadline).await;
        Ok(kept.settle(outcome)?)
    }

    async fn relink(&self, record: &Record, replica: &Server) -> Result<(), StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(replica.id);
        let mut kept = self.session(record, replica, &memory, deadline).await?;
        let outcome = kept.session().relink(deadline).await;
        Ok(kept.settle(outcome)?)
    }

    /// What a server says that must be following; another answer is the business of the next pass.
    async fn ask_follower(&self, record: &Record, replica: &Server) -> Result<ReplicationFacts, StepError> {
        let seen = self
            .ask_replication(record, replica, Instant::now() + STEP_TIMEOUT)
            .await?;
        if seen.role == ServerRole::Replica && !seen.syncing {
            return Ok(seen);
        }
        self.0.memories.of(replica.id).lock().replication = Some(seen);
        Err(StepError::Outdated)
    }

    /// Records whether the replica has all that the primary acknowledges: only then may it take over.
    pub(super) async fn mark_synced(&self, record: &Record, replica: ServerId, synced: bool) -> Result<(), StepError> {
        let epoch = record.layout.shard_of(replica).map(|shard| shard.lineage.epoch);
        self.amend(record.id, Urgency::Normal, move |database| {
            let name = database.name.clone();
            let shard = database.layout.shard_of_mut(replica).ok_or(StepError::Outdated)?;
            if Some(shard.lineage.epoch) != epoch || shard.lineage.primary == Some(replica) {
                return Err(StepError::Outdated);
            }
            shard.lineage.synced.retain(|id| *id != replica);
            let (kind, severity, message) = if synced {
                shard.lineage.synced.push(replica);
                (
                    "replica-in-sync",
                    Severity::Info,
                    format!("replica {replica} of {name} is in sync"),
                )
            } else {
                (
                    "replica-lost",
                    Severity::Warning,
                    format!("replica {replica} of {name} is out of sync"),
                )
            };
            Ok(Some(about_server(database, replica, kind, severity, message)))
        })
        .await
    }
}
