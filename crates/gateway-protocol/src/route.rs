//! Routes: where the connections of a database's endpoint go.

use std::net::SocketAddr;
use std::path::PathBuf;

use pilothouse_model::{Cidr, DatabaseId, Endpoint};
use serde::{Deserialize, Serialize};

/// Where a primary listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket of this host.
    Unix(PathBuf),
}

/// What happens to connections of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteState {
    /// They are carried to the primary.
    Open(Backend),
    /// There is no primary now: existing connections are closed, new ones are accepted and held for a bounded time.
    Held,
    /// The port stays bound, existing connections are closed, new ones are closed at once.
    Closed,
}

/// Where the connections of a database's endpoint go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Whose endpoint.
    pub database: DatabaseId,
    /// What is bound.
    pub endpoint: Endpoint,
    /// What happens to connections.
    pub state: RouteState,
    /// Who may connect; empty means everybody. Connections that a new list excludes are closed.
    pub source_allow: Vec<Cidr>,
    /// Most connections at once; 0 means no limit.
    pub max_connections: u32,
}

/// Counters of one endpoint since the gateway started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointLoad {
    /// Whose endpoint; `None` only in the default value.
    pub database: Option<DatabaseId>,
    /// Connections now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused by a limit or a list.
    pub refused: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}
