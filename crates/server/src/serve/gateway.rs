//! The gateway process and our end of the connection to it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use async_trait::async_trait;
use pilothouse_control::{Control, GATEWAY_PROCESS};
use pilothouse_gateway_protocol::{EndpointLoad, Gateway, GatewayClient, GatewayError, GatewayPaths, Route};
use pilothouse_model::{DatabaseId, Endpoint};
use pilothouse_runtime::{LaunchRequest, Limits};

use crate::data_dir::DataDir;

/// The gateway as control is given it: control has to exist before the table can be told that the connection begins with.
#[derive(Default)]
pub(super) struct LateGateway(OnceLock<Arc<GatewayClient>>);

impl LateGateway {
    /// The connection is there.
    pub(super) fn arrive(&self, client: &Arc<GatewayClient>) {
        self.0.get_or_init(|| Arc::clone(client));
    }

    fn client(&self) -> Result<&Arc<GatewayClient>, GatewayError> {
        self.0
            .get()
            .ok_or_else(|| GatewayError::Unreachable("it is being started".to_owned()))
    }
}

#[async_trait]
impl Gateway for LateGateway {
    async fn reserve(&self, database: DatabaseId, endpoint: Endpoint) -> Result<(), GatewayError> {
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

/// Has the gateway run, connects to it, and gives it the complete table.
pub(super) async fn start(control: &Control, data_dir: &DataDir) -> anyhow::Result<Arc<GatewayClient>> {
    let root = &data_dir.layout().root;
    let paths = GatewayPaths::new(root);
    data_dir.make_room(&paths.directory)?;
    let own = std::env::current_exe().context("cannot tell where our own program is")?;
    control
        .keep_gateway(request(data_dir.runnable(&own)?, root.display().to_string()))
        .await?;
    let client = GatewayClient::start(paths.socket, data_dir.id().to_owned(), control.expected_routes());
    if let Err(error) = client.synced().await {
        // Not worth failing for: calls wait for it, and a gateway that comes back is given the table.
        tracing::warn!(%error, "the gateway is not there yet");
    }
    for failure in client.unbound() {
        tracing::error!(?failure, "an endpoint cannot be bound; the gateway goes on trying");
    }
    Ok(client)
}

fn request(program: PathBuf, data_dir: String) -> LaunchRequest {
    LaunchRequest {
        server: GATEWAY_PROCESS,
        program,
        arguments: vec!["gateway".to_owned(), "--data-dir".to_owned(), data_dir],
        environment: Vec::new(),
        files: Vec::new(),
        directories: Vec::new(),
        limits: Limits::default(),
        incarnation: 1,
    }
}
