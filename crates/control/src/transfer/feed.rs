//! The server of an import: started in a directory of its own to load a file, fed from by the primary, and gone afterwards.
//!
//! It is in no layout, so that whatever becomes of us, the next start of control finds a server that no record knows, and removes it.

use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_engine::{Fence, Peer, ServerSettings, Session};
use pilothouse_model::{Database, EvictionPolicy, Persistence, ProcessState, Server, ServerFacts, ServerId};
use pilothouse_runtime::RuntimeError;

use super::Halt;
use super::import::{loaded_from, too_large};
use super::job::Job;
use super::progress::Span;
use crate::Control;

/// How long a server may take to load the file.
const LOAD_TIMEOUT: Duration = Duration::from_hours(2);
/// How long it may be silent meanwhile. A server that loads answers every few megabytes; one that met damaged data may look for the
/// fault without end.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
const LOAD_POLL: Duration = Duration::from_millis(10);
/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Lines of the server's log that a failure tells.
const LOG_LINES: usize = 10;
const LOADING: Span = Span { from: 30, to: 60 };

/// A server with the data of a file, ready to feed a primary.
pub(super) struct Feed {
    pub(super) server: Server,
    /// The replication id of its history, which nobody else has, as last seen.
    pub(super) history: String,
}

impl Feed {
    /// The replication id of its history now: a server that fed nobody yet begins another when the first asks. `None`: no answer.
    pub(super) async fn history_now(
        &self,
        control: &Control,
        record: &Database,
        session: &mut Option<Box<dyn Session>>,
    ) -> Option<String> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut open = match session.take() {
            Some(open) => open,
            None => control.connect(record, &self.server, deadline).await.ok()?,
        };
        let seen = open.replication(deadline).await.ok()?;
        *session = Some(open);
        Some(seen.replication_id)
    }
}

/// Starts a server that loads `file`, which is moved into its directory, and waits until it has.
pub(super) async fn start(
    control: &Control,
    job: &Job,
    record: &Database,
    mut server: Server,
    file: &Path,
) -> Result<Feed, Halt> {
    let runtime = &control.0.runtime;
    let to = loaded_from().to_owned();
    runtime.place_file(server.id, file.to_owned(), to).await?;
    let mut started = launched(control, job, record, &server).await?;
    let _ports;
    if started.is_err() {
        // A damaged file, or a port that somebody else took before the server could: with other ports it is the file.
        let view = control.store().view();
        let (other, promise) = control.plan_server(&view, &record.spec).await?;
        drop(view);
        (server.ports, _ports) = (other.ports, promise);
        control.end_processes(server.id).await?;
        started = launched(control, job, record, &server).await?;
    }
    let mut session = started.map_err(|log| corrupted(&log))?;
    let history = own_history(control, record, &server, session.as_mut()).await?;
    Ok(Feed { server, history })
}

/// Ends the processes of the server and erases its directory. What cannot be erased now is at the next start of control.
pub(super) async fn erase(control: &Control, server: ServerId) {
    if let Err(error) = control.erase_server(server).await {
        tracing::warn!(%server, %error, "the server of an import cannot be removed now");
    }
}

fn corrupted(log: &str) -> Halt {
    Halt::failed("file-corrupted", format!("the file cannot be loaded: {log}"))
}

/// Starts the server and waits until it has loaded its file. `Ok(Err(log))`: it ended before it said a word.
async fn launched(
    control: &Control,
    job: &Job,
    record: &Database,
    server: &Server,
) -> Result<Result<Box<dyn Session>, String>, Halt> {
    let settings = settings(control, record, server, Fence::Closed)?;
    let request = control.launch_request(record, server, &settings)?;
    match control.0.runtime.launch(request).await {
        Ok(_) => {}
        Err(RuntimeError::EndedAtOnce { how, log }) => {
            return Ok(Err(format!("{how}: {log}")));
        }
        Err(other) => return Err(other.into()),
    }
    let limit = record.spec.memory_bytes_per_server();
    let room = room(control, job, record);
    let give_up = Instant::now() + LOAD_TIMEOUT;
    let mut session = None;
    let mut answered = false;
    let mut heard_at = Instant::now();
    let mut shown = LOADING.from;
    loop {
        job.record(control)?;
        match look(control, record, server, &mut session).await {
            Some(facts) => {
                answered = true;
                heard_at = Instant::now();
                let loaded = facts.loading.unwrap_or(1.0);
                if facts.used_memory_bytes > room {
                    return Err(too_large(whole(facts.used_memory_bytes, loaded), limit));
                }
                if let (None, Some(session)) = (facts.loading, session.take()) {
                    return Ok(Ok(session));
                }
                let now = LOADING.at(loaded);
                if now >= shown + 10 {
                    job.progressed(control, now).await?;
                    shown = now;
                }
            }
            None if !matches!(control.0.runtime.state(server.id), ProcessState::Running { .. }) => {
                let log = control.0.runtime.log_tail(server.id, LOG_LINES).await;
                let log = log.unwrap_or_default().join(" | ");
                return if answered { Err(corrupted(&log)) } else { Ok(Err(log)) };
            }
            None if heard_at.elapsed() >= SILENCE_TIMEOUT => {
                let log = control.0.runtime.log_tail(server.id, LOG_LINES).await;
                return Err(corrupted(&format!(
                    "the server that loads it does not answer any more: {}",
                    log.unwrap_or_default().join(" | ")
                )));
            }
            None => {}
        }
        if Instant::now() >= give_up {
            return Err(Halt::general("the file was not loaded in time"));
        }
        tokio::time::sleep(LOAD_POLL).await;
    }
}

/// What the server says of itself; `None` when it does not answer.
async fn look(
    control: &Control,
    record: &Database,
    server: &Server,
    session: &mut Option<Box<dyn Session>>,
) -> Option<ServerFacts> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut open = match session.take() {
        Some(open) => open,
        None => control.connect(record, server, deadline).await.ok()?,
    };
    let facts = open.observe(deadline).await.ok()?;
    *session = Some(open);
    Some(facts)
}

/// The memory that the data may take. Without the check against the limit, what a server of the database may use at all beside the
/// data that it holds now: a primary that dies of an import would take the old data with it.
fn room(control: &Control, job: &Job, record: &Database) -> u64 {
    let limit = record.spec.memory_bytes_per_server();
    if limit == 0 {
        return u64::MAX;
    }
    if !job.transfer.skip_size_check {
        return limit;
    }
    let primary = record.layout.shards.first().and_then(|shard| shard.lineage.primary);
    let memory = primary.and_then(|primary| control.0.memories.get(primary));
    let used = memory.and_then(|memory| memory.lock().facts.as_ref().map(|facts| facts.used_memory_bytes));
    crate::reconcile::limits(record)
        .memory_bytes
        .saturating_sub(used.unwrap_or(limit))
        .max(limit)
}

/// What all data will take, when this share of them takes that much.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn whole(bytes: u64, share: f64) -> u64 {
    ((bytes as f64) / share.clamp(0.01, 1.0)) as u64
}

/// The settings of a server that holds data for a moment: no limit that would drop some, no clients, no files.
fn settings(control: &Control, record: &Database, server: &Server, fence: Fence) -> Result<ServerSettings, Halt> {
    let mut settings = control.server_settings(record, server, fence)?;
    settings.memory_bytes = 0;
    settings.eviction = EvictionPolicy::Noeviction;
    settings.persistence = Persistence::Disabled;
    settings.logins.clear();
    if let Some(tls) = &mut settings.tls {
        tls.clients = false;
        tls.client_certificates = false;
    }
    Ok(settings)
}

/// Gives the server a history of its own, then lets servers of the database follow it.
///
/// A file can name the history that it was taken from, and a server that loaded it may claim to continue that. The primary would then
/// take up where it believes to be and keep its data. A server that followed somebody, if only itself and in vain, begins a new history
/// when it is promoted. Nobody can follow it before that: it is closed, to itself as well.
async fn own_history(
    control: &Control,
    record: &Database,
    server: &Server,
    session: &mut dyn Session,
) -> Result<String, Halt> {
    let before = session
        .replication(Instant::now() + ANSWER_TIMEOUT)
        .await?
        .replication_id;
    session
        .attach(&address(control, record, server), Instant::now() + ANSWER_TIMEOUT)
        .await?;
    session.promote(Instant::now() + ANSWER_TIMEOUT).await?;
    let history = session
        .replication(Instant::now() + ANSWER_TIMEOUT)
        .await?
        .replication_id;
    if history == before || history.is_empty() {
        return Err(Halt::general("the server of the import has no history of its own"));
    }
    let settings = settings(control, record, server, Fence::Replication)?;
    session.apply(&settings, Instant::now() + ANSWER_TIMEOUT).await?;
    Ok(history)
}

/// Where servers of the database reach it.
pub(super) fn address(control: &Control, record: &Database, server: &Server) -> Peer {
    let port = if record.spec.encrypts_links() {
        server.ports.tls
    } else {
        server.ports.plain
    };
    Peer {
        node: None,
        host: control.0.settings.server_address.to_string(),
        port,
    }
}
