//! Alerts of databases: every few seconds what is measured is compared with the thresholds that their owners set (specification §10.14).
//!
//! Which alerts of a database are raised is a document of it, written with the entry in the log that tells of the change: a restart
//! repeats nothing, and there is one entry for each crossing.

use std::collections::BTreeSet;
use std::time::Duration;

use pilothouse_control::{Caller, DatabaseView, DocumentWrite, Interval, Metric, Sample, StatSubject, TenantScope};
use pilothouse_model::{Dialect, EventDraft, ReplicaSync, Severity, Subject};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::documents;
use crate::wire::database::Alert;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(5);
const DOCUMENT: &str = "alerts-raised";
const DOCUMENT_VERSION: u32 = 1;

/// Looks until `stop`.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let caller = own_caller(app);
        for view in app.control().databases(&caller) {
            if view.database.deleted_at.is_none() && view.database.was_active {
                look(app, &caller, &view).await;
            }
        }
    }
}

fn own_caller(app: &App) -> Caller {
    Caller {
        dialect: Dialect::RedisCloud,
        actor: "alerts".to_owned(),
        scope: TenantScope::All,
        tenant: app.control().default_tenant(),
        settles: None,
    }
}

/// Raises and clears the alerts of one database.
async fn look(app: &App, caller: &Caller, view: &DatabaseView) {
    let id = view.database.id;
    let Some(document) = documents::database(app.control(), id) else {
        return;
    };
    let mut raised = raised(app, view);
    if document.alerts.is_empty() && raised.is_empty() {
        return;
    }
    for change in changes(&document.alerts, &raised, &Measured::of(app, view)) {
        if change.holds {
            raised.insert(change.name.clone());
        } else {
            raised.remove(&change.name);
        }
        let document = DocumentWrite {
            kind: DOCUMENT,
            version: DOCUMENT_VERSION,
            body: json!(raised),
        };
        let event = event(view, &change);
        let written = app
            .control()
            .put_document(caller, Subject::Database(id), document, Some(event));
        if let Err(error) = written.await {
            tracing::warn!(database = %id, %error, "an alert cannot be recorded");
            return;
        }
    }
}

/// An alert that begins or ends to hold.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    name: String,
    holds: bool,
    /// What was measured; `None` where nobody wants to be told any more.
    value: Option<f64>,
}

fn changes(alerts: &[Alert], raised: &BTreeSet<String>, measured: &Measured) -> Vec<Change> {
    // What is not known for now leaves the alert as it is.
    let known = alerts
        .iter()
        .filter_map(|alert| Some((alert, measured.value(&alert.name)?)));
    let crossed = known
        .map(|(alert, value)| Change {
            name: alert.name.clone(),
            holds: judge(alert, value),
            value: Some(value),
        })
        .filter(|change| raised.contains(&change.name) != change.holds);
    let unwanted = raised
        .iter()
        .filter(|name| !alerts.iter().any(|alert| alert.name == **name));
    let dropped = unwanted.map(|name| Change {
        name: name.clone(),
        holds: false,
        value: None,
    });
    crossed.chain(dropped).collect()
}

/// The alerts of a database that were raised and not cleared.
fn raised(app: &App, view: &DatabaseView) -> BTreeSet<String> {
    let subject = Subject::Database(view.database.id);
    let document = app.control().document(Dialect::RedisCloud, &subject, DOCUMENT);
    let names = document.and_then(|document| serde_json::from_value(document.body.clone()).ok());
    names.unwrap_or_default()
}

fn judge(alert: &Alert, value: f64) -> bool {
    let threshold = alert.value as f64;
    match alert.name.as_str() {
        "throughput-lower-than" => value < threshold,
        // Any break is one, whatever the value says.
        "syncsource-error" => value > 0.0,
        _ => value > threshold,
    }
}

fn event(view: &DatabaseView, change: &Change) -> EventDraft {
    let database = &view.database;
    let Change { name, holds, value } = change;
    let what = if *holds { "is raised" } else { "is over" };
    let measured = value.map_or_else(String::new, |value| format!(" at {value:.1}"));
    EventDraft {
        kind: if *holds { "alert-raised" } else { "alert-cleared" }.to_owned(),
        severity: if *holds { Severity::Warning } else { Severity::Info },
        subject: Subject::Database(database.id),
        tenant: Some(database.tenant),
        actor: "alerts".to_owned(),
        operation: None,
        message: format!("alert {name} of {} {what}{measured}", database.name),
        facts: json!({ "name": database.name.as_str(), "alert": name, "state": holds }),
    }
}

/// What is known of a database, in the units of the thresholds.
struct Measured {
    size_percent: Option<f64>,
    operations: Option<f64>,
    latency_millis: Option<f64>,
    connections_percent: Option<f64>,
    source_broken: Option<f64>,
    source_lag_seconds: Option<f64>,
}

impl Measured {
    fn of(app: &App, view: &DatabaseView) -> Self {
        let database = &view.database;
        let statistics = app.control().statistics();
        let newest = |subject| -> Option<Sample> { statistics.newest(subject, Interval::Second1) };
        let sample = newest(StatSubject::Database(database.id));
        let value = |metric| sample.as_ref().and_then(|sample| sample.get(metric));
        let percent = |part: f64, whole: f64| (whole > 0.0).then(|| part * 100.0 / whole);
        let used = database.layout.servers().filter_map(|server| {
            let sample = newest(StatSubject::Server(server.id))?;
            sample.get(Metric::UsedMemory)
        });
        let limit = database.spec.memory_bytes_per_server() as f64;
        let source = database.spec.replica_of.as_ref();
        let follows = source.is_some_and(|source| source.sync == ReplicaSync::Enabled);
        let standing = follows.then(|| app.control().source_standing(database));
        let silence = standing.as_ref().and_then(|standing| standing.heard_at);
        Self {
            size_percent: used.reduce(f64::max).and_then(|used| percent(used, limit)),
            operations: value(Metric::Operations),
            latency_millis: value(Metric::Latency).map(|micros| micros / 1000.0),
            connections_percent: value(Metric::Connections)
                .and_then(|open| percent(open, f64::from(database.spec.network.max_connections))),
            source_broken: standing
                .as_ref()
                .map(|standing| if standing.lost.is_some() { 1.0 } else { 0.0 }),
            source_lag_seconds: silence.map(|heard| app.control().now().since(heard).as_secs_f64()),
        }
    }

    fn value(&self, alert: &str) -> Option<f64> {
        match alert {
            "dataset-size" | "datasets-size" => self.size_percent,
            "throughput-higher-than" | "throughput-lower-than" => self.operations,
            "latency" => self.latency_millis,
            "connections-limit" => self.connections_percent,
            "syncsource-error" => self.source_broken,
            "syncsource-lag" => self.source_lag_seconds,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_crossed_on_the_right_side() {
        let check = |name: &str, threshold, value, holds| {
            let alert = Alert {
                name: name.to_owned(),
                value: threshold,
            };
            assert_eq!(judge(&alert, value), holds, "{name} {threshold} at {value}");
        };
        check("dataset-size", 80, 80.0, false);
        check("dataset-size", 80, 80.1, true);
        check("throughput-lower-than", 10, 9.9, true);
        check("throughput-lower-than", 10, 10.0, false);
        check("syncsource-error", 1, 1.0, true);
        check("syncsource-error", 0, 0.0, false);
    }
}
