//! The table: every route with its entrance and its bound port. Lives on the control thread.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use pilothouse_gateway_protocol::{BindFailure, Change, EndpointLoad, Route, RouteState};
use pilothouse_model::{DatabaseId, Endpoint};
use tokio::task::JoinHandle;

use crate::entrance::{Entrance, Frozen, HoldLimits};
use crate::listener;
use crate::workers::Workers;

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    slots: BTreeMap<DatabaseId, Slot>,
    hold: HoldLimits,
    workers: Arc<Workers>,
}

/// One database.
#[derive(Debug)]
struct Slot {
    /// Shared with the entrance; kept here so that a snapshot locks nothing.
    route: Arc<Route>,
    entrance: Arc<Entrance>,
    /// `None` while the port is taken by somebody else.
    port: Option<Port>,
}

/// A bound port.
#[derive(Debug)]
struct Port {
    /// The accept loop has a copy; the port is free when both are closed.
    listener: TcpListener,
    accept: JoinHandle<()>,
}

/// A change that could not bind its endpoint.
#[derive(Debug)]
pub(crate) struct Unbound {
    pub(crate) failure: BindFailure,
    /// The route that the database has now.
    pub(crate) current: Option<Route>,
}

impl Table {
    pub(crate) fn new(hold: HoldLimits, workers: Arc<Workers>) -> Self {
        Self {
            slots: BTreeMap::new(),
            hold,
            workers,
        }
    }

    /// Applies one change. After an error the table is as [`Unbound::current`] says.
    pub(crate) async fn apply(&mut self, change: Change) -> Result<(), Box<Unbound>> {
        match change {
            Change::Reserve { database, endpoint } => self.reserve(database, endpoint).await,
            Change::Set(route) => self.set(Arc::new(route)).await,
            Change::Remove { database } => {
                self.remove(database).await;
                Ok(())
            }
        }
    }

    /// Makes `routes` the whole table. Endpoints that cannot be bound stay in it and are tried again by [`retry`](Self::retry).
    pub(crate) async fn replace(&mut self, routes: Vec<Arc<Route>>) -> Vec<BindFailure> {
        let wanted: HashMap<DatabaseId, Endpoint> =
            routes.iter().map(|route| (route.database, route.endpoint)).collect();
        // Let go first, so that two databases may exchange their endpoints.
        let present: Vec<DatabaseId> = self.slots.keys().copied().collect();
        for database in present {
            match wanted.get(&database) {
                None => self.remove(database).await,
                Some(endpoint) => {
                    if let Some(slot) = self.slots.get_mut(&database)
                        && slot.route.endpoint != *endpoint
                        && let Some(port) = slot.port.take()
                    {
                        port.release().await;
                    }
                }
            }
        }
        let mut failures = Vec::new();
        for route in routes {
            let slot = match self.slots.entry(route.database) {
                Entry::Occupied(slot) => slot.into_mut(),
                Entry::Vacant(vacancy) => vacancy.insert(Slot::unbound(&route, self.hold, &self.workers)),
            };
            slot.put_in_force(route);
            if let Err(error) = slot.ensure_bound(&self.workers) {
                failures.push(slot.failure(&error));
            }
        }
        failures
    }

    /// Tries to bind what is not bound. Returns whether something still is not.
    pub(crate) fn retry(&mut self) -> bool {
        for slot in self.slots.values_mut().filter(|slot| slot.port.is_none()) {
            if slot.ensure_bound(&self.workers).is_ok() {
                tracing::info!(database = %slot.route.database, endpoint = %slot.route.endpoint, "bound at last");
            }
        }
        self.has_unbound()
    }

    /// Whether an endpoint could not be bound.
    pub(crate) fn has_unbound(&self) -> bool {
        self.slots.values().any(|slot| slot.port.is_none())
    }

    /// Every route. Cheap.
    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        self.slots.values().map(|slot| Arc::clone(&slot.route)).collect()
    }

    /// Counters of every endpoint.
    pub(crate) fn load(&self) -> Vec<EndpointLoad> {
        self.slots.values().map(|slot| slot.entrance.load()).collect()
    }

    /// Connections of all endpoints.
    pub(crate) fn connections(&self) -> usize {
        self.slots.values().map(|slot| slot.entrance.connections()).sum()
    }

    /// Stops accepting, and gives the listeners. Connections that come wait in their backlogs.
    pub(crate) async fn stop_accepting(&mut self) -> Vec<(DatabaseId, TcpListener)> {
        let mut listeners = Vec::new();
        for (database, slot) in &mut self.slots {
            if let Some(port) = slot.port.take() {
                listeners.push((*database, port.release().await));
            }
        }
        listeners
    }

    /// Stops every connection between two bytes and gives them.
    pub(crate) async fn freeze(&mut self) -> Vec<Frozen> {
        let mut frozen = Vec::new();
        for slot in self.slots.values() {
            frozen.append(&mut slot.entrance.freeze().await);
        }
        frozen
    }

    /// Takes over the table of a predecessor. Nothing accepts or carries before [`resume`](Self::resume).
    pub(crate) fn inherit(&mut self, routes: Vec<Arc<Route>>, loads: Vec<EndpointLoad>) {
        let mut loads: HashMap<_, _> = loads.into_iter().map(|load| (load.database, load)).collect();
        for route in routes {
            let before = loads.remove(&Some(route.database)).unwrap_or_default();
            let entrance = Entrance::new(Arc::clone(&route), self.hold, Arc::clone(&self.workers), before);
            let slot = Slot {
                route: Arc::clone(&route),
                entrance,
                port: None,
            };
            self.slots.insert(route.database, slot);
        }
    }

    /// Accepts at `listeners` and carries `connections` on.
    pub(crate) fn resume(&mut self, listeners: Vec<(DatabaseId, TcpListener)>, connections: Vec<Frozen>) {
        for connection in connections {
            if let Some(slot) = self.slots.get(&connection.database) {
                slot.entrance.resume(connection);
            }
        }
        for (database, listener) in listeners {
            if let Some(slot) = self.slots.get_mut(&database) {
                match Port::open(listener, &slot.entrance, &self.workers) {
                    Ok(port) => slot.port = Some(port),
                    Err(error) => tracing::error!(%database, %error, "an endpoint is bound again"),
                }
            }
        }
    }

    async fn reserve(&mut self, database: DatabaseId, endpoint: Endpoint) -> Result<(), Box<Unbound>> {
        match self.slots.get_mut(&database) {
            Some(slot) if slot.route.endpoint == endpoint => slot.ensure_bound(&self.workers).map_err(|error| {
                let failure = slot.failure(&error);
                let current = Some((*slot.route).clone());
                Box::new(Unbound { failure, current })
            }),
            Some(slot) => Err(Box::new(Unbound {
                failure: BindFailure {
                    database,
                    address: address(endpoint),
                    reason: format!("the database already has {}", slot.route.endpoint),
                },
                current: Some((*slot.route).clone()),
            })),
            None => {
                let route = Route {
                    database,
                    endpoint,
                    state: RouteState::Held,
                    source_allow: Vec::new(),
                    max_connections: 0,
                };
                self.set(Arc::new(route)).await
            }
        }
    }

    async fn set(&mut self, route: Arc<Route>) -> Result<(), Box<Unbound>> {
        let unbound = |route: &Route, error: io::Error, current: Option<Route>| {
            let failure = BindFailure {
                database: route.database,
                address: address(route.endpoint),
                reason: error.to_string(),
            };
            Box::new(Unbound { failure, current })
        };
        match self.slots.entry(route.database) {
            Entry::Occupied(slot) => {
                let slot = slot.into_mut();
                if slot.route.endpoint == route.endpoint {
                    slot.put_in_force(Arc::clone(&route));
                    return slot
                        .ensure_bound(&self.workers)
                        .map_err(|error| unbound(&route, error, Some((*route).clone())));
                }
                let port = bound(&slot.entrance, &self.workers, route.endpoint)
                    .map_err(|error| unbound(&route, error, Some((*slot.route).clone())))?;
                slot.put_in_force(route);
                if let Some(old) = slot.port.replace(port) {
                    old.release().await;
                }
            }
            Entry::Vacant(vacancy) => {
                let mut slot = Slot::unbound(&route, self.hold, &self.workers);
                slot.ensure_bound(&self.workers)
                    .map_err(|error| unbound(&route, error, None))?;
                vacancy.insert(slot);
            }
        }
        Ok(())
    }

    async fn remove(&mut self, database: DatabaseId) {
        if let Some(mut slot) = self.slots.remove(&database) {
            if let Some(port) = slot.port.take() {
                port.release().await;
            }
            slot.entrance.close_all();
        }
    }
}

impl Slot {
    fn unbound(route: &Arc<Route>, hold: HoldLimits, workers: &Arc<Workers>) -> Self {
        let before = EndpointLoad::default();
        Self {
            route: Arc::clone(route),
            entrance: Entrance::new(Arc::clone(route), hold, Arc::clone(workers), before),
            port: None,
        }
    }

    fn put_in_force(&mut self, route: Arc<Route>) {
        self.entrance.apply(Arc::clone(&route));
        self.route = route;
    }

    fn ensure_bound(&mut self, workers: &Workers) -> io::Result<()> {
        if self.port.is_none() {
            self.port = Some(bound(&self.entrance, workers, self.route.endpoint)?);
        }
        Ok(())
    }

    fn failure(&self, error: &io::Error) -> BindFailure {
        BindFailure {
            database: self.route.database,
            address: address(self.route.endpoint),
            reason: error.to_string(),
        }
    }
}

impl Port {
    fn open(listener: TcpListener, entrance: &Arc<Entrance>, workers: &Workers) -> io::Result<Self> {
        let accept = workers.spawn(listener::accept(listener.try_clone()?, Arc::clone(entrance)));
        Ok(Self { listener, accept })
    }

    /// Stops accepting. When the returned listener is dropped the port is free.
    async fn release(self) -> TcpListener {
        self.accept.abort();
        // Whether it was aborted or had ended: it has let go of the listener.
        let _ = self.accept.await;
        self.listener
    }
}

fn bound(entrance: &Arc<Entrance>, workers: &Workers, endpoint: Endpoint) -> io::Result<Port> {
    Port::open(listener::bind(address(endpoint))?, entrance, workers)
}

fn address(endpoint: Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.address, endpoint.port)
}
