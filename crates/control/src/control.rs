//! The handle that dialects hold, and what it is made of.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pilothouse_backup::{FileAccess, S3Bucket};
use pilothouse_engine::Engines;
use pilothouse_gateway_protocol::Gateway;
use pilothouse_model::{
    BucketName, DatabaseId, EngineKind, Histogram, Host, HostFacts, HostId, InstalledEngine, MachineLoad, Sealed,
    Secret, Subject, Tenant, TenantId, TenantName, Timestamp,
};
use pilothouse_planner::Policy;
use pilothouse_runtime::Runtime;
use pilothouse_secrets::Keyring;
use pilothouse_store::{Revision, Store, TransactError, Transaction, Urgency, WireId};
use tokio::sync::Notify;

use crate::access::Access;
use crate::clock::Clock;
use crate::ids::IdSchemes;
use crate::lanes::Lanes;
use crate::memory::Memories;
use crate::ports::Reservations;
use crate::reconcile::{Scheduler, Troubles};
use crate::routes::Routes;
use crate::statistics::Statistics;
use crate::tasks::Tasks;
use crate::transfer::Transfers;
use crate::{ControlError, fault};

/// What the installation is set up with.
#[derive(Clone, Debug)]
pub struct ControlSettings {
    /// The address that clients are told.
    pub advertise_address: IpAddr,
    /// Ports of endpoints.
    pub port_range: RangeInclusive<u16>,
    /// The address that servers bind.
    pub server_address: IpAddr,
    /// Primary and replica may share a host where there is only one.
    pub single_host_replicas: bool,
    /// Time between two probes of a server.
    pub probe_interval: Duration,
    /// How long a probe may take.
    pub probe_deadline: Duration,
    /// Probes missed in a row after which a server that does nothing counts as dead.
    pub missed_probes: u32,
    /// How long a server that does not answer but works is waited for.
    pub busy_timeout: Duration,
    /// How long a promotion waits for a candidate that stands still and whose link is up all the same.
    pub drain_timeout: Duration,
    /// Where files that are needed for a moment go; below the data directory.
    pub scratch_dir: PathBuf,
    /// What transfers may touch of the files of this machine.
    pub file_access: Arc<FileAccess>,
    /// Buckets that transfers may use by name.
    pub buckets: BTreeMap<BucketName, Arc<S3Bucket>>,
    /// Rules of decisions.
    pub policy: Policy,
    /// Databases worked on at once.
    pub concurrent_passes: usize,
}

/// Everything that control is given.
pub struct Parts {
    /// Durable state.
    pub store: Store,
    /// Sealing of secrets.
    pub keyring: Keyring,
    /// Products.
    pub engines: Engines,
    /// Where servers run.
    pub runtime: Arc<dyn Runtime>,
    /// Where endpoints are bound.
    pub gateway: Arc<dyn Gateway>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Wire ids of all dialects, also of those whose listener is off.
    pub schemes: IdSchemes,
    /// Set-up.
    pub settings: ControlSettings,
}

/// The application: commands and queries that all dialects share, and the loops behind them. Cheap to clone.
#[derive(Clone)]
pub struct Control(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) keyring: Keyring,
    pub(crate) engines: Engines,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) gateway: Arc<dyn Gateway>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) schemes: IdSchemes,
    pub(crate) settings: ControlSettings,
    /// Logins and the cache of verified ones.
    pub(crate) access: Access,
    /// History of measurements.
    pub(crate) statistics: Statistics,
    /// Ports that are promised to operations not yet committed.
    pub(crate) reservations: Reservations,
    /// What is known of server processes; lost with us, and found again by looking.
    pub(crate) memories: Memories,
    /// Routes as the gateway was last told.
    pub(crate) routes: Routes,
    /// The gateway process ended.
    pub(crate) gateway_exited: Notify,
    /// Which database is looked at when.
    pub(crate) scheduler: Scheduler,
    /// Datasets that travel.
    pub(crate) transfers: Transfers,
    /// What keeps databases from what is wanted of them.
    pub(crate) troubles: Troubles,
    /// Who processes the requests of an API.
    pub(crate) processors:
        std::sync::Mutex<std::collections::HashMap<pilothouse_model::Dialect, Arc<dyn crate::Processor>>>,
    /// The lanes that are being worked.
    pub(crate) lanes: Lanes,
    /// Owner of every task.
    pub(crate) tasks: Tasks,
    /// Server binaries that were found.
    pub(crate) installed: ArcSwap<Vec<InstalledEngine>>,
    /// The tenant that always exists.
    default_tenant: TenantId,
    /// This machine.
    pub(crate) local_host: HostId,
    host_facts: Arc<HostFacts>,
    started_at: Timestamp,
}

impl Control {
    /// Puts control together: makes what must always exist, finds the installed engines. Starts no loop; see [`Control::start`].
    pub async fn new(parts: Parts) -> Result<Self, ControlError> {
        let now = parts.clock.now();
        let (default_tenant, local_host) = founding_records(&parts, now).await?;
        let installed = crate::engines::discover(&parts.engines, parts.runtime.as_ref()).await;
        let host_facts = Arc::new(parts.runtime.host_facts().await);
        let access = Access::new();
        Ok(Self(Arc::new(Inner {
            statistics: Statistics::new(),
            reservations: Reservations::default(),
            memories: Memories::default(),
            routes: Routes::default(),
            gateway_exited: Notify::new(),
            scheduler: Scheduler::new(parts.settings.concurrent_passes),
            transfers: Transfers::default(),
            troubles: Troubles::default(),
            processors: std::sync::Mutex::default(),
            lanes: Lanes::default(),
            tasks: Tasks::default(),
            store: parts.store,
            keyring: parts.keyring,
            engines: parts.engines,
            runtime: parts.runtime,
            gateway: parts.gateway,
            clock: parts.clock,
            schemes: parts.schemes,
            settings: parts.settings,
            access,
            installed: ArcSwap::from_pointee(installed),
            default_tenant,
            local_host,
            host_facts,
            started_at: now,
        })))
    }

    /// Removes what no record knows, then starts the loops: one worker per database that wants one, the health monitor, the schedules.
    /// Every database is looked at at once.
    pub async fn start(&self) -> Result<(), ControlError> {
        crate::reconcile::start(self).await?;
        crate::transfer::start(self);
        crate::operations::start_pruning(self);
        crate::groups::start_removing(self);
        crate::engines::start_looking(self);
        crate::statistics::start(self);
        Ok(())
    }

    /// Stops the loops: steps in hand are finished (bounded), nothing new begins. Database servers keep running.
    pub async fn stop(&self, patience: Duration) {
        self.0.tasks.stop(patience).await;
    }

    /// Asks the loop of a database to look at it now.
    pub fn wake(&self, database: DatabaseId) {
        self.0.scheduler.wake(database);
    }

    /// Asks the loops to look at every database now.
    pub fn wake_all(&self) {
        self.0.scheduler.wake_all(&self.0.store.view());
    }

    /// Whether no database is due or being worked on: whatever was asked for is done, or waits for something outside.
    pub fn is_quiet(&self) -> bool {
        self.0.scheduler.is_quiet()
    }

    /// How long looks at databases took, each with the steps that followed from it.
    pub fn pass_durations(&self) -> &Histogram {
        &self.0.scheduler.passes
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Since when we run.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    /// The set-up.
    pub fn settings(&self) -> &ControlSettings {
        &self.0.settings
    }

    /// The revision of the store; grows with every durable change.
    pub fn revision(&self) -> u64 {
        self.0.store.view().revision().0
    }

    /// Tells of every durable change.
    pub fn revisions(&self) -> tokio::sync::watch::Receiver<Revision> {
        self.0.store.revisions()
    }

    /// The tenant that always exists.
    pub fn default_tenant(&self) -> TenantId {
        self.0.default_tenant
    }

    /// Server binaries that were found, newest first within a product.
    pub fn engines(&self) -> Vec<InstalledEngine> {
        self.0.installed.load().as_ref().clone()
    }

    /// Products whose binary was not found, with the package that provides it.
    pub fn missing_engines(&self) -> Vec<(EngineKind, &'static str)> {
        let installed = self.0.installed.load();
        self.0
            .engines
            .iter()
            .filter(|engine| installed.iter().all(|found| found.kind != engine.kind()))
            .map(|engine| (engine.kind(), engine.binary_probe().package))
            .collect()
    }

    /// Hosts.
    pub fn hosts(&self) -> Vec<Arc<Host>> {
        self.0
            .store
            .view()
            .all::<Host>()
            .map(|host| Arc::clone(&host.record))
            .collect()
    }

    /// What this machine is.
    pub fn host_facts(&self) -> Arc<HostFacts> {
        Arc::clone(&self.0.host_facts)
    }

    /// How loaded this machine is.
    pub fn machine_load(&self) -> MachineLoad {
        self.0.runtime.machine_load()
    }

    /// Seals a secret for storing.
    pub fn seal(&self, secret: &Secret) -> Sealed {
        self.0.keyring.seal(secret)
    }

    /// Opens a sealed secret.
    pub fn open(&self, sealed: &Sealed) -> Result<Secret, ControlError> {
        self.0.keyring.open(sealed).map_err(ControlError::internal)
    }

    /// A new random secret of that many characters.
    pub fn generate_secret(&self, length: usize) -> Secret {
        pilothouse_secrets::generate(length)
    }

    /// The number of a subject in a scheme.
    pub fn wire_number(&self, scheme: &str, subject: Subject) -> Option<u64> {
        match self.0.store.view().wire_id(scheme, &subject)? {
            WireId::Number(number) => Some(number),
            WireId::Text(_) => None,
        }
    }

    /// The subject with that number in a scheme.
    pub fn subject_of_number(&self, scheme: &str, number: u64) -> Option<Subject> {
        self.0.store.view().subject_of(scheme, &WireId::Number(number))
    }

    /// History of measurements.
    pub fn statistics(&self) -> &Statistics {
        &self.0.statistics
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    pub(crate) fn schemes(&self) -> &IdSchemes {
        &self.0.schemes
    }

    /// Commits a change; durable when it returns.
    pub(crate) async fn transact<T: Send>(
        &self,
        urgency: Urgency,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, ControlError> + Send,
    ) -> Result<T, ControlError> {
        fault::point("before-commit").await;
        let outcome = self
            .0
            .store
            .transact(urgency, change)
            .await
            .map_err(|error| match error {
                TransactError::Rejected(error) => error,
                TransactError::Store(error) => ControlError::Unavailable {
                    why: format!("the change could not be stored: {error}"),
                    retry_after: Duration::from_secs(5),
                },
            });
        fault::point("after-commit").await;
        outcome
    }
}

/// The tenant `default`, this machine as a host, and wire ids for them; made once.
async fn founding_records(parts: &Parts, now: Timestamp) -> Result<(TenantId, HostId), ControlError> {
    let schemes = parts.schemes.clone();
    parts
        .store
        .transact(Urgency::Normal, move |transaction| {
            let tenant = transaction
                .view()
                .all::<Tenant>()
                .find(|tenant| tenant.name.as_str() == "default");
            let tenant = match tenant.map(|tenant| tenant.id) {
                Some(id) => id,
                None => {
                    let id = TenantId::new();
                    let name = TenantName::parse("default").map_err(ControlError::internal)?;
                    transaction.put(Tenant {
                        id,
                        name,
                        created_at: now,
                    });
                    id
                }
            };
            let host = transaction.view().all::<Host>().next().map(|host| host.id);
            let host = match host {
                Some(id) => id,
                None => {
                    let id = HostId::new();
                    transaction.put(Host {
                        id,
                        created_at: now,
                        accepts_servers: true,
                        rack: String::new(),
                    });
                    schemes.allocate(transaction, Subject::Host(id), None)?;
                    id
                }
            };
            Ok((tenant, host))
        })
        .await
        .map_err(|error| match error {
            TransactError::Rejected(error) => error,
            TransactError::Store(error) => ControlError::internal(error),
        })
}
