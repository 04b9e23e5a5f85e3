//! The control plane's end: keeps the desired table in memory and the gateway in step with it.

mod session;
mod state;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use pilothouse_model::{DatabaseId, Endpoint};
use tokio::task::JoinSet;

use crate::{BindFailure, Change, EndpointLoad, Gateway, GatewayError, GatewayPeer, Route};
use state::{State, Ticket};

/// How long a call waits for a gateway that is away.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);

/// The control plane's end of the connection to the gateway.
///
/// A task of its own connects, sends the complete table, then one delta for each call, and starts over when the connection ends. What
/// was asked while the gateway is away is part of the table that it gets on its return, so a call that gave up waiting for
/// [`set`](Gateway::set) or [`remove`](Gateway::remove) is still carried out later.
///
/// A caller that drops the future of a call does not know whether the call had effect; [`remove`](Gateway::remove) undoes it either way.
pub struct GatewayClient {
    shared: Arc<Shared>,
    patience: Duration,
    task: tokio::sync::Mutex<JoinSet<()>>,
}

/// What calls and the connection's task share.
struct Shared {
    socket: PathBuf,
    data_dir_id: String,
    /// Locked for map operations only, never across an await, so that a call costs no more than one message to the task.
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this lock")
    }
}

impl GatewayClient {
    /// Starts to keep the gateway at `socket` in step with the table, which begins as `initial`. Returns at once; calls wait for the
    /// connection. Must be called inside a tokio runtime.
    pub fn start(socket: PathBuf, data_dir_id: String, initial: Vec<Route>) -> Arc<Self> {
        Self::start_with_patience(socket, data_dir_id, initial, DEFAULT_PATIENCE)
    }

    /// Like [`start`](Self::start), with calls that wait up to `patience` for a gateway that is away.
    pub fn start_with_patience(
        socket: PathBuf,
        data_dir_id: String,
        initial: Vec<Route>,
        patience: Duration,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            socket,
            data_dir_id,
            state: Mutex::new(State::new(initial)),
        });
        let mut task = JoinSet::new();
        task.spawn(session::keep(Arc::clone(&shared)));
        Arc::new(Self {
            shared,
            patience,
            task: tokio::sync::Mutex::new(task),
        })
    }

    /// Ends the connection and its task. The gateway goes on serving the last table. Calls fail from now on.
    pub async fn shutdown(&self) {
        self.task.lock().await.shutdown().await;
        self.shared.state().close("the client was shut down");
    }

    /// Who serves at the other end; `None` while there is no connection.
    pub fn peer(&self) -> Option<GatewayPeer> {
        self.shared.state().peer().cloned()
    }

    /// Waits until another process than `predecessor` serves at the other end, and says who.
    ///
    /// Errors: [`GatewayError::Unreachable`] when that takes longer than the patience of this client. Cancel-safe.
    pub async fn successor_of(&self, predecessor: u32) -> Result<GatewayPeer, GatewayError> {
        let mut peers = self.shared.state().peers();
        let other = peers.wait_for(|peer| peer.as_ref().is_some_and(|peer| peer.pid != predecessor));
        match tokio::time::timeout(self.patience, other).await {
            Ok(Ok(peer)) => Ok(peer.clone().expect("that is what was waited for")),
            Ok(Err(_)) | Err(_) => Err(GatewayError::Unreachable("no successor has come".into())),
        }
    }

    /// Endpoints that the gateway could not bind when it got the table, and goes on trying to.
    pub fn unbound(&self) -> Vec<BindFailure> {
        self.shared.state().unbound().to_vec()
    }

    /// Waits until the gateway has applied everything that was asked so far.
    ///
    /// Errors: [`GatewayError::Unreachable`] when that takes longer than the patience of this client. Cancel-safe.
    pub async fn synced(&self) -> Result<(), GatewayError> {
        let ticket = self.shared.state().wait_for_sync();
        match ticket {
            Some(ticket) => self.wait(ticket).await,
            None => Ok(()),
        }
    }

    async fn change(&self, change: Change) -> Result<(), GatewayError> {
        let ticket = self.shared.state().change(change)?;
        self.wait(ticket).await
    }

    async fn wait<T>(&self, (ticket, answer): Ticket<T>) -> Result<T, GatewayError> {
        let _forget = Forget {
            shared: &self.shared,
            ticket,
        };
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(GatewayError::Unreachable("the client was shut down".into())),
            Err(_) => Err(self.shared.state().give_up(ticket)),
        }
    }
}

/// Removes what is kept of a call when its future ends, also when the caller drops it.
struct Forget<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.state().forget(self.ticket);
    }
}

#[async_trait]
impl Gateway for GatewayClient {
    async fn reserve(&self, database: DatabaseId, endpoint: Endpoint) -> Result<(), GatewayError> {
        self.change(Change::Reserve { database, endpoint }).await
    }

    async fn set(&self, route: Route) -> Result<(), GatewayError> {
        self.change(Change::Set(route)).await
    }

    async fn remove(&self, database: DatabaseId) -> Result<(), GatewayError> {
        self.change(Change::Remove { database }).await
    }

    async fn load(&self) -> Result<Vec<EndpointLoad>, GatewayError> {
        let ticket = self.shared.state().load()?;
        self.wait(ticket).await
    }
}
