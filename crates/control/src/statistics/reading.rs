//! From totals and gauges, as an engine reports them, to values.
//!
//! The names are those of `INFO` and of its command statistics, which every engine of the Redis family shares. Our own management
//! connection counts as a client there, so the commands that only it (or replication) sends are left out.

use std::collections::BTreeMap;

use pilothouse_engine::Load;
use pilothouse_gateway_protocol::EndpointLoad;
use pilothouse_model::{MachineLoad, Timestamp};

use super::Sample;
use super::metric::Metric;

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
];

/// Metrics of a database that are not added up over its primaries.
const AVERAGED: &[Metric] = &[Metric::FragmentationRatio, Metric::AverageTtl];

/// Commands that our management connection and replication send. Rare from clients, and most are withheld from them.
const HOUSEKEEPING: &[&str] = &[
    "ping",
    "info",
    "hello",
    "auth",
    "replconf",
    "psync",
    "sync",
    "role",
    "replicaof",
    "slaveof",
    "failover",
    "config",
    "acl",
    "client",
    "command",
    "cluster",
    "latency",
    "bgsave",
    "bgrewriteaof",
    "shutdown",
    "debug",
    "memory",
    "module",
    "reset",
    "quit",
    "lastsave",
];

/// Commands that only read keys.
const READS: &[&str] = &[
    "bitcount",
    "bitfield_ro",
    "bitpos",
    "dbsize",
    "dump",
    "eval_ro",
    "evalsha_ro",
    "exists",
    "expiretime",
    "fcall_ro",
    "geodist",
    "geohash",
    "geopos",
    "georadius_ro",
    "georadiusbymember_ro",
    "geosearch",
    "get",
    "getbit",
    "getrange",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hrandfield",
    "hscan",
    "hstrlen",
    "hvals",
    "keys",
    "lcs",
    "lindex",
    "llen",
    "lolwut",
    "lpos",
    "lrange",
    "mget",
    "object",
    "pexpiretime",
    "pfcount",
    "pttl",
    "randomkey",
    "scan",
    "scard",
    "sdiff",
    "sinter",
    "sintercard",
    "sismember",
    "smembers",
    "smismember",
    "sort_ro",
    "srandmember",
    "sscan",
    "strlen",
    "substr",
    "sunion",
    "touch",
    "ttl",
    "type",
    "xinfo",
    "xlen",
    "xpending",
    "xrange",
    "xread",
    "xrevrange",
    "zcard",
    "zcount",
    "zdiff",
    "zinter",
    "zintercard",
    "zlexcount",
    "zmscore",
    "zrandmember",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrank",
    "zrevrange",
    "zrevrangebylex",
    "zrevrangebyscore",
    "zrevrank",
    "zscan",
    "zscore",
    "zunion",
];

/// Commands that may write keys.
const WRITES: &[&str] = &[
    "append",
    "bitfield",
    "bitop",
    "blmove",
    "blmpop",
    "blpop",
    "brpop",
    "brpoplpush",
    "bzmpop",
    "bzpopmax",
    "bzpopmin",
    "copy",
    "decr",
    "decrby",
    "del",
    "expire",
    "expireat",
    "flushall",
    "flushdb",
    "geoadd",
    "georadius",
    "georadiusbymember",
    "geosearchstore",
    "getdel",
    "getex",
    "getset",
    "hdel",
    "hexpire",
    "hincrby",
    "hincrbyfloat",
    "hmset",
    "hset",
    "hsetnx",
    "incr",
    "incrby",
    "incrbyfloat",
    "linsert",
    "lmove",
    "lmpop",
    "lpop",
    "lpush",
    "lpushx",
    "lrem",
    "lset",
    "ltrim",
    "migrate",
    "move",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "pfadd",
    "pfmerge",
    "psetex",
    "rename",
    "renamenx",
    "restore",
    "rpop",
    "rpoplpush",
    "rpush",
    "rpushx",
    "sadd",
    "sdiffstore",
    "set",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "sinterstore",
    "smove",
    "sort",
    "spop",
    "srem",
    "sunionstore",
    "unlink",
    "xack",
    "xadd",
    "xautoclaim",
    "xclaim",
    "xdel",
    "xgroup",
    "xreadgroup",
    "xsetid",
    "xtrim",
    "zadd",
    "zdiffstore",
    "zincrby",
    "zinterstore",
    "zmpop",
    "zpopmax",
    "zpopmin",
    "zrangestore",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
    "zunionstore",
];

/// Kind of a command: index into the arrays of [`Requests`].
const READ: usize = 0;
const WRITE: usize = 1;
const OTHER: usize = 2;

/// Commands by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Requests {
    calls: [u64; 3],
    micros: [u64; 3],
}

/// What kind of command this is, by its own name or `container|subcommand`; `None` for housekeeping.
fn kind_of(command: &str) -> Option<usize> {
    let name = command.split('|').next().unwrap_or(command);
    if READS.binary_search(&name).is_ok() {
        Some(READ)
    } else if WRITES.binary_search(&name).is_ok() {
        Some(WRITE)
    } else if HOUSEKEEPING.contains(&name) {
        None
    } else {
        Some(OTHER)
    }
}

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
        let mut requests = Requests::default();
        for (command, count) in &load.calls {
            if let Some(kind) = kind_of(command) {
                requests.calls[kind] += count;
                requests.micros[kind] += load.micros.get(command).copied().unwrap_or(0);
            }
        }
        Self {
            gauges: pick(GAUGES),
            totals: pick(TOTALS),
            requests,
        }
    }

    /// The values since `previous`. Without one, rates are unknown; after a restart of the server they count from its start.
    pub(super) fn reading(&self, previous: Option<&(Timestamp, Self)>, at: Timestamp) -> Reading {
        let mut reading = Reading(self.gauges.iter().copied().collect());
        let Some((then, before)) = previous else { return reading };
        let seconds = at.since(*then).as_secs_f64();
        if seconds <= 0.0 {
            return reading;
        }
        for (metric, total) in &self.totals {
            let earlier = before
                .totals
                .iter()
                .find(|(earlier, _)| earlier == metric)
                .map_or(0.0, |(_, total)| *total);
            reading.set(*metric, grown(*total, earlier) / seconds);
        }
        let since = |now: [u64; 3], then: [u64; 3]| {
            let restarted = now.iter().zip(then).any(|(now, then)| *now < then);
            std::array::from_fn::<f64, 3, _>(|kind| (now[kind] - if restarted { 0 } else { then[kind] }) as f64)
        };
        let calls = since(self.requests.calls, before.requests.calls);
        let micros = since(self.requests.micros, before.requests.micros);
        reading.set_requests(calls, micros, seconds);
        if calls.iter().sum::<f64>() > 0.0 {
            reading.set(Metric::LastRequest, at.as_secs() as f64);
        }
        reading
    }
}

/// How much a total has grown; all of it after a restart.
fn grown(now: f64, before: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// The totals of an endpoint at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndpointCounters {
    accepted: u64,
    refused: u64,
    bytes_in: u64,
    bytes_out: u64,
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

const CPU: [Metric; 7] = [
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

/// Values of one subject at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading(BTreeMap<Metric, f64>);

impl Reading {
    pub(super) fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).copied()
    }

    pub(super) fn set(&mut self, metric: Metric, value: f64) {
        self.0.insert(metric, value);
    }

    fn set_requests(&mut self, calls: [f64; 3], micros: [f64; 3], seconds: f64) {
        let rates = [Metric::ReadRequests, Metric::WriteRequests, Metric::OtherRequests];
        let latencies = [Metric::ReadLatency, Metric::WriteLatency, Metric::OtherLatency];
        for kind in [READ, WRITE, OTHER] {
            self.set(rates[kind], calls[kind] / seconds);
            if calls[kind] > 0.0 {
                self.set(latencies[kind], micros[kind] / calls[kind]);
            }
        }
        let all: f64 = calls.iter().sum();
        self.set(Metric::TotalRequests, all / seconds);
        self.set(Metric::Operations, all / seconds);
        if all > 0.0 {
            self.set(Metric::Latency, micros.iter().sum::<f64>() / all);
        }
    }

    /// Several servers as one: sums, but means of ratios, means of latencies weighted by requests, and the newest of times.
    pub(super) fn sum(parts: &[Self]) -> Self {
        if let [only] = parts {
            return only.clone();
        }
        let mut whole = Self::default();
        for part in parts {
            for (metric, value) in &part.0 {
                let so_far = whole.get(*metric);
                let value = match metric {
                    Metric::LastSave | Metric::LastRequest => so_far.map_or(*value, |so_far| so_far.max(*value)),
                    _ => so_far.unwrap_or(0.0) + value,
                };
                whole.set(*metric, value);
            }
        }
        let known = |metric: Metric| parts.iter().filter_map(move |part| part.get(metric));
        for metric in AVERAGED {
            let count = known(*metric).count();
            if count > 0 {
                whole.set(*metric, known(*metric).sum::<f64>() / count as f64);
            }
        }
        let weighted = [
            (Metric::Latency, Metric::TotalRequests),
            (Metric::ReadLatency, Metric::ReadRequests),
            (Metric::WriteLatency, Metric::WriteRequests),
            (Metric::OtherLatency, Metric::OtherRequests),
        ];
        for (latency, requests) in weighted {
            let pairs = parts
                .iter()
                .filter_map(|part| Some((part.get(latency)?, part.get(requests)?)));
            if let Some(mean) = weighted_mean(pairs) {
                whole.set(latency, mean);
            }
        }
        whole
    }

    /// All hosts as one: sums, but processor shares weighted by processors and latency by requests.
    pub(super) fn installation(hosts: &[(f64, Self)]) -> Self {
        let readings: Vec<Self> = hosts.iter().map(|(_, reading)| reading.clone()).collect();
        let mut whole = Self::sum(&readings);
        for metric in CPU {
            let pairs = hosts
                .iter()
                .filter_map(|(cores, reading)| Some((reading.get(metric)?, *cores)));
            if let Some(mean) = weighted_mean(pairs) {
                whole.set(metric, mean);
            }
        }
        whole
    }

    /// Connections and bytes as the endpoint counts them: the server sees those of the gateway and our own.
    pub(super) fn set_endpoint(
        &mut self,
        load: &EndpointLoad,
        now: &EndpointCounters,
        previous: Option<&(Timestamp, EndpointCounters)>,
        at: Timestamp,
    ) {
        self.set(Metric::Connections, load.connections as f64);
        for metric in [
            Metric::BytesIn,
            Metric::BytesOut,
            Metric::ConnectionsReceived,
            Metric::ConnectionsRefused,
        ] {
            self.0.remove(&metric);
        }
        let Some((then, before)) = previous else { return };
        let seconds = at.since(*then).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let rate = |now: u64, before: u64| grown(now as f64, before as f64) / seconds;
        self.set(Metric::BytesIn, rate(now.bytes_in, before.bytes_in));
        self.set(Metric::BytesOut, rate(now.bytes_out, before.bytes_out));
        self.set(Metric::ConnectionsReceived, rate(now.accepted, before.accepted));
        self.set(Metric::ConnectionsRefused, rate(now.refused, before.refused));
    }

    /// What the databases of a host do.
    pub(super) fn set_databases(&mut self, databases: impl Iterator<Item = Sample>) {
        let (mut connections, mut requests, mut rewrites) = (0.0, 0.0, 0.0);
        let mut latencies = Vec::new();
        for sample in databases {
            connections += sample.get(Metric::Connections).unwrap_or(0.0);
            rewrites += sample.get(Metric::LogRewrites).unwrap_or(0.0);
            let rate = sample.get(Metric::Operations).unwrap_or(0.0);
            requests += rate;
            if let Some(latency) = sample.get(Metric::Latency) {
                latencies.push((latency, rate));
            }
        }
        self.set(Metric::Connections, connections);
        self.set(Metric::TotalRequests, requests);
        self.set(Metric::LogRewrites, rewrites);
        if let Some(latency) = weighted_mean(latencies.into_iter()) {
            self.set(Metric::Latency, latency);
        }
    }
}

/// The mean of (value, weight) pairs; `None` without weight.
fn weighted_mean(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) = pairs.fold((0.0, 0.0), |(sum, total), (value, weight)| {
        (sum + value * weight, total + weight)
    });
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lists_are_sorted_and_disjoint() {
        for list in [READS, WRITES] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
        for name in READS.iter().chain(WRITES) {
            assert!(!(READS.contains(name) && WRITES.contains(name)), "{name}");
            assert!(!HOUSEKEEPING.contains(name), "{name}");
        }
    }

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(kind_of("get"), Some(READ));
        assert_eq!(kind_of("set"), Some(WRITE));
        assert_eq!(kind_of("xinfo|stream"), Some(READ));
        assert_eq!(kind_of("publish"), Some(OTHER));
        assert_eq!(kind_of("config|get"), None);
        assert_eq!(kind_of("info"), None);
    }

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

    #[test]
    fn ratios_are_averaged_and_latencies_weighted() {
        let part = |memory, ratio, latency, requests| {
            Reading(
                [
                    (Metric::UsedMemory, memory),
                    (Metric::FragmentationRatio, ratio),
                    (Metric::Latency, latency),
                    (Metric::TotalRequests, requests),
                ]
                .into(),
            )
        };
        let whole = Reading::sum(&[part(10.0, 1.0, 100.0, 1.0), part(30.0, 2.0, 200.0, 3.0)]);
        assert_eq!(whole.get(Metric::UsedMemory), Some(40.0));
        assert_eq!(whole.get(Metric::FragmentationRatio), Some(1.5));
        assert_eq!(whole.get(Metric::Latency), Some(175.0));
    }
}
