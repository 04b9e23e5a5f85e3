//! The messages. The control plane speaks first; every message but [`ToGateway::Hello`] is answered once it is applied in memory.

use std::net::SocketAddr;

use pilothouse_model::{DatabaseId, Endpoint};
use serde::{Deserialize, Serialize};

use crate::{EndpointLoad, Route};

/// The version of the messages in this file. Peers of different versions refuse each other, and the disk copy carries it too.
pub const PROTOCOL_VERSION: u32 = 1;

/// What the control plane says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToGateway {
    /// The first message of a connection.
    Hello {
        /// [`PROTOCOL_VERSION`] of the speaker.
        version: u32,
        /// The random id of the speaker's data directory.
        data_dir_id: String,
    },
    /// The complete table; what it does not name is removed. Answered by [`FromGateway::TableApplied`].
    Table {
        /// The revision that the table has; the next delta carries the one after it.
        revision: u64,
        /// Every route.
        routes: Vec<Route>,
    },
    /// One change. Answered by [`FromGateway::Applied`], [`FromGateway::Failed`] or, when a revision is missing before it,
    /// [`FromGateway::TableWanted`].
    Delta {
        /// One more than the revision before.
        revision: u64,
        /// What changes.
        change: Change,
    },
    /// Asks for [`FromGateway::Load`].
    Load {
        /// Comes back in the answer.
        request: u64,
    },
}

/// One change of the table. Idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Binds the endpoint and holds its connections. Nothing happens when the database already has it.
    Reserve {
        /// Whose endpoint.
        database: DatabaseId,
        /// What to bind.
        endpoint: Endpoint,
    },
    /// Sets the route, and binds its endpoint when that is not bound yet.
    Set(Route),
    /// Closes the endpoint and its connections and frees the port.
    Remove {
        /// Whose endpoint.
        database: DatabaseId,
    },
}

/// An endpoint that could not be bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindFailure {
    /// Whose endpoint.
    pub database: DatabaseId,
    /// What could not be bound.
    pub address: SocketAddr,
    /// The system's words.
    pub reason: String,
}

/// Who serves at the other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayPeer {
    /// Its process id.
    pub pid: u32,
    /// Its version and build, as [`own_program`](crate::own_program) says them; what differs from the control plane's own asks for a
    /// handover to a successor.
    pub program: String,
}

/// What the gateway says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromGateway {
    /// The greeting was accepted; the table is expected next.
    Welcome(GatewayPeer),
    /// The greeting was not accepted; the connection ends.
    Refused {
        /// Why.
        reason: String,
    },
    /// The complete table is in force. Endpoints that failed are tried again until they are bound or removed.
    TableApplied {
        /// Its revision.
        revision: u64,
        /// What could not be bound.
        failures: Vec<BindFailure>,
    },
    /// A change is in force.
    Applied {
        /// Its revision.
        revision: u64,
    },
    /// A change could not bind its endpoint. The revision counts all the same.
    Failed {
        /// Its revision.
        revision: u64,
        /// What could not be bound.
        failure: BindFailure,
        /// The route that the database has now.
        current: Option<Route>,
    },
    /// A delta did not follow the revision before it and was ignored, and so are all deltas until the complete table comes.
    TableWanted {
        /// The last revision that was applied.
        have: u64,
    },
    /// Counters of every endpoint.
    Load {
        /// The request that asked.
        request: u64,
        /// The counters.
        endpoints: Vec<EndpointLoad>,
    },
}
