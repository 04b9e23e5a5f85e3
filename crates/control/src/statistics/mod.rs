//! History of measurements: of servers, databases, hosts and the installation as a whole, each in the seven classes of [`Interval`].
//!
//! [`sampler`] asks servers for their totals and gauges, [`counters`] turns two of them into the rates of a [`reading`], [`series`] folds these into coarser
//! samples as time passes, and [`archive`] carries the coarse ones over a restart. Dialects read with [`Statistics::samples`] and
//! [`Statistics::newest`] and give the metrics the words of their API. Nothing here is durable in the sense of the store, and nothing
//! decides anything: losing it costs history, not data.

mod archive;
mod counters;
mod interval;
mod metric;
mod reading;
mod requests;
mod sampler;
mod series;
mod source;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use pilothouse_engine::Load;
use pilothouse_gateway_protocol::EndpointLoad;
use pilothouse_model::{DatabaseId, HostId, ServerId, Timestamp};

pub use interval::Interval;
pub use metric::Metric;
pub use series::Sample;

use counters::{EndpointCounters, HostCounters, ServerCounters};
use reading::Reading;
use series::{Series, Span};

pub(crate) use source::start;

use sampler::HostReading;

/// Whose samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatSubject {
    /// All hosts together.
    Installation,
    /// A host.
    Host(HostId),
    /// A database: its primaries and its endpoint.
    Database(DatabaseId),
    /// A server.
    Server(ServerId),
}

/// History of measurements. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Statistics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    series: RwLock<HashMap<StatSubject, Arc<Mutex<Series>>>>,
    /// The newest totals, from which the next rates follow.
    totals: Mutex<Totals>,
}

#[derive(Default)]
struct Totals {
    servers: HashMap<ServerId, (Timestamp, ServerCounters)>,
    endpoints: HashMap<DatabaseId, (Timestamp, EndpointCounters)>,
    loads: HashMap<DatabaseId, EndpointLoad>,
    hosts: HashMap<HostId, (Timestamp, HostCounters)>,
    /// When the newest sample of a database was taken.
    databases: HashMap<DatabaseId, Timestamp>,
}

/// A server's part in a reading of its database.
pub(crate) struct ServerReading {
    pub(crate) server: ServerId,
    pub(crate) primary: bool,
    pub(crate) load: Load,
}

impl Statistics {
    /// Nothing measured yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The samples of a subject that overlap `from..to`, oldest first; `None` when nothing was ever measured of it.
    pub fn samples(
        &self,
        subject: StatSubject,
        interval: Interval,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Option<Vec<Sample>> {
        let series = self.get(subject)?;
        let mut samples = lock(&series).samples(interval);
        samples.retain(|sample| from.is_none_or(|from| sample.to >= from) && to.is_none_or(|to| sample.from <= to));
        Some(samples)
    }

    /// The newest sample of a subject; `None` when nothing was ever measured of it.
    pub fn newest(&self, subject: StatSubject, interval: Interval) -> Option<Sample> {
        let series = self.get(subject)?;
        lock(&series).newest(interval)
    }

    /// Counters of the database's endpoint, as last sampled.
    pub fn endpoint_load(&self, database: DatabaseId) -> Option<EndpointLoad> {
        lock(&self.0.totals).loads.get(&database).cloned()
    }

    /// Forgets what is gone: everything that `keep` does not want.
    pub(crate) fn retain(&self, keep: impl Fn(&StatSubject) -> bool) {
        self.0
            .series
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|subject, _| keep(subject));
        let mut totals = lock(&self.0.totals);
        totals.servers.retain(|server, _| keep(&StatSubject::Server(*server)));
        totals
            .endpoints
            .retain(|database, _| keep(&StatSubject::Database(*database)));
        totals
            .loads
            .retain(|database, _| keep(&StatSubject::Database(*database)));
        totals
            .databases
            .retain(|database, _| keep(&StatSubject::Database(*database)));
        totals.hosts.retain(|host, _| keep(&StatSubject::Host(*host)));
    }

    /// Takes in what the servers of a database say at `at`, and the counters of its endpoint. Returns its operations per second.
    pub(crate) fn record_database(
        &self,
        database: DatabaseId,
        servers: &[ServerReading],
        endpoint: Option<&EndpointLoad>,
        at: Timestamp,
    ) -> f64 {
        let mut primaries = Vec::new();
        for server in servers {
            let reading = self.record_server(server.server, &server.load, at);
            if server.primary {
                primaries.push(reading);
            }
        }
        if primaries.is_empty() {
            return 0.0;
        }
        let mut whole = Reading::sum(&primaries);
        let from = {
            let mut totals = lock(&self.0.totals);
            if let Some(load) = endpoint {
                let counters = EndpointCounters::of(load);
                let previous = totals.endpoints.insert(database, (at, counters));
                whole.set_endpoint(load, &counters, previous.as_ref(), at);
                totals.loads.insert(database, load.clone());
            }
            totals.databases.insert(database, at).unwrap_or(at)
        };
        if whole.get(Metric::LastRequest).is_none()
            && let Some(last) = self.last_request(database)
        {
            whole.set(Metric::LastRequest, last);
        }
        self.record(
            StatSubject::Database(database),
            metric::DATABASE,
            Span { from, to: at },
            &whole,
        );
        whole.get(Metric::Operations).unwrap_or(0.0)
    }

    /// When a client's command was last seen before now, also by an earlier control plane.
    fn last_request(&self, database: DatabaseId) -> Option<f64> {
        let series = self.get(StatSubject::Database(database))?;
        lock(&series).last_known(Metric::LastRequest)
    }

    /// Takes in what a server says at `at`.
    fn record_server(&self, server: ServerId, load: &Load, at: Timestamp) -> Reading {
        let counters = ServerCounters::of(load);
        let previous = lock(&self.0.totals).servers.insert(server, (at, counters.clone()));
        let reading = counters.reading(previous.as_ref(), at);
        let from = previous.map_or(at, |(at, _)| at);
        self.record(
            StatSubject::Server(server),
            metric::SERVER,
            Span { from, to: at },
            &reading,
        );
        reading
    }

    /// Takes in the load of the hosts at `at`, and adds up what the databases on them do.
    pub(crate) fn record_hosts(&self, hosts: &[HostReading], at: Timestamp) {
        let mut readings = Vec::new();
        for host in hosts {
            let counters = HostCounters::of(&host.load);
            let previous = lock(&self.0.totals).hosts.insert(host.host, (at, counters));
            let mut reading = counters.reading(&host.load, previous.as_ref(), at);
            reading.set(Metric::MemoryProvisional, host.unclaimed_bytes);
            let databases = host
                .databases
                .iter()
                .filter_map(|id| self.newest(StatSubject::Database(*id), Interval::Second1));
            reading.set_databases(databases);
            let from = previous.map_or(at, |(at, _)| at);
            self.record(
                StatSubject::Host(host.host),
                metric::HOST,
                Span { from, to: at },
                &reading,
            );
            readings.push((f64::from(host.cores.max(1)), from, reading));
        }
        if let Some(from) = readings.iter().map(|(_, from, _)| *from).min() {
            let whole = Reading::installation(
                &readings
                    .into_iter()
                    .map(|(cores, _, reading)| (cores, reading))
                    .collect::<Vec<_>>(),
            );
            self.record(StatSubject::Installation, metric::HOST, Span { from, to: at }, &whole);
        }
    }

    /// Writes the coarse samples to a file, whole or not at all. Blocks.
    pub(crate) fn save(&self, path: &Path) -> std::io::Result<()> {
        let all: Vec<_> = self
            .0
            .series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(subject, series)| (*subject, Arc::clone(series)))
            .collect();
        archive::write(path, all.iter().map(|(subject, series)| (*subject, lock(series))))
    }

    /// Reads what [`Statistics::save`] wrote. A file that cannot be understood counts as none. Blocks.
    pub(crate) fn restore(&self, path: &Path) -> std::io::Result<()> {
        let found = archive::read(path)?;
        let mut all = self.0.series.write().unwrap_or_else(PoisonError::into_inner);
        for (subject, series) in found {
            all.entry(subject).or_insert_with(|| Arc::new(Mutex::new(series)));
        }
        Ok(())
    }

    fn get(&self, subject: StatSubject) -> Option<Arc<Mutex<Series>>> {
        self.0
            .series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&subject)
            .cloned()
    }

    fn record(&self, subject: StatSubject, metrics: &'static [Metric], span: Span, reading: &Reading) {
        let series = self.get(subject).unwrap_or_else(|| {
            let mut all = self.0.series.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                all.entry(subject)
                    .or_insert_with(|| Arc::new(Mutex::new(Series::new(metrics)))),
            )
        });
        let values: Vec<f64> = metrics
            .iter()
            .map(|metric| reading.get(*metric).unwrap_or(f64::NAN))
            .collect();
        lock(&series).record(span, &values);
    }
}

/// What is kept of a subject.
fn metrics_of(subject: StatSubject) -> &'static [Metric] {
    match subject {
        StatSubject::Installation | StatSubject::Host(_) => metric::HOST,
        StatSubject::Database(_) => metric::DATABASE,
        StatSubject::Server(_) => metric::SERVER,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the archive stands, given the directory for files that are needed for a moment: beside it.
fn archive_path(scratch: &Path) -> PathBuf {
    scratch.with_file_name("statistics.bin")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pilothouse_model::MachineLoad;

    use super::*;

    fn load(numbers: &[(&str, f64)], calls: &[(&str, u64)]) -> Load {
        Load {
            numbers: numbers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            calls: calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            micros: calls
                .iter()
                .map(|(name, count)| ((*name).to_owned(), count * 3))
                .collect(),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_760_400_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_database_is_the_sum_of_its_primaries() {
        let statistics = Statistics::new();
        let (database, primary, replica) = (DatabaseId::new(), ServerId::new(), ServerId::new());
        let read = |second: u64, gets: u64, sets: u64| {
            let server = |server, primary, memory| ServerReading {
                server,
                primary,
                load: load(
                    &[("used_memory", memory), ("keyspace_hits", gets as f64)],
                    &[("get", gets), ("set", sets)],
                ),
            };
            let servers = [server(primary, true, 1000.0), server(replica, false, 900.0)];
            statistics.record_database(database, &servers, None, at(second))
        };
        assert_eq!(read(0, 100, 10), 0.0);
        let operations = read(2, 120, 20);
        assert_eq!(operations, 15.0);
        let newest = statistics
            .newest(StatSubject::Database(database), Interval::Second1)
            .unwrap();
        assert_eq!(newest.get(Metric::UsedMemory), Some(1000.0));
        assert_eq!(newest.get(Metric::ReadRequests), Some(10.0));
        assert_eq!(newest.get(Metric::WriteRequests), Some(5.0));
        assert_eq!(newest.get(Metric::ReadHits), Some(10.0));
        assert_eq!(newest.get(Metric::ReadLatency), Some(3.0));
        assert_eq!(newest.get(Metric::OtherLatency), None);
        assert_eq!((newest.from, newest.to), (at(0), at(2)));
        let replica = statistics
            .newest(StatSubject::Server(replica), Interval::Second1)
            .unwrap();
        assert_eq!(replica.get(Metric::UsedMemory), Some(900.0));
    }

    #[test]
    fn endpoint_counters_become_connections_and_bytes() {
        let statistics = Statistics::new();
        let (database, server) = (DatabaseId::new(), ServerId::new());
        for (second, bytes) in [(0, 1000), (5, 2000)] {
            let endpoint = EndpointLoad {
                connections: 7,
                bytes_in: bytes,
                accepted: bytes / 100,
                ..EndpointLoad::default()
            };
            let servers = [ServerReading {
                server,
                primary: true,
                load: load(&[("used_memory", 1.0)], &[]),
            }];
            statistics.record_database(database, &servers, Some(&endpoint), at(second));
        }
        let newest = statistics
            .newest(StatSubject::Database(database), Interval::Second1)
            .unwrap();
        assert_eq!(newest.get(Metric::Connections), Some(7.0));
        assert_eq!(newest.get(Metric::BytesIn), Some(200.0));
        assert_eq!(newest.get(Metric::ConnectionsReceived), Some(2.0));
        assert_eq!(statistics.endpoint_load(database).unwrap().bytes_in, 2000);
    }

    #[test]
    fn hosts_tell_shares_and_the_installation_weighs_them_by_processors() {
        let statistics = Statistics::new();
        let (small, large) = (HostId::new(), HostId::new());
        for second in 0..2 {
            let host = |host, cores, busy: u64| HostReading {
                host,
                cores,
                unclaimed_bytes: 50.0,
                databases: Vec::new(),
                load: MachineLoad {
                    cpu_user: busy * second,
                    cpu_idle: (100 - busy) * second,
                    memory_free_bytes: 10,
                    ..MachineLoad::default()
                },
            };
            statistics.record_hosts(&[host(small, 1, 80), host(large, 3, 40)], at(second));
        }
        let newest = |subject| statistics.newest(subject, Interval::Second1).unwrap();
        assert_eq!(newest(StatSubject::Host(small)).get(Metric::HostCpuUser), Some(0.8));
        let all = newest(StatSubject::Installation);
        assert!((all.get(Metric::HostCpuUser).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(all.get(Metric::MemoryFree), Some(20.0));
        assert_eq!(all.get(Metric::MemoryProvisional), Some(100.0));
    }

    #[test]
    fn the_time_of_the_last_request_is_kept_while_nobody_asks_and_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statistics.bin");
        let (database, server) = (DatabaseId::new(), ServerId::new());
        let read = |statistics: &Statistics, second, gets| {
            let servers = [ServerReading {
                server,
                primary: true,
                load: load(&[], &[("get", gets)]),
            }];
            statistics.record_database(database, &servers, None, at(second));
            let newest = statistics.newest(StatSubject::Database(database), Interval::Second1);
            newest.unwrap().get(Metric::LastRequest)
        };
        let statistics = Statistics::new();
        assert_eq!(read(&statistics, 0, 0), None);
        let last = Some(at(1).as_secs() as f64);
        assert_eq!(read(&statistics, 1, 5), last);
        assert_eq!(read(&statistics, 6, 5), last);
        statistics.save(&path).unwrap();
        let after = Statistics::new();
        after.restore(&path).unwrap();
        assert_eq!(read(&after, 20, 5), last);
    }

    #[test]
    fn a_half_filled_sample_goes_on_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statistics.bin");
        let (database, server) = (DatabaseId::new(), ServerId::new());
        let read = |statistics: &Statistics, second, memory| {
            let servers = [ServerReading {
                server,
                primary: true,
                load: load(&[("used_memory", memory)], &[]),
            }];
            statistics.record_database(database, &servers, None, at(second));
        };
        let statistics = Statistics::new();
        for second in 1..=150 {
            read(&statistics, second, 10.0);
        }
        statistics.save(&path).unwrap();
        let after = Statistics::new();
        after.restore(&path).unwrap();
        let subject = StatSubject::Database(database);
        let newest = |interval| {
            after
                .newest(subject, interval)
                .map(|sample| (sample.from, sample.get(Metric::UsedMemory)))
        };
        for interval in [Interval::Minute5, Interval::Hour1, Interval::Week1] {
            assert_eq!(newest(interval), Some((at(0), Some(10.0))), "{interval:?}");
        }
        for second in 150..=310 {
            read(&after, second, 30.0);
        }
        let five = after.samples(subject, Interval::Minute5, None, None).unwrap();
        let value = five[0].get(Metric::UsedMemory).unwrap();
        assert!((value - 20.0).abs() < 0.5, "{value}");
    }

    #[test]
    fn coarse_samples_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statistics.bin");
        let (database, server) = (DatabaseId::new(), ServerId::new());
        let before = Statistics::new();
        for minute in 0..25 {
            let servers = [ServerReading {
                server,
                primary: true,
                load: load(&[("used_memory", minute as f64)], &[]),
            }];
            before.record_database(database, &servers, None, at(minute * 60));
        }
        before.save(&path).unwrap();
        let after = Statistics::new();
        after.restore(&path).unwrap();
        let subject = StatSubject::Database(database);
        let samples = |statistics: &Statistics, interval| -> Vec<_> {
            let samples = statistics.samples(subject, interval, None, None).unwrap();
            samples
                .iter()
                .map(|sample| (sample.from, sample.to, sample.get(Metric::UsedMemory)))
                .collect()
        };
        assert!(samples(&before, Interval::Minute5).len() >= 3);
        assert_eq!(samples(&after, Interval::Minute5), samples(&before, Interval::Minute5));
        assert!(samples(&after, Interval::Second1).is_empty());
    }

    #[test]
    fn a_damaged_archive_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("statistics.bin");
        let statistics = Statistics::new();
        let servers = [ServerReading {
            server: ServerId::new(),
            primary: true,
            load: load(&[("used_memory", 1.0)], &[]),
        }];
        for second in [0, 400, 800] {
            statistics.record_database(DatabaseId::from_bytes([7; 16]), &servers, None, at(second));
        }
        statistics.save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let fresh = Statistics::new();
            fresh.restore(&path).unwrap();
            assert!(
                fresh
                    .newest(StatSubject::Database(DatabaseId::from_bytes([7; 16])), Interval::Week1)
                    .is_none(),
                "{length}"
            );
        }
    }
}
