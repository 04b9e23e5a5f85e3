//! What the servers of a cluster are told together: who belongs to it, and who owns which slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, ErrorClass, HandOver, Peer, PeerNode};
use pilothouse_model::{ClusterFacts, ClusterPeer, Database, Server, ServerId, Severity, ShardId, SlotSet};
use pilothouse_store::Urgency;

use super::act::STEP_TIMEOUT;
use super::{Record, StepError};
use crate::memory::ServerMemory;
use crate::{Control, events, fault};

/// How long keys are moved before the pass ends and every server is looked at again: a primary that dies meanwhile is noticed then.
const MOVE_SLICE: Duration = Duration::from_millis(100);

/// How long the word of a move may take to reach a replica.
const NEWS_TIMEOUT: Duration = Duration::from_secs(1);
/// Time between two looks whether it did.
const NEWS_POLL: Duration = Duration::from_millis(1);

/// Two primaries between which slots move, as they were last seen.
struct Road<'a> {
    from: &'a Server,
    to: &'a Server,
    giver_memory: Arc<ServerMemory>,
    taker_memory: Arc<ServerMemory>,
    /// Their names in the cluster.
    giver: String,
    taker: String,
    /// How the giver reaches the taker.
    peer: Peer,
    /// What the giver owns.
    owned: SlotSet,
    /// Of these, what is served by both already.
    moving: SlotSet,
}

/// What has arrived is not on its way any more.
fn arrived(database: &mut Database) {
    for shard in &mut database.layout.shards {
        let slots: SlotSet = shard.slots.iter().collect();
        let importing: SlotSet = shard.importing.iter().collect();
        shard.importing = importing.without(&slots).ranges();
    }
}

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

    /// Gives a primary slots that nobody owns. Where others still believe that somebody does, its claim is made newer than what they know.
    pub(super) async fn claim_slots(&self, record: &Record, server: &Server, slots: &SlotSet) -> Result<(), StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let memory = self.0.memories.of(server.id);
        let view = memory.lock().cluster.clone().ok_or(StepError::Outdated)?;
        let believed = view.peers.iter().find(|peer| !peer.slots.common(slots).is_empty());
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = match believed {
            None => kept.session().claim_slots(slots, deadline).await,
            Some(other) => {
                let slots: Vec<u16> = slots.iter().collect();
                let prepared = kept.session().import_slots(&slots, &other.node, deadline).await;
                match prepared {
                    Ok(()) => kept.session().assign_slots(&slots, &view.node, deadline).await,
                    Err(error) => Err(error),
                }
            }
        };
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
            arrived(database);
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
        let road = self.road(record, from, to)?;
        self.record_departure(record, to.id, slots).await?;
        fault::point("slots-recorded").await;
        let deadline = Instant::now() + STEP_TIMEOUT;
        {
            let mut kept = self.session(record, to, &road.taker_memory, deadline).await?;
            let outcome = kept.session().import_slots(slots, &road.giver, deadline).await;
            kept.settle(outcome)?;
        }
        fault::point("slots-expected").await;
        let until = Instant::now() + MOVE_SLICE;
        // Those that neither owns were handed over and not taken: they have no keys where they come from.
        let together = |slot: &u16| road.owned.contains(*slot) && !road.moving.contains(*slot);
        let (small, mut large): (Vec<u16>, Vec<u16>) = slots.iter().partition(|slot| together(slot));
        let mut moved = Vec::new();
        let mut waiting = small.as_slice();
        while !waiting.is_empty() && Instant::now() < until {
            let outcomes = self.hand_over(record, &road, waiting).await?;
            for (slot, outcome) in waiting.iter().zip(&outcomes) {
                match outcome {
                    HandOver::Done => moved.push(*slot),
                    HandOver::Large => large.push(*slot),
                }
            }
            waiting = waiting.get(outcomes.len().max(1)..).unwrap_or_default();
        }
        if !large.is_empty() && self.move_large(record, &road, &large, until).await? {
            moved.extend(large);
        }
        self.tell_others(record, &[from.id, to.id], &moved, &road.taker).await;
        self.record_move(record, from.id, to.id, &moved).await
    }

    fn road<'a>(&self, record: &Record, from: &'a Server, to: &'a Server) -> Result<Road<'a>, StepError> {
        let (giver_memory, taker_memory) = (self.0.memories.of(from.id), self.0.memories.of(to.id));
        let view = giver_memory.lock().cluster.clone().ok_or(StepError::Outdated)?;
        Ok(Road {
            giver: view.node.clone(),
            taker: self.node_of(to.id)?,
            peer: self.peer(record, to),
            owned: view.slots.clone(),
            moving: view.migrating.iter().map(|(slot, _)| *slot).collect(),
            from,
            to,
            giver_memory,
            taker_memory,
        })
    }

    /// Small slots go with their keys, each in one go. Between the two commands nobody owns them, and the record says where they went.
    async fn hand_over(&self, record: &Record, road: &Road<'_>, slots: &[u16]) -> Result<Vec<HandOver>, StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let outcomes = {
            let mut kept = self.session(record, road.from, &road.giver_memory, deadline).await?;
            let outcome = kept.session().hand_over(slots, &road.peer, deadline).await;
            kept.settle(outcome)?
        };
        let done = slots
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == HandOver::Done);
        let gone: Vec<u16> = done.map(|(slot, _)| *slot).collect();
        if !gone.is_empty() {
            fault::point("slots-handed-over").await;
            let mut kept = self.session(record, road.to, &road.taker_memory, deadline).await?;
            let taken = kept.session().take_slots(&gone, &road.taker, deadline).await;
            kept.settle(taken)?;
        }
        Ok(outcomes)
    }

    /// A large slot is served by both while its keys move. Returns whether all have moved.
    async fn move_large(
        &self,
        record: &Record,
        road: &Road<'_>,
        slots: &[u16],
        until: Instant,
    ) -> Result<bool, StepError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let owned: Vec<u16> = slots
            .iter()
            .copied()
            .filter(|slot| road.owned.contains(*slot))
            .collect();
        if !owned.is_empty() {
            let mut kept = self.session(record, road.from, &road.giver_memory, deadline).await?;
            let outcome = kept.session().export_slots(&owned, &road.taker, deadline).await;
            kept.settle(outcome)?;
            fault::point("slots-leaving").await;
            let mut kept = self.session(record, road.from, &road.giver_memory, deadline).await?;
            // At least some keys, however long the small ones took.
            let until = until.max(Instant::now() + MOVE_SLICE / 4);
            let outcome = kept.session().move_keys(&owned, &road.peer, until, deadline).await;
            if kept.settle(outcome)? {
                return Ok(false);
            }
        }
        fault::point("slots-emptied").await;
        // The one that takes them first: were it the other way round, nobody would own them in between.
        for (server, memory) in [(road.to, &road.taker_memory), (road.from, &road.giver_memory)] {
            let mut kept = self.session(record, server, memory, deadline).await?;
            let outcome = kept.session().assign_slots(slots, &road.taker, deadline).await;
            kept.settle(outcome)?;
            fault::point("slots-assigned").await;
        }
        Ok(true)
    }

    /// Says in the record where slots go, before they leave.
    async fn record_departure(&self, record: &Record, to: ServerId, slots: &[u16]) -> Result<(), StepError> {
        let leaving: SlotSet = slots.iter().copied().collect();
        let shard = record.layout.shard_of(to).ok_or(StepError::Outdated)?;
        let known: SlotSet = shard.importing.iter().collect();
        if leaving.without(&known).is_empty() {
            return Ok(());
        }
        self.amend(record.id, Urgency::Normal, move |database| {
            let shard = database.layout.shard_of_mut(to).ok_or(StepError::Outdated)?;
            let known: SlotSet = shard.importing.iter().collect();
            shard.importing = known.with(&leaving).ranges();
            Ok(None)
        })
        .await
    }

    /// Waits until the candidate believes of no slot that its primary has it while another primary owns it: with its promotion it would take
    /// the slot back, and the owner would remove the keys. Whoever takes slots over tells everybody; this waits for the word to arrive.
    pub(super) async fn await_news_of_slots(&self, record: &Record, candidate: &Server) -> Result<(), StepError> {
        let give_up = Instant::now() + NEWS_TIMEOUT;
        let primaries = record.layout.shards.iter().filter_map(|shard| shard.primary());
        let others = primaries.filter(|primary| {
            let shard = record.layout.shard_of(candidate.id).map(|shard| shard.id);
            record.layout.shard_of(primary.id).map(|shard| shard.id) != shard
        });
        let asked = others.map(|server| self.view_of(record, server, give_up));
        let mut owned = SlotSet::new();
        // One that does not answer is dead or hung: nobody knows what it owns.
        for view in futures_util::future::join_all(asked).await.into_iter().flatten() {
            owned = owned.with(&view.slots);
        }
        loop {
            let view = self.view_of(record, candidate, give_up).await?;
            let own = |peer: &&ClusterPeer| view.primary.as_ref() == Some(&peer.node);
            let believed = view.peers.iter().find(own).map(|peer| peer.slots.clone());
            if believed.unwrap_or_default().common(&owned).is_empty() {
                return Ok(());
            }
            if Instant::now() >= give_up {
                return Err(StepError::Interrupted);
            }
            tokio::time::sleep(NEWS_POLL).await;
        }
    }

    async fn view_of(&self, record: &Record, server: &Server, deadline: Instant) -> Result<ClusterFacts, StepError> {
        let memory = self.0.memories.of(server.id);
        let mut kept = self.session(record, server, &memory, deadline).await?;
        let outcome = kept.session().cluster(deadline).await;
        Ok(kept.settle(outcome)?)
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
        if slots.is_empty() {
            return Ok(());
        }
        let moved: SlotSet = slots.iter().copied().collect();
        self.amend(record.id, Urgency::Normal, move |database| {
            let change = |database: &mut Database, server, change: &dyn Fn(&SlotSet) -> SlotSet| {
                let shard = database.layout.shard_of_mut(server).ok_or(StepError::Outdated)?;
                shard.slots = change(&shard.slots.iter().collect()).ranges();
                Ok::<(), StepError>(())
            };
            change(database, from, &|slots| slots.without(&moved))?;
            change(database, to, &|slots| slots.with(&moved))?;
            arrived(database);
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
