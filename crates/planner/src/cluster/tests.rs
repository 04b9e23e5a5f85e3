//! Tables: what is seen of a cluster, and what is decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use pilothouse_model::{
    ClusterFacts, ClusterPeer, Database, Layout, Lineage, ServerId, Shard, ShardId, SlotRange, SlotSet, Timestamp,
};

use crate::tests::{database, follows, leads, running, server};
use crate::{Applied, Plan, PlanInput, Policy, RouteWish, ServerState, Step, plan};

const VIEWED_AT: Timestamp = Timestamp::from_millis(1_000_000);

const fn id(shard: u8, number: u8) -> ServerId {
    ServerId::from_bytes([shard * 16 + number; 16])
}

fn port(server: ServerId) -> u16 {
    20_000 + u16::from(server.as_bytes()[0])
}

fn node(server: ServerId) -> String {
    format!("node-{}", port(server))
}

/// A cluster that is as wanted, with a replica for each shard. Tests change one thing.
struct Scene {
    database: Database,
    servers: BTreeMap<ServerId, ServerState>,
    operation: Option<pilothouse_model::Operation>,
}

impl Scene {
    fn settled(shards: u8) -> Self {
        let mut database = database();
        let cuts = SlotSet::split_evenly(shards.into());
        database.spec.cluster = true;
        database.spec.shards = shards.into();
        database.layout = Layout {
            shards: (0..shards)
                .zip(&cuts)
                .map(|(number, slots)| shard(number, Some(*slots)))
                .collect(),
        };
        let mut scene = Self {
            database,
            servers: BTreeMap::new(),
            operation: None,
        };
        scene.look();
        scene
    }

    /// Every server sees the layout as it stands.
    fn look(&mut self) {
        let shards = &self.database.layout.shards;
        let mut seen = BTreeMap::new();
        for shard in shards {
            let primary = shard.lineage.primary.expect("a primary");
            for server in &shard.servers {
                let leads_it = server.id == primary;
                let slots: SlotSet = shard.slots.iter().filter(|_| leads_it).collect();
                let view = ClusterFacts {
                    node: node(server.id),
                    primary: Some(primary).filter(|_| !leads_it).map(node),
                    serves: true,
                    epoch: 1,
                    slots,
                    migrating: Vec::new(),
                    importing: Vec::new(),
                    peers: peers_of(shards, server.id),
                };
                let replication = if leads_it { leads() } else { follows(port(primary)) };
                let state = ServerState {
                    applied: Applied::Open,
                    replication: Some(replication),
                    cluster: Some(Arc::new(view)),
                    ..running()
                };
                seen.insert(server.id, state);
            }
        }
        self.servers = seen;
    }

    fn view(&mut self, server: ServerId) -> &mut ClusterFacts {
        let state = self.servers.get_mut(&server).expect("a server of the scene");
        Arc::make_mut(state.cluster.as_mut().expect("it answers"))
    }

    fn plan(&self) -> Plan {
        plan(&PlanInput {
            database: &self.database,
            operation: self.operation.as_ref(),
            servers: &self.servers,
            now: VIEWED_AT,
            policy: &Policy::default(),
        })
    }
}

fn shard(number: u8, slots: Option<SlotRange>) -> Shard {
    let (primary, replica) = (id(number, 1), id(number, 2));
    Shard {
        id: ShardId::from_bytes([number; 16]),
        slots: slots.into_iter().collect(),
        servers: vec![server(primary, port(primary)), server(replica, port(replica))],
        lineage: Lineage {
            epoch: 1,
            primary: Some(primary),
            replication_id: "history".to_owned(),
            synced: vec![replica],
            ..Lineage::default()
        },
        leaving: false,
        importing: Vec::new(),
    }
}

fn peers_of(shards: &[Shard], but: ServerId) -> Vec<ClusterPeer> {
    let all = shards
        .iter()
        .flat_map(|shard| shard.servers.iter().map(move |server| (shard, server)));
    all.filter(|(_, server)| server.id != but)
        .map(|(shard, server)| {
            let primary = shard.lineage.primary.filter(|primary| *primary != server.id);
            ClusterPeer {
                node: node(server.id),
                port: port(server.id),
                handshake: false,
                linked: true,
                slots: shard.slots.iter().filter(|_| primary.is_none()).collect(),
                primary: primary.map(node),
            }
        })
        .collect()
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    for shards in [1, 2, 3] {
        let plan = Scene::settled(shards).plan();
        assert_eq!(plan.steps, []);
        assert!(plan.settled, "{plan:?}");
        assert_eq!(plan.route, RouteWish::Open(id(0, 1)));
    }
}

#[test]
fn strangers_are_introduced_once() {
    let mut scene = Scene::settled(2);
    let (one, other) = (id(0, 1), id(1, 1));
    scene.view(one).peers.retain(|peer| peer.node != node(other));
    scene.view(other).peers.retain(|peer| peer.node != node(one));
    let plan = scene.plan();
    let meet = Step::Meet {
        server: one,
        peers: vec![other],
    };
    assert_eq!(plan.steps, [meet]);
    // Their names are not known while they shake hands: the port tells who it is.
    scene.view(one).peers.push(ClusterPeer {
        node: "not known yet".to_owned(),
        port: port(other),
        handshake: true,
        linked: false,
        primary: None,
        slots: SlotSet::new(),
    });
    let plan = scene.plan();
    assert!(plan.steps.is_empty() && !plan.settled, "{plan:?}");
}

#[test]
fn a_new_cluster_owns_its_slots_before_its_servers_meet() {
    let mut scene = Scene::settled(2);
    scene.database.was_active = false;
    scene.database.created_at = VIEWED_AT;
    for server in [id(0, 1), id(0, 2), id(1, 1), id(1, 2)] {
        let view = scene.view(server);
        (view.slots, view.peers) = (SlotSet::new(), Vec::new());
    }
    let steps = scene.plan().steps;
    let claims = steps.iter().filter(|step| matches!(step, Step::ClaimSlots { .. }));
    assert_eq!(claims.count(), 2, "{steps:?}");
    assert!(!steps.iter().any(|step| matches!(step, Step::Meet { .. })), "{steps:?}");
}

#[test]
fn who_does_not_know_what_a_sibling_owns_asks_it() {
    let mut scene = Scene::settled(2);
    let (asker, owner) = (id(0, 2), id(1, 1));
    for peer in &mut scene.view(asker).peers {
        if peer.node == node(owner) {
            peer.slots = SlotSet::new();
        }
    }
    let ask = Step::Meet {
        server: asker,
        peers: vec![owner],
    };
    assert_eq!(scene.plan().steps, [ask]);
}

#[test]
fn who_left_is_forgotten_and_who_is_away_is_not() {
    let mut scene = Scene::settled(2);
    let gone = ClusterPeer {
        node: "gone".to_owned(),
        ..scene.view(id(0, 1)).peers[0].clone()
    };
    scene.view(id(0, 1)).peers.push(gone);
    let forget = Step::Forget {
        server: id(0, 1),
        nodes: vec!["gone".to_owned()],
    };
    assert_eq!(scene.plan().steps, [forget]);
    // Nobody asked this one for its name: it may be the one that seems gone.
    scene.servers.get_mut(&id(1, 2)).expect("it is there").cluster = None;
    assert!(
        !scene
            .plan()
            .steps
            .iter()
            .any(|step| matches!(step, Step::Forget { .. }))
    );
}

#[test]
fn slots_that_nobody_owns_go_where_the_layout_says() {
    let mut scene = Scene::settled(2);
    let lost: SlotSet = (0..10).collect();
    for server in [id(0, 1), id(0, 2), id(1, 1), id(1, 2)] {
        let view = scene.view(server);
        view.slots = view.slots.without(&lost);
        for peer in &mut view.peers {
            peer.slots = peer.slots.without(&lost);
        }
    }
    let claim = Step::ClaimSlots {
        server: id(0, 1),
        slots: lost,
    };
    assert_eq!(scene.plan().steps, [claim]);
}

#[test]
fn a_move_without_a_record_is_recorded() {
    let mut scene = Scene::settled(2);
    scene.view(id(0, 1)).slots.remove(7);
    scene.view(id(1, 1)).slots.insert(7);
    let plan = scene.plan();
    let [Step::RecordSlots(shares)] = plan.steps.as_slice() else {
        panic!("another step: {plan:?}");
    };
    assert!(!shares[0].1.contains(7) && shares[1].1.contains(7));
    // As long as the one that gave it has not heard of it, both claim it.
    scene.view(id(0, 1)).slots.insert(7);
    assert_eq!(scene.plan().steps, []);
}

#[test]
fn slots_go_to_a_shard_that_was_added_and_from_one_that_leaves() {
    let mut scene = Scene::settled(2);
    scene.database.layout.shards.push(shard(2, None));
    scene.look();
    let plan = scene.plan();
    let [Step::MoveSlots { from, to, slots }] = plan.steps.as_slice() else {
        panic!("another step: {plan:?}");
    };
    assert_eq!((*from, *to, slots.len()), (id(1, 1), id(2, 1), super::balance::AT_ONCE));

    let mut scene = Scene::settled(2);
    scene.database.layout.shards[1].leaving = true;
    let plan = scene.plan();
    assert!(
        matches!(plan.steps.as_slice(), [Step::MoveSlots { from, to, .. }] if (*from, *to) == (id(1, 1), id(0, 1)))
    );
    // Empty at last: its servers go, and only then is the change done.
    scene.database.layout.shards[0].slots = vec![SlotRange::ALL];
    scene.database.layout.shards[1].slots.clear();
    scene.look();
    let plan = scene.plan();
    assert!(
        plan.steps.contains(&Step::Remove(id(1, 1))) && plan.steps.contains(&Step::Remove(id(1, 2))),
        "{plan:?}"
    );
    assert!(!plan.settled);
}

#[test]
fn a_move_that_was_begun_is_ended_first() {
    let mut scene = Scene::settled(3);
    scene.view(id(2, 1)).importing = vec![(3, node(id(0, 1))), (4, node(id(0, 1)))];
    let expected = Step::MoveSlots {
        from: id(0, 1),
        to: id(2, 1),
        slots: vec![3, 4],
    };
    assert_eq!(scene.plan().steps, [expected]);
}

#[test]
fn a_slot_that_nobody_owns_midway_goes_where_it_was_on_its_way_to() {
    let mut scene = Scene::settled(2);
    // Handed over, and not taken: the giver says that the other has it, the other does not know yet.
    scene.database.layout.shards[1].importing = vec![SlotRange { first: 5, last: 6 }];
    scene.view(id(0, 1)).slots.remove(5);
    let expected = Step::MoveSlots {
        from: id(0, 1),
        to: id(1, 1),
        slots: vec![5, 6],
    };
    assert_eq!(scene.plan().steps, [expected]);
    // It arrived, and only the record is missing.
    scene.view(id(0, 1)).slots.remove(6);
    for slot in [5, 6] {
        scene.view(id(1, 1)).slots.insert(slot);
    }
    assert!(matches!(scene.plan().steps.as_slice(), [Step::RecordSlots(_)]));
}

#[test]
fn nothing_moves_while_a_shard_is_not_as_wanted() {
    let mut scene = Scene::settled(2);
    scene.database.layout.shards[1].leaving = true;
    scene.servers.get_mut(&id(0, 2)).expect("it is there").applied = Applied::Stale;
    let plan = scene.plan();
    assert!(
        !plan.steps.iter().any(|step| matches!(step, Step::MoveSlots { .. })),
        "{plan:?}"
    );
}

#[test]
fn a_shard_fails_over_while_the_others_serve() {
    let mut scene = Scene::settled(3);
    let dead = ServerState {
        process: pilothouse_model::ProcessState::Absent,
        replication: None,
        cluster: None,
        ..running()
    };
    scene.servers.insert(id(1, 1), dead);
    let plan = scene.plan();
    assert!(
        matches!(plan.steps.as_slice(), [Step::FailOver(failover)] if failover.candidate == id(1, 2)),
        "{plan:?}"
    );
    assert_eq!(plan.route, RouteWish::Open(id(0, 1)), "the others lead clients");
}

#[test]
fn a_new_cluster_is_ready_when_everybody_knows_every_slot() {
    let mut scene = Scene::settled(2);
    scene.database.was_active = false;
    scene.database.created_at = VIEWED_AT;
    assert!(scene.plan().settled);
    scene.view(id(1, 2)).peers[0].slots = SlotSet::new();
    let plan = scene.plan();
    let ready = plan
        .conditions
        .iter()
        .find(|condition| condition.kind == pilothouse_model::ConditionKind::Ready);
    assert_eq!(ready.map(|ready| ready.reason.as_str()), Some("Forming"));
}

#[test]
fn a_server_that_owns_slots_is_not_attached() {
    let mut scene = Scene::settled(2);
    let back = id(0, 2);
    scene.database.layout.shards[0].lineage.synced.clear();
    let state = scene.servers.get_mut(&back).expect("it is there");
    state.replication = Some(leads());
    state.applied = Applied::Closed;
    let attach = Step::Attach {
        replica: back,
        primary: id(0, 1),
    };
    assert_eq!(scene.plan().steps, [attach]);
    scene.view(back).slots.insert(1);
    assert_eq!(scene.plan().steps, []);
}
