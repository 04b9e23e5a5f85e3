//! What the servers of a cluster are told together: who belongs to it, and who owns which slots.

use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, ErrorClass, Peer, PeerNode};
use pilothouse_model::{Database, Server, ServerId, Severity, ShardId, SlotSet};
use pilothouse_store::Urgency;

use super::act::STEP_TIMEOUT;
use super::{Record, StepError};
use crate::{Control, events, fault};

/// How long keys are moved before the pass ends and every server is looked at again: a primary that dies meanwhile is noticed then.
const MOVE_SLICE: Duration = Duration::from_millis(100);

impl Control {
    /// Introduces servers to each other.
    pub(super) async fn meet(&self, record: &Record, server: &Server, peers: &[ServerId]) -> Result<(), StepError> {
        let peers: Vec<Peer> = peers
            .iter()
            .filter_map(|peer| Some(self.peer(record, record.layout.server(*peer)?)))
            .collect();
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().meet(&peers, deadline).await;
        Ok(kept.settle(outcome)?)
    }

    /// Makes a server forget others that left.
    pub(super) async fn forget(&self, record: &Record, server: &Server, nodes: &[String]) -> Result<(), StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().forget(nodes, deadline).await;
        Ok(kept.settle(outcome)?)
    }

    /// Gives a primary slots that nobody owns.
    pub(super) async fn claim_slots(&self, record: &Record, server: &Server, slots: &SlotSet) -> Result<(), StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().claim_slots(slots, deadline).await;
        Ok(kept.settle(outcome)?)
    }

    /// Records which shard owns which slots. What it says of other shards stays.
    pub(super) async fn record_slots(&self, record: &Record, shares: &[(ShardId, SlotSet)]) -> Result<(), StepError> {
        let shares = shares.to_vec();
        self.amend(record.id, Urgency::Normal, move |database| {
            for (id, slots) in &shares {
                if let Some(shard) = database.layout.shards.iter_mut().find(|shard| shard.id == *id) {
                    shard.slots = slots.ranges();
                }
            }
            Ok(None)
        })
        .await
    }

    /// Moves slots with their keys, or a part of the keys: the next pass goes on. Every part can be repeated, by whoever comes after a
    /// crash: a slot on its way is seen at the servers, and the owner changes only when no key is left behind.
    pub(super) async fn move_slots(
        &self,
        record: &Record,
        from: &Server,
        to: &Server,
        slots: &[u16],
    ) -> Result<(), StepError> {
        match self.try_move(record, from, to, slots).await {
            // One of the two is gone or busy. Looking at it tells which, at once.
            Err(StepError::Engine(EngineError {
                class: ErrorClass::Transient,
                message,
            })) => {
                tracing::debug!(%message, "a move of slots was interrupted");
                Err(StepError::Interrupted)
            }
            other => other,
        }
    }

    async fn try_move(&self, record: &Record, from: &Server, to: &Server, slots: &[u16]) -> Result<(), StepError> {
        let giver = self.node_of(from.id)?;
        let taker = self.node_of(to.id)?;
        let deadline = Instant::now() + STEP_TIMEOUT;
        let (source, target) = (self.0.memories.of(from.id), self.0.memories.of(to.id));
        {
            let mut kept = self.session(record, to, &target, deadline).await?;
            let outcome = kept.session().import_slots(slots, &giver, deadline).await;
            kept.settle(outcome)?;
        }
        fault::point("slots-expected").await;
        {
            let mut kept = self.session(record, from, &source, deadline).await?;
            let outcome = kept.session().export_slots(slots, &taker, deadline).await;
            kept.settle(outcome)?;
        }
        fault::point("slots-leaving").await;
        let peer = self.peer(record, to);
        let left = {
            let mut kept = self.session(record, from, &source, deadline).await?;
            let until = Instant::now() + MOVE_SLICE;
            let outcome = kept.session().move_keys(slots, &peer, until, deadline).await;
            kept.settle(outcome)?
        };
        if left {
            return Ok(());
        }
        fault::point("slots-emptied").await;
        // The one that takes them first: were it the other way round, nobody would own them in between.
        for server in [to, from] {
            let memory = self.0.memories.of(server.id);
            let mut kept = self.session(record, server, &memory, deadline).await?;
            let outcome = kept.session().assign_slots(slots, &taker, deadline).await;
            kept.settle(outcome)?;
            fault::point("slots-assigned").await;
        }
        self.tell_others(record, &[from.id, to.id], slots, &taker).await;
        self.record_move(record, from.id, to.id, slots).await
    }

    /// The others hear of it from the two as well, a moment later.
    async fn tell_others(&self, record: &Record, told: &[ServerId], slots: &[u16], owner: &str) {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let others = record.layout.shards.iter().filter_map(|shard| shard.primary());
        let telling = others
            .filter(|server| !told.contains(&server.id))
            .map(|server| async move {
                let memory = self.0.memories.of(server.id);
                let mut kept = self.session(record, server, &memory, deadline).await?;
                let outcome = kept.session().assign_slots(slots, owner, deadline).await;
                kept.settle(outcome)
            });
        for outcome in futures_util::future::join_all(telling).await {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a server was not told who owns slots now");
            }
        }
    }

    async fn record_move(&self, record: &Record, from: ServerId, to: ServerId, slots: &[u16]) -> Result<(), StepError> {
        let moved: SlotSet = slots.iter().copied().collect();
        self.amend(record.id, Urgency::Normal, move |database| {
            let change = |database: &mut Database, server, change: &dyn Fn(&SlotSet) -> SlotSet| {
                let shard = database.layout.shard_of_mut(server).ok_or(StepError::Outdated)?;
                shard.slots = change(&shard.slots.iter().collect()).ranges();
                Ok::<(), StepError>(())
            };
            change(database, from, &|slots| slots.without(&moved))?;
            change(database, to, &|slots| slots.with(&moved))?;
            let message = format!("{} slots of {} moved from {from} to {to}", moved.len(), database.name);
            let mut event = events::about(
                database,
                "slots-moved",
                Severity::Info,
                "reconcile",
                database.operation,
                message,
            );
            event.facts = serde_json::json!({ "from": from, "to": to, "slots": moved.len() });
            Ok(Some(event))
        })
        .await
    }

    /// How siblings reach a server.
    pub(super) fn peer(&self, record: &Database, server: &Server) -> Peer {
        let port = if record.spec.encrypts_links() {
            server.ports.tls
        } else {
            server.ports.plain
        };
        if !record.spec.cluster {
            return Peer {
                host: self.0.settings.server_address.to_string(),
                port,
                node: None,
            };
        }
        Peer {
            host: record.spec.network.address.to_string(),
            port,
            node: Some(PeerNode {
                // Nobody needs the name of one that did not tell it yet: it is being introduced.
                name: self.node_of(server.id).unwrap_or_default(),
                bus_port: server.ports.bus,
            }),
        }
    }

    /// The name that a server has in its cluster, as it last said.
    fn node_of(&self, server: ServerId) -> Result<String, StepError> {
        let memory = self.0.memories.of(server);
        let known = memory.lock();
        known
            .cluster
            .as_ref()
            .map(|view| view.node.clone())
            .ok_or(StepError::Outdated)
    }
}
