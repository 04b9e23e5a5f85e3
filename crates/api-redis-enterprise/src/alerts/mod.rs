//! Alerts: every few seconds what holds of the cluster, its nodes and its databases is compared with the settings.
//!
//! [`Board`] keeps what was found last: whether an alert holds, since when, and the values that it was judged by. What somebody
//! was told of is kept in a document of its subject, so that a restart repeats nothing. An enabled alert that begins or ends to hold is
//! an event, and so a line in the log, and a letter to those who asked for one.

mod board;
mod cluster;
mod nodes;

use std::collections::BTreeSet;
use std::time::Duration;

use pilothouse_control::DocumentWrite;
use pilothouse_model::{EventDraft, Severity, Subject};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use board::{Board, Reading};

use crate::app::App;
use crate::auth::own_caller;
use crate::mail;
use board::Update;
use nodes::Sample;

/// Time between two evaluations.
const PERIOD: Duration = Duration::from_secs(5);
/// How long after our start what is measured may not be known yet.
const SETTLING: Duration = Duration::from_secs(30);
/// The document of a subject that holds the alerts that somebody was told of.
const DOCUMENT: &str = "alerts-told";
const DOCUMENT_VERSION: u32 = 1;

/// Evaluates until `stop`.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
    let mut last = Sample::take(app, &[]);
    let mut recalled = false;
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        if !app.is_member() {
            continue;
        }
        last = evaluate(app, &last, !std::mem::replace(&mut recalled, true)).await;
    }
}

/// One evaluation of everything; gives what the next one compares with.
async fn evaluate(app: &App, last: &Sample, first: bool) -> Sample {
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
    if first {
        recall(app, &readings);
    }
    let now = app.control().now();
    let settled = now.since(app.control().started_at()) >= SETTLING;
    tell(app, app.board().update(readings, now, settled)).await;
    sample
}

/// Takes over what was told before our start.
fn recall(app: &App, readings: &[Reading]) {
    // The readings of a subject stand together.
    for of_one in readings.chunk_by(|one, next| one.subject == next.subject) {
        let subject = of_one[0].subject;
        if let Some(kept) = app.control().document(own_caller(app).dialect, &subject, DOCUMENT) {
            app.board()
                .recall(subject, of_one.iter().map(|reading| reading.name), &kept.body);
        }
    }
}

/// Posts the letters for each alert that is news, then writes an event, and what was told with it.
async fn tell(app: &App, update: Update) {
    let mut silent = update.changed;
    for reading in update.news {
        silent.remove(&reading.subject);
        // The letters first: a crash in between repeats them, and loses none.
        mail::tell(app, &reading).await;
        keep(app, reading.subject, Some(event(app, &reading))).await;
    }
    for subject in silent {
        keep(app, subject, None).await;
    }
}

async fn keep(app: &App, subject: Subject, event: Option<EventDraft>) {
    let document = DocumentWrite {
        kind: DOCUMENT,
        version: DOCUMENT_VERSION,
        body: app.board().kept(subject),
    };
    let kept = app
        .control()
        .put_document(&own_caller(app), subject, document, event)
        .await;
    if let Err(error) = kept {
        tracing::warn!(%error, ?subject, "an alert cannot be recorded");
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
