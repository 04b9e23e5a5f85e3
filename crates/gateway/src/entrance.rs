//! The entrance of one database: the route in force, and every connection that came in through it.
//!
//! Here the control thread, which changes routes, meets the workers, which carry connections. Whether a connection may begin or go on
//! is decided under one lock, together with the change of the route: no connection to an old primary slips through a switch.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pilothouse_gateway_protocol::{Backend, EndpointLoad, Route, RouteState};
use pilothouse_model::DatabaseId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection;
use crate::leash::{Leash, Order};
use crate::pump::{Bytes, Half};
use crate::workers::{Place, Workers};

/// How long and how many connections wait for a primary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldLimits {
    pub(crate) duration: Duration,
    pub(crate) connections: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Entrance {
    database: DatabaseId,
    hold: HoldLimits,
    workers: Arc<Workers>,
    /// Changed only while `live` is locked. Waiting connections watch it.
    route: watch::Sender<Arc<Route>>,
    /// Never locked across an await, and never while another entrance's is.
    live: Mutex<Live>,
    accepted: AtomicU64,
    refused: AtomicU64,
    /// One per worker.
    bytes: Box<[Bytes]>,
    /// What a predecessor counted.
    before: EndpointLoad,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    connections: HashMap<u64, Resident>,
    /// How many of them are not carried yet.
    waiting: usize,
}

/// A connection as its entrance knows it.
#[derive(Debug)]
struct Resident {
    peer: IpAddr,
    /// Where its bytes go; `None` while it waits for a primary.
    backend: Option<Arc<Backend>>,
    leash: Arc<Leash>,
    /// Owned so that a freeze can wait for what the connection gives back.
    task: JoinHandle<Option<Frozen>>,
}

/// A connection's own end of its residence. Leaves when dropped.
#[derive(Debug)]
pub(crate) struct Residence {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) peer: SocketAddr,
    pub(crate) leash: Arc<Leash>,
    id: u64,
    place: Place,
}

/// A connection that was stopped between two bytes and can go on, here or in a successor.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) database: DatabaseId,
    pub(crate) peer: SocketAddr,
    pub(crate) client: OwnedFd,
    /// `None` when it waited for a primary.
    pub(crate) link: Option<FrozenLink>,
}

/// The other half of a frozen connection.
#[derive(Debug)]
pub(crate) struct FrozenLink {
    pub(crate) backend: Arc<Backend>,
    pub(crate) stream: OwnedFd,
    pub(crate) to_backend: Half,
    pub(crate) to_client: Half,
}

impl Entrance {
    /// An entrance without connections. `before` is what a predecessor counted.
    pub(crate) fn new(route: Arc<Route>, hold: HoldLimits, workers: Arc<Workers>, before: EndpointLoad) -> Arc<Self> {
        Arc::new(Self {
            database: route.database,
            hold,
            bytes: (0..workers.count()).map(|_| Bytes::default()).collect(),
            workers,
            route: watch::Sender::new(route),
            live: Mutex::default(),
            accepted: AtomicU64::new(before.accepted),
            refused: AtomicU64::new(before.refused),
            before,
        })
    }

    /// Puts a route in force: wakes connections that wait and ends those that must not go on under it.
    pub(crate) fn apply(&self, route: Arc<Route>) {
        let live = self.live();
        self.route.send_replace(Arc::clone(&route));
        let ended = live.connections.values().filter(|resident| !resident.may_stay(&route));
        let ended: Vec<_> = ended.map(|resident| Arc::clone(&resident.leash)).collect();
        drop(live);
        for leash in ended {
            leash.pull(Order::Close);
        }
    }

    /// Takes in a connection that was just accepted, or closes it when the route says so.
    pub(crate) fn admit(self: &Arc<Self>, client: TcpStream, peer: SocketAddr) {
        let mut live = self.live();
        let route = Arc::clone(&self.route.borrow());
        let count = live.connections.len();
        let full = route.max_connections != 0 && count >= usize::try_from(route.max_connections).unwrap_or(usize::MAX);
        let crowded = matches!(route.state, RouteState::Held) && live.waiting >= self.hold.connections;
        if full || crowded || route.state == RouteState::Closed || !is_allowed(&route, peer.ip()) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.settle(
            &mut live,
            Frozen {
                database: self.database,
                peer,
                client: client.into(),
                link: None,
            },
        );
    }

    /// Goes on with a frozen connection, unless the route has changed under it.
    pub(crate) fn resume(self: &Arc<Self>, frozen: Frozen) {
        let mut live = self.live();
        let route = Arc::clone(&self.route.borrow());
        let backend = frozen.link.as_ref().map(|link| &*link.backend);
        if is_allowed(&route, frozen.peer.ip()) && may_carry(&route.state, backend) {
            self.settle(&mut live, frozen);
        }
    }

    /// Orders every connection to stop and collects them. Nobody may be admitted meanwhile.
    pub(crate) async fn freeze(&self) -> Vec<Frozen> {
        let residents: Vec<Resident> = {
            let mut live = self.live();
            live.waiting = 0;
            live.connections.drain().map(|(_, resident)| resident).collect()
        };
        for resident in &residents {
            resident.leash.pull(Order::Freeze);
        }
        let mut frozen = Vec::with_capacity(residents.len());
        for resident in residents {
            match resident.task.await {
                Ok(connection) => frozen.extend(connection),
                Err(error) => tracing::error!(%error, "a connection's task failed"),
            }
        }
        frozen
    }

    /// Orders every connection to end.
    pub(crate) fn close_all(&self) {
        let leashes: Vec<_> = self
            .live()
            .connections
            .values()
            .map(|resident| Arc::clone(&resident.leash))
            .collect();
        for leash in leashes {
            leash.pull(Order::Close);
        }
    }

    /// Counters.
    pub(crate) fn load(&self) -> EndpointLoad {
        let sum = |counter: fn(&Bytes) -> &AtomicU64| -> u64 {
            self.bytes
                .iter()
                .map(|bytes| counter(bytes).load(Ordering::Relaxed))
                .sum()
        };
        EndpointLoad {
            database: Some(self.database),
            connections: self.connections() as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            bytes_in: self.before.bytes_in + sum(|bytes| &bytes.from_clients),
            bytes_out: self.before.bytes_out + sum(|bytes| &bytes.to_clients),
        }
    }

    /// Connections now.
    pub(crate) fn connections(&self) -> usize {
        self.live().connections.len()
    }

    fn settle(self: &Arc<Self>, live: &mut Live, frozen: Frozen) {
        let id = live.next;
        live.next += 1;
        let place = self.workers.place();
        let leash = Arc::new(Leash::default());
        let peer = frozen.peer;
        let backend = frozen.link.as_ref().map(|link| Arc::clone(&link.backend));
        let handle = place.handle().clone();
        let residence = Residence {
            entrance: Arc::clone(self),
            peer,
            leash: Arc::clone(&leash),
            id,
            place,
        };
        // The task may already run; what it asks of us waits for the lock that our caller holds.
        let task = handle.spawn(connection::serve(residence, frozen));
        live.waiting += usize::from(backend.is_none());
        let resident = Resident {
            peer: peer.ip(),
            backend,
            leash,
            task,
        };
        live.connections.insert(id, resident);
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().expect("no code panics while it holds this lock")
    }
}

impl Residence {
    /// The route, for a connection that waits.
    pub(crate) fn route(&self) -> watch::Receiver<Arc<Route>> {
        self.entrance.route.subscribe()
    }

    /// How long to wait for a primary.
    pub(crate) fn patience(&self) -> Duration {
        self.entrance.hold.duration
    }

    /// Whether there is room for one more that waits.
    pub(crate) fn may_wait(&self) -> bool {
        self.entrance.live().waiting <= self.entrance.hold.connections
    }

    /// Asks to carry bytes to `backend` from now on; refused when the route no longer leads there.
    pub(crate) fn begin(&self, backend: &Arc<Backend>) -> bool {
        let mut live = self.entrance.live();
        if !may_carry(&self.entrance.route.borrow().state, Some(backend)) {
            return false;
        }
        let live = &mut *live;
        if let Some(resident) = live.connections.get_mut(&self.id)
            && resident.backend.is_none()
        {
            resident.backend = Some(Arc::clone(backend));
            live.waiting -= 1;
        }
        true
    }

    /// Where this connection's bytes are counted.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.entrance.bytes[self.place.index()]
    }

    /// Whose entrance it is.
    pub(crate) fn database(&self) -> DatabaseId {
        self.entrance.database
    }
}

impl Drop for Residence {
    fn drop(&mut self) {
        let mut live = self.entrance.live();
        if let Some(resident) = live.connections.remove(&self.id) {
            live.waiting -= usize::from(resident.backend.is_none());
        }
    }
}

impl Resident {
    fn may_stay(&self, route: &Route) -> bool {
        is_allowed(route, self.peer) && may_carry(&route.state, self.backend.as_deref())
    }
}

fn is_allowed(route: &Route, peer: IpAddr) -> bool {
    route.source_allow.is_empty() || route.source_allow.iter().any(|range| range.contains(peer))
}

/// Whether a connection to `backend`, or one that waits, may exist in `state`.
fn may_carry(state: &RouteState, backend: Option<&Backend>) -> bool {
    match (state, backend) {
        (RouteState::Closed, _) | (RouteState::Held, Some(_)) => false,
        (RouteState::Open(current), Some(backend)) => current == backend,
        (RouteState::Open(_) | RouteState::Held, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_to_the_present_primary_go_on() {
        let one = Backend::Tcp("127.0.0.1:1".parse().unwrap());
        let two = Backend::Unix("/run/two".into());
        for (state, backend, expected) in [
            (RouteState::Open(one.clone()), Some(&one), true),
            (RouteState::Open(two.clone()), Some(&one), false),
            (RouteState::Open(two.clone()), Some(&two), true),
            (RouteState::Open(two.clone()), None, true),
            (RouteState::Held, Some(&one), false),
            (RouteState::Held, None, true),
            (RouteState::Closed, Some(&one), false),
            (RouteState::Closed, None, false),
        ] {
            assert_eq!(may_carry(&state, backend), expected, "{state:?} {backend:?}");
        }
    }
}
