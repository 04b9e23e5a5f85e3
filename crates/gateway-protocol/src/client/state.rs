//! What the client knows: the desired table, who waits for which revision, and whether there is a connection. No IO.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pilothouse_model::DatabaseId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{BindFailure, Change, EndpointLoad, FromGateway, GatewayError, GatewayPeer, Route, RouteState, ToGateway};

/// An answer that somebody waits for.
type Answer<T> = oneshot::Sender<Result<T, GatewayError>>;

/// The number of a call, and where its answer comes.
pub(super) type Ticket<T> = (u64, oneshot::Receiver<Result<T, GatewayError>>);

pub(super) struct State {
    /// The last revision given away. Tickets are numbers of their own, so that a wait that changes nothing has one too.
    revision: u64,
    /// The last revision that the gateway at the other end of this connection is known to have.
    acknowledged: Option<u64>,
    next_ticket: u64,
    desired: BTreeMap<DatabaseId, Desired>,
    waiting: BTreeMap<u64, Waiting>,
    loads: BTreeMap<u64, Answer<Vec<EndpointLoad>>>,
    connection: Connection,
    /// Tells of every connection that stands; keeps the last one while there is none.
    peers: watch::Sender<Option<GatewayPeer>>,
    unbound: Vec<BindFailure>,
}

struct Desired {
    route: Route,
    /// The revision that wrote it, so that a late refusal does not undo a newer wish.
    revision: u64,
}

/// A call that is answered when the gateway has applied a revision.
struct Waiting {
    revision: u64,
    /// The database whose binding decides between success and failure; `None` waits for the revision only.
    database: Option<DatabaseId>,
    /// A reservation that failed leaves nothing behind, while a route that failed stays desired.
    reservation: bool,
    answer: Answer<()>,
}

enum Connection {
    /// Why there is none, in the words of the last attempt.
    Away(String),
    /// The gateway answered the greeting with a refusal.
    Refused(String),
    /// The table was sent; what is sent through here comes after it.
    Up {
        peer: GatewayPeer,
        /// Unbounded because each message belongs to a call that waits for its answer.
        outbox: mpsc::UnboundedSender<ToGateway>,
    },
    /// For good.
    Closed(&'static str),
}

impl State {
    pub(super) fn new(initial: Vec<Route>) -> Self {
        let desired = initial
            .into_iter()
            .map(|route| (route.database, Desired { route, revision: 0 }));
        Self {
            revision: 0,
            acknowledged: None,
            next_ticket: 0,
            desired: desired.collect(),
            waiting: BTreeMap::new(),
            loads: BTreeMap::new(),
            connection: Connection::Away("not connected yet".into()),
            peers: watch::Sender::new(None),
            unbound: Vec::new(),
        }
    }

    pub(super) fn peer(&self) -> Option<&GatewayPeer> {
        match &self.connection {
            Connection::Up { peer, .. } => Some(peer),
            _ => None,
        }
    }

    /// Who was at the other end last, and news of whoever comes.
    pub(super) fn peers(&self) -> watch::Receiver<Option<GatewayPeer>> {
        self.peers.subscribe()
    }

    pub(super) fn unbound(&self) -> &[BindFailure] {
        &self.unbound
    }

    /// Writes a wish into the desired table and sends it when there is a connection.
    pub(super) fn change(&mut self, change: Change) -> Result<Ticket<()>, GatewayError> {
        self.check_open()?;
        // A path that is not UTF-8 has no JSON; found out here, it fails its own call and not every later table.
        serde_json::to_vec(&change).map_err(|error| GatewayError::Refused(error.to_string()))?;
        let (database, reservation) = match &change {
            Change::Reserve { database, endpoint } => {
                // Judged here, because the table that is sent on connect cannot express the question.
                if let Some(present) = self.desired.get(database)
                    && present.route.endpoint != *endpoint
                {
                    return Err(GatewayError::Bind {
                        address: SocketAddr::new(endpoint.address, endpoint.port),
                        reason: format!("the database already has {}", present.route.endpoint),
                    });
                }
                (*database, true)
            }
            Change::Set(route) => (route.database, false),
            Change::Remove { database } => (*database, false),
        };
        self.write(change);
        let ticket = self.ticket();
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting {
            revision: self.revision,
            database: Some(database),
            reservation,
            answer,
        };
        self.waiting.insert(ticket, waiting);
        Ok((ticket, receiver))
    }

    pub(super) fn load(&mut self) -> Result<Ticket<Vec<EndpointLoad>>, GatewayError> {
        self.check_open()?;
        let ticket = self.ticket();
        let (answer, receiver) = oneshot::channel();
        self.loads.insert(ticket, answer);
        self.send(ToGateway::Load { request: ticket });
        Ok((ticket, receiver))
    }

    /// An answer for when the present revision is applied; `None` when it is already.
    pub(super) fn wait_for_sync(&mut self) -> Option<Ticket<()>> {
        if self.acknowledged == Some(self.revision) {
            return None;
        }
        let ticket = self.ticket();
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting {
            revision: self.revision,
            database: None,
            reservation: false,
            answer,
        };
        self.waiting.insert(ticket, waiting);
        Some((ticket, receiver))
    }

    /// Forgets a call whose patience has ended.
    pub(super) fn give_up(&mut self, ticket: u64) -> GatewayError {
        self.loads.remove(&ticket);
        if let Some(Waiting {
            revision,
            database: Some(database),
            reservation: true,
            ..
        }) = self.waiting.remove(&ticket)
        {
            self.withdraw(database, revision);
        }
        match &self.connection {
            Connection::Away(reason) => GatewayError::Unreachable(reason.clone()),
            Connection::Refused(reason) => GatewayError::Refused(reason.clone()),
            Connection::Up { .. } => GatewayError::Unreachable("it does not answer".into()),
            Connection::Closed(reason) => GatewayError::Unreachable((*reason).to_owned()),
        }
    }

    /// Forgets a call that nobody waits for any more. What it asked for stays asked.
    pub(super) fn forget(&mut self, ticket: u64) {
        self.loads.remove(&ticket);
        self.waiting.remove(&ticket);
    }

    /// The connection stands: gives the table to send first. What is asked from now on goes through `outbox`, in order after it.
    pub(super) fn connected(&mut self, peer: GatewayPeer, outbox: mpsc::UnboundedSender<ToGateway>) -> ToGateway {
        for request in self.loads.keys() {
            // The receiving end is held by our caller, so this cannot fail; a lost message would only cost the load's patience.
            let _ = outbox.send(ToGateway::Load { request: *request });
        }
        self.peers.send_replace(Some(peer.clone()));
        self.connection = Connection::Up { peer, outbox };
        self.table()
    }

    /// The complete table at the present revision.
    pub(super) fn table(&self) -> ToGateway {
        ToGateway::Table {
            revision: self.revision,
            routes: self.desired.values().map(|desired| desired.route.clone()).collect(),
        }
    }

    /// The connection ended, or could not be made. Calls go on waiting.
    pub(super) fn away(&mut self, reason: String) {
        self.acknowledged = None;
        self.connection = Connection::Away(reason);
    }

    /// The gateway does not want us. Waiting is of no use, since only another gateway would answer otherwise.
    pub(super) fn refused(&mut self, reason: String) {
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            if let (Some(database), true) = (waiting.database, waiting.reservation) {
                self.withdraw(database, waiting.revision);
            }
            let _ = waiting.answer.send(Err(GatewayError::Refused(reason.clone())));
        }
        for answer in std::mem::take(&mut self.loads).into_values() {
            let _ = answer.send(Err(GatewayError::Refused(reason.clone())));
        }
        self.acknowledged = None;
        self.connection = Connection::Refused(reason);
    }

    pub(super) fn close(&mut self, reason: &'static str) {
        self.waiting.clear();
        self.loads.clear();
        self.acknowledged = None;
        self.connection = Connection::Closed(reason);
    }

    /// Takes an answer of the gateway; gives what must be sent back. Callers who no longer wait are no error anywhere here.
    pub(super) fn answered(&mut self, message: FromGateway) -> Option<ToGateway> {
        match message {
            FromGateway::Applied { revision } => self.applied(revision, &[]),
            FromGateway::TableApplied { revision, failures } => {
                self.applied(revision, &failures);
                self.unbound = failures;
            }
            FromGateway::Failed {
                revision,
                failure,
                current,
            } => self.failed(revision, &failure, current),
            FromGateway::TableWanted { .. } => return Some(self.table()),
            FromGateway::Load { request, endpoints } => {
                if let Some(answer) = self.loads.remove(&request) {
                    let _ = answer.send(Ok(endpoints));
                }
            }
            // Both belong to the greeting, which is over.
            FromGateway::Welcome(_) | FromGateway::Refused { .. } => {}
        }
        None
    }

    /// Everything up to `revision` is in force, save `failures`.
    fn applied(&mut self, revision: u64, failures: &[BindFailure]) {
        self.acknowledged = Some(revision);
        for waiting in self.take_waiting(|waiting| waiting.revision <= revision) {
            let failure = failures
                .iter()
                .find(|failure| Some(failure.database) == waiting.database);
            if let (Some(failure), true) = (failure, waiting.reservation) {
                self.withdraw(failure.database, waiting.revision);
            }
            let _ = waiting
                .answer
                .send(failure.map_or(Ok(()), |failure| Err(bind_error(failure))));
        }
        self.unbound
            .retain(|failure| self.desired.contains_key(&failure.database));
    }

    fn failed(&mut self, revision: u64, failure: &BindFailure, current: Option<Route>) {
        self.acknowledged = Some(revision);
        let database = failure.database;
        if self
            .desired
            .get(&database)
            .is_some_and(|desired| desired.revision == revision)
        {
            match current {
                Some(route) => self.desired.insert(database, Desired { route, revision }),
                None => self.desired.remove(&database),
            };
        }
        for waiting in self.take_waiting(|waiting| waiting.revision == revision) {
            // A wait for the revision itself is over too: a change that failed is as settled as one that is in force.
            let result = waiting.database.map_or(Ok(()), |_| Err(bind_error(failure)));
            let _ = waiting.answer.send(result);
        }
    }

    fn take_waiting(&mut self, which: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let tickets = self.waiting.iter().filter(|(_, waiting)| which(waiting));
        let tickets: Vec<u64> = tickets.map(|(ticket, _)| *ticket).collect();
        tickets
            .iter()
            .filter_map(|ticket| self.waiting.remove(ticket))
            .collect()
    }

    /// Takes back a reservation, unless something newer was asked for that database since.
    fn withdraw(&mut self, database: DatabaseId, revision: u64) {
        if self
            .desired
            .get(&database)
            .is_some_and(|desired| desired.revision == revision)
        {
            self.write(Change::Remove { database });
        }
    }

    /// Gives a change its revision, writes it into the desired table and sends it.
    fn write(&mut self, change: Change) {
        self.revision += 1;
        let revision = self.revision;
        match &change {
            Change::Reserve { database, endpoint } => {
                // A database that has a route keeps it.
                self.desired.entry(*database).or_insert_with(|| Desired {
                    route: Route {
                        database: *database,
                        endpoint: *endpoint,
                        state: RouteState::Held,
                        source_allow: Vec::new(),
                        max_connections: 0,
                    },
                    revision,
                });
            }
            Change::Set(route) => {
                let route = route.clone();
                self.desired.insert(route.database, Desired { route, revision });
            }
            Change::Remove { database } => {
                self.desired.remove(database);
            }
        }
        self.send(ToGateway::Delta { revision, change });
    }

    fn send(&self, message: ToGateway) {
        if let Connection::Up { outbox, .. } = &self.connection {
            // A connection that has just ended is followed by one that begins with the whole table.
            let _ = outbox.send(message);
        }
    }

    fn check_open(&self) -> Result<(), GatewayError> {
        match &self.connection {
            Connection::Refused(reason) => Err(GatewayError::Refused(reason.clone())),
            Connection::Closed(reason) => Err(GatewayError::Unreachable((*reason).to_owned())),
            Connection::Away(_) | Connection::Up { .. } => Ok(()),
        }
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }
}

fn bind_error(failure: &BindFailure) -> GatewayError {
    let address: SocketAddr = failure.address;
    GatewayError::Bind {
        address,
        reason: failure.reason.clone(),
    }
}

#[cfg(test)]
mod tests;
