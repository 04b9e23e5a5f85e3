//! Databases that follow a source elsewhere: whether they get its data, and if not, why.
//!
//! Replication tries again for ever and says nothing by itself, so every few seconds each such primary is asked for its link. What keeps
//! one from its source is shown with the database and told by one event, and so is its end.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pilothouse_model::{Database, DatabaseId, ReplicaSource, ReplicaSync, Server, ServerRole, Severity, Subject};
use pilothouse_store::{Urgency, View};
use tokio::net::TcpStream;

use crate::{Control, ControlError, Field, events};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a primary may take to answer, and its source to accept a connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Primaries that are asked at once.
const ASKED_AT_ONCE: usize = 16;
/// Lines that a server printed last, among which the reason is looked for.
const LOG_LINES: usize = 40;
/// Databases that follow each other in a row, looked through for a ring.
const CHAIN_MAX: usize = 64;
const LOST: &str = "replica-source-lost";
const FOLLOWED: &str = "replica-source-followed";

/// What keeps databases from the sources that they follow.
#[derive(Default)]
pub(super) struct Lost(Mutex<HashMap<DatabaseId, String>>);

impl Lost {
    fn lock(&self) -> MutexGuard<'_, HashMap<DatabaseId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a primary stands with its source.
enum Link {
    Up,
    /// It is being connected, or nobody can tell.
    Unknown,
    /// It has none, for this reason.
    Down(String),
}

/// Looks until control stops.
pub(super) async fn run(control: Control) {
    let stopped = control.0.tasks.stopped().clone();
    while stopped.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        if stopped.run_until_cancelled(look(&control)).await.is_none() {
            return;
        }
    }
}

async fn look(control: &Control) {
    let view = control.store().view();
    let following: Vec<Arc<Database>> = view
        .all::<Database>()
        .filter(|database| database.deleted_at.is_none() && source(database).is_some())
        .map(|database| control.record_of(database))
        .collect();
    drop(view);
    let wanted: HashSet<DatabaseId> = following.iter().map(|record| record.id).collect();
    control.0.transfers.lost.lock().retain(|id, _| wanted.contains(id));
    futures_util::stream::iter(following)
        .for_each_concurrent(ASKED_AT_ONCE, |record| async move {
            let told = match link(control, &record).await {
                Link::Unknown => return,
                Link::Up => {
                    control.0.transfers.lost.lock().remove(&record.id);
                    tell(control, &record, None).await
                }
                Link::Down(why) => {
                    let before = control.0.transfers.lost.lock().insert(record.id, why.clone());
                    if before.as_ref() == Some(&why) {
                        return;
                    }
                    tell(control, &record, Some(&why)).await
                }
            };
            if let Err(error) = told {
                tracing::warn!(database = %record.id, %error, "how a database stands with its source cannot be recorded");
            }
        })
        .await;
}

fn source(database: &Database) -> Option<&ReplicaSource> {
    let source = database.spec.replica_of.as_ref();
    source.filter(|source| source.sync == ReplicaSync::Enabled)
}

async fn link(control: &Control, record: &Database) -> Link {
    let Some((source, primary)) = source(record).zip(record.layout.shards.first().and_then(|shard| shard.primary()))
    else {
        return Link::Unknown;
    };
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let asked = async {
        let mut session = control.connect(record, primary, deadline).await?;
        session.replication(deadline).await
    };
    match asked.await {
        Ok(seen) if seen.role != ServerRole::Replica || seen.syncing => Link::Unknown,
        Ok(seen) if seen.link_up == Some(true) => Link::Up,
        Ok(_) => reason(control, record, source, primary).await,
        // A primary that does not answer is told by others.
        Err(_) => Link::Unknown,
    }
}

/// Why the link is down: what a connection of ours meets, else what the server printed.
async fn reason(control: &Control, record: &Database, source: &ReplicaSource, primary: &Server) -> Link {
    let (host, port) = (source.host.as_str(), source.port);
    let connecting = TcpStream::connect((host, port));
    match tokio::time::timeout(ANSWER_TIMEOUT, connecting).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Link::Down(format!("the source {host}:{port} cannot be reached: {error}")),
        Err(_) => return Link::Down(format!("the source {host}:{port} does not answer")),
    }
    let printed = control
        .0
        .runtime
        .log_tail(primary.id, LOG_LINES)
        .await
        .unwrap_or_default();
    let engine = control.0.engines.get(record.spec.engine);
    match engine.and_then(|engine| engine.explain_lost_source(&printed)) {
        Some(why) => Link::Down(why),
        // It was tried too short a time ago.
        None => Link::Unknown,
    }
}

/// Writes the event, unless the last one about this says the same: it may have been written before a restart.
async fn tell(control: &Control, record: &Database, why: Option<&str>) -> Result<(), ControlError> {
    let view = control.store().view();
    let subject = Subject::Database(record.id);
    let is_ours = |kind: &str| kind == LOST || kind == FOLLOWED;
    let last = view
        .events()
        .rfind(|event| event.what.subject == subject && is_ours(&event.what.kind));
    let last = last.map(|event| {
        event
            .what
            .facts
            .get("reason")
            .and_then(|reason| reason.as_str())
            .map(str::to_owned)
    });
    drop(view);
    // Nothing was ever wrong, or this was told.
    if last.unwrap_or(None).as_deref() == why {
        return Ok(());
    }
    let (kind, severity, message) = match why {
        Some(why) => (
            LOST,
            Severity::Error,
            format!("{} does not get the data of its source: {why}", record.name),
        ),
        None => (FOLLOWED, Severity::Info, format!("{} follows its source", record.name)),
    };
    let mut event = events::about(record, kind, severity, "replication", None, message);
    event.facts["reason"] = why.into();
    let now = control.now();
    control
        .transact(Urgency::Normal, move |transaction| {
            transaction.append_event(now, event);
            Ok(())
        })
        .await
}

impl Control {
    /// Why the database does not get the data of the source that it follows, as far as it is known; `None` while nothing is wrong.
    pub fn lost_source(&self, database: DatabaseId) -> Option<String> {
        self.0.transfers.lost.lock().get(&database).cloned()
    }

    /// Refuses a source that is the database itself, or one of ours that follows it, directly or through others. `own` is the port of its
    /// endpoint, 0 while that is not chosen. Waits for the name service, briefly.
    pub(crate) async fn check_source(
        &self,
        view: &View,
        own: Option<DatabaseId>,
        port: u16,
        source: Option<&ReplicaSource>,
    ) -> Result<(), ControlError> {
        let mut next = source.cloned();
        for _ in 0..CHAIN_MAX {
            let Some(source) = next.take() else { return Ok(()) };
            if !self.is_here(&source).await {
                return Ok(());
            }
            let database = view.all::<Database>().find(|database| listens(database, source.port));
            let same = source.port == port || own.is_some() && database.map(|database| database.id) == own;
            if same {
                let why = "the source leads back to the database itself, which would follow itself";
                return Err(ControlError::invalid(Field::ReplicaSource, why));
            }
            next = database.and_then(|database| database.spec.replica_of.clone());
        }
        Ok(())
    }

    /// Whether the source is at an address of this machine.
    async fn is_here(&self, source: &ReplicaSource) -> bool {
        let facts = self.host_facts();
        let ours = |address: IpAddr| {
            address.is_loopback()
                || address == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
                || address == self.settings().advertise_address
                || facts.addresses.iter().any(|(_, known)| *known == address)
        };
        let found = tokio::time::timeout(
            ANSWER_TIMEOUT,
            tokio::net::lookup_host((source.host.as_str(), source.port)),
        );
        let found = found.await.ok().and_then(Result::ok);
        found.is_some_and(|found| found.map(|address: SocketAddr| address.ip().to_canonical()).any(ours))
    }
}

/// Whether one of the database's listeners has that port.
fn listens(database: &Database, port: u16) -> bool {
    let of_server = |server: &Server| server.ports.plain == port || server.ports.tls == port;
    database.endpoint().port == port || database.layout.servers().any(of_server)
}
