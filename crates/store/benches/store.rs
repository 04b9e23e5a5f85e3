//! Creates per second, each durable, and the time to open the store again. `cargo bench -p pilothouse-store [-- DATABASES]`
//!
//! A create is what `control` commits for one database: the record, its operation, its dialect document, an event and a wire id with its counter.
//! The file lies in the current directory (or in `STORE_BENCH_DIR`), so that it is on a real disk and not on a `/tmp` in memory.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops at the first fault"
)]

#[path = "../tests/it/support.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_model::{Database, Operation, OperationPhase, OperationResult, Subject, TenantId, Timestamp};
use pilothouse_store::{Store, Urgency};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;

fn main() {
    let databases = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(10_000_usize);
    let folder = match std::env::var_os("STORE_BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir_in(".").unwrap(),
    };
    let path = folder.path().join("state.redb");
    println!(
        "fsync of 4 KiB, median                {:>10.3?}",
        fsync_median(folder.path())
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let empty = resident_bytes();
    let store = Store::open(&path).unwrap();
    runtime.block_on(creates(&store, databases));
    let killed = folder.path().join("killed.redb");
    fs::copy(&path, &killed).unwrap();
    runtime.block_on(urgent_under_load(&store, databases));
    runtime.block_on(alone(&store));
    views(&store);
    println!(
        "file                                  {:>10.1} MB",
        fs::metadata(&killed).unwrap().len() as f64 / 1e6
    );
    println!(
        "resident beyond the empty program     {:>10} bytes a database (writer)",
        grown(empty, databases)
    );
    drop(store);
    reopen("after kill -9", &killed);
    reopen("after close", &killed);
    println!("peak resident size                    {:>10} kB", status_kb("VmHWM:"));
}

/// A create, as `control` commits it.
async fn create(store: &Store, number: usize, urgency: Urgency) {
    let tenant = TenantId::from_bytes([1; 16]);
    let port = 10_000 + u16::try_from(number % 10_000).unwrap();
    let made = support::database(tenant, &format!("database-{number}"), port);
    let subject = Subject::Database(made.id);
    let mut operation = support::operation(tenant, subject);
    operation.phase = OperationPhase::Processed;
    operation.result = Some(OperationResult::Succeeded);
    let create = store.transact(urgency, |tx| {
        if tx
            .view()
            .databases_named(Some(tenant), made.name.as_str())
            .next()
            .is_some()
        {
            return Err(());
        }
        tx.put(operation);
        tx.put(support::document(subject, "bdb", 600));
        tx.append_event(Timestamp::from_millis(1_760_400_000_000), support::draft(subject));
        tx.put(made);
        Ok(tx.allocate_number(support::UID, 1, subject))
    });
    create.await.unwrap();
}

async fn creates(store: &Store, databases: usize) {
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut batches = store.revisions();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let store = store.clone();
        clients.spawn(async move {
            for number in (client..databases).step_by(CLIENTS) {
                create(&store, number, Urgency::Normal).await;
            }
        });
    }
    let mut batch_count = 0_u32;
    loop {
        tokio::select! {
            biased;
            changed = batches.changed() => { changed.unwrap(); batch_count += 1; }
            ended = clients.join_next() => if ended.is_none() { break },
        }
    }
    let (took, cpu) = (start.elapsed(), cpu_time() - cpu);
    let each = |time: Duration| time / u32::try_from(databases).unwrap();
    println!(
        "creates, {CLIENTS} clients, each durable      {:>10.0} /s  ({databases} in {took:.2?}, {:.1} a batch at least, {:.0?} of processor time each)",
        databases as f64 / took.as_secs_f64(),
        databases as f64 / f64::from(batch_count),
        each(cpu)
    );
}

async fn alone(store: &Store) {
    let start = Instant::now();
    for number in 0..500 {
        create(store, 2_000_000 + number, Urgency::Normal).await;
    }
    println!("create, one client                    {:>10.3?}", start.elapsed() / 500);
}

async fn urgent_under_load(store: &Store, databases: usize) {
    let mut clients = JoinSet::new();
    for client in 0..1000 {
        let store = store.clone();
        clients.spawn(async move {
            for round in 0..5 {
                create(&store, databases + client * 5 + round, Urgency::Normal).await;
            }
        });
    }
    let mut times = Vec::new();
    for number in 0..50 {
        let start = Instant::now();
        create(store, 3_000_000 + number, Urgency::Failover).await;
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "urgent create beside 1,000 clients    {:>10.3?} (median; slowest {:.3?})",
        times[25], times[49]
    );
    while clients.join_next().await.is_some() {}
}

fn views(store: &Store) {
    let start = Instant::now();
    let view = store.view();
    let bytes: u64 = view.all::<Database>().map(|database| database.spec.memory_bytes).sum();
    let count = view.count::<Database>();
    println!(
        "list of {count:>6} databases              {:>10.3?} ({bytes} bytes asked for)",
        start.elapsed()
    );
    let start = Instant::now();
    for _ in 0..100_000 {
        std::hint::black_box(store.view());
    }
    println!(
        "view                                  {:>10.3?}",
        start.elapsed() / 100_000
    );
}

fn reopen(when: &str, path: &Path) {
    let mut times = Vec::new();
    for round in 0..5 {
        let copy = path.with_extension(format!("copy{round}"));
        fs::copy(path, &copy).unwrap();
        let (before, cpu, start) = (resident_bytes(), cpu_time(), Instant::now());
        let store = Store::open(&copy).unwrap();
        times.push(start.elapsed());
        let count = store.view().count::<Database>();
        assert_eq!(count, store.view().count::<Operation>());
        if round == 0 {
            let cpu = cpu_time() - cpu;
            println!(
                "resident after opening ({when})   {:>10} bytes a database, cpu {cpu:.3?}",
                grown(before, count)
            );
        }
        drop(store);
        if round == 4 && when == "after kill -9" {
            fs::rename(&copy, path).unwrap();
        } else {
            fs::remove_file(&copy).unwrap();
        }
    }
    times.sort();
    println!("open {when:<33}{:>10.3?} (median; slowest {:.3?})", times[2], times[4]);
}

fn fsync_median(folder: &Path) -> Duration {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(folder.join("probe")).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            file.write_all_at(&[1; 4096], 0).unwrap();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[100]
}

fn grown(before: u64, databases: usize) -> u64 {
    resident_bytes().saturating_sub(before) / databases as u64
}

fn resident_bytes() -> u64 {
    status_kb("VmRSS:") * 1024
}

fn status_kb(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time of this process, user and system.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
