//! Totals and gauges of servers, endpoints and hosts at one moment, and what has happened between two such moments.
//!
//! The names are those of `INFO` and of its command statistics, which every engine of the Redis family shares. Our own management
//! connection counts as a client there, so the commands that only it (or replication) sends are left out.

use pilothouse_engine::Load;
use pilothouse_gateway_protocol::EndpointLoad;
use pilothouse_model::{MachineLoad, Timestamp};

use super::metric::Metric;
use super::reading::Reading;
use super::requests::{Done, Requests, WRITE};

/// Gauges by the engine's names.
const GAUGES: &[(Metric, &str)] = &[
    (Metric::Connections, "connected_clients"),
    (Metric::UsedMemory, "used_memory"),
    (Metric::UsedMemoryPeak, "used_memory_peak"),
    (Metric::UsedMemoryRss, "used_memory_rss"),
    (Metric::LuaMemory, "used_memory_lua"),
    (Metric::FragmentationRatio, "mem_fragmentation_ratio"),
    (Metric::MemoryNotCountedForEviction, "mem_not_counted_for_evict"),
    (Metric::Keys, "keys"),
    (Metric::ExpiringKeys, "expires"),
    (Metric::AverageTtl, "avg_ttl"),
    (Metric::PubsubChannels, "pubsub_channels"),
    (Metric::PubsubPatterns, "pubsub_patterns"),
    (Metric::BlockedClients, "blocked_clients"),
    (Metric::MonitorSessions, "monitors"),
    (Metric::LogRewrites, "aof_rewrite_in_progress"),
    (Metric::LastSave, "rdb_last_save_time"),
    (Metric::ChangesSinceSave, "rdb_changes_since_last_save"),
];

/// Totals by the engine's names.
const TOTALS: &[(Metric, &str)] = &[
    (Metric::ConnectionsReceived, "total_connections_received"),
    (Metric::ConnectionsRefused, "rejected_connections"),
    (Metric::BytesIn, "total_net_input_bytes"),
    (Metric::BytesOut, "total_net_output_bytes"),
    (Metric::EvictedKeys, "evicted_keys"),
    (Metric::ExpiredKeys, "expired_keys"),
    (Metric::ReadHits, "keyspace_hits"),
    (Metric::ReadMisses, "keyspace_misses"),
    (Metric::ForkCpuSystem, "used_cpu_sys_children"),
    (Metric::ForkCpuUser, "used_cpu_user_children"),
    (Metric::MainThreadCpuSystem, "used_cpu_sys_main_thread"),
    (Metric::MainThreadCpuUser, "used_cpu_user_main_thread"),
    (Metric::CpuSystem, "used_cpu_sys"),
    (Metric::CpuUser, "used_cpu_user"),
    (Metric::FullSyncs, "sync_full"),
    (Metric::PartialSyncs, "sync_partial_ok"),
    (Metric::PartialSyncsRefused, "sync_partial_err"),
    (Metric::LoginsRefused, "errorstat_WRONGPASS"),
];

/// Calls of single commands, by their own names.
const COMMANDS: &[(Metric, &[&str])] = &[
    // New clients log in with HELLO.
    (Metric::Logins, &["auth", "hello"]),
    (Metric::Flushes, &["flushall", "flushdb"]),
    (Metric::Gets, &["get"]),
    (Metric::Sets, &["set"]),
    (Metric::Touches, &["touch"]),
];

/// The totals and gauges of a server at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerCounters {
    gauges: Vec<(Metric, f64)>,
    totals: Vec<(Metric, f64)>,
    requests: Requests,
}

impl ServerCounters {
    pub(super) fn of(load: &Load) -> Self {
        let pick = |names: &[(Metric, &str)]| -> Vec<(Metric, f64)> {
            names
                .iter()
                .filter_map(|(metric, name)| Some((*metric, *load.numbers.get(*name)?)))
                .collect()
        };
        let mut totals = pick(TOTALS);
        for (metric, names) in COMMANDS {
            let calls: u64 = names.iter().filter_map(|name| load.calls.get(*name)).sum();
            totals.push((*metric, calls as f64));
        }
        Self {
            gauges: pick(GAUGES),
            totals,
            requests: Requests::of(load),
        }
    }

    /// The values since `previous`. Without one, rates are unknown; after a restart of the server they count from its start.
    pub(super) fn reading(&self, previous: Option<&(Timestamp, Self)>, at: Timestamp) -> Reading {
        let mut reading = Reading::of(&self.gauges);
        let Some((then, before)) = previous else { return reading };
        let seconds = at.since(*then).as_secs_f64();
        if seconds <= 0.0 {
            return reading;
        }
        for (metric, total) in &self.totals {
            reading.set(*metric, grown(*total, before.total(*metric)) / seconds);
        }
        let done = self.requests.since(&before.requests);
        reading.set_requests(done.calls, done.micros, seconds);
        let misses = self.write_misses(before, &done);
        reading.set(Metric::WriteMisses, misses / seconds);
        reading.set(Metric::WriteHits, (done.calls[WRITE] - misses) / seconds);
        if done.calls.iter().sum::<f64>() > 0.0 {
            reading.set(Metric::LastRequest, at.as_secs() as f64);
        }
        reading
    }

    /// Writes since `before` that did not find their key. Engines count no such thing, but keys: those that have come to be were
    /// written where nothing was, and of the removals those that left no key fewer found none. Exact for commands of one key.
    fn write_misses(&self, before: &Self, done: &Done) -> f64 {
        if done.restarted {
            return 0.0;
        }
        let vanished: f64 = [Metric::ExpiredKeys, Metric::EvictedKeys]
            .into_iter()
            .map(|metric| grown(self.total(metric), before.total(metric)))
            .sum();
        let created = self.keys() - before.keys() + vanished + done.removals;
        created.clamp(0.0, done.calls[WRITE])
    }

    fn total(&self, metric: Metric) -> f64 {
        value(&self.totals, metric)
    }

    fn keys(&self) -> f64 {
        value(&self.gauges, Metric::Keys)
    }
}

fn value(values: &[(Metric, f64)], wanted: Metric) -> f64 {
    let found = values.iter().find(|(metric, _)| *metric == wanted);
    found.map_or(0.0, |(_, value)| *value)
}

/// How much a total has grown; all of it after a restart.
pub(super) fn grown(now: f64, before: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// The totals of an endpoint at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndpointCounters {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl EndpointCounters {
    pub(super) const fn of(load: &EndpointLoad) -> Self {
        Self {
            accepted: load.accepted,
            refused: load.refused,
            bytes_in: load.bytes_in,
            bytes_out: load.bytes_out,
        }
    }
}

/// The totals of a host at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostCounters {
    /// In the order of [`CPU`].
    cpu: [u64; 7],
    network: [u64; 2],
}

pub(super) const CPU: [Metric; 7] = [
    Metric::HostCpuUser,
    Metric::HostCpuNice,
    Metric::HostCpuSystem,
    Metric::HostCpuIdle,
    Metric::HostCpuIowait,
    Metric::HostCpuIrq,
    Metric::HostCpuSteal,
];

impl HostCounters {
    pub(super) const fn of(load: &MachineLoad) -> Self {
        Self {
            cpu: [
                load.cpu_user,
                load.cpu_nice,
                load.cpu_system,
                load.cpu_idle,
                load.cpu_iowait,
                load.cpu_irq,
                load.cpu_steal,
            ],
            network: [load.network_in_bytes, load.network_out_bytes],
        }
    }

    /// The values since `previous`; processor shares since boot when there is none.
    pub(super) fn reading(&self, load: &MachineLoad, previous: Option<&(Timestamp, Self)>, at: Timestamp) -> Reading {
        let mut reading = Reading::default();
        reading.set(Metric::MemoryFree, load.memory_free_bytes as f64);
        reading.set(Metric::MemoryAvailable, load.memory_available_bytes as f64);
        reading.set(Metric::StorageAvailable, load.storage_available_bytes as f64);
        reading.set(Metric::StorageFree, load.storage_free_bytes as f64);
        let before = previous.map(|(_, before)| *before).unwrap_or_default();
        let ticks: [f64; 7] = std::array::from_fn(|index| grown(self.cpu[index] as f64, before.cpu[index] as f64));
        let all: f64 = ticks.iter().sum();
        if all > 0.0 {
            for (metric, ticks) in CPU.into_iter().zip(ticks) {
                reading.set(metric, ticks / all);
            }
        }
        if let Some((then, _)) = previous {
            let seconds = at.since(*then).as_secs_f64();
            if seconds > 0.0 {
                reading.set(
                    Metric::BytesIn,
                    grown(self.network[0] as f64, before.network[0] as f64) / seconds,
                );
                reading.set(
                    Metric::BytesOut,
                    grown(self.network[1] as f64, before.network[1] as f64) / seconds,
                );
            }
        }
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_counts_from_the_start_of_the_server() {
        let counters = |gets, net| {
            ServerCounters::of(&Load {
                numbers: [("total_net_input_bytes".to_owned(), net)].into(),
                calls: [("get".to_owned(), gets)].into(),
                micros: [("get".to_owned(), gets * 2)].into(),
            })
        };
        let before = (Timestamp::from_millis(0), counters(1000, 5000.0));
        let reading = counters(30, 300.0).reading(Some(&before), Timestamp::from_millis(3000));
        assert_eq!(reading.get(Metric::ReadRequests), Some(10.0));
        assert_eq!(reading.get(Metric::BytesIn), Some(100.0));
        assert_eq!(reading.get(Metric::LastRequest), Some(3.0));
    }

    #[test]
    fn writes_that_found_no_key_are_told_by_the_keys() {
        let counters = |keys: f64, expired: f64, sets: u64, dels: u64| {
            ServerCounters::of(&Load {
                numbers: [("keys".to_owned(), keys), ("expired_keys".to_owned(), expired)].into(),
                calls: [("set".to_owned(), sets), ("del".to_owned(), dels)].into(),
                micros: [].into(),
            })
        };
        let check = |now: ServerCounters, expected: (f64, f64)| {
            let before = (Timestamp::from_millis(0), counters(10.0, 5.0, 100, 20));
            let reading = now.reading(Some(&before), Timestamp::from_millis(1000));
            let found = (reading.get(Metric::WriteHits), reading.get(Metric::WriteMisses));
            assert_eq!(found, (Some(expected.0), Some(expected.1)));
        };
        check(counters(10.0, 5.0, 100, 20), (0.0, 0.0));
        // Three new keys, two written again.
        check(counters(13.0, 5.0, 105, 20), (2.0, 3.0));
        // A new one, and two that expired meanwhile.
        check(counters(9.0, 7.0, 101, 20), (0.0, 1.0));
        // One removed that was there, one that was not.
        check(counters(9.0, 5.0, 100, 22), (1.0, 1.0));
        // Emptied: fewer keys than any removal explains.
        check(counters(0.0, 5.0, 100, 21), (1.0, 0.0));
        // Loaded from disk after a restart: nobody wrote these keys.
        check(counters(10.0, 0.0, 4, 0), (4.0, 0.0));
    }

    #[test]
    fn single_commands_and_refused_logins_are_counted() {
        let counters = |count: u64| {
            ServerCounters::of(&Load {
                numbers: [("errorstat_WRONGPASS".to_owned(), count as f64)].into(),
                calls: [
                    ("auth".to_owned(), count * 2),
                    ("flushdb".to_owned(), count),
                    ("flushall".to_owned(), count),
                ]
                .into(),
                micros: [].into(),
            })
        };
        let before = (Timestamp::from_millis(0), counters(1));
        let reading = counters(3).reading(Some(&before), Timestamp::from_millis(2000));
        let found =
            [Metric::Logins, Metric::LoginsRefused, Metric::Flushes, Metric::Gets].map(|metric| reading.get(metric));
        assert_eq!(found, [2.0, 1.0, 2.0, 0.0].map(Some));
    }

    #[test]
    fn an_idle_server_has_rates_of_zero_and_no_latency() {
        let counters = ServerCounters::of(&Load {
            numbers: [("evicted_keys".to_owned(), 4.0)].into(),
            calls: [("get".to_owned(), 9), ("ping".to_owned(), 100)].into(),
            micros: [].into(),
        });
        let before = (Timestamp::from_millis(0), counters.clone());
        let reading = counters.reading(Some(&before), Timestamp::from_millis(1000));
        assert_eq!(reading.get(Metric::TotalRequests), Some(0.0));
        assert_eq!(reading.get(Metric::EvictedKeys), Some(0.0));
        assert_eq!(reading.get(Metric::Latency), None);
        assert_eq!(reading.get(Metric::LastRequest), None);
    }
}
