//! What can be asked about databases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pilothouse_engine::Reply;
use pilothouse_model::{
    Database, DatabaseId, Liveness, Observation, Operation, Server, ServerId, ServerObservation, Shard, Timestamp,
};
use pilothouse_planner::{Verdict, lifecycle};
use pilothouse_store::View;

use crate::{Caller, Control, ControlError, DatabaseView, Noun};

/// How long a command that a client gives through the API may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a command follows the word of a server that another has the key.
const REDIRECTS_MAX: usize = 5;
/// How long a server may take to say how it is, before what it said last is good enough.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Databases whose servers are asked at once.
const LOOKS_AT_ONCE: usize = 32;

/// A file that holds data of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Whose.
    pub server: ServerId,
    /// Its name below the server's data directory.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

impl Control {
    /// Every database within the caller's reach, in the order of creation; one in deletion until its record is gone.
    pub fn databases(&self, caller: &Caller) -> Vec<DatabaseView> {
        let view = self.store().view();
        view.all::<Database>()
            .filter(|database| caller.reaches(database))
            .map(|database| self.shown(&view, &self.record_of(database)))
            .collect()
    }

    /// A database within the caller's reach.
    pub fn database(&self, caller: &Caller, id: DatabaseId) -> Result<DatabaseView, ControlError> {
        let view = self.store().view();
        view.get::<Database>(&id)
            .filter(|database| caller.reaches(database))
            .map(|database| self.shown(&view, &self.record_of(database)))
            .ok_or(ControlError::not_found(Noun::Database))
    }

    /// The database that a server belongs to, within the caller's reach.
    pub fn database_of_server(&self, caller: &Caller, server: ServerId) -> Result<DatabaseView, ControlError> {
        let database = self.store().view().database_of_server(server);
        let database = database.and_then(|id| self.database(caller, id).ok());
        database.ok_or(ControlError::not_found(Noun::Server))
    }

    /// The views with what their servers say of themselves now. A server that does not answer at once keeps what it said last.
    pub async fn look_at_servers(&self, views: Vec<DatabaseView>) -> Vec<DatabaseView> {
        let looks = views.into_iter().map(|view| self.look_at_servers_of(view));
        futures_util::stream::iter(looks)
            .buffered(LOOKS_AT_ONCE)
            .collect()
            .await
    }

    async fn look_at_servers_of(&self, mut view: DatabaseView) -> DatabaseView {
        let deadline = Instant::now() + LOOK_TIMEOUT;
        let record = Arc::clone(&view.database);
        let asked = record.layout.servers().map(|server| async {
            let mut session = self.connect(&record, server, deadline).await.ok()?;
            let facts = session.observe(deadline).await.ok()?;
            Some((server.id, facts))
        });
        let answers = futures_util::future::join_all(asked).await;
        let servers = &mut Arc::make_mut(&mut view.observation).servers;
        for (server, facts) in answers.into_iter().flatten() {
            if let Some(seen) = servers.get_mut(&server) {
                seen.at = self.now();
                seen.facts = Some(facts);
            }
        }
        view
    }

    /// Runs one client command with full rights on the primary, in a cluster on the one that has the key. Commands that tenants never get
    /// are refused by the driver.
    pub async fn execute(&self, caller: &Caller, id: DatabaseId, command: Vec<Vec<u8>>) -> Result<Reply, ControlError> {
        let shown = self.database(caller, id)?;
        let first = shown.database.layout.shards.first();
        self.execute_on(&shown.database, first.and_then(Shard::primary), &command)
            .await
    }

    /// As [`Control::execute`], on the primary of every shard at once; the answers stand in the order of the shards.
    pub async fn execute_on_each_shard(
        &self,
        caller: &Caller,
        id: DatabaseId,
        command: Vec<Vec<u8>>,
    ) -> Result<Vec<Reply>, ControlError> {
        let shown = self.database(caller, id)?;
        let shards = shown.database.layout.shards.iter();
        let asked = shards.map(|shard| self.execute_on(&shown.database, shard.primary(), &command));
        futures_util::future::try_join_all(asked).await
    }

    async fn execute_on(
        &self,
        database: &Database,
        primary: Option<&Server>,
        command: &[Vec<u8>],
    ) -> Result<Reply, ControlError> {
        let unavailable = |why: String| ControlError::Unavailable {
            why,
            retry_after: Duration::from_secs(1),
        };
        let mut server = primary.ok_or_else(|| unavailable("the database has no primary yet".to_owned()))?;
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        for _ in 0..REDIRECTS_MAX {
            let mut session = self
                .connect(database, server, deadline)
                .await
                .map_err(|error| unavailable(error.message))?;
            let reply = session
                .execute(command, deadline)
                .await
                .map_err(|error| unavailable(error.message))?;
            match owner_of(database, &reply) {
                Some(owner) => server = owner,
                None => return Ok(reply),
            }
        }
        Err(unavailable("the key is on its way between two servers".to_owned()))
    }

    /// The last lines that a server printed.
    pub async fn server_log(
        &self,
        caller: &Caller,
        server: ServerId,
        lines: usize,
    ) -> Result<Vec<String>, ControlError> {
        let view = self.store().view();
        let database = view
            .database_of_server(server)
            .ok_or(ControlError::not_found(Noun::Server))?;
        self.database(caller, database)?;
        self.0
            .runtime
            .log_tail(server, lines)
            .await
            .map_err(ControlError::internal)
    }

    /// Files that hold data of the database's servers.
    pub async fn data_files(&self, caller: &Caller, id: DatabaseId) -> Result<Vec<DataFile>, ControlError> {
        let shown = self.database(caller, id)?;
        let mut files = Vec::new();
        for server in shown.database.layout.servers() {
            let found = self
                .0
                .runtime
                .data_files(server.id)
                .await
                .map_err(ControlError::internal)?;
            files.extend(found.into_iter().map(|file| DataFile {
                server: server.id,
                name: file.name,
                bytes: file.bytes,
                modified: file.modified,
            }));
        }
        Ok(files)
    }

    /// A record as it is shown.
    pub(crate) fn shown(&self, view: &View, database: &Arc<Database>) -> DatabaseView {
        let operation = database
            .operation
            .and_then(|id| view.get::<Operation>(&id))
            .map(|operation| Arc::clone(&operation.record));
        let servers = database
            .layout
            .servers()
            .filter_map(|server| Some((server.id, self.server_observation(server.id)?)))
            .collect();
        DatabaseView {
            database: Arc::clone(database),
            lifecycle: lifecycle(database),
            operation,
            observation: Arc::new(Observation { servers }),
        }
    }

    fn server_observation(&self, server: ServerId) -> Option<ServerObservation> {
        let memory = self.0.memories.get(server)?;
        let known = memory.lock();
        let liveness = match known.verdict {
            Verdict::Unknown => Liveness::Unknown,
            Verdict::Alive if known.facts.as_ref().is_some_and(|facts| facts.loading.is_some()) => Liveness::Loading,
            Verdict::Alive => Liveness::Ok,
            Verdict::Busy => Liveness::Busy,
            Verdict::Hung => Liveness::Silent,
        };
        let facts = known.facts.as_ref().map(|facts| {
            let mut facts = facts.as_ref().clone();
            if let Some(replication) = &known.replication {
                facts.replication = replication.clone();
            }
            facts
        });
        Some(ServerObservation {
            at: known.seen_at,
            process: known.process,
            liveness,
            facts,
        })
    }
}

/// The server that a reply names as the one that has the key; `None` for a reply that is an answer.
fn owner_of<'a>(database: &'a Database, reply: &Reply) -> Option<&'a Server> {
    let Reply::Error(text) = reply else { return None };
    let address = text.strip_prefix("MOVED ")?.split(' ').nth(1)?;
    let port: u16 = address.rsplit(':').next()?.parse().ok()?;
    let mut servers = database.layout.servers();
    servers.find(|server| [server.ports.plain, server.ports.tls].contains(&port))
}
