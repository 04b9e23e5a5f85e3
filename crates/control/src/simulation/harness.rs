//! A control plane in a simulated world, driven pass by pass.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pilothouse_engine::Engines;
use pilothouse_model::{
    AccessSpec, Database, DatabaseId, DatabaseName, DatabaseSpec, Dialect, EngineKind, EngineVersion, EvictionPolicy,
    FsyncPolicy, LogLimits, NetworkSpec, Persistence, Secret, ServerId, Subject, Timestamp, TlsMode,
};
use pilothouse_planner::{Policy, Verdict};
use pilothouse_runtime::Runtime;
use pilothouse_secrets::Keyring;
use pilothouse_store::Store;
use pilothouse_test_support::world::World;

use crate::control::Control;
use crate::{
    Caller, Clock, ControlSettings, CreateDatabase, IdScheme, IdSchemes, Parts, RequestOptions, SubjectKind,
    TenantScope, UpdateDatabase, fault, health, reconcile,
};

/// A clock that only the simulation moves.
#[derive(Clone)]
pub(super) struct SimClock(Arc<AtomicI64>);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What is wanted of a database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) replicas: u8,
    pub(super) persistent: bool,
}

const SCHEMES: [IdScheme; 2] = [
    IdScheme {
        name: "redis-enterprise/bdb",
        kind: SubjectKind::Database,
        first: 1,
    },
    IdScheme {
        name: "redis-enterprise/shard",
        kind: SubjectKind::Server,
        first: 1,
    },
];

/// Passes within which a database without further faults must be as wanted.
const SETTLE_PASSES: usize = 400;

pub(super) struct Harness {
    pub(super) world: World,
    pub(super) clock: SimClock,
    store: Store,
    keyring: Keyring,
    control: Option<Control>,
    exits: Option<tokio::sync::mpsc::UnboundedReceiver<pilothouse_runtime::Exit>>,
    names: u32,
    /// Real files: what transfers write and read.
    pub(super) files: tempfile::TempDir,
}

impl Harness {
    pub(super) async fn new() -> Self {
        let store = Store::with_backend(redb::backends::InMemoryBackend::new()).expect("an empty store opens");
        let mut harness = Self {
            world: World::new(),
            clock: SimClock(Arc::new(AtomicI64::new(1_700_000_000_000))),
            store,
            keyring: Keyring::ephemeral(),
            control: None,
            exits: None,
            names: 0,
            files: tempfile::tempdir().expect("a temporary directory"),
        };
        harness.control_back().await;
        harness
    }

    /// The control plane is gone, with all that it only remembered.
    pub(super) async fn control_lost(&mut self) {
        if let Some(control) = self.control.take() {
            control.stop(Duration::ZERO).await;
        }
        self.world.control_plane_lost();
        self.exits = None;
    }

    /// A new control plane on the same store and in the same world.
    pub(super) async fn control_back(&mut self) {
        fault::arm(None);
        let world = Arc::new(self.world.clone());
        let parts = Parts {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            engines: Engines::new(vec![Arc::clone(&world) as Arc<dyn pilothouse_engine::Engine>]),
            runtime: Arc::clone(&world) as Arc<dyn Runtime>,
            gateway: world,
            clock: Arc::new(self.clock.clone()),
            schemes: IdSchemes::new(SCHEMES.to_vec()),
            settings: settings(self.files.path().join("scratch")),
        };
        self.exits = self.world.take_exits_for_test();
        std::fs::create_dir_all(self.files.path().join("scratch")).expect("a scratch directory");
        let control = Control::new(parts).await.expect("control starts");
        reconcile::orphans::remove(&control).await.expect("orphans are removed");
        self.control = Some(control);
    }

    pub(super) fn control(&self) -> &Control {
        self.control.as_ref().expect("the control plane runs")
    }

    pub(super) fn caller(&self) -> Caller {
        Caller {
            dialect: Dialect::RedisEnterprise,
            actor: "user:test".to_owned(),
            scope: TenantScope::All,
            tenant: self.control().default_tenant(),
            settles: None,
        }
    }

    pub(super) async fn create(&mut self, wanted: Wanted) -> DatabaseId {
        self.names += 1;
        let command = CreateDatabase {
            name: DatabaseName::parse(format!("db{}", self.names)).expect("a name"),
            spec: self.spec(wanted),
            group: None,
            wire_id: None,
            documents: Vec::new(),
        };
        let caller = self.caller();
        let accepted = self
            .control()
            .create_database(&caller, command, RequestOptions::PROCESSED)
            .await;
        accepted.expect("created").database.database.id
    }

    pub(super) fn spec(&self, wanted: Wanted) -> DatabaseSpec {
        DatabaseSpec {
            engine: EngineKind::Redis,
            version: EngineVersion::new(7, 0, 15),
            memory_bytes: 100 << 20,
            shards: 1,
            cluster: false,
            replicas: wanted.replicas,
            persistence: if wanted.persistent {
                Persistence::AppendOnly {
                    fsync: FsyncPolicy::Always,
                }
            } else {
                Persistence::Disabled
            },
            log_limits: LogLimits::default(),
            eviction: EvictionPolicy::Noeviction,
            access: AccessSpec {
                default_user: true,
                default_passwords: Vec::new(),
                admin_password: self.control().seal(&Secret::new("x")),
                bindings: Vec::new(),
                disabled_commands: Vec::new(),
            },
            network: NetworkSpec {
                port: 0,
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                tls: TlsMode::Disabled,
                client_auth: pilothouse_model::ClientAuthentication::default(),
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

    /// Asks for a change; what is refused as busy is left.
    pub(super) async fn update(&mut self, id: DatabaseId, change: impl FnOnce(&mut DatabaseSpec)) {
        let Some(record) = self.find(id) else { return };
        let mut spec = record.spec.clone();
        change(&mut spec);
        let command = UpdateDatabase {
            name: record.name.clone(),
            spec,
            expected_generation: record.generation,
            documents: Vec::new(),
        };
        let caller = self.caller();
        let _ = self
            .control()
            .update_database(&caller, id, command, RequestOptions::PROCESSED)
            .await;
    }

    /// Asks for the removal and lets it come to its end.
    pub(super) async fn delete(&mut self, id: DatabaseId) {
        let caller = self.caller();
        let _ = self
            .control()
            .delete_database(&caller, id, RequestOptions::PROCESSED)
            .await;
        for _ in 0..SETTLE_PASSES {
            if self.find(id).is_none() {
                return;
            }
            self.pass(id).await;
        }
        panic!("the removal of {id} does not end: {:?}", self.record(id));
    }

    /// One pass over a database, after the ends of processes were told.
    pub(super) async fn pass(&mut self, id: DatabaseId) {
        self.tell_exits();
        let control = self.control().clone();
        Box::pin(reconcile::pass::run(&control, id)).await;
        self.clock.0.fetch_add(50, Ordering::Relaxed);
        self.world.replicate();
    }

    /// One pass in which the process is lost at the `point`th crash point from now; a new control plane follows. Returns whether it got
    /// there.
    pub(super) async fn crashing_pass(&mut self, id: DatabaseId, point: u64) -> bool {
        fault::arm(Some(point));
        let reached = self.armed_pass(id).await;
        fault::arm(None);
        reached
    }

    /// One pass with a crash point armed before: as [`Harness::crashing_pass`], but what is left of the count stays armed.
    pub(super) async fn armed_pass(&mut self, id: DatabaseId) -> bool {
        self.tell_exits();
        let control = self.control().clone();
        let mut pass = Box::pin(reconcile::pass::run(&control, id));
        // Whoever reaches the armed point waits for ever, and is dropped there.
        let mut looks = tokio::time::interval(Duration::from_micros(200));
        loop {
            tokio::select! {
                biased;
                _ = &mut pass => break,
                _ = looks.tick() => if fault::reached() { break },
            }
        }
        drop(pass);
        drop(control);
        let reached = fault::reached();
        if reached {
            self.control_lost().await;
            self.control_back().await;
        }
        self.clock.0.fetch_add(50, Ordering::Relaxed);
        self.world.replicate();
        reached
    }

    /// Carries the open transfer of a database out, with passes beside it. With a crash point armed before, the process may be lost
    /// there; a new control plane follows, and the transfer waits for the next call. Returns whether it was lost.
    pub(super) async fn transfer(&mut self, id: DatabaseId) -> bool {
        let control = self.control().clone();
        let mut work = Box::pin(crate::transfer::run(&control, id));
        let mut done = false;
        let mut looks = tokio::time::interval(Duration::from_micros(200));
        while !done && !fault::reached() {
            self.tell_exits();
            let mut pass = Box::pin(reconcile::pass::run(&control, id));
            loop {
                tokio::select! {
                    biased;
                    () = &mut work, if !done => done = true,
                    _ = &mut pass => break,
                    _ = looks.tick() => if fault::reached() { break },
                }
            }
            drop(pass);
            self.clock.0.fetch_add(50, Ordering::Relaxed);
            self.world.replicate();
            self.check(id);
            if !done {
                done = tokio::time::timeout(Duration::from_millis(1), &mut work).await.is_ok();
            }
        }
        drop(work);
        drop(control);
        let reached = fault::reached();
        if reached {
            self.control_lost().await;
            self.control_back().await;
        }
        reached
    }

    pub(super) async fn passes(&mut self, id: DatabaseId, count: usize) {
        for _ in 0..count {
            self.pass(id).await;
            self.check(id);
        }
    }

    /// Runs passes until the database is as wanted; it must get there.
    pub(super) async fn settle(&mut self, id: DatabaseId) {
        for _ in 0..SETTLE_PASSES {
            self.pass(id).await;
            self.check(id);
            let record = self.record(id);
            let in_sync = record
                .layout
                .shards
                .iter()
                .all(|shard| shard.lineage.synced.len() + 1 >= shard.servers.len());
            if record.settled_generation == record.generation
                && record.operation.is_none()
                && in_sync
                && self.serves(id)
            {
                return;
            }
        }
        let record = self.record(id);
        panic!("{id} does not settle: {:?} {:?}", record.conditions, record.layout);
    }

    fn serves(&self, id: DatabaseId) -> bool {
        self.world.read(id).is_some()
    }

    /// What must hold at every moment.
    pub(super) fn check(&self, id: DatabaseId) {
        let Some(record) = self.find(id) else { return };
        let servers: Vec<ServerId> = record.layout.servers().map(|server| server.id).collect();
        let writable = self.world.writable(&servers);
        assert!(writable.len() <= 1, "two servers of {id} take writes: {writable:?}");
    }

    pub(super) fn hang(&mut self, server: ServerId) {
        self.world.stop(server);
        // The probes would need seconds to say so.
        self.control().0.memories.of(server).lock().verdict = Verdict::Hung;
    }

    /// Faults that last come to an end.
    pub(super) fn calm(&mut self, id: DatabaseId) {
        self.world.resume_all();
        for server in self.record(id).layout.servers() {
            let memory = self.control().0.memories.of(server.id);
            let mut known = memory.lock();
            if known.verdict == Verdict::Hung {
                known.verdict = Verdict::Unknown;
            }
        }
    }

    fn tell_exits(&mut self) {
        while let Some(exit) = self.exits.as_mut().and_then(|exits| exits.try_recv().ok()) {
            health::on_exit(self.control(), &exit);
        }
    }

    pub(super) fn find(&self, id: DatabaseId) -> Option<Arc<Database>> {
        self.store
            .view()
            .get::<Database>(&id)
            .map(|row| self.control().record_of(row))
    }

    pub(super) fn record(&self, id: DatabaseId) -> Arc<Database> {
        self.find(id).expect("the database exists")
    }

    /// The primary and the replica (or the primary twice).
    pub(super) fn servers(&self, id: DatabaseId) -> (ServerId, ServerId) {
        let record = self.record(id);
        let shard = record.layout.shards.first().expect("a shard");
        let primary = shard.lineage.primary.expect("a primary");
        (primary, shard.replicas().next().map_or(primary, |server| server.id))
    }

    pub(super) fn pid(&self, server: ServerId) -> Option<u32> {
        self.world
            .lock()
            .servers
            .get(&server)?
            .process
            .as_ref()
            .map(|process| process.pid)
    }

    pub(super) fn assert_nothing_left(&self) {
        let state = self.world.lock();
        assert!(state.servers.is_empty(), "servers are left: {:?}", state.servers.keys());
        assert!(state.routes.is_empty(), "routes are left: {:?}", state.routes);
        let view = self.store.view();
        assert_eq!(view.count::<Database>(), 0);
        assert_eq!(
            view.unfinished_operations().count(),
            0,
            "operations that nobody works on"
        );
        for scheme in SCHEMES {
            assert_eq!(
                view.wire_ids(scheme.name).count(),
                0,
                "wire ids of {} are left",
                scheme.name
            );
        }
        assert_eq!(view.documents_of(&Subject::Installation).count(), 0);
    }
}

fn settings(scratch_dir: PathBuf) -> ControlSettings {
    ControlSettings {
        advertise_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port_range: 10_000..=19_999,
        server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        single_host_replicas: true,
        // The simulation says itself who is hung.
        probe_interval: Duration::from_secs(3600),
        probe_deadline: Duration::from_millis(250),
        missed_probes: 3,
        busy_timeout: Duration::from_secs(5),
        drain_timeout: Duration::from_millis(20),
        scratch_dir,
        file_access: Arc::default(),
        buckets: std::collections::BTreeMap::new(),
        policy: Policy {
            creation_deadline: Duration::from_secs(600),
            ..Policy::default()
        },
        concurrent_passes: 4,
    }
}
