//! What control costs by itself: creates into the store, restart, passes over databases that are as wanted, memory per database.
//!
//! Engine, runtime and gateway are the simulated world, so nothing but control and the store is measured.
//! `cargo bench -p pilothouse-control --bench loops`. What is printed goes into `docs/benchmarks.md`.
#![expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_control::{
    Caller, Control, ControlSettings, CreateDatabase, IdScheme, IdSchemes, Parts, RequestOptions, SubjectKind,
    SystemClock, TenantScope,
};
use pilothouse_engine::{Engine, Engines};
use pilothouse_model::{
    AccessSpec, ClientAuthentication, DatabaseName, DatabaseSpec, Dialect, EngineKind, EngineVersion, EvictionPolicy,
    LogLimits, NetworkSpec, Persistence, Secret, TlsMode,
};
use pilothouse_planner::Policy;
use pilothouse_runtime::Runtime;
use pilothouse_secrets::Keyring;
use pilothouse_store::Store;
use pilothouse_test_support::world::World;

const CLIENTS: usize = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        creates(10_000).await;
        passes(1_000).await;
        passes(10_000).await;
    });
}

/// Creates with 64 clients, nothing started; then the memory and the restart with all of them.
async fn creates(count: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("store.redb");
    let keyring = Keyring::ephemeral();
    let control = control(
        &World::new(),
        Store::open(&path).expect("a store"),
        &keyring,
        directory.path(),
    )
    .await;
    let (before, cpu, begun) = (resident(), processor_time(), Instant::now());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let control = control.clone();
        clients.spawn(async move {
            for number in (client..count).step_by(CLIENTS) {
                create(&control, number).await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every create succeeds");
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "creates, {CLIENTS} clients, each durable         {:>10.0} /s",
        count as f64 / took
    );
    println!(
        "processor time per create                {:>10.0} µs",
        (processor_time() - cpu).as_secs_f64() * 1e6 / count as f64
    );
    println!(
        "resident memory per recorded database    {:>10.1} KiB",
        (resident() - before) as f64 / 1024.0 / count as f64
    );
    drop(control);
    let begun = Instant::now();
    let store = Store::open(&path).expect("the store opens again");
    let again = self::control(&World::new(), store, &keyring, directory.path()).await;
    println!(
        "open with {count} databases                 {:>10.1} ms",
        begun.elapsed().as_secs_f64() * 1e3
    );
    let listed = Instant::now();
    let databases = again.databases(&caller(&again)).len();
    println!(
        "list of {databases} databases                   {:>10.1} ms",
        listed.elapsed().as_secs_f64() * 1e3
    );
}

/// Passes over databases that are as wanted.
async fn passes(count: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&directory.path().join("store.redb")).expect("a store");
    let control = control(&World::new(), store, &Keyring::ephemeral(), directory.path()).await;
    for number in 0..count {
        create(&control, number).await;
    }
    control.start().await.expect("the loops start");
    quiet(&control).await;
    let mut samples = Vec::new();
    for _ in 0..7 {
        let begun = Instant::now();
        control.wake_all();
        quiet(&control).await;
        samples.push(begun.elapsed());
    }
    samples.sort_unstable();
    println!(
        "no-op pass over {count} databases, median    {:>10.1} ms",
        samples[3].as_secs_f64() * 1e3
    );
    control.stop(Duration::from_secs(1)).await;
}

async fn quiet(control: &Control) {
    while !control.is_quiet() {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

async fn control(world: &World, store: Store, keyring: &Keyring, scratch: &Path) -> Control {
    let world = Arc::new(world.clone());
    let scheme = |name, kind| IdScheme { name, kind, first: 1 };
    Control::new(Parts {
        store,
        keyring: keyring.clone(),
        engines: Engines::new(vec![Arc::clone(&world) as Arc<dyn Engine>]),
        runtime: Arc::clone(&world) as Arc<dyn Runtime>,
        gateway: world,
        clock: Arc::new(SystemClock),
        schemes: IdSchemes::new(vec![
            scheme("redis-enterprise/bdb", SubjectKind::Database),
            scheme("redis-enterprise/shard", SubjectKind::Server),
        ]),
        settings: ControlSettings {
            advertise_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port_range: 10_000..=29_999,
            server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            single_host_replicas: true,
            // The world answers at once; probing it would measure the world.
            probe_interval: Duration::from_secs(3600),
            probe_deadline: Duration::from_millis(250),
            missed_probes: 3,
            busy_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_millis(50),
            scratch_dir: scratch.to_owned(),
            file_access: Arc::default(),
            buckets: std::collections::BTreeMap::new(),
            policy: Policy {
                idle_pause: Duration::from_secs(3600),
                ..Policy::default()
            },
            concurrent_passes: 64,
        },
    })
    .await
    .expect("control is put together")
}

fn caller(control: &Control) -> Caller {
    Caller {
        dialect: Dialect::RedisEnterprise,
        actor: "user:bench".to_owned(),
        scope: TenantScope::All,
        tenant: control.default_tenant(),
        settles: None,
    }
}

async fn create(control: &Control, number: usize) {
    let command = CreateDatabase {
        name: DatabaseName::parse(format!("database-{number}")).expect("a name"),
        spec: spec(control),
        group: None,
        wire_id: None,
        documents: Vec::new(),
    };
    control
        .create_database(&caller(control), command, RequestOptions::PROCESSED)
        .await
        .expect("created");
}

fn spec(control: &Control) -> DatabaseSpec {
    DatabaseSpec {
        engine: EngineKind::Redis,
        version: EngineVersion::new(7, 0, 15),
        memory_bytes: 100 << 20,
        shards: 1,
        cluster: false,
        replicas: 0,
        persistence: Persistence::Disabled,
        log_limits: LogLimits::default(),
        eviction: EvictionPolicy::VolatileLru,
        access: AccessSpec {
            default_user: true,
            default_passwords: Vec::new(),
            admin_password: control.seal(&Secret::new("a password of some length")),
            bindings: Vec::new(),
            disabled_commands: Vec::new(),
        },
        network: NetworkSpec {
            port: 0,
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

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
