//! Alerts: every few seconds what holds of the cluster, its nodes and its databases is compared with the settings.
//!
//! [`Board`] keeps what was found last: whether an alert holds, since when, and the values that it was judged by. It is computed anew
//! after a restart. An enabled alert that begins or ends to hold is an event, and so a line in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilothouse_api::{JsonObject, certificate_facts};
use pilothouse_model::{EventDraft, MachineLoad, Severity, Subject, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::auth::own_caller;
use crate::translate::alerts::{enabled, threshold};

/// Time between two evaluations.
const PERIOD: Duration = Duration::from_secs(5);

/// What was found of one alert.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Of what: the installation, a host, a database.
    pub(crate) subject: Subject,
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// Whether it holds by its threshold, enabled or not.
    pub(crate) holds: bool,
    /// Whether somebody wants to be told.
    pub(crate) enabled: bool,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// What it was judged by.
    pub(crate) values: JsonObject,
}

/// What is kept of one alert.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// Whether it holds.
    pub(crate) holds: bool,
    /// Since when it does or does not.
    pub(crate) since: Timestamp,
    /// How much it matters.
    pub(crate) severity: Severity,
    /// What it was judged by when it last changed.
    pub(crate) values: JsonObject,
    /// Somebody was told that it holds.
    told: bool,
}

/// What was found last, of everything.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<(Subject, &'static str), Noted>>);

impl Board {
    /// What is known of an alert; `None` before it held for the first time since our start.
    pub(crate) fn get(&self, subject: Subject, name: &str) -> Option<Noted> {
        let noted = self.lock();
        let noted: &BTreeMap<(Subject, &str), Noted> = &noted;
        noted.get(&(subject, name)).cloned()
    }

    /// The names of the alerts of a subject that hold.
    pub(crate) fn holding(&self, subject: Subject) -> Vec<&'static str> {
        let noted = self.lock();
        let holding = noted
            .iter()
            .filter(|((known, _), noted)| *known == subject && noted.holds);
        holding.map(|((_, name), _)| *name).collect()
    }

    /// Takes readings over; returns those that somebody wants to be told of: one that begins to hold, or is enabled while it does, and one
    /// that ends to hold after that. An alert that never held makes no entry.
    fn update(&self, readings: Vec<Reading>, now: Timestamp) -> Vec<Reading> {
        let mut noted = self.lock();
        let mut news = Vec::new();
        for reading in readings {
            let key = (reading.subject, reading.name);
            let known = noted.get(&key);
            let (held, told) = known.map_or((false, false), |known| (known.holds, known.told));
            let tell = reading.holds && reading.enabled;
            if held != reading.holds {
                let entry = Noted {
                    holds: reading.holds,
                    since: now,
                    severity: reading.severity,
                    values: reading.values.clone(),
                    told: tell,
                };
                noted.insert(key, entry);
            } else if let Some(known) = noted.get_mut(&key) {
                known.told = tell;
            }
            if told != tell && (tell || !reading.holds) {
                news.push(reading);
            }
        }
        news
    }

    /// Forgets what no longer exists.
    fn retain(&self, exists: impl Fn(&Subject) -> bool) {
        self.lock().retain(|(subject, _), _| exists(subject));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Subject, &'static str), Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evaluates until `stop`.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
    let mut last = Sample::take(app);
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        if !app.is_member() {
            continue;
        }
        let sample = Sample::take(app);
        evaluate(app, &last, &sample).await;
        last = sample;
    }
}

/// One evaluation of everything.
async fn evaluate(app: &App, last: &Sample, sample: &Sample) {
    let settings = app.settings();
    let alert_settings = settings.cluster.get("alert_settings").cloned().unwrap_or_default();
    let mut readings = cluster_readings(app, &alert_settings);
    readings.extend(node_readings(app, &alert_settings, last, sample));
    let databases = crate::translate::bdb_alerts::readings(app);
    let known: BTreeSet<Subject> = databases.iter().map(|reading| reading.subject).collect();
    readings.extend(databases);
    app.board()
        .retain(|subject| !matches!(subject, Subject::Database(_)) || known.contains(subject));
    for reading in app.board().update(readings, app.control().now()) {
        if let Err(error) = app.control().record_event(event(app, &reading)).await {
            tracing::warn!(%error, alert = reading.name, "an alert cannot be recorded");
        }
    }
}

fn event(app: &App, reading: &Reading) -> EventDraft {
    let mut facts = reading.values.clone();
    facts.insert("alert".to_owned(), reading.name.into());
    facts.insert("state".to_owned(), reading.holds.into());
    EventDraft {
        kind: if reading.holds { "alert-raised" } else { "alert-cleared" }.to_owned(),
        severity: if reading.holds {
            reading.severity
        } else {
            Severity::Info
        },
        subject: reading.subject,
        tenant: None,
        actor: own_caller(app).actor,
        operation: None,
        message: format!(
            "{} {}",
            reading.name,
            if reading.holds { "holds" } else { "no longer holds" }
        ),
        facts: Value::Object(facts),
    }
}

/// Load of the machine at one moment, to be compared with another.
struct Sample {
    at: Timestamp,
    load: MachineLoad,
}

impl Sample {
    fn take(app: &App) -> Self {
        Self {
            at: app.control().now(),
            load: app.control().machine_load(),
        }
    }
}

fn cluster_readings(app: &App, settings: &Value) -> Vec<Reading> {
    let control = app.control();
    let reading = |name: &'static str, holds: bool, severity: Severity, values: Value| Reading {
        subject: Subject::Installation,
        name,
        holds,
        enabled: enabled(settings, name),
        severity,
        values: values.as_object().cloned().unwrap_or_default(),
    };
    let nodes = control.hosts().len();
    let memory: u64 = control.host_facts().memory_bytes;
    let wanted: u64 = control
        .databases(&own_caller(app))
        .iter()
        .map(|view| view.database.spec.memory_bytes)
        .sum();
    let days = days_until_expiry(app, |name| !name.ends_with("_internode_encryption"));
    let certificates = "cluster_certs_about_to_expire";
    let limit = threshold(settings, certificates);
    vec![
        reading(
            "cluster_even_node_count",
            nodes.is_multiple_of(2),
            Severity::Warning,
            json!({ "node_count": nodes }),
        ),
        reading(
            "cluster_too_few_nodes_for_replication",
            nodes < 2,
            Severity::Warning,
            json!({ "node_count": nodes }),
        ),
        reading(
            "cluster_ram_overcommit",
            wanted > memory,
            Severity::Warning,
            json!({"provisioned_memory": wanted, "total_memory": memory}),
        ),
        reading(
            certificates,
            days.is_some_and(|days| days < limit),
            Severity::Warning,
            json!({"days_left": days, "global_threshold": limit}),
        ),
    ]
}

fn node_readings(app: &App, settings: &Value, last: &Sample, sample: &Sample) -> Vec<Reading> {
    let facts = app.control().host_facts();
    let load = &sample.load;
    let used = |available: u64, total: u64| percent(total.saturating_sub(available), total);
    let storage = used(load.storage_available_bytes, facts.storage_bytes);
    let measured = [
        ("node_memory", used(load.memory_available_bytes, facts.memory_bytes)),
        ("node_persistent_storage", storage),
        ("node_ephemeral_storage", storage),
        ("node_cpu_utilization", cpu_percent(&last.load, load)),
        ("node_net_throughput", network_megabytes_per_second(last, sample)),
    ];
    let days = days_until_expiry(app, |name| name.ends_with("_internode_encryption"));
    let mut readings = Vec::new();
    for host in app.control().hosts() {
        let reading = |name: &'static str, holds: bool, value: f64, limit: f64| Reading {
            subject: Subject::Host(host.id),
            name,
            holds,
            enabled: enabled(settings, name),
            severity: Severity::Warning,
            values: json!({"value": value, "global_threshold": limit})
                .as_object()
                .cloned()
                .unwrap_or_default(),
        };
        for (name, value) in measured {
            let limit = threshold(settings, name);
            readings.push(reading(name, value > limit, value, limit));
        }
        let name = "node_internal_certs_about_to_expire";
        let limit = threshold(settings, name);
        let left = days.unwrap_or(f64::MAX);
        readings.push(reading(name, left < limit, left.min(36_500.0), limit));
    }
    readings
}

/// Days until the first of these certificates expires; `None` when there is none.
fn days_until_expiry(app: &App, wanted: impl Fn(&str) -> bool) -> Option<f64> {
    let now = app.control().now();
    let certificates = app
        .control()
        .certificates()
        .into_iter()
        .filter(|(name, _)| wanted(name));
    let ends = certificates
        .filter_map(|(_, pair)| certificate_facts(&pair.certificate).ok())
        .map(|facts| facts.not_after);
    ends.min().map(|end| end.since(now).as_secs_f64() / 86_400.0)
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

fn cpu_percent(last: &MachineLoad, load: &MachineLoad) -> f64 {
    let idle = |load: &MachineLoad| load.cpu_idle + load.cpu_iowait;
    let busy = |load: &MachineLoad| load.cpu_user + load.cpu_nice + load.cpu_system + load.cpu_irq + load.cpu_steal;
    let (idle, busy) = (
        idle(load).saturating_sub(idle(last)),
        busy(load).saturating_sub(busy(last)),
    );
    percent(busy, busy + idle)
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn network_megabytes_per_second(last: &Sample, sample: &Sample) -> f64 {
    let total = |load: &MachineLoad| load.network_in_bytes + load.network_out_bytes;
    let seconds = sample.at.since(last.at).as_secs_f64();
    let bytes = total(&sample.load).saturating_sub(total(&last.load)) as f64;
    if seconds > 0.0 {
        bytes / seconds / 1_000_000.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(holds: bool) -> Reading {
        Reading {
            subject: Subject::Installation,
            name: "x",
            holds,
            enabled: true,
            severity: Severity::Warning,
            values: JsonObject::new(),
        }
    }

    #[test]
    fn the_board_tells_what_changed() {
        let board = Board::default();
        let at = Timestamp::from_millis;
        assert_eq!(board.update(vec![reading(false)], at(1)), []);
        assert!(board.get(Subject::Installation, "x").is_none());
        assert_eq!(board.update(vec![reading(true)], at(2)), [reading(true)]);
        assert_eq!(board.update(vec![reading(true)], at(3)), []);
        let noted = board.get(Subject::Installation, "x").unwrap();
        assert!(noted.holds && noted.since == at(2));
        assert_eq!(board.update(vec![reading(false)], at(4)), [reading(false)]);
        board.retain(|_| false);
        assert!(board.get(Subject::Installation, "x").is_none());
    }

    #[test]
    fn an_alert_that_is_enabled_while_it_holds_is_news_and_one_that_is_disabled_is_not() {
        let board = Board::default();
        let at = Timestamp::from_millis;
        let disabled = |holds| Reading {
            enabled: false,
            ..reading(holds)
        };
        assert_eq!(board.update(vec![disabled(true)], at(1)), []);
        assert_eq!(board.update(vec![reading(true)], at(2)), [reading(true)]);
        assert_eq!(board.get(Subject::Installation, "x").unwrap().since, at(1));
        assert_eq!(board.update(vec![disabled(true)], at(3)), []);
        assert_eq!(board.update(vec![disabled(false)], at(4)), []);
    }

    #[test]
    fn shares_of_the_processor() {
        let load = |user, idle| MachineLoad {
            cpu_user: user,
            cpu_idle: idle,
            ..MachineLoad::default()
        };
        assert!((cpu_percent(&load(100, 100), &load(125, 175)) - 25.0).abs() < 1e-9);
        assert!(cpu_percent(&load(1, 1), &load(1, 1)).abs() < 1e-9);
    }
}
