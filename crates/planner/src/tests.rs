//! Tables: what is seen, and what is decided.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pilothouse_model::{
    AccessSpec, ClientAuthentication, ConditionKind, Database, DatabaseId, DatabaseName, DatabaseSpec, Dialect,
    EngineKind, EngineVersion, EvictionPolicy, FailoverIntent, HostId, Layout, Lifecycle, Lineage, LogLimits,
    Management, NetworkSpec, Persistence, ProcessState, ReplicaSource, ReplicaSync, ReplicationFacts, Sealed, Server,
    ServerId, ServerPorts, ServerRole, Shard, ShardId, SlotRange, TenantId, Timestamp, TlsMode,
};

use crate::{Access, Applied, Plan, PlanInput, Policy, RouteWish, ServerState, Starts, Step, Verdict, plan};

const VERSION: EngineVersion = EngineVersion::new(7, 0, 15);
const PRIMARY: ServerId = ServerId::from_bytes([1; 16]);
const REPLICA: ServerId = ServerId::from_bytes([2; 16]);

/// A replicated database that is as wanted, and what is seen of its servers. Tests change one thing.
struct Scene {
    database: Database,
    servers: BTreeMap<ServerId, ServerState>,
}

impl Scene {
    fn settled() -> Self {
        let replica = ServerState {
            applied: Applied::Closed,
            replication: Some(follows(20_001)),
            ..running()
        };
        Self {
            database: database(),
            servers: BTreeMap::from([(PRIMARY, running()), (REPLICA, replica)]),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn server(&mut self, id: ServerId) -> &mut ServerState {
        self.servers.get_mut(&id).expect("a server of the scene")
    }

    fn lineage(&mut self) -> &mut Lineage {
        &mut self.database.layout.shards[0].lineage
    }

    fn plan(&self) -> Plan {
        let policy = Policy::default();
        let (database, servers, now) = (&self.database, &self.servers, Timestamp::from_millis(1_000_000));
        plan(&PlanInput {
            database,
            operation: None,
            servers,
            now,
            policy: &policy,
        })
    }
}

pub(crate) fn running() -> ServerState {
    ServerState {
        process: ProcessState::Running { pid: 7 },
        incarnation: Some(1),
        verdict: Verdict::Alive,
        loading: false,
        replication: Some(leads()),
        cluster: None,
        version: Some(VERSION),
        applied: Applied::Open,
        open: Some(true),
        source_applied: true,
        data_bytes: None,
        starts: Starts::default(),
    }
}

fn dead() -> ServerState {
    let nothing = ServerState {
        process: ProcessState::Absent,
        verdict: Verdict::Unknown,
        replication: None,
        ..running()
    };
    ServerState {
        applied: Applied::Unknown,
        incarnation: None,
        version: None,
        ..nothing
    }
}

pub(crate) fn leads() -> ReplicationFacts {
    ReplicationFacts {
        role: ServerRole::Primary,
        replication_id: "history".to_owned(),
        previous_replication_id: String::new(),
        offset: 100,
        source: None,
        link_up: None,
        syncing: false,
        link_silence: None,
        online_replicas: 1,
        sync: None,
    }
}

pub(crate) fn follows(port: u16) -> ReplicationFacts {
    ReplicationFacts {
        role: ServerRole::Replica,
        source: Some(format!("127.0.0.1:{port}")),
        link_up: Some(true),
        link_silence: Some(Duration::ZERO),
        ..leads()
    }
}

pub(crate) fn server(id: ServerId, plain: u16) -> Server {
    Server {
        id,
        host: HostId::from_bytes([9; 16]),
        management: Management::Managed,
        version: VERSION,
        ports: ServerPorts {
            plain,
            tls: plain + 1,
            bus: 0,
        },
        management_secret: sealed(),
        incarnation: 1,
        leaving: false,
        created_at: Timestamp::default(),
    }
}

fn sealed() -> Sealed {
    Sealed::from_cipher_text(String::new())
}

pub(crate) fn database() -> Database {
    let lineage = Lineage {
        epoch: 1,
        primary: Some(PRIMARY),
        replication_id: "history".to_owned(),
        synced: vec![REPLICA],
        ..Lineage::default()
    };
    let servers = vec![server(PRIMARY, 20_001), server(REPLICA, 20_003)];
    let shard = Shard {
        leaving: false,
        importing: Vec::new(),
        id: ShardId::from_bytes([3; 16]),
        slots: vec![SlotRange::ALL],
        servers,
        lineage,
    };
    Database {
        id: DatabaseId::from_bytes([4; 16]),
        tenant: TenantId::from_bytes([5; 16]),
        group: None,
        name: DatabaseName::parse("db").expect("a name"),
        origin: Dialect::Local,
        created_at: Timestamp::default(),
        changed_at: Timestamp::default(),
        generation: 1,
        settled_generation: 1,
        spec: spec(),
        layout: Layout { shards: vec![shard] },
        replication_secret: sealed(),
        topology_epoch: 1,
        operation: None,
        was_active: true,
        creation_error: None,
        needs_recovery: false,
        deleted_at: None,
        transfers: Vec::new(),
        conditions: Vec::new(),
    }
}

fn spec() -> DatabaseSpec {
    DatabaseSpec {
        engine: EngineKind::Redis,
        version: VERSION,
        memory_bytes: 100 << 20,
        shards: 1,
        cluster: false,
        replicas: 1,
        persistence: Persistence::Disabled,
        log_limits: LogLimits::default(),
        eviction: EvictionPolicy::Noeviction,
        access: AccessSpec {
            default_user: true,
            default_passwords: Vec::new(),
            admin_password: sealed(),
            bindings: Vec::new(),
            disabled_commands: Vec::new(),
        },
        network: NetworkSpec {
            port: 12_000,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: TlsMode::Disabled,
            client_auth: ClientAuthentication::default(),
            source_allow: Vec::new(),
            max_connections: 0,
            traffic_stopped: false,
            encrypt_replication: false,
        },
        tuning: BTreeMap::new(),
        replica_of: None,
        backup: None,
    }
}

/// The first step and the route of the scene.
fn check(scene: &Scene, step: impl Fn(&Step) -> bool, route: RouteWish) {
    let plan = scene.plan();
    assert!(plan.steps.first().is_some_and(&step), "another step: {plan:?}");
    assert_eq!(plan.route, route, "{plan:?}");
}

fn says(plan: &Plan, kind: ConditionKind) -> bool {
    plan.conditions.iter().any(|condition| condition.kind == kind)
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    let plan = Scene::settled().plan();
    assert_eq!(
        (plan.steps.as_slice(), plan.route, plan.settled),
        (&[][..], RouteWish::Open(PRIMARY), true)
    );
    assert_eq!(plan.look_again, Policy::default().idle_pause);
}

#[test]
fn unknown_processes_are_looked_for_first() {
    let scene = Scene::settled().with(|scene| *scene.server(PRIMARY) = ServerState::unknown());
    check(&scene, |step| *step == Step::Adopt(PRIMARY), RouteWish::Unchanged);
}

#[test]
fn an_outdated_primary_in_memory_waits_for_the_replica_on_its_way() {
    let mut scene = Scene::settled().with(|scene| {
        scene.lineage().synced.clear();
        scene.server(REPLICA).replication.as_mut().expect("facts").link_up = Some(false);
        scene.server(PRIMARY).incarnation = Some(0);
    });
    assert_eq!(scene.plan().steps, []);
    // Files bring it back.
    scene.database.spec.persistence = Persistence::AppendOnly {
        fsync: pilothouse_model::FsyncPolicy::Always,
    };
    assert_eq!(scene.plan().steps, [Step::Restart(PRIMARY)]);
}

#[test]
fn a_replica_in_sync_takes_over_from_a_dead_or_hung_primary() {
    let takes_over =
        |step: &Step| matches!(step, Step::FailOver(failover) if failover.candidate == REPLICA && !failover.graceful);
    check(
        &Scene::settled().with(|scene| *scene.server(PRIMARY) = dead()),
        takes_over,
        RouteWish::Held,
    );
    check(
        &Scene::settled().with(|scene| scene.server(PRIMARY).verdict = Verdict::Hung),
        takes_over,
        RouteWish::Held,
    );
}

#[test]
fn a_replica_takes_over_only_with_a_proven_history() {
    type Change = fn(&mut Scene);
    let spoilers: [Change; 4] = [
        |scene| scene.lineage().synced.clear(),
        |scene| scene.server(REPLICA).replication.as_mut().expect("facts").syncing = true,
        |scene| {
            scene
                .server(REPLICA)
                .replication
                .as_mut()
                .expect("facts")
                .replication_id = "another".to_owned()
        },
        |scene| scene.server(REPLICA).replication = None,
    ];
    for spoil in spoilers {
        let scene = Scene::settled()
            .with(|scene| *scene.server(PRIMARY) = dead())
            .with(spoil);
        let plan = scene.plan();
        assert!(
            !plan.steps.iter().any(|step| matches!(step, Step::FailOver(_))),
            "{plan:?}"
        );
    }
}

#[test]
fn a_hung_primary_that_nobody_can_replace_is_not_killed() {
    let scene = Scene::settled().with(|scene| {
        scene.server(PRIMARY).verdict = Verdict::Hung;
        scene.lineage().synced.clear();
    });
    let plan = scene.plan();
    assert!(
        plan.steps.is_empty() && says(&plan, ConditionKind::Unresponsive),
        "{plan:?}"
    );
    assert_eq!(plan.route, RouteWish::Unchanged);
}

#[test]
fn a_source_elsewhere_is_followed_as_it_is_wanted_now() {
    let following = |scene: &mut Scene| {
        scene.database.spec.replica_of = Some(ReplicaSource {
            host: "elsewhere".to_owned(),
            port: 6379,
            username: String::new(),
            password: None,
            tls: false,
            server_certificate: None,
            sync: ReplicaSync::Enabled,
        });
        scene.server(PRIMARY).replication = Some(follows(6379));
    };
    let wanted = Scene::settled().with(following);
    assert_eq!(wanted.plan().steps, []);
    let changed = wanted.with(|scene| scene.server(PRIMARY).source_applied = false);
    assert_eq!(changed.plan().steps, [Step::FollowSource(PRIMARY)]);
    let begun = changed.with(|scene| scene.server(PRIMARY).replication = Some(leads()));
    assert_eq!(begun.plan().steps, [Step::FollowSource(PRIMARY)]);
}

#[test]
fn an_opened_primary_that_gives_no_account_of_itself_keeps_its_connections() {
    let scene = Scene::settled().with(|scene| scene.server(PRIMARY).replication = None);
    assert_eq!(
        scene.plan().route,
        RouteWish::Unchanged,
        "a long script, by its own words"
    );
    let scene = scene.with(|scene| scene.server(PRIMARY).loading = true);
    assert_eq!(scene.plan().route, RouteWish::Held);
}

#[test]
fn an_adopted_primary_that_is_open_serves_before_anything_is_applied_to_it() {
    let scene = Scene::settled().with(|scene| scene.server(PRIMARY).applied = Applied::Unknown);
    let ready = |scene: &Scene| {
        let conditions = scene.plan().conditions;
        let ready = conditions
            .iter()
            .find(|condition| condition.kind == ConditionKind::Ready);
        ready.map(|condition| condition.truth)
    };
    assert_eq!(ready(&scene), Some(pilothouse_model::Truth::True));
    let scene = scene.with(|scene| scene.server(PRIMARY).open = Some(false));
    assert_eq!(
        ready(&scene),
        Some(pilothouse_model::Truth::False),
        "fenced by a restart that nobody asked for"
    );
}

#[test]
fn a_busy_primary_keeps_its_connections() {
    let scene = Scene::settled().with(|scene| {
        scene.server(PRIMARY).verdict = Verdict::Busy;
        scene.server(PRIMARY).replication = None;
    });
    let plan = scene.plan();
    assert_eq!((plan.steps.as_slice(), plan.route), (&[][..], RouteWish::Unchanged));
}

#[test]
fn a_primary_whose_files_are_gone_is_not_started_empty() {
    let lost = |scene: &mut Scene| {
        *scene.server(PRIMARY) = ServerState {
            data_bytes: Some(0),
            ..dead()
        };
        scene.lineage().restartable = true;
    };
    let alone = Scene::settled().with(lost).with(|scene| {
        scene.database.layout.shards[0].servers.truncate(1);
        scene.lineage().synced.clear();
    });
    check(&alone, |step| matches!(step, Step::DeclareRecovery(_)), RouteWish::Held);
    let copy = Scene::settled().with(lost).with(|scene| {
        *scene.server(REPLICA) = ServerState {
            data_bytes: Some(10),
            ..dead()
        }
    });
    check(&copy, |step| *step == Step::Start(REPLICA), RouteWish::Held);
    let never_active = alone.with(|scene| {
        scene.database.was_active = false;
        scene.database.created_at = Timestamp::from_millis(1_000_000);
    });
    check(&never_active, |step| *step == Step::Start(PRIMARY), RouteWish::Held);
}

#[test]
fn a_lost_replica_is_recorded_before_it_is_started() {
    let dead_replica = |scene: &mut Scene| *scene.server(REPLICA) = dead();
    check(
        &Scene::settled().with(dead_replica),
        |step| *step == Step::MarkUnsynced(REPLICA),
        RouteWish::Open(PRIMARY),
    );
    let recorded = Scene::settled()
        .with(dead_replica)
        .with(|scene| scene.lineage().synced.clear());
    check(
        &recorded,
        |step| *step == Step::Start(REPLICA),
        RouteWish::Open(PRIMARY),
    );
}

#[test]
fn a_replica_is_attached_only_to_an_open_primary() {
    let scene = Scene::settled().with(|scene| {
        scene.lineage().synced.clear();
        scene.server(REPLICA).replication = Some(leads());
    });
    let attach = Step::Attach {
        replica: REPLICA,
        primary: PRIMARY,
    };
    check(&scene, |step| *step == attach, RouteWish::Open(PRIMARY));
    let closed = scene.with(|scene| scene.server(PRIMARY).applied = Applied::Unknown);
    check(
        &closed,
        |step| *step == Step::Apply(PRIMARY, Access::Open),
        RouteWish::Unchanged,
    );
    assert!(!closed.plan().steps.contains(&attach));
}

#[test]
fn an_intent_is_finished_only_when_the_candidate_proves_it() {
    let begun = |scene: &mut Scene| {
        let (epoch, reason) = (2, "test".to_owned());
        let at = Timestamp::default();
        scene.lineage().intent = Some(FailoverIntent {
            epoch,
            candidate: REPLICA,
            old_primary: Some(PRIMARY),
            reason,
            at,
        });
    };
    let unproven = Scene::settled().with(begun);
    check(
        &unproven,
        |step| {
            *step
                == Step::ResolveIntent {
                    candidate: REPLICA,
                    promoted: false,
                }
        },
        RouteWish::Held,
    );
    let proven = Scene::settled().with(begun).with(|scene| {
        let (replication_id, previous_replication_id) = ("new".to_owned(), "history".to_owned());
        scene.server(REPLICA).replication = Some(ReplicationFacts {
            replication_id,
            previous_replication_id,
            ..leads()
        });
    });
    check(
        &proven,
        |step| {
            *step
                == Step::ResolveIntent {
                    candidate: REPLICA,
                    promoted: true,
                }
        },
        RouteWish::Held,
    );
}

#[test]
fn a_tombstone_comes_before_everything() {
    let scene = Scene::settled().with(|scene| {
        scene.database.deleted_at = Some(Timestamp::default());
        *scene.server(PRIMARY) = ServerState::unknown();
    });
    check(&scene, |step| *step == Step::Delete, RouteWish::Absent);
}

#[test]
fn a_creation_that_takes_too_long_is_given_up_and_an_active_database_never_is() {
    let scene = Scene::settled().with(|scene| scene.database.was_active = false);
    check(
        &scene,
        |step| matches!(step, Step::AbandonCreation(_)),
        RouteWish::Absent,
    );
    assert!(Scene::settled().plan().settled);
}

#[test]
fn the_lifecycle_is_one_word_for_the_record() {
    let word = |change: fn(&mut Database)| {
        let mut database = database();
        database.conditions = Scene::settled().plan().conditions;
        change(&mut database);
        crate::lifecycle(&database)
    };
    assert_eq!(word(|_| ()), Lifecycle::Active);
    assert_eq!(word(|database| database.conditions.clear()), Lifecycle::Unavailable);
    assert_eq!(word(|database| database.was_active = false), Lifecycle::Creating);
    assert_eq!(
        word(|database| database.creation_error = Some(String::new())),
        Lifecycle::CreationFailed
    );
    assert_eq!(word(|database| database.needs_recovery = true), Lifecycle::Recovery);
    assert_eq!(
        word(|database| database.deleted_at = Some(Timestamp::default())),
        Lifecycle::Deleting
    );
}
