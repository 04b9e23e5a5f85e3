//! Samples → statistics: which metrics each kind of object shows, under which names, and what is shown when nothing is known.

use pilothouse_api::{JsonObject, Query};
use pilothouse_control::{Interval, Metric, Sample, StatSubject, Statistics};
use pilothouse_model::Timestamp;
use serde_json::Value;

use crate::error::Failure;

/// How a metric is shown.
#[derive(Clone, Copy, Debug)]
enum Shown {
    /// As a number, 0 while nothing is known.
    Always(Metric),
    /// Only when it is known, which is: with traffic.
    WhenKnown(Metric),
    /// The sum of several.
    Sum(&'static [Metric]),
    /// As a time, the epoch when there was none.
    Time(Metric),
    /// As whole seconds since the epoch.
    Seconds(Metric),
    /// A rate times a latency: what was spent in a second.
    Spent(Metric, &'static [Metric]),
    /// What no engine tells and clients read unconditionally.
    Zero,
}

use Shown::{Always, Seconds, Spent, Sum, Time, WhenKnown, Zero};

/// The kinds of objects with statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cluster,
    Node,
    Bdb,
    Shard,
    Endpoint,
}

const ALL_REQUESTS: &[Metric] = &[Metric::ReadRequests, Metric::WriteRequests, Metric::OtherRequests];
const READS: &[Metric] = &[Metric::ReadRequests];
const WRITES: &[Metric] = &[Metric::WriteRequests];
const OTHERS: &[Metric] = &[Metric::OtherRequests];

/// Requests and responses are counted by the server when they are done, so both are one number.
#[rustfmt::skip]
const BDB: &[(&str, Shown)] = &[
    ("conns", Always(Metric::Connections)),
    ("egress_bytes", Always(Metric::BytesOut)),
    ("ingress_bytes", Always(Metric::BytesIn)),
    ("evicted_objects", Always(Metric::EvictedKeys)),
    ("expired_objects", Always(Metric::ExpiredKeys)),
    ("instantaneous_ops_per_sec", Always(Metric::Operations)),
    ("last_req_time", Time(Metric::LastRequest)),
    ("last_res_time", Time(Metric::LastRequest)),
    ("used_memory", Always(Metric::UsedMemory)),
    ("mem_size_lua", Always(Metric::LuaMemory)),
    ("mem_frag_ratio", Always(Metric::FragmentationRatio)),
    ("mem_not_counted_for_evict", Always(Metric::MemoryNotCountedForEviction)),
    ("monitor_sessions_count", Always(Metric::MonitorSessions)),
    ("no_of_keys", Always(Metric::Keys)),
    ("no_of_expires", Always(Metric::ExpiringKeys)),
    ("read_req", Always(Metric::ReadRequests)),
    ("read_res", Always(Metric::ReadRequests)),
    ("write_req", Always(Metric::WriteRequests)),
    ("write_res", Always(Metric::WriteRequests)),
    ("other_req", Always(Metric::OtherRequests)),
    ("other_res", Always(Metric::OtherRequests)),
    ("total_req", Sum(ALL_REQUESTS)),
    ("total_res", Sum(ALL_REQUESTS)),
    ("read_hits", Always(Metric::ReadHits)),
    ("read_misses", Always(Metric::ReadMisses)),
    ("write_hits", Always(Metric::WriteHits)),
    ("write_misses", Always(Metric::WriteMisses)),
    ("total_connections_received", Always(Metric::ConnectionsReceived)),
    ("pubsub_channels", Always(Metric::PubsubChannels)),
    ("pubsub_patterns", Always(Metric::PubsubPatterns)),
    ("fork_cpu_system", Always(Metric::ForkCpuSystem)),
    ("fork_cpu_user", Always(Metric::ForkCpuUser)),
    ("main_thread_cpu_system", Always(Metric::MainThreadCpuSystem)),
    ("main_thread_cpu_user", Always(Metric::MainThreadCpuUser)),
    ("shard_cpu_system", Always(Metric::CpuSystem)),
    ("shard_cpu_user", Always(Metric::CpuUser)),
    ("avg_latency", WhenKnown(Metric::Latency)),
    ("avg_read_latency", WhenKnown(Metric::ReadLatency)),
    ("avg_write_latency", WhenKnown(Metric::WriteLatency)),
    ("avg_other_latency", WhenKnown(Metric::OtherLatency)),
];

#[rustfmt::skip]
const CLUSTER: &[(&str, Shown)] = &[
    ("available_memory", Always(Metric::MemoryAvailable)),
    ("available_memory_no_overbooking", Always(Metric::MemoryProvisional)),
    ("provisional_memory", Always(Metric::MemoryProvisional)),
    ("provisional_memory_no_overbooking", Always(Metric::MemoryProvisional)),
    ("available_flash", Zero),
    ("available_flash_no_overbooking", Zero),
    ("provisional_flash", Zero),
    ("provisional_flash_no_overbooking", Zero),
    ("avg_latency", WhenKnown(Metric::Latency)),
    ("conns", Always(Metric::Connections)),
    ("total_req", Always(Metric::TotalRequests)),
    ("cpu_idle", Always(Metric::HostCpuIdle)),
    ("cpu_system", Always(Metric::HostCpuSystem)),
    ("cpu_user", Always(Metric::HostCpuUser)),
    ("cpu_iowait", Always(Metric::HostCpuIowait)),
    ("cpu_irqs", Always(Metric::HostCpuIrq)),
    ("cpu_nice", Always(Metric::HostCpuNice)),
    ("cpu_steal", Always(Metric::HostCpuSteal)),
    ("egress_bytes", Always(Metric::BytesOut)),
    ("ingress_bytes", Always(Metric::BytesIn)),
    ("free_memory", Always(Metric::MemoryFree)),
    ("ephemeral_storage_avail", Always(Metric::StorageAvailable)),
    ("ephemeral_storage_free", Always(Metric::StorageFree)),
    ("persistent_storage_avail", Always(Metric::StorageAvailable)),
    ("persistent_storage_free", Always(Metric::StorageFree)),
];

/// What nodes show and the cluster does not.
const NODE_ONLY: &[(&str, Shown)] = &[("cur_aof_rewrites", Always(Metric::LogRewrites))];

#[rustfmt::skip]
const SHARD: &[(&str, Shown)] = &[
    ("aof_rewrite_inprog", Always(Metric::LogRewrites)),
    ("avg_ttl", Always(Metric::AverageTtl)),
    ("blocked_clients", Always(Metric::BlockedClients)),
    ("connected_clients", Always(Metric::Connections)),
    ("evicted_objects", Always(Metric::EvictedKeys)),
    ("expired_objects", Always(Metric::ExpiredKeys)),
    ("fork_cpu_system", Always(Metric::ForkCpuSystem)),
    ("fork_cpu_user", Always(Metric::ForkCpuUser)),
    ("last_save_time", Always(Metric::LastSave)),
    ("main_thread_cpu_system", Always(Metric::MainThreadCpuSystem)),
    ("main_thread_cpu_user", Always(Metric::MainThreadCpuUser)),
    ("mem_frag_ratio", Always(Metric::FragmentationRatio)),
    ("mem_not_counted_for_evict", Always(Metric::MemoryNotCountedForEviction)),
    ("mem_size_lua", Always(Metric::LuaMemory)),
    ("no_of_expires", Always(Metric::ExpiringKeys)),
    ("no_of_keys", Always(Metric::Keys)),
    ("pubsub_channels", Always(Metric::PubsubChannels)),
    ("pubsub_patterns", Always(Metric::PubsubPatterns)),
    ("rdb_changes_since_last_save", Always(Metric::ChangesSinceSave)),
    ("read_hits", Always(Metric::ReadHits)),
    ("read_misses", Always(Metric::ReadMisses)),
    ("shard_cpu_system", Always(Metric::CpuSystem)),
    ("shard_cpu_user", Always(Metric::CpuUser)),
    ("sync_full", Always(Metric::FullSyncs)),
    ("sync_partial_ok", Always(Metric::PartialSyncs)),
    ("sync_partial_err", Always(Metric::PartialSyncsRefused)),
    ("total_req", Always(Metric::TotalRequests)),
    ("used_memory", Always(Metric::UsedMemory)),
    ("used_memory_peak", Always(Metric::UsedMemoryPeak)),
    ("used_memory_rss", Always(Metric::UsedMemoryRss)),
    ("write_hits", Always(Metric::WriteHits)),
    ("write_misses", Always(Metric::WriteMisses)),
];

#[rustfmt::skip]
const ENDPOINT: &[(&str, Shown)] = &[
    ("acc_latency", Spent(Metric::Latency, ALL_REQUESTS)),
    ("acc_read_latency", Spent(Metric::ReadLatency, READS)),
    ("acc_write_latency", Spent(Metric::WriteLatency, WRITES)),
    ("acc_other_latency", Spent(Metric::OtherLatency, OTHERS)),
    ("auth_cmds", Always(Metric::Logins)),
    ("auth_errors", Always(Metric::LoginsRefused)),
    ("cmd_flush", Always(Metric::Flushes)),
    ("cmd_get", Always(Metric::Gets)),
    ("cmd_set", Always(Metric::Sets)),
    ("cmd_touch", Always(Metric::Touches)),
    ("conns", Always(Metric::Connections)),
    ("egress_bytes", Always(Metric::BytesOut)),
    ("ingress_bytes", Always(Metric::BytesIn)),
    ("last_req_time", Seconds(Metric::LastRequest)),
    ("last_res_time", Seconds(Metric::LastRequest)),
    ("max_connections_exceeded", Always(Metric::ConnectionsRefused)),
    ("monitor_sessions_count", Always(Metric::MonitorSessions)),
    ("read_req", Always(Metric::ReadRequests)),
    ("read_res", Always(Metric::ReadRequests)),
    ("read_started_res", Always(Metric::ReadRequests)),
    ("write_req", Always(Metric::WriteRequests)),
    ("write_res", Always(Metric::WriteRequests)),
    ("write_started_res", Always(Metric::WriteRequests)),
    ("other_req", Always(Metric::OtherRequests)),
    ("other_res", Always(Metric::OtherRequests)),
    ("other_started_res", Always(Metric::OtherRequests)),
    ("total_req", Sum(ALL_REQUESTS)),
    ("total_res", Sum(ALL_REQUESTS)),
    ("total_started_res", Sum(ALL_REQUESTS)),
    ("total_connections_received", Always(Metric::ConnectionsReceived)),
];

impl Kind {
    fn metrics(self) -> impl Iterator<Item = (&'static str, Shown)> {
        let (all, more): (&'static [_], &'static [_]) = match self {
            Self::Cluster => (CLUSTER, &[]),
            Self::Node => (CLUSTER, NODE_ONLY),
            Self::Bdb => (BDB, &[]),
            Self::Shard => (SHARD, &[]),
            Self::Endpoint => (ENDPOINT, &[]),
        };
        all.iter().chain(more).copied()
    }

    /// Endpoint statistics were recorded as whole numbers, all others as floats.
    fn number(self, value: f64) -> Value {
        if self == Self::Endpoint {
            Value::from(value.round() as i64)
        } else {
            Value::from(value)
        }
    }
}

/// The words of intervals. The abbreviation of one client is taken as well.
const INTERVALS: &[(&str, Interval)] = &[
    ("1sec", Interval::Second1),
    ("10sec", Interval::Second10),
    ("5min", Interval::Minute5),
    ("15min", Interval::Minute15),
    ("1hour", Interval::Hour1),
    ("12hour", Interval::Hour12),
    ("1week", Interval::Week1),
    ("1h", Interval::Hour1),
];

fn word(interval: Interval) -> &'static str {
    INTERVALS
        .iter()
        .find(|(_, known)| *known == interval)
        .map_or("1sec", |(word, _)| word)
}

/// What a request for statistics asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    interval: Option<Interval>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    metrics: Option<Vec<String>>,
}

impl Wanted {
    pub(crate) fn of(query: &Query) -> Result<Self, Failure> {
        let text = |name: &str| query.get(name).filter(|text| !text.is_empty());
        let interval = text("interval").map(|text| {
            let known = INTERVALS.iter().find(|(word, _)| *word == text);
            known
                .map(|(_, interval)| *interval)
                .ok_or_else(|| Failure::bad_request("bad_request", format!("{text:?} is no interval")))
        });
        let time = |name: &str| text(name).map(|text| parse_time(name, text)).transpose();
        Ok(Self {
            interval: interval.transpose()?,
            from: time("stime")?,
            to: time("etime")?,
            metrics: text("metrics").map(|list| list.split(',').map(|name| name.trim().to_owned()).collect()),
        })
    }

    fn wants(&self, metric: &str) -> bool {
        self.metrics
            .as_ref()
            .is_none_or(|metrics| metrics.iter().any(|wanted| wanted == metric))
    }
}

/// A time of a query: RFC 3339, or without an offset, which means UTC.
fn parse_time(name: &str, text: &str) -> Result<Timestamp, Failure> {
    let exact = text.parse::<jiff::Timestamp>().map(|time| time.as_millisecond());
    let civil = || {
        let civil: jiff::civil::DateTime = text.parse()?;
        Ok::<_, jiff::Error>(civil.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond())
    };
    let millis = exact.or_else(|_| civil());
    millis
        .map(Timestamp::from_millis)
        .map_err(|_| Failure::bad_request("bad_request", format!("{name} is no ISO 8601 time")))
}

/// The wanted samples of a subject: the finest interval first, oldest first within one. While nothing was measured yet, one sample of
/// nothing: collectors read its numbers unconditionally.
pub(crate) fn intervals(
    statistics: &Statistics,
    subject: StatSubject,
    kind: Kind,
    wanted: &Wanted,
    now: Timestamp,
) -> Vec<JsonObject> {
    let classes = Interval::ALL
        .into_iter()
        .filter(|class| wanted.interval.is_none_or(|wanted| wanted == *class));
    let mut shown = Vec::new();
    let mut known = false;
    for class in classes {
        if let Some(samples) = statistics.samples(subject, class, wanted.from, wanted.to) {
            known = true;
            shown.extend(
                samples
                    .iter()
                    .map(|sample| show(Some(sample), class, kind, wanted, now)),
            );
        }
    }
    if !known {
        shown.push(show(
            None,
            wanted.interval.unwrap_or(Interval::Second1),
            kind,
            wanted,
            now,
        ));
    }
    shown
}

/// The newest sample of a subject; of nothing while nothing was measured.
pub(crate) fn newest(
    statistics: &Statistics,
    subject: StatSubject,
    kind: Kind,
    wanted: &Wanted,
    now: Timestamp,
) -> JsonObject {
    let class = wanted.interval.unwrap_or(Interval::Second1);
    show(statistics.newest(subject, class).as_ref(), class, kind, wanted, now)
}

fn show(sample: Option<&Sample>, class: Interval, kind: Kind, wanted: &Wanted, now: Timestamp) -> JsonObject {
    let (from, to) = sample.map_or((now, now), |sample| (sample.from, sample.to));
    let mut object = JsonObject::new();
    object.insert("interval".to_owned(), word(class).into());
    object.insert("stime".to_owned(), from.to_rfc3339_seconds().into());
    object.insert("etime".to_owned(), to.to_rfc3339_seconds().into());
    let value = |metric: Metric| sample.and_then(|sample| sample.get(metric));
    // Not `sum`: that of nothing is -0.0.
    let sum = |metrics: &[Metric]| {
        metrics
            .iter()
            .filter_map(|metric| value(*metric))
            .fold(0.0, |sum, value| sum + value)
    };
    for (name, how) in kind.metrics().filter(|(name, _)| wanted.wants(name)) {
        let shown = match how {
            Always(metric) => kind.number(value(metric).unwrap_or(0.0)),
            WhenKnown(metric) => match value(metric) {
                Some(value) => kind.number(value),
                None => continue,
            },
            Sum(metrics) => kind.number(sum(metrics)),
            Time(metric) => Timestamp::from_millis(value(metric).unwrap_or(0.0) as i64 * 1000)
                .to_rfc3339_seconds()
                .into(),
            Seconds(metric) => Value::from(value(metric).unwrap_or(0.0) as i64),
            Spent(latency, requests) => kind.number(value(latency).unwrap_or(0.0) * sum(requests)),
            Zero => kind.number(0.0),
        };
        object.insert(name.to_owned(), shown);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Wanted, Failure> {
        Wanted::of(&Query::parse(text).unwrap())
    }

    #[test]
    fn a_database_without_traffic_shows_every_metric_that_collectors_read() {
        let now = Timestamp::from_millis(1_760_400_087_000);
        let shown = show(None, Interval::Second1, Kind::Bdb, &Wanted::default(), now);
        for name in [
            "used_memory",
            "read_hits",
            "read_misses",
            "write_hits",
            "write_misses",
            "conns",
            "total_req",
        ] {
            assert_eq!(shown[name].to_string(), "0.0", "{name}");
        }
        assert_eq!(shown["last_req_time"], "1970-01-01T00:00:00Z");
        assert_eq!(shown["stime"], "2025-10-14T00:01:27Z");
        assert!(!shown.contains_key("avg_latency"));
    }

    #[test]
    fn queries_are_read_and_bad_ones_refused() {
        let wanted =
            query("interval=1h&stime=2025-10-14T00:00:00Z&etime=2025-10-14T01:00:00&metrics=conns,used_memory")
                .unwrap();
        assert_eq!(wanted.interval, Some(Interval::Hour1));
        assert_eq!(wanted.to.unwrap().since(wanted.from.unwrap()).as_secs(), 3600);
        assert!(wanted.wants("conns") && !wanted.wants("total_req"));
        for bad in ["interval=2sec", "stime=yesterday", "etime=1"] {
            assert_eq!(query(bad).unwrap_err().status, 400, "{bad}");
        }
        assert!(query("interval=&stime=").is_ok());
    }

    #[test]
    fn only_the_wanted_metrics_are_shown() {
        let shown = show(
            None,
            Interval::Week1,
            Kind::Node,
            &query("metrics=conns").unwrap(),
            Timestamp::from_millis(0),
        );
        assert_eq!(
            shown.keys().collect::<Vec<_>>(),
            ["interval", "stime", "etime", "conns"]
        );
        assert_eq!(shown["interval"], "1week");
    }

    #[test]
    fn endpoints_have_whole_numbers() {
        let shown = show(
            None,
            Interval::Second1,
            Kind::Endpoint,
            &Wanted::default(),
            Timestamp::from_millis(0),
        );
        assert_eq!(
            (&shown["conns"], &shown["last_req_time"]),
            (&Value::from(0), &Value::from(0))
        );
    }
}
