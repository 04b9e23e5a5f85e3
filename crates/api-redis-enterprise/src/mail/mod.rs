//! Mail: about alerts to those who want to be told, and about exports and imports to whoever asked for them with the request.
//!
//! [`alerts`](crate::alerts) hands over what is news and [`promises`] what ended; [`run`] sends it, so that a slow mail server holds up
//! nothing. Letters wait in memory, in bounded number, and in [`kept`] documents, so that a restart loses none of them.

mod audience;
mod kept;
mod letter;
mod outbox;
mod promises;
mod server;

use pilothouse_model::{EventDraft, Severity};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alerts::Reading;
use crate::app::App;
use crate::auth::own_caller;
use letter::{Letter, Scene};
pub(crate) use outbox::Outbox;
use outbox::Waiting;
pub(crate) use promises::{Promises, promise};
use server::{SendError, Server};

/// Whether a text can stand as the sender of a letter.
pub(crate) fn is_sender(text: &str) -> bool {
    server::sender(text).is_ok()
}

/// Posts a letter about an alert to each user who asked for it. Does not wait for the mail server.
pub(crate) async fn tell(app: &App, reading: &Reading) {
    if !Server::is_configured(&app.settings().cluster) {
        return;
    }
    let scene = Scene {
        cluster: app.cluster_name(),
        object: letter::object(app, reading.subject),
        at: app.control().now(),
    };
    let readers = audience::of(app, reading.subject).into_iter();
    let letters: Vec<Letter> = readers
        .map(|reader| letter::about_alert(reading, &scene, reader))
        .collect();
    kept::keep(app, reading.subject, &letters).await;
    post(app, letters).await;
}

/// Sends what is posted, until `stop`: what was left by an earlier run first.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
    let left = kept::recall(app);
    post(app, left.letters).await;
    tokio::join!(promises::run(app, left.promises, stop), send(app, stop));
}

async fn send(app: &App, stop: &CancellationToken) {
    while let Some(waiting) = stop.run_until_cancelled(app.outbox().next()).await {
        // Boxed: what speaks to a mail server is large, and would be part of this loop for good.
        if stop
            .run_until_cancelled(Box::pin(attempt(app, waiting)))
            .await
            .is_none()
        {
            break;
        }
    }
}

async fn post(app: &App, letters: Vec<Letter>) {
    for letter in letters {
        if let Err(letter) = app.outbox().post(Box::new(letter)) {
            give_up(app, &letter, "too many letters wait for the mail server").await;
        }
    }
}

async fn attempt(app: &App, waiting: Waiting) {
    let letter = &waiting.letter;
    let sent = match Server::configured(app) {
        // Switched off since.
        Ok(None) => return kept::forget(app, letter).await,
        Ok(Some(server)) => server.send(letter).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {
            tracing::debug!(topic = letter.topic, to = %letter.to, "a letter is sent");
            kept::forget(app, letter).await;
        }
        Err(error) if error.is_final() => give_up(app, letter, &error.to_string()).await,
        Err(error) => try_again(app, waiting, &error).await,
    }
}

async fn try_again(app: &App, waiting: Waiting, error: &SendError) {
    tracing::debug!(%error, attempts = waiting.attempts + 1, "a letter is not sent yet");
    if let Err(letter) = app.outbox().put_back(waiting, Instant::now()) {
        give_up(app, &letter, &error.to_string()).await;
    }
}

/// Tells that a letter will never be sent, in the log of this program and in that of the API.
async fn give_up(app: &App, letter: &Letter, reason: &str) {
    tracing::warn!(topic = letter.topic, to = %letter.to, reason, "a letter cannot be sent");
    let event = EventDraft {
        kind: "mail-failed".to_owned(),
        severity: Severity::Warning,
        subject: letter.about,
        tenant: None,
        actor: own_caller(app).actor,
        operation: None,
        message: format!(
            "the mail about {} to {} cannot be sent: {reason}",
            letter.topic, letter.to
        ),
        facts: json!({"topic": letter.topic, "recipient": letter.to.to_string()}),
    };
    if let Err(error) = app.control().record_event(event).await {
        tracing::warn!(%error, "a letter that cannot be sent cannot be recorded");
    }
    kept::forget(app, letter).await;
}
