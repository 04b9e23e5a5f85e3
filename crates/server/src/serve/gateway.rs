//! The gateway process and our end of the connection to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use async_trait::async_trait;
use pilothouse_control::{Control, ControlError, GATEWAY_PROCESS};
use pilothouse_gateway_protocol::{
    EndpointLoad, Gateway, GatewayClient, GatewayError, GatewayPaths, Route, own_program,
};
use pilothouse_model::{DatabaseId, Endpoint, Severity};
use pilothouse_runtime::{LaunchRequest, Limits};

use crate::config::PortRange;
use crate::data_dir::DataDir;

/// The gateway as control and metrics are given it: control has to exist before the table can be told that the connection begins with.
///
/// It gives no database a port of the range that servers behind the gateway take theirs from: one of them would not start one day.
pub(super) struct LateGateway {
    client: OnceLock<Arc<GatewayClient>>,
    server_ports: PortRange,
}

impl LateGateway {
    /// No connection yet.
    pub(super) const fn new(server_ports: PortRange) -> Self {
        Self {
            client: OnceLock::new(),
            server_ports,
        }
    }

    /// The connection is there.
    pub(super) fn arrive(&self, client: &Arc<GatewayClient>) {
        self.client.get_or_init(|| Arc::clone(client));
    }

    fn client(&self) -> Result<&Arc<GatewayClient>, GatewayError> {
        self.client
            .get()
            .ok_or_else(|| GatewayError::Unreachable("it is being started".to_owned()))
    }
}

#[async_trait]
impl Gateway for LateGateway {
    async fn reserve(&self, database: DatabaseId, endpoint: Endpoint) -> Result<(), GatewayError> {
        if self.server_ports.contains(endpoint.port) {
            return Err(GatewayError::Bind {
                address: SocketAddr::new(endpoint.address, endpoint.port),
                reason: format!("endpoints.server_port_range ({}) is for servers", self.server_ports),
            });
        }
        self.client()?.reserve(database, endpoint).await
    }

    async fn set(&self, route: Route) -> Result<(), GatewayError> {
        self.client()?.set(route).await
    }

    async fn remove(&self, database: DatabaseId) -> Result<(), GatewayError> {
        self.client()?.remove(database).await
    }

    async fn load(&self) -> Result<Vec<EndpointLoad>, GatewayError> {
        self.client()?.load().await
    }
}

/// The gateway that runs.
pub(super) struct Started {
    /// Our end of the connection to it.
    pub(super) client: Arc<GatewayClient>,
    /// There was none before.
    pub(super) made: bool,
}

/// Has the gateway run, connects to it, gives it the complete table, and replaces it when it runs another program than we do.
/// The connection arrives at `late` as soon as there is one: what watches the gateway asks through it.
pub(super) async fn start(control: &Control, data_dir: &DataDir, late: &LateGateway) -> anyhow::Result<Started> {
    let root = &data_dir.layout().root;
    let paths = GatewayPaths::new(root);
    data_dir.make_room(&paths.directory)?;
    let own = std::env::current_exe().context("cannot tell where our own program is")?;
    let request = request(data_dir.runnable(&own)?, root.display().to_string());
    let made = control.keep_gateway(request.clone()).await?;
    let client = GatewayClient::start(paths.socket, data_dir.id().to_owned(), control.expected_routes());
    late.arrive(&client);
    match client.synced().await {
        Ok(()) => follow_program(control, &client, &request).await,
        // A protocol of another version: such a gateway still hands over, which has a version of its own.
        Err(GatewayError::Refused(reason)) => replace(control, &client, &request, None, &reason).await,
        // Not worth failing for: calls wait for it, and a gateway that comes back is given the table.
        Err(error) => tracing::warn!(%error, "the gateway is not there yet"),
    }
    for failure in client.unbound() {
        tracing::error!(?failure, "an endpoint cannot be bound; the gateway goes on trying");
    }
    Ok(Started { client, made })
}

/// After an upgrade the gateway that outlived it still runs the old program.
async fn follow_program(control: &Control, client: &GatewayClient, request: &LaunchRequest) {
    let own = own_program();
    if let Some(peer) = client.peer().filter(|peer| peer.program != own) {
        let why = format!("it runs {}, and we are {own}", peer.program);
        replace(control, client, request, Some(peer.pid), &why).await;
    }
}

/// Has a successor take over, and tells how that went. Tried once a start: a gateway that does not hand over goes on serving, and the
/// next restart of either process tries again.
async fn replace(
    control: &Control,
    client: &GatewayClient,
    request: &LaunchRequest,
    predecessor: Option<u32>,
    why: &str,
) {
    tracing::info!(why, "the gateway is asked to hand over to a successor");
    let replaced = async {
        control.replace_gateway(request).await.map_err(|error| match error {
            ControlError::Internal { detail } => detail,
            other => other.to_string(),
        })?;
        // No process has the number 0.
        let successor = client.successor_of(predecessor.unwrap_or(0)).await;
        let successor = successor.map_err(|error| error.to_string())?;
        client.synced().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(successor)
    };
    match replaced.await {
        Ok(successor) => {
            let message = format!("The gateway was replaced without breaking a connection: {why}.");
            tracing::info!(
                pid = successor.pid,
                program = successor.program,
                "the gateway was replaced"
            );
            control
                .report_gateway("gateway-replaced", Severity::Info, message)
                .await;
        }
        Err(error) => {
            tracing::error!(
                why,
                error,
                "the gateway could not be replaced; the one that runs goes on serving"
            );
            let message = format!(
                "The gateway should be replaced ({why}) and did not hand over: {error}. It goes on serving; a restart of \
                 the control plane tries again."
            );
            control
                .report_gateway("gateway-not-replaced", Severity::Error, message)
                .await;
        }
    }
}

fn request(program: PathBuf, data_dir: String) -> LaunchRequest {
    LaunchRequest {
        server: GATEWAY_PROCESS,
        program,
        // Without a gateway to take over from, it just starts.
        arguments: ["gateway", "--take-over", "--data-dir", &data_dir]
            .map(str::to_owned)
            .to_vec(),
        environment: Vec::new(),
        files: Vec::new(),
        directories: Vec::new(),
        limits: Limits::default(),
        incarnation: 1,
    }
}
