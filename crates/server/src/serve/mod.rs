//! `pilothouse serve`: everything put together, started in order, and stopped in order.
//!
//! The order of a start: what is ours alone (the data directory, before we are called), the store, the runtime, control, the addresses of
//! the listeners, so that a start that cannot have them has started nothing, the gateway with the table that control expects, the loops.
//! The listeners answer last, so that nobody is answered before the answer can be true.
//! A stop goes the other way and never touches a database server or the gateway.

mod gateway;
mod metrics;
mod redis_cloud;
mod redis_enterprise;
mod state;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use pilothouse_control::{
    CertificatePair, Control, ControlSettings, FileAccess, FileAccount, IdSchemes, Parts, SystemClock,
};
use pilothouse_gateway_protocol::GatewayClient;
use pilothouse_model::Secret;
use pilothouse_planner::Policy;
use pilothouse_runtime_local::LocalRuntime;
use pilothouse_store::Store;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Configuration, TlsPair};
use crate::data_dir::DataDir;
use crate::{output, wiring};

use gateway::LateGateway;

/// A stop takes no longer than this, whatever hangs. Service managers are told 15 s.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// Requests under way may take this long of it.
const REQUESTS_WITHIN: Duration = Duration::from_secs(3);

/// Steps in hand may take this long of it.
const STEPS_WITHIN: Duration = Duration::from_secs(4);

/// How long a promotion waits for its candidate to read what it has received.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(50);

/// Databases worked on at once: enough for a hundred creations together, few enough to leave the processors to the servers.
const CONCURRENT_PASSES: usize = 64;

/// Runs the control plane until a signal ends it.
pub async fn run(configuration: Configuration, data_dir: DataDir, admin: Secret) -> anyhow::Result<()> {
    // Before anything is started: a signal that comes during the start ends it in order.
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let mut core = Core::prepare(&configuration, &data_dir).await?;
    let listeners = match start(&mut core, &configuration, &data_dir, admin).await {
        Ok(listeners) => listeners,
        Err(error) => {
            core.abandon().await;
            return Err(error);
        }
    };
    let signal = signals.next().await;
    tracing::info!(signal, "stopping; databases and gateway keep running");
    let stopped = tokio::time::timeout(STOP_WITHIN, async {
        listeners.close().await;
        core.stop().await;
    });
    if stopped.await.is_err() {
        tracing::warn!("something did not end in time and is left behind; what was answered is on disk");
    }
    Ok(())
}

/// Binds every listener, then starts processes and loops, and only then answers: a start that cannot have its ports has started nothing.
async fn start(
    core: &mut Core,
    configuration: &Configuration,
    data_dir: &DataDir,
    admin: Secret,
) -> anyhow::Result<Listeners> {
    let mut listeners = Listeners::bind(configuration, data_dir, core, admin).await?;
    core.start(data_dir).await?;
    listeners.begin(&core.control);
    output::lines([listeners.ready_line()]).context("cannot print to stdout")?;
    Ok(listeners)
}

/// What works without any listener.
struct Core {
    control: Control,
    runtime: Arc<LocalRuntime>,
    store: Store,
    /// Where the connection to the gateway is to arrive.
    late: Arc<LateGateway>,
    /// The connection, once there is one.
    gateway: Option<Arc<GatewayClient>>,
    /// This start made the gateway.
    made_gateway: bool,
}

impl Core {
    /// Puts everything together, and starts nothing that would outlive us.
    async fn prepare(configuration: &Configuration, data_dir: &DataDir) -> anyhow::Result<Self> {
        let root = &data_dir.layout().root;
        let (keyring, store) = state::open(root)?;
        let options = wiring::local_options(configuration, root, data_dir.id(), data_dir.account().cloned());
        let runtime = Arc::new(LocalRuntime::new(options)?);
        let late = Arc::new(LateGateway::new(configuration.endpoints.server_port_range));
        let parts = Parts {
            store: store.clone(),
            keyring,
            engines: wiring::engines(),
            runtime: Arc::clone(&runtime) as _,
            gateway: Arc::clone(&late) as _,
            clock: Arc::new(SystemClock),
            schemes: IdSchemes::new(wiring::id_schemes()),
            settings: settings(configuration, data_dir)?,
        };
        let control = Control::new(parts).await?;
        // At each start and not only when a dialect is set up, so that a version that brings new ones brings them to old stores too.
        control.ensure_built_in_access().await?;
        Ok(Self {
            control,
            runtime,
            store,
            late,
            gateway: None,
            made_gateway: false,
        })
    }

    /// Has the gateway run and starts the loops.
    async fn start(&mut self, data_dir: &DataDir) -> anyhow::Result<()> {
        let gateway = gateway::start(&self.control, data_dir, &self.late).await?;
        self.made_gateway = gateway.made;
        self.gateway = Some(gateway.client);
        Ok(self.control.start().await?)
    }

    /// Ends after a start that failed. A gateway that it made is ended too, unless there are databases: their clients may be back on it.
    async fn abandon(self) {
        self.control.stop(STEPS_WITHIN).await;
        if self.made_gateway && self.control.expected_routes().is_empty() {
            self.control.end_gateway(Instant::now() + STEPS_WITHIN).await;
        }
        self.stop().await;
    }

    async fn stop(self) {
        self.control.stop(STEPS_WITHIN).await;
        if let Some(gateway) = &self.gateway {
            gateway.shutdown().await;
        }
        self.runtime.shutdown().await;
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store was not closed in order; it is complete up to the last answer");
        }
    }
}

fn settings(configuration: &Configuration, data_dir: &DataDir) -> anyhow::Result<ControlSettings> {
    let (ports, health) = (configuration.endpoints.port_range, configuration.health);
    let scratch_dir = data_dir.layout().root.join("scratch");
    data_dir.make_private_room(&scratch_dir)?;
    Ok(ControlSettings {
        advertise_address: configuration.server.advertise_address,
        port_range: ports.first..=ports.last,
        server_address: wiring::SERVER_ADDRESS,
        single_host_replicas: configuration.placement.single_host_replicas,
        probe_interval: health.probe_interval,
        probe_deadline: health.probe_deadline,
        missed_probes: health.missed_probes,
        busy_timeout: health.busy_timeout,
        drain_timeout: DRAIN_TIMEOUT,
        scratch_dir,
        file_access: Arc::new(file_access(configuration, data_dir)),
        buckets: configuration.backup.s3.clone(),
        policy: Policy::default(),
        concurrent_passes: CONCURRENT_PASSES,
    })
}

/// Transfers have the rights of servers, so that nobody gets through an API to what he could not get to as a database.
fn file_access(configuration: &Configuration, data_dir: &DataDir) -> FileAccess {
    FileAccess {
        root: configuration.backup.local_root.clone(),
        closed: vec![data_dir.layout().root.clone()],
        account: data_dir.account().map(|account| FileAccount {
            uid: account.uid,
            gid: account.gid,
        }),
    }
}

/// Everything that answers.
struct Listeners {
    redis_enterprise: redis_enterprise::Listening,
    /// None when it is off.
    redis_cloud: Option<redis_cloud::Listening>,
    /// None when it is off.
    metrics: Option<metrics::Listening>,
    /// The local socket; taken when it begins to answer.
    local: Option<UnixListener>,
    /// The shown name and address of each, for the line `pilothouse ready`.
    shown: Vec<String>,
    /// Told to tasks at the end.
    stop: CancellationToken,
    /// Background work of dialects and the local socket.
    tasks: JoinSet<()>,
}

impl Listeners {
    /// Takes every address; clients wait until [`Listeners::begin`].
    async fn bind(
        configuration: &Configuration,
        data_dir: &DataDir,
        core: &Core,
        admin: Secret,
    ) -> anyhow::Result<Self> {
        let redis_enterprise = redis_enterprise::listen(configuration, &core.control, &core.store, admin).await?;
        let redis_cloud = redis_cloud::listen(configuration, data_dir, &core.control).await?;
        let mut watched = redis_enterprise.named().to_vec();
        watched.extend(redis_cloud.as_ref().map(redis_cloud::Listening::named));
        let metrics = metrics::listen(configuration, core, watched).await?;
        let socket = &data_dir.layout().control_socket;
        let local =
            pilothouse_api_local::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
        let mut shown = redis_enterprise.shown();
        shown.extend(redis_cloud.as_ref().map(redis_cloud::Listening::shown));
        shown.extend(metrics.as_ref().map(metrics::Listening::shown));
        shown.push(format!("local={}", socket.display()));
        Ok(Self {
            redis_enterprise,
            redis_cloud,
            metrics,
            local: Some(local),
            shown,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        })
    }

    /// Answers from now on.
    fn begin(&mut self, control: &Control) {
        self.redis_enterprise.begin(&mut self.tasks, &self.stop);
        if let Some(cloud) = &self.redis_cloud {
            cloud.begin(&mut self.tasks, &self.stop);
        }
        if let Some(metrics) = &self.metrics {
            metrics.begin(&mut self.tasks, &self.stop);
        }
        if let Some(local) = self.local.take() {
            let serve = pilothouse_api_local::serve(local, control.clone(), self.stop.clone());
            self.tasks.spawn(serve);
        }
    }

    fn ready_line(&self) -> String {
        format!("pilothouse ready {}", self.shown.join(" "))
    }

    async fn close(mut self) {
        self.stop.cancel();
        let metrics = async {
            if let Some(metrics) = &self.metrics {
                metrics.shut_down(REQUESTS_WITHIN).await;
            }
        };
        let cloud = async {
            if let Some(cloud) = &self.redis_cloud {
                cloud.shut_down(REQUESTS_WITHIN).await;
            }
        };
        tokio::join!(self.redis_enterprise.shut_down(REQUESTS_WITHIN), cloud, metrics);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(REQUESTS_WITHIN, ended).await.is_err() {
            tracing::warn!("background work of a dialect did not end in time");
        }
    }
}

/// The address that a listener could not take, in words that lead to the key.
fn cannot_listen(key: &str, address: SocketAddr, error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!(
        "cannot listen at {address} (listen.{key}); end what listens there, or set it to another address or \"off\""
    ))
}

/// The certificate of a listener, read from its files.
fn certificate(pair: &TlsPair) -> anyhow::Result<CertificatePair> {
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    Ok(CertificatePair {
        certificate: read(&pair.cert)?,
        key: Some(Secret::new(read(&pair.key)?)),
    })
}

/// Where a certificate that does not work is named.
fn named(listener: &str, pair: &TlsPair) -> String {
    format!("tls.{listener}: {} and {}", pair.cert.display(), pair.key.display())
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
