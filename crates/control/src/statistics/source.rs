//! Where [`Control`] gets its measurements from: the servers over connections of their own, the gateway, the runtime.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pilothouse_engine::{Load, Session};
use pilothouse_gateway_protocol::EndpointLoad;
use pilothouse_model::{Database, DatabaseId, ServerId, Timestamp};

use super::archive_path;
use super::sampler::{self, DatabaseReading, HostReading, LoadSource};
use crate::Control;

/// How long one question to a server may take.
const DEADLINE: Duration = Duration::from_millis(800);
/// How long the gateway may take.
const GATEWAY_DEADLINE: Duration = Duration::from_millis(500);

/// Begins to sample. Ends, after a last write of the archive, when the tasks of `control` are stopped.
pub(crate) fn start(control: &Control) {
    let archive = archive_path(&control.0.settings.scratch_dir);
    let source = Arc::new(Source {
        control: control.clone(),
        sessions: Mutex::default(),
    });
    let sampling = sampler::run(
        control.statistics().clone(),
        source,
        archive,
        control.0.tasks.stopped().clone(),
    );
    control.0.tasks.spawn(sampling);
}

struct Source {
    control: Control,
    /// One kept connection per server, taken out while it is used, so that a hung server blocks nothing else.
    sessions: Mutex<HashMap<ServerId, Box<dyn Session>>>,
}

impl Source {
    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<ServerId, Box<dyn Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, server: ServerId, deadline: Instant) -> Option<Box<dyn Session>> {
        let view = self.control.store().view();
        let database = view.get::<Database>(&view.database_of_server(server)?)?;
        self.control
            .connect(database, database.layout.server(server)?, deadline)
            .await
            .ok()
    }
}

#[async_trait]
impl LoadSource for Source {
    fn now(&self) -> Timestamp {
        self.control.now()
    }

    fn databases(&self) -> Vec<DatabaseReading> {
        let view = self.control.store().view();
        view.all::<Database>()
            .filter(|database| !database.layout.shards.is_empty() && database.deleted_at.is_none())
            .map(|database| DatabaseReading {
                database: database.id,
                servers: roles(database),
            })
            .collect()
    }

    fn hosts(&self) -> Vec<HostReading> {
        let view = self.control.store().view();
        let facts = self.control.host_facts();
        let host = self.control.0.local_host;
        let (mut claimed, mut databases) = (0_u64, Vec::new());
        for database in view.all::<Database>() {
            let here = database.layout.servers().filter(|server| server.host == host).count() as u64;
            claimed = claimed.saturating_add(here.saturating_mul(database.spec.memory_bytes_per_server()));
            if here > 0 {
                databases.push(database.id);
            }
        }
        vec![HostReading {
            host,
            cores: facts.cores,
            unclaimed_bytes: facts.memory_bytes.saturating_sub(claimed) as f64,
            databases,
            load: self.control.machine_load(),
        }]
    }

    async fn endpoints(&self) -> HashMap<DatabaseId, EndpointLoad> {
        let loads = tokio::time::timeout(GATEWAY_DEADLINE, self.control.0.gateway.load()).await;
        let loads = loads.ok().and_then(Result::ok).unwrap_or_default();
        loads
            .into_iter()
            .filter_map(|load| Some((load.database?, load)))
            .collect()
    }

    async fn load(&self, server: ServerId) -> Option<Load> {
        let deadline = Instant::now() + DEADLINE;
        let kept = self.sessions().remove(&server);
        let mut session = match kept {
            Some(session) => session,
            None => self.connect(server, deadline).await?,
        };
        let load = session.load(deadline).await.ok()?;
        self.control
            .keep_log_within_limits(server, &load, session.as_mut())
            .await;
        self.sessions().insert(server, session);
        Some(load)
    }

    fn retain(&self, keep: &dyn Fn(ServerId) -> bool) {
        self.sessions().retain(|server, _| keep(*server));
    }
}

/// The servers of a database, and whether each is a primary.
fn roles(database: &Database) -> Vec<(ServerId, bool)> {
    let primaries: HashSet<ServerId> = database
        .layout
        .shards
        .iter()
        .filter_map(|shard| shard.lineage.primary)
        .collect();
    database
        .layout
        .servers()
        .map(|server| (server.id, primaries.contains(&server.id)))
        .collect()
}

impl Control {
    /// Counters of the database's endpoint, as last sampled.
    pub fn endpoint_load(&self, database: DatabaseId) -> Option<EndpointLoad> {
        self.statistics().endpoint_load(database)
    }
}
