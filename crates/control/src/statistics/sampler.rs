//! The loop that samples: busy databases every second, quiet ones every five, so that a thousand idle servers cost nothing to speak of.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use pilothouse_engine::Load;
use pilothouse_gateway_protocol::EndpointLoad;
use pilothouse_model::{DatabaseId, HostId, MachineLoad, ServerId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{ServerReading, StatSubject, Statistics};

/// Between two looks at what is due, and between two samples of a busy database.
const TICK: Duration = Duration::from_secs(1);
/// Between two samples of a quiet database.
const QUIET: Duration = Duration::from_secs(5);
/// Fewer operations per second than this are quiet.
const BUSY_OPERATIONS: f64 = 5.0;
/// How long a server may take to answer; a slow one misses a sample and delays nobody.
const LOAD_TIMEOUT: Duration = Duration::from_millis(900);
/// Databases asked at once.
const CONCURRENT: usize = 32;
/// Between two writes of the archive.
const ARCHIVE_EVERY: Duration = Duration::from_secs(60);

/// A database as the sampler needs to know it.
pub(crate) struct DatabaseReading {
    pub(crate) database: DatabaseId,
    /// Its servers, and whether each is a primary.
    pub(crate) servers: Vec<(ServerId, bool)>,
}

/// A host as the sampler needs to know it.
pub(crate) struct HostReading {
    pub(crate) host: HostId,
    pub(crate) cores: u32,
    /// Memory that no server has a claim to.
    pub(crate) unclaimed_bytes: f64,
    /// The databases whose primary runs there.
    pub(crate) databases: Vec<DatabaseId>,
    pub(crate) load: MachineLoad,
}

/// Where measurements come from.
#[async_trait]
pub(crate) trait LoadSource: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Every database that has servers.
    fn databases(&self) -> Vec<DatabaseReading>;

    /// The hosts and how loaded they are.
    fn hosts(&self) -> Vec<HostReading>;

    /// Counters of the endpoints; empty while they cannot be had. Cancel-safe.
    async fn endpoints(&self) -> HashMap<DatabaseId, EndpointLoad>;

    /// What a server says of its load; `None` while it does not answer. Cancel-safe.
    async fn load(&self, server: ServerId) -> Option<Load>;

    /// Forgets what was kept of servers that are not among these.
    fn retain(&self, keep: &dyn Fn(ServerId) -> bool);
}

/// Samples until `stop`. The history of coarse samples is read from `archive` first, and written to it every minute and at the end.
pub(super) async fn run(
    statistics: Statistics,
    source: Arc<dyn LoadSource>,
    archive: PathBuf,
    stop: CancellationToken,
) {
    let (restored, path) = (statistics.clone(), archive.clone());
    blocking("read", move || restored.restore(&path)).await;
    let mut due: HashMap<DatabaseId, Instant> = HashMap::new();
    let mut archived = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        tick(&statistics, source.as_ref(), &mut due).await;
        if archived.elapsed() >= ARCHIVE_EVERY {
            archived = Instant::now();
            save(&statistics, &archive).await;
        }
    }
    save(&statistics, &archive).await;
}

/// One look: samples every database that is due, then the hosts.
async fn tick(statistics: &Statistics, source: &dyn LoadSource, due: &mut HashMap<DatabaseId, Instant>) {
    let databases = source.databases();
    forget_gone(statistics, source, due, &databases);
    let now = Instant::now();
    let wanted: Vec<_> = databases
        .into_iter()
        // Half a tick early is on time: ticks are never exactly a second apart.
        .filter(|database| due.get(&database.database).is_none_or(|due| *due <= now + TICK / 2))
        .collect();
    let endpoints = if wanted.is_empty() {
        HashMap::new()
    } else {
        source.endpoints().await
    };
    let readings: Vec<_> = futures_util::stream::iter(wanted)
        .map(|database| async move { (database.database, read(source, &database.servers).await) })
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    let at = source.now();
    for (database, servers) in readings {
        let operations = statistics.record_database(database, &servers, endpoints.get(&database), at);
        let pause = if operations >= BUSY_OPERATIONS { TICK } else { QUIET };
        due.insert(database, now + pause);
    }
    statistics.record_hosts(&source.hosts(), at);
}

async fn read(source: &dyn LoadSource, servers: &[(ServerId, bool)]) -> Vec<ServerReading> {
    let each = servers.iter().map(|(server, primary)| async move {
        let load = tokio::time::timeout(LOAD_TIMEOUT, source.load(*server))
            .await
            .ok()
            .flatten()?;
        Some(ServerReading {
            server: *server,
            primary: *primary,
            load,
        })
    });
    futures_util::future::join_all(each)
        .await
        .into_iter()
        .flatten()
        .collect()
}

fn forget_gone(
    statistics: &Statistics,
    source: &dyn LoadSource,
    due: &mut HashMap<DatabaseId, Instant>,
    databases: &[DatabaseReading],
) {
    let known: HashSet<_> = databases.iter().map(|database| database.database).collect();
    let servers: HashSet<_> = databases
        .iter()
        .flat_map(|database| database.servers.iter().map(|(server, _)| *server))
        .collect();
    due.retain(|database, _| known.contains(database));
    source.retain(&|server| servers.contains(&server));
    statistics.retain(|subject| match subject {
        StatSubject::Installation | StatSubject::Host(_) => true,
        StatSubject::Database(database) => known.contains(database),
        StatSubject::Server(server) => servers.contains(server),
    });
}

async fn save(statistics: &Statistics, archive: &Path) {
    let (statistics, path) = (statistics.clone(), archive.to_owned());
    blocking("write", move || statistics.save(&path)).await;
}

/// Runs file work on a thread that may block. A failure costs history only, so it is told and left.
async fn blocking(what: &'static str, work: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "could not {what} the archive of statistics"),
        Err(error) => tracing::error!(%error, "the archive of statistics could not be handled"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::statistics::{Interval, Metric};

    struct Fake {
        databases: Mutex<Vec<(DatabaseId, ServerId)>>,
        asked: AtomicU64,
        silent: Option<ServerId>,
    }

    #[async_trait]
    impl LoadSource for Fake {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1_760_400_000_000)
        }
        fn databases(&self) -> Vec<DatabaseReading> {
            let databases = self.databases.lock().unwrap();
            databases
                .iter()
                .map(|(database, server)| DatabaseReading {
                    database: *database,
                    servers: vec![(*server, true)],
                })
                .collect()
        }
        fn hosts(&self) -> Vec<HostReading> {
            Vec::new()
        }
        async fn endpoints(&self) -> HashMap<DatabaseId, EndpointLoad> {
            HashMap::new()
        }
        async fn load(&self, server: ServerId) -> Option<Load> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if Some(server) == self.silent {
                std::future::pending::<()>().await;
            }
            Some(Load {
                numbers: [("used_memory".to_owned(), 5.0)].into(),
                ..Load::default()
            })
        }
        fn retain(&self, _keep: &dyn Fn(ServerId) -> bool) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_database_is_not_asked_every_tick_and_one_that_is_gone_is_forgotten() {
        let (database, server) = (DatabaseId::new(), ServerId::new());
        let source = Fake {
            databases: Mutex::new(vec![(database, server)]),
            asked: AtomicU64::new(0),
            silent: None,
        };
        let (statistics, mut due) = (Statistics::new(), HashMap::new());
        tick(&statistics, &source, &mut due).await;
        tick(&statistics, &source, &mut due).await;
        assert_eq!(source.asked.load(Ordering::Relaxed), 1);
        let newest = statistics
            .newest(StatSubject::Server(server), Interval::Second1)
            .unwrap();
        assert_eq!(newest.get(Metric::UsedMemory), Some(5.0));
        source.databases.lock().unwrap().clear();
        tick(&statistics, &source, &mut due).await;
        assert!(
            statistics
                .newest(StatSubject::Server(server), Interval::Second1)
                .is_none()
        );
        assert!(due.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_server_delays_nobody() {
        let (hung, fine) = (ServerId::new(), ServerId::new());
        let databases = Mutex::new(vec![(DatabaseId::new(), hung), (DatabaseId::new(), fine)]);
        let source = Fake {
            databases,
            asked: AtomicU64::new(0),
            silent: Some(hung),
        };
        let (statistics, mut due) = (Statistics::new(), HashMap::new());
        tick(&statistics, &source, &mut due).await;
        assert!(
            statistics
                .newest(StatSubject::Server(fine), Interval::Second1)
                .is_some()
        );
        assert!(
            statistics
                .newest(StatSubject::Server(hung), Interval::Second1)
                .is_none()
        );
    }
}
