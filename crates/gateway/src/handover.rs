//! A running gateway gives everything to its successor: lock, table, listeners and connections.
//!
//! The successor connects to the handover socket and introduces itself. The running gateway stops accepting, stops every connection
//! between two bytes and sends all descriptors with what belongs to them. Then two steps decide who serves:
//!
//! 1. The successor says that it has everything. Until then the running gateway may go on at any failure: it still has it all.
//! 2. The running gateway says that it lets go, and exits. Only then does the successor serve, so that at no time two processes carry
//!    bytes of one connection. If this word does not come, the successor exits without having touched anything.

mod give;
mod take;
mod wire;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_gateway_protocol::{EndpointLoad, Route};
use pilothouse_model::DatabaseId;

use crate::entrance::Frozen;

pub(crate) use give::{give, serve};
pub(crate) use take::take;

/// The version of the handover's messages, which two program versions share more often than not.
const HANDOVER_VERSION: u32 = 1;

/// How long one message may take. Control waits meanwhile, and calls of the control plane have a patience of five seconds.
const STEP_PATIENCE: Duration = Duration::from_secs(2);

/// What changes hands.
#[derive(Debug)]
pub(crate) struct Estate {
    /// A copy of the lock's descriptor: the lock is held until the last copy is closed. `None` once the new holder has it.
    pub(crate) lock: Option<OwnedFd>,
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) loads: Vec<EndpointLoad>,
    pub(crate) listeners: Vec<(DatabaseId, TcpListener)>,
    pub(crate) connections: Vec<Frozen>,
}
