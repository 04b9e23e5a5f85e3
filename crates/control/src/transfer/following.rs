//! Databases that follow a source elsewhere: whether they get its data, and if not, why.
//!
//! Replication tries again for ever and says nothing by itself, so every few seconds each such primary is asked for its link. What keeps
//! one from its source is shown with the database and told by one event, and so is its end. One whose source sends what can never be
//! loaded is stopped: each further attempt would fetch all of it again.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pilothouse_engine::LostSource;
use pilothouse_model::{
    Database, DatabaseId, Dialect, ReplicaSource, ReplicaSync, ReplicationFacts, Server, ServerRole, Severity, Subject,
    SyncProgress, Timestamp,
};
use pilothouse_store::{Urgency, View};
use tokio::net::TcpStream;

use crate::{Caller, Control, ControlError, Field, RequestOptions, TenantScope, UpdateDatabase, events};

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

/// How a database stands with the source that it follows, as far as it was seen since our start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceStanding {
    /// Why it does not get the data; `None` while nothing is wrong.
    pub lost: Option<String>,
    /// When something last came from the source.
    pub heard_at: Option<Timestamp>,
    /// A full sync was under way at the last look.
    pub syncing: bool,
    /// The last full sync that was seen, also when it is over.
    pub sync: Option<SyncProgress>,
}

/// How databases stand with the sources that they follow, each with the address of its source.
#[derive(Default)]
pub(super) struct Standings(Mutex<HashMap<DatabaseId, (String, u16, SourceStanding)>>);

impl Standings {
    fn lock(&self) -> MutexGuard<'_, HashMap<DatabaseId, (String, u16, SourceStanding)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a database and this source; what was known of another source is forgotten.
    fn change<T>(&self, id: DatabaseId, source: &ReplicaSource, change: impl FnOnce(&mut SourceStanding) -> T) -> T {
        let mut known = self.lock();
        let (host, port, standing) = known.entry(id).or_default();
        if *host != source.host || *port != source.port {
            (*host, *port, *standing) = (source.host.clone(), source.port, SourceStanding::default());
        }
        change(standing)
    }
}

impl SourceStanding {
    fn see(&mut self, seen: &ReplicationFacts, now: Timestamp) {
        let advanced = seen.sync.is_some() && seen.sync != self.sync;
        if let Some(silence) = seen.link_silence {
            self.heard_at = Some(now.minus(silence));
        } else if advanced && seen.sync.is_some_and(|sync| sync.read_bytes > 0) {
            self.heard_at = Some(now);
        }
        self.syncing = seen.syncing;
        if seen.sync.is_some() {
            self.sync = seen.sync;
        } else if let Some(sync) = &mut self.sync
            && seen.link_up == Some(true)
        {
            // It is over, and the last look may have been a while before its end.
            sync.read_bytes = sync.total_bytes.unwrap_or(sync.read_bytes);
        }
    }
}

/// How a primary stands with its source.
enum Link {
    Up,
    /// It is being connected, or nobody can tell.
    Unknown,
    /// It has none, for this reason.
    Down(LostSource),
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
    let stopped: Vec<DatabaseId> = view
        .all::<Database>()
        .filter(|database| is_stopped(database))
        .map(|database| database.id)
        .collect();
    drop(view);
    let wanted: HashSet<DatabaseId> = following.iter().map(|record| record.id).chain(stopped).collect();
    control.0.transfers.standings.lock().retain(|id, _| wanted.contains(id));
    futures_util::stream::iter(following)
        .for_each_concurrent(ASKED_AT_ONCE, |record| async move {
            if let Err(error) = look_at(control, &record).await {
                tracing::warn!(database = %record.id, %error, "how a database stands with its source cannot be recorded");
            }
        })
        .await;
}

async fn look_at(control: &Control, record: &Database) -> Result<(), ControlError> {
    let Some(source) = source(record) else { return Ok(()) };
    let standings = &control.0.transfers.standings;
    match link(control, record).await {
        Link::Unknown => Ok(()),
        Link::Up => {
            standings.change(record.id, source, |standing| standing.lost = None);
            tell(control, record, None).await
        }
        Link::Down(LostSource { why, for_good }) => {
            let before = standings.change(record.id, source, |standing| standing.lost.replace(why.clone()));
            if before.as_ref() != Some(&why) {
                tell(control, record, Some(&why)).await?;
            }
            // Told first: after a crash in between it is found and stopped again.
            if for_good { stop(control, record).await } else { Ok(()) }
        }
    }
}

/// Gives a source up until somebody asks for it again.
async fn stop(control: &Control, record: &Database) -> Result<(), ControlError> {
    let mut spec = record.spec.clone();
    if let Some(source) = &mut spec.replica_of {
        source.sync = ReplicaSync::Stopped;
    }
    let caller = Caller {
        dialect: Dialect::Local,
        actor: "replication".to_owned(),
        scope: TenantScope::All,
        tenant: record.tenant,
        settles: None,
    };
    let command = UpdateDatabase {
        name: record.name.clone(),
        spec,
        expected_generation: record.generation,
        documents: Vec::new(),
    };
    match control
        .update_database(&caller, record.id, command, RequestOptions::PROCESSED)
        .await
    {
        // Something else is being changed: the next look tries again.
        Err(ControlError::Busy { .. }) => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

fn is_stopped(database: &Database) -> bool {
    let source = database.spec.replica_of.as_ref();
    source.is_some_and(|source| source.sync == ReplicaSync::Stopped)
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
    let asked = asked.await;
    if let Ok(seen) = &asked
        && seen.role == ServerRole::Replica
    {
        let now = control.now();
        control
            .0
            .transfers
            .standings
            .change(record.id, source, |standing| standing.see(seen, now));
    }
    match asked {
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
        Ok(Err(error)) => return down(format!("the source {host}:{port} cannot be reached: {error}")),
        Err(_) => return down(format!("the source {host}:{port} does not answer")),
    }
    let printed = control
        .0
        .runtime
        .log_tail(primary.id, LOG_LINES)
        .await
        .unwrap_or_default();
    let engine = control.0.engines.get(record.spec.engine);
    match engine.and_then(|engine| engine.explain_lost_source(&printed)) {
        Some(lost) => Link::Down(lost),
        // It was tried too short a time ago.
        None => Link::Unknown,
    }
}

fn down(why: String) -> Link {
    Link::Down(LostSource { why, for_good: false })
}

/// What the last event about the link says is wrong.
fn last_told(control: &Control, database: DatabaseId) -> Option<String> {
    let view = control.store().view();
    let subject = Subject::Database(database);
    let is_ours = |kind: &str| kind == LOST || kind == FOLLOWED;
    let last = view
        .events()
        .rfind(|event| event.what.subject == subject && is_ours(&event.what.kind))?;
    last.what.facts.get("reason")?.as_str().map(str::to_owned)
}

/// Writes the event, unless the last one about this says the same: it may have been written before a restart.
async fn tell(control: &Control, record: &Database, why: Option<&str>) -> Result<(), ControlError> {
    // Nothing was ever wrong, or this was told.
    if last_told(control, record.id).as_deref() == why {
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
    /// How the database stands with the source that it follows, as far as it is known. Why one was stopped is known after a restart too.
    pub fn source_standing(&self, database: &Database) -> SourceStanding {
        let known = self.0.transfers.standings.lock().get(&database.id).cloned();
        let mut standing = known.map(|(_, _, standing)| standing).unwrap_or_default();
        if standing.lost.is_none() && is_stopped(database) {
            standing.lost = last_told(self, database.id);
        }
        standing
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
