//! Alerts of databases: what they are judged by.

use std::sync::{Arc, LazyLock};

use pilothouse_api::{JsonObject, certificate_facts};
use pilothouse_control::{DatabaseView, Interval, Metric, Sample, StatSubject, Statistics};
use pilothouse_model::{DatabaseId, Dialect, ReplicaSync, Severity, Subject, Timestamp, TlsMode, TransferKind};
use serde_json::{Value, json};

use super::alerts::{enabled, threshold};
use crate::alerts::Reading;
use crate::app::App;

/// The document of a database that holds the settings of its alerts; apart from the object, so that a change of one never races with
/// a change of the other.
pub(crate) const DOCUMENT: &str = "alerts";
/// Version of the document's format.
pub(crate) const DOCUMENT_VERSION: u32 = 1;

/// Every alert with the threshold that it has until it is changed; none is on by itself.
#[rustfmt::skip]
const DEFAULTS: &[(&str, &str)] = &[
    ("bdb_backup_delayed", "1800"),
    ("bdb_crdt_src_high_syncer_lag", "60"),
    ("bdb_crdt_src_syncer_connection_error", "0"),
    ("bdb_crdt_src_syncer_general_error", "0"),
    ("bdb_high_latency", "1000"),
    ("bdb_high_syncer_lag", "60"),
    ("bdb_high_throughput", "200000"),
    ("bdb_long_running_action", "172800"),
    ("bdb_low_throughput", "1"),
    ("bdb_proxy_cert_expiring_soon", "45"),
    ("bdb_ram_dataset_overhead", "20"),
    ("bdb_ram_values", "0"),
    ("bdb_replica_src_high_syncer_lag", "60"),
    ("bdb_replica_src_syncer_connection_error", "0"),
    ("bdb_replica_src_syncer_general_error", "0"),
    ("bdb_shard_num_ram_values", "0"),
    ("bdb_size", "80"),
    ("bdb_syncer_connection_error", "0"),
    ("bdb_syncer_general_error", "0"),
];

/// The settings of a database's alerts: defaults, and over them what was stored.
pub(crate) fn settings(stored: Option<&Value>) -> Arc<Value> {
    // Nearly every database has these, and all of them are judged every few seconds.
    static UNCHANGED: LazyLock<Arc<Value>> = LazyLock::new(|| Arc::new(Value::Object(defaults())));
    match stored {
        Some(Value::Object(stored)) => {
            let mut settings = defaults();
            settings.extend(stored.iter().map(|(name, alert)| (name.clone(), alert.clone())));
            Arc::new(Value::Object(settings))
        }
        _ => Arc::clone(&UNCHANGED),
    }
}

fn defaults() -> JsonObject {
    let setting = |threshold: &str| json!({"enabled": false, "threshold": threshold});
    DEFAULTS
        .iter()
        .map(|(name, threshold)| ((*name).to_owned(), setting(threshold)))
        .collect()
}

/// The settings of the alerts of a database.
pub(crate) fn settings_of(app: &App, id: DatabaseId) -> Arc<Value> {
    let document = app
        .control()
        .document(Dialect::RedisEnterprise, &Subject::Database(id), DOCUMENT);
    settings(document.as_ref().map(|document| &document.body))
}

/// What holds of every database now.
pub(crate) async fn readings(app: &App, views: &[DatabaseView]) -> Vec<Reading> {
    let (statistics, now) = (app.control().statistics(), app.control().now());
    let certificate = app
        .control()
        .certificate("proxy")
        .and_then(|pair| certificate_facts(&pair.certificate).ok());
    let days_left = certificate.map(|facts| facts.not_after.since(now).as_secs_f64() / 86_400.0);
    let mut judged: Vec<_> = views
        .iter()
        .map(|view| (view, Facts::of(view, statistics, days_left, now)))
        .collect();
    let unconnected: Vec<_> = judged
        .iter()
        .filter(|(_, facts)| facts.source_link == Link::Down)
        .map(|(view, _)| view.database.as_ref())
        .collect();
    let refused = app.control().with_source_that_answers(&unconnected).await;
    for (view, facts) in &mut judged {
        if refused.contains(&view.database.id) {
            facts.source_link = Link::Refused;
        }
    }
    judged
        .into_iter()
        .flat_map(|(view, facts)| judge(view, &settings_of(app, view.database.id), &facts))
        .collect()
}

/// How a database stands with the source that it follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    /// It follows, or has nothing to follow.
    #[default]
    Fine,
    /// It is not connected.
    Down,
    /// It is not connected although somebody answers at the source: a wrong password, another protocol, a source that refuses.
    Refused,
}

/// What is known of a database, in the units of its thresholds. `None`: not known, so nothing holds.
#[derive(Clone, Debug, Default)]
struct Facts {
    size_percent: Option<f64>,
    operations: Option<f64>,
    latency_micros: Option<f64>,
    backup_late_seconds: Option<f64>,
    action_seconds: Option<f64>,
    source_lag_seconds: Option<f64>,
    source_link: Link,
    overhead_percent: Option<f64>,
    certificate_days: Option<f64>,
}

impl Facts {
    fn of(view: &DatabaseView, statistics: &Statistics, days_left: Option<f64>, now: Timestamp) -> Self {
        let database = &view.database;
        let newest = |subject| -> Option<Sample> { statistics.newest(subject, Interval::Second1) };
        let sample = newest(StatSubject::Database(database.id));
        let value = |metric| sample.as_ref().and_then(|sample| sample.get(metric));
        let limit = database.spec.memory_bytes_per_server() as f64;
        let used = database
            .layout
            .servers()
            .filter_map(|server| newest(StatSubject::Server(server.id))?.get(Metric::UsedMemory));
        let replication = database.layout.shards.first().and_then(|shard| {
            let seen = view.observation.servers.get(&shard.primary()?.id)?;
            Some(&seen.facts.as_ref()?.replication)
        });
        let follows = database
            .spec
            .replica_of
            .as_ref()
            .is_some_and(|source| source.sync == ReplicaSync::Enabled);
        let running = view.operation.as_ref().filter(|operation| !operation.is_final());
        Self {
            size_percent: used
                .reduce(f64::max)
                .filter(|_| limit > 0.0)
                .map(|used| used * 100.0 / limit),
            operations: value(Metric::Operations),
            latency_micros: value(Metric::Latency),
            backup_late_seconds: backup_late(view, now),
            action_seconds: running.map(|operation| now.since(operation.received_at).as_secs_f64()),
            source_lag_seconds: replication
                .filter(|_| follows)
                .and_then(|facts| facts.link_silence)
                .map(|silence| silence.as_secs_f64()),
            source_link: match replication {
                Some(facts) if facts.syncing || facts.link_up == Some(true) => Link::Fine,
                _ if follows => Link::Down,
                _ => Link::Fine,
            },
            overhead_percent: overhead(view)
                .filter(|_| limit > 0.0)
                .map(|bytes| bytes * 100.0 / limit),
            certificate_days: days_left.filter(|_| database.spec.network.tls == TlsMode::Enabled),
        }
    }
}

/// What the largest server needs to keep its data in order, beside the data and what an empty server needs; bytes.
fn overhead(view: &DatabaseView) -> Option<f64> {
    let seen = view.observation.servers.values();
    let of_each = seen.filter_map(|seen| {
        let facts = seen.facts.as_ref()?;
        let number = |name: &str| facts.raw.get(name)?.parse::<f64>().ok();
        Some((number("used_memory_overhead")? - number("used_memory_startup")?).max(0.0))
    });
    of_each.reduce(f64::max)
}

/// How long ago the next scheduled backup should have been done; negative before its time, `None` without a schedule.
fn backup_late(view: &DatabaseView, now: Timestamp) -> Option<f64> {
    let schedule = view.database.spec.backup.as_ref().filter(|schedule| schedule.enabled)?;
    let last = view
        .database
        .transfer(TransferKind::Backup)
        .and_then(|backup| backup.last_success_at);
    let since = now.since(last.unwrap_or(view.database.created_at)).as_secs_f64();
    Some(since - schedule.interval_seconds as f64)
}

fn judge(view: &DatabaseView, settings: &Value, facts: &Facts) -> Vec<Reading> {
    let above = |name, value: Option<f64>| {
        (
            name,
            value.is_some_and(|value| value > threshold(settings, name)),
            value,
        )
    };
    let below = |name, value: Option<f64>| {
        let limit = threshold(settings, name);
        (
            name,
            limit.is_finite() && value.is_some_and(|value| value < limit),
            value,
        )
    };
    let is = |link| (facts.source_link == link).then_some(1.0);
    let (unconnected, refused) = (is(Link::Down), is(Link::Refused));
    let judged = [
        above("bdb_size", facts.size_percent),
        above("bdb_high_throughput", facts.operations),
        below("bdb_low_throughput", facts.operations),
        above("bdb_high_latency", facts.latency_micros),
        above("bdb_backup_delayed", facts.backup_late_seconds),
        above("bdb_long_running_action", facts.action_seconds),
        above("bdb_replica_src_high_syncer_lag", facts.source_lag_seconds),
        above("bdb_high_syncer_lag", facts.source_lag_seconds),
        above("bdb_replica_src_syncer_connection_error", unconnected),
        above("bdb_syncer_connection_error", unconnected),
        above("bdb_replica_src_syncer_general_error", refused),
        above("bdb_syncer_general_error", refused),
        above("bdb_ram_dataset_overhead", facts.overhead_percent),
        below("bdb_proxy_cert_expiring_soon", facts.certificate_days),
    ];
    let reading = |(name, holds, value): (&'static str, bool, Option<f64>)| {
        let mut values = JsonObject::new();
        if let Some(value) = value {
            values.insert("value".to_owned(), value.into());
        }
        if let Some(threshold) = settings.get(name).and_then(|alert| alert.get("threshold")) {
            values.insert("threshold".to_owned(), threshold.clone());
        }
        Reading {
            subject: Subject::Database(view.database.id),
            name,
            holds,
            enabled: enabled(settings, name),
            severity: Severity::Warning,
            values,
        }
    };
    judged.into_iter().map(reading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::bdb::tests::view;

    fn check(facts: &Facts, stored: &Value, expected: &[&str]) {
        let found = judge(&view(), &settings(Some(stored)), facts);
        let holding: Vec<_> = found
            .iter()
            .filter(|reading| reading.holds)
            .map(|reading| reading.name)
            .collect();
        assert_eq!(holding, expected, "{facts:?}");
    }

    #[test]
    fn what_is_not_known_does_not_hold() {
        check(&Facts::default(), &json!({}), &[]);
    }

    #[test]
    fn values_are_compared_with_thresholds() {
        let size = |percent| Facts {
            size_percent: Some(percent),
            ..Facts::default()
        };
        check(&size(80.0), &json!({}), &[]);
        check(&size(81.0), &json!({}), &["bdb_size"]);
        check(
            &size(81.0),
            &json!({"bdb_size": {"enabled": true, "threshold": "90"}}),
            &[],
        );
        check(
            &Facts {
                operations: Some(0.0),
                ..Facts::default()
            },
            &json!({}),
            &["bdb_low_throughput"],
        );
        check(
            &Facts {
                operations: Some(1e6),
                ..Facts::default()
            },
            &json!({}),
            &["bdb_high_throughput"],
        );
        check(
            &Facts {
                backup_late_seconds: Some(-5.0),
                ..Facts::default()
            },
            &json!({}),
            &[],
        );
        check(
            &Facts {
                backup_late_seconds: Some(2000.0),
                ..Facts::default()
            },
            &json!({}),
            &["bdb_backup_delayed"],
        );
        let linked = |source_link| Facts {
            source_link,
            ..Facts::default()
        };
        check(
            &linked(Link::Down),
            &json!({}),
            &["bdb_replica_src_syncer_connection_error", "bdb_syncer_connection_error"],
        );
        check(
            &linked(Link::Refused),
            &json!({}),
            &["bdb_replica_src_syncer_general_error", "bdb_syncer_general_error"],
        );
        check(
            &Facts {
                overhead_percent: Some(20.5),
                ..Facts::default()
            },
            &json!({}),
            &["bdb_ram_dataset_overhead"],
        );
        check(
            &Facts {
                certificate_days: Some(3.0),
                ..Facts::default()
            },
            &json!({}),
            &["bdb_proxy_cert_expiring_soon"],
        );
    }

    #[test]
    fn values_and_threshold_stand_beside_the_state() {
        let facts = Facts {
            size_percent: Some(91.0),
            ..Facts::default()
        };
        let stored = json!({"bdb_size": {"enabled": true, "threshold": "90"}});
        let found = judge(&view(), &settings(Some(&stored)), &facts);
        assert!(found[0].enabled && found[0].holds);
        assert_eq!(
            Value::Object(found[0].values.clone()),
            json!({"value": 91.0, "threshold": "90"})
        );
    }
}
