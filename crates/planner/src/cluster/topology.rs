//! Who knows whom, and who owns which slots.

use std::collections::{BTreeMap, BTreeSet};

use pilothouse_model::{ClusterFacts, Server, ServerId, ServerRole, Shard, SlotRange, SlotSet};

use super::balance::{Share, next_move};
use crate::plan::state;
use crate::{PlanInput, Step};

/// What the servers of a cluster need together.
pub(super) struct Together {
    pub(super) steps: Vec<Step>,
    /// Nothing is left to do: everybody knows everybody, every slot is where it shall be, and every primary takes commands.
    pub(super) whole: bool,
    pub(super) sentence: String,
}

impl Together {
    fn first(steps: Vec<Step>) -> Self {
        let sentence = steps.first().map_or_else(String::new, |step| format!("next: {step}"));
        Self {
            steps,
            whole: false,
            sentence,
        }
    }

    fn waits(why: &str) -> Self {
        Self {
            steps: Vec::new(),
            whole: false,
            sentence: why.to_owned(),
        }
    }
}

/// What the servers need together. Slots move only while every shard is as wanted: `shards_settled`.
pub(super) fn needs(input: &PlanInput<'_>, shards_settled: bool) -> Together {
    let cluster = Cluster::seen_in(input);
    let owners = cluster.owners();
    if !input.database.was_active {
        // Slots before siblings: what a server owns when it is introduced is known at once, and what it claims later spreads by and by. And
        // one that owns nothing within its first two seconds waits five more before it takes commands: these do not wait for each other.
        let claims = cluster.claims(&cluster.present_owners());
        if !claims.is_empty() {
            return Together::first(claims);
        }
        if owners.is_none() {
            return Together::waits("wait for every shard to have a primary");
        }
    }
    let mut steps = cluster.introductions();
    steps.extend(cluster.goodbyes());
    if let Some(owners) = &owners {
        steps.extend(cluster.claims(owners));
        steps.extend(cluster.records(owners));
        if steps.is_empty() {
            steps.extend(cluster.questions(owners));
        }
    }
    if !steps.is_empty() {
        return Together::first(steps);
    }
    let Some(owners) = owners else {
        return Together::waits("wait for every shard to have a primary");
    };
    if shards_settled && let Some(step) = cluster.open_move(&owners) {
        return Together::first(vec![step]);
    }
    if !cluster.is_complete() {
        return Together::waits("wait until the servers know each other and all slots");
    }
    if shards_settled && let Some(step) = cluster.next_move(&owners) {
        return Together::first(vec![step]);
    }
    let leaving = input.database.layout.shards.iter().any(|shard| shard.leaving);
    if leaving || !cluster.is_quiet() {
        return Together::waits("wait until slots have moved");
    }
    Together {
        steps: Vec::new(),
        whole: true,
        sentence: "all is as wanted".to_owned(),
    }
}

/// The primary of a shard and the slots that it says it owns.
struct Owner<'a> {
    shard: &'a Shard,
    server: ServerId,
    view: &'a ClusterFacts,
}

/// The layout, and how each of its servers sees the cluster.
struct Cluster<'a> {
    input: &'a PlanInput<'a>,
    servers: Vec<&'a Server>,
    views: BTreeMap<ServerId, &'a ClusterFacts>,
}

impl<'a> Cluster<'a> {
    fn seen_in(input: &'a PlanInput<'a>) -> Self {
        let servers: Vec<&Server> = input
            .database
            .layout
            .shards
            .iter()
            .filter(|shard| !(shard.leaving && shard.slots.is_empty()))
            .flat_map(|shard| &shard.servers)
            .filter(|server| !server.leaving)
            .collect();
        let views = servers
            .iter()
            .filter_map(|server| {
                let state = input.servers.get(&server.id).filter(|state| state.serves())?;
                Some((server.id, state.cluster.as_deref()?))
            })
            .collect();
        Self { input, servers, views }
    }

    fn port(&self, server: &Server) -> u16 {
        if self.input.database.spec.encrypts_links() {
            server.ports.tls
        } else {
            server.ports.plain
        }
    }

    /// Servers that do not know each other are introduced; those that are being introduced are left alone.
    fn introductions(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, one) in self.servers.iter().enumerate() {
            let Some(view) = self.views.get(&one.id) else { continue };
            let strangers: Vec<ServerId> = self
                .servers
                .iter()
                .skip(at + 1)
                .filter(|other| {
                    self.views.get(&other.id).is_some_and(|theirs| {
                        let known = knows(view, &theirs.node) && knows(theirs, &view.node);
                        let under_way = is_meeting(view, self.port(other)) || is_meeting(theirs, self.port(one));
                        !known && !under_way
                    })
                })
                .map(|other| other.id)
                .collect();
            if !strangers.is_empty() {
                steps.push(Step::Meet {
                    server: one.id,
                    peers: strangers,
                });
            }
        }
        steps
    }

    /// A server that knows its siblings and not yet what they own asks once more: otherwise the word comes with the next of their regular
    /// messages, up to seconds later.
    fn questions(&self, owners: &[Owner<'_>]) -> Vec<Step> {
        let asks = |view: &ClusterFacts| -> Vec<ServerId> {
            let everything: SlotSet = [SlotRange::ALL].iter().collect();
            let missing = everything.without(&seen_by(view));
            let helpful = |owner: &&Owner<'_>| {
                let port = self
                    .servers
                    .iter()
                    .find(|server| server.id == owner.server)
                    .map(|server| self.port(server));
                knows(view, &owner.view.node)
                    && !missing.common(&owner.view.slots).is_empty()
                    && port.is_some_and(|port| !is_meeting(view, port))
            };
            owners.iter().filter(helpful).map(|owner| owner.server).collect()
        };
        self.views
            .iter()
            .map(|(server, view)| (*server, asks(view)))
            .filter(|(_, peers)| !peers.is_empty())
            .map(|(server, peers)| Step::Meet { server, peers })
            .collect()
    }

    /// Servers that are in the layout no more are forgotten. Judged only when every server of the layout was asked for its name.
    fn goodbyes(&self) -> Vec<Step> {
        if self.views.len() < self.servers.len() {
            return Vec::new();
        }
        let ours: BTreeSet<&str> = self.views.values().map(|view| view.node.as_str()).collect();
        let strangers = |view: &ClusterFacts| -> Vec<String> {
            let strange = view
                .peers
                .iter()
                .filter(|peer| !peer.handshake && !ours.contains(peer.node.as_str()));
            strange.map(|peer| peer.node.clone()).collect()
        };
        self.views
            .iter()
            .map(|(server, view)| (*server, strangers(view)))
            .filter(|(_, nodes)| !nodes.is_empty())
            .map(|(server, nodes)| Step::Forget { server, nodes })
            .collect()
    }

    /// The primaries that are there.
    fn present_owners(&self) -> Vec<Owner<'a>> {
        self.every_owner().flatten().collect()
    }

    /// The primary of every shard; `None` while one of them is missing or not what it shall be.
    fn owners(&self) -> Option<Vec<Owner<'a>>> {
        self.every_owner().collect()
    }

    fn every_owner(&self) -> impl Iterator<Item = Option<Owner<'a>>> {
        let input = self.input;
        let shards = input.database.layout.shards.iter();
        shards
            .filter(|shard| !(shard.leaving && shard.slots.is_empty()))
            .map(|shard| {
                let server = shard.lineage.primary?;
                let view = self.views.get(&server).copied()?;
                let leads = state(input, server)
                    .replication
                    .is_some_and(|replication| replication.role == ServerRole::Primary);
                leads.then_some(Owner { shard, server, view })
            })
    }

    /// Slots that no primary says are its own go to the shard that the layout gives them, but for those that are on their way: their keys
    /// may be where they go.
    fn claims(&self, owners: &[Owner<'_>]) -> Vec<Step> {
        let mut owned = SlotSet::new();
        for owner in owners {
            let on_their_way: SlotSet = owner.shard.importing.iter().collect();
            owned = owned.with(&owner.view.slots).with(&on_their_way);
        }
        owners
            .iter()
            .map(|owner| (owner.server, planned(owner.shard).without(&owned)))
            .filter(|(_, missing)| !missing.is_empty())
            .map(|(server, slots)| Step::ClaimSlots { server, slots })
            .collect()
    }

    /// Slots that moved without a record, because we were gone at that moment, are recorded where they are.
    fn records(&self, owners: &[Owner<'_>]) -> Vec<Step> {
        let mut owned = SlotSet::new();
        for owner in owners {
            owned = owned.with(&owner.view.slots);
        }
        let shares: Vec<_> = owners
            .iter()
            .map(|owner| {
                (
                    owner.shard,
                    owner.view.slots.with(&planned(owner.shard).without(&owned)),
                )
            })
            .collect();
        // Two that claim the same slot have not heard of each other's news yet.
        let disputed = shares.iter().map(|(_, slots)| slots.len()).sum::<u16>() > all(&shares).len();
        if disputed || shares.iter().all(|(shard, slots)| planned(shard) == *slots) {
            return Vec::new();
        }
        let slots = shares.into_iter().map(|(shard, slots)| (shard.id, slots)).collect();
        vec![Step::RecordSlots(slots)]
    }

    /// Everybody was asked, knows everybody else and who owns each slot, and every primary takes commands.
    fn is_complete(&self) -> bool {
        let count = self.servers.len();
        self.views.len() == count
            && self.views.values().all(|view| {
                let linked = view.peers.iter().filter(|peer| !peer.handshake && peer.linked).count();
                view.serves && linked + 1 == count && seen_by(view).len() == SlotSet::COUNT
            })
    }

    /// No slot is on its way.
    fn is_quiet(&self) -> bool {
        self.views
            .values()
            .all(|view| view.migrating.is_empty() && view.importing.is_empty())
    }

    /// A move that was begun is brought to its end first.
    fn open_move(&self, owners: &[Owner<'_>]) -> Option<Step> {
        for owner in owners {
            let recorded: SlotSet = owner.shard.importing.iter().collect();
            let pending = recorded.without(&owner.view.slots);
            let giver = owners
                .iter()
                .find(|giver| giver.server != owner.server && !planned(giver.shard).common(&pending).is_empty());
            if let Some(giver) = giver {
                return Some(Step::MoveSlots {
                    from: giver.server,
                    to: owner.server,
                    slots: planned(giver.shard).common(&pending).iter().collect(),
                });
            }
        }
        let server_of = |node: &str| self.views.iter().find(|(_, view)| view.node == node).map(|(id, _)| *id);
        for (server, view) in &self.views {
            if let Some((_, node)) = view.migrating.first()
                && let Some(to) = server_of(node)
            {
                return Some(Step::MoveSlots {
                    from: *server,
                    to,
                    slots: on_the_way(&view.migrating, node),
                });
            }
            if let Some((_, node)) = view.importing.first()
                && let Some(from) = server_of(node)
            {
                return Some(Step::MoveSlots {
                    from,
                    to: *server,
                    slots: on_the_way(&view.importing, node),
                });
            }
        }
        None
    }

    fn next_move(&self, owners: &[Owner<'_>]) -> Option<Step> {
        let shares: Vec<Share> = owners
            .iter()
            .map(|owner| Share {
                slots: owner.view.slots.clone(),
                leaving: owner.shard.leaving,
            })
            .collect();
        let next = next_move(&shares)?;
        Some(Step::MoveSlots {
            from: owners.get(next.from)?.server,
            to: owners.get(next.to)?.server,
            slots: next.slots,
        })
    }
}

fn planned(shard: &Shard) -> SlotSet {
    shard.slots.iter().collect()
}

fn all(shares: &[(&Shard, SlotSet)]) -> SlotSet {
    shares.iter().fold(SlotSet::new(), |sum, (_, slots)| sum.with(slots))
}

/// Every slot of which the server knows an owner.
fn seen_by(view: &ClusterFacts) -> SlotSet {
    view.peers
        .iter()
        .filter(|peer| !peer.handshake)
        .fold(view.slots.clone(), |sum, peer| sum.with(&peer.slots))
}

fn knows(view: &ClusterFacts, node: &str) -> bool {
    view.peers.iter().any(|peer| peer.node == node && !peer.handshake)
}

fn is_meeting(view: &ClusterFacts, port: u16) -> bool {
    view.peers.iter().any(|peer| peer.handshake && peer.port == port)
}

fn on_the_way(slots: &[(u16, String)], with: &str) -> Vec<u16> {
    slots
        .iter()
        .filter(|(_, node)| node == with)
        .map(|(slot, _)| *slot)
        .collect()
}
