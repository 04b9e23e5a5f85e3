//! What control plane and gateway say to each other: route types, framing, messages, and the control plane's end of the connection.
//!
//! The gateway alone binds endpoint ports. The control plane sends a complete table when it connects, then deltas with consecutive
//! revisions; the gateway acknowledges each when it is applied in memory. `control` calls [`Gateway`], for which `server` gives it a
//! [`GatewayClient`]; the `gateway` crate reads the same frames at the other end. Nothing here opens an endpoint or carries a byte of
//! a database. Start reading at [`Gateway`], then [`ToGateway`].

mod client;
pub mod frame;
mod message;
mod paths;
mod program;
mod route;

use std::net::SocketAddr;

use async_trait::async_trait;
use pilothouse_model::{DatabaseId, Endpoint};

pub use client::{DEFAULT_PATIENCE, GatewayClient};
pub use message::{BindFailure, Change, FromGateway, GatewayPeer, PROTOCOL_VERSION, ToGateway};
pub use paths::GatewayPaths;
pub use program::{build_of, own_program};
pub use route::{Backend, EndpointLoad, Route, RouteState};

/// What can go wrong between control plane and gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The port cannot be bound.
    #[error("{address} cannot be bound: {reason}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// The system's words.
        reason: String,
    },
    /// There is no connection to the gateway now.
    #[error("the gateway cannot be reached: {0}")]
    Unreachable(String),
    /// The gateway belongs to another data directory or speaks another version.
    #[error("the gateway refused us: {0}")]
    Refused(String),
}

/// What control asks of the gateway. Idempotent throughout. Calls while the gateway restarts wait for it, within a bound.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Binds the endpoint and holds its connections; a refusal is a validation error. Success when the database already has it, an
    /// error when it has another one: [`set`](Self::set) moves a database to another endpoint.
    async fn reserve(&self, database: DatabaseId, endpoint: Endpoint) -> Result<(), GatewayError>;

    /// Sets where the database's connections go, binding the endpoint when the gateway does not have it; returns when the gateway has
    /// applied it in memory. On a change of backend, connections to the old one are closed. When another endpoint cannot be bound,
    /// nothing has changed; when the endpoint is the database's own (its port was taken while the gateway was away), the rest of the
    /// route is in force and the gateway goes on trying to bind.
    async fn set(&self, route: Route) -> Result<(), GatewayError>;

    /// Closes the endpoint and all its connections and frees the port.
    async fn remove(&self, database: DatabaseId) -> Result<(), GatewayError>;

    /// Counters of every endpoint since the gateway started.
    async fn load(&self) -> Result<Vec<EndpointLoad>, GatewayError>;
}
