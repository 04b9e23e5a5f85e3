//! Mail about alerts: who is told, what a letter says, and how it gets to the mail server.
//!
//! [`alerts`](crate::alerts) hands over what is news, and [`run`] sends it, so that a slow mail server holds up nothing. Letters wait in
//! memory, in bounded number, and are gone after a restart: the log tells of every alert, whether there is mail or not.

mod audience;
mod letter;
mod outbox;
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
    for reader in audience::of(app, reading.subject) {
        let letter = Box::new(letter::compose(reading, &scene, reader));
        if let Err(letter) = app.outbox().post(letter) {
            give_up(app, &letter, "too many letters wait for the mail server").await;
        }
    }
}

/// Sends what is posted, until `stop`.
pub(crate) async fn run(app: &App, stop: &CancellationToken) {
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
    let left = app.outbox().len();
    if left > 0 {
        tracing::info!(left, "letters about alerts are left unsent");
    }
}

async fn attempt(app: &App, waiting: Waiting) {
    let letter = &waiting.letter;
    let sent = match Server::configured(app) {
        // Switched off since.
        Ok(None) => return,
        Ok(Some(server)) => server.send(letter).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => tracing::debug!(alert = letter.alert, to = %letter.to, "a letter about an alert is sent"),
        Err(error) if error.is_final() => give_up(app, letter, &error.to_string()).await,
        Err(error) => try_again(app, waiting, &error).await,
    }
}

async fn try_again(app: &App, waiting: Waiting, error: &SendError) {
    tracing::debug!(%error, attempts = waiting.attempts + 1, "a letter about an alert is not sent yet");
    if let Err(letter) = app.outbox().put_back(waiting, Instant::now()) {
        give_up(app, &letter, &error.to_string()).await;
    }
}

/// Tells that a letter will never be sent, in the log of this program and in that of the API.
async fn give_up(app: &App, letter: &Letter, reason: &str) {
    tracing::warn!(alert = letter.alert, to = %letter.to, reason, "a letter about an alert cannot be sent");
    let event = EventDraft {
        kind: "mail-failed".to_owned(),
        severity: Severity::Warning,
        subject: letter.about,
        tenant: None,
        actor: own_caller(app).actor,
        operation: None,
        message: format!(
            "the mail about {} to {} cannot be sent: {reason}",
            letter.alert, letter.to
        ),
        facts: json!({"alert": letter.alert, "recipient": letter.to.to_string()}),
    };
    if let Err(error) = app.control().record_event(event).await {
        tracing::warn!(%error, "a letter that cannot be sent cannot be recorded");
    }
}
