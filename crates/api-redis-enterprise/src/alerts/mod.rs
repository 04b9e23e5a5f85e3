//! Alerts: every few seconds what holds of the cluster, its nodes and its databases is compared with the settings.
//!
//! [`Board`] keeps what was found last: whether an alert holds, since when, and the values that it was judged by. It is computed anew
//! after a restart. An enabled alert that begins or ends to hold is an event, and so a line in the log.

mod board;
mod cluster;
mod nodes;

use std::collections::BTreeSet;
use std::time::Duration;

use pilothouse_model::{EventDraft, Severity, Subject};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use board::{Board, Reading};

use crate::app::App;
use crate::auth::own_caller;
use nodes::Sample;

/// Time between two evaluations.
const PERIOD: Duration = Duration::from_secs(5);

/// Evaluates until `stop`.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
    let mut last = Sample::take(app, &[]);
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        if !app.is_member() {
            continue;
        }
        last = evaluate(app, &last).await;
    }
}

/// One evaluation of everything; gives what the next one compares with.
async fn evaluate(app: &App, last: &Sample) -> Sample {
    let settings = app.settings();
    let alert_settings = settings.cluster.get("alert_settings").cloned().unwrap_or_default();
    let views = app.control().databases(&own_caller(app));
    let sample = Sample::take(app, &views);
    let mut readings = cluster::readings(app, &views, &alert_settings);
    readings.extend(nodes::readings(app, &alert_settings, last, &sample));
    let databases = crate::translate::bdb_alerts::readings(app, &views).await;
    let known: BTreeSet<Subject> = databases.iter().map(|reading| reading.subject).collect();
    readings.extend(databases);
    app.board()
        .retain(|subject| !matches!(subject, Subject::Database(_)) || known.contains(subject));
    for reading in app.board().update(readings, app.control().now()) {
        if let Err(error) = app.control().record_event(event(app, &reading)).await {
            tracing::warn!(%error, alert = reading.name, "an alert cannot be recorded");
        }
    }
    sample
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
