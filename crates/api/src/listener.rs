//! Listeners: accept, TLS, HTTP/1.1 with keep-alive, limits, moving to another port, and an orderly end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::linger::{Lingering, Unread};
use crate::service::Service;
use crate::worded::Worded;
use crate::{Dialect, Limits, MinimumTls, TlsError, TlsIdentity, Traffic};

/// Pause after a failed accept: out of file descriptors, most likely, and trying at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What to listen with.
pub struct ListenerOptions {
    /// Where; port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS with this identity, or plain HTTP.
    pub tls: Option<Arc<TlsIdentity>>,
    /// Who answers.
    pub dialect: Arc<dyn Dialect>,
    /// What clients may send.
    pub limits: Limits,
}

/// What a dialect may change about its own listener at run time, because its API has settings for it.
#[async_trait]
pub trait ListenerControl: Send + Sync + 'static {
    /// Where it listens, or would if it were open.
    fn address(&self) -> SocketAddr;

    /// Whether it accepts connections.
    fn is_open(&self) -> bool;

    /// Listens on another port of the same address. When it answers, new connections are taken there and the old port is free;
    /// requests under way on old connections are finished. On an error nothing has changed. A closed listener only takes note.
    async fn move_to_port(&self, port: u16) -> io::Result<SocketAddr>;

    /// Begins to accept connections. On an error nothing has changed.
    async fn open(&self) -> io::Result<()>;

    /// Stops accepting connections and frees the port; requests under way are finished.
    async fn close(&self);

    /// Takes at most this many connections at once from now on.
    fn set_connection_limit(&self, connections: usize);

    /// Shows another certificate in new handshakes; nothing happens on a plain listener.
    fn set_certificate(&self, chain_pem: &str, key_pem: &pilothouse_model::Secret) -> Result<(), TlsError>;

    /// Changes the oldest TLS version spoken; nothing happens on a plain listener.
    fn set_minimum_tls(&self, minimum: MinimumTls) -> Result<(), TlsError>;
}

/// A listener at work. Clones are handles of the same one. Ends with [`Listener::shut_down`], or with the process.
#[derive(Clone)]
pub struct Listener(Arc<Inner>);

struct Inner {
    /// Has requests answered.
    service: Service,
    /// What clients may send.
    limits: Limits,
    /// Shown in handshakes.
    tls: Option<Arc<TlsIdentity>>,
    /// The accept loop in force: where it listens, and how to stop it.
    accepting: Mutex<Accepting>,
    /// Cancelled once connections may be taken; until then they wait in the socket.
    begun: CancellationToken,
    /// Told to every connection at the end: finish the request in hand and close.
    closing: CancellationToken,
    /// Accept loops and connections, to be waited for at the end.
    tasks: TaskTracker,
    /// Connections open now.
    open: AtomicUsize,
    /// Most connections at once.
    limit: AtomicUsize,
    /// A connection ended, or the limit changed: an accept loop that waits for room looks again.
    room: Notify,
}

/// An accept loop; a closed listener has the one that was in force last.
struct Accepting {
    address: SocketAddr,
    open: bool,
    stop: CancellationToken,
    ended: TaskTracker,
}

impl Accepting {
    fn new(address: SocketAddr, open: bool) -> Self {
        Self {
            address,
            open,
            stop: CancellationToken::new(),
            ended: TaskTracker::new(),
        }
    }
}

impl Listener {
    /// Binds and begins to accept.
    pub async fn bind(options: ListenerOptions) -> io::Result<Self> {
        let listener = Self::bind_waiting(options).await?;
        listener.begin();
        Ok(listener)
    }

    /// Binds, and lets connections wait until [`Listener::begin`]. For a start that must know that the port is ours before it does
    /// anything else, and must not answer before it is done.
    pub async fn bind_waiting(options: ListenerOptions) -> io::Result<Self> {
        let listener = Self::new(options);
        listener.open().await?;
        Ok(listener)
    }

    /// What it has answered.
    pub fn traffic(&self) -> &Traffic {
        &self.0.service.traffic
    }

    /// Takes connections from now on.
    pub fn begin(&self) {
        self.0.begun.cancel();
    }

    /// A listener that accepts nothing until [`ListenerControl::open`].
    pub fn closed(options: ListenerOptions) -> Self {
        let listener = Self::new(options);
        listener.begin();
        listener
    }

    fn new(options: ListenerOptions) -> Self {
        Self(Arc::new(Inner {
            service: Service::new(options.dialect, options.limits),
            limits: options.limits,
            tls: options.tls,
            accepting: Mutex::new(Accepting::new(options.address, false)),
            begun: CancellationToken::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(options.limits.connections),
            room: Notify::new(),
        }))
    }

    /// Stops accepting, lets every request under way finish, and closes; gives up waiting after `within`. Returns whether all finished.
    pub async fn shut_down(&self, within: Duration) -> bool {
        let inner = &self.0;
        inner
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stop
            .cancel();
        inner.closing.cancel();
        inner.tasks.close();
        inner.service.requests.close();
        let all = async {
            inner.tasks.wait().await;
            inner.service.requests.wait().await;
        };
        tokio::time::timeout(within, all).await.is_ok()
    }
}

#[async_trait]
impl ListenerControl for Listener {
    fn address(&self) -> SocketAddr {
        self.0.accepting.lock().unwrap_or_else(PoisonError::into_inner).address
    }

    fn is_open(&self) -> bool {
        self.0.accepting.lock().unwrap_or_else(PoisonError::into_inner).open
    }

    async fn move_to_port(&self, port: u16) -> io::Result<SocketAddr> {
        let address = SocketAddr::new(self.address().ip(), port);
        if !self.is_open() {
            self.0.accepting.lock().unwrap_or_else(PoisonError::into_inner).address = address;
            return Ok(address);
        }
        if self.address() == address {
            return Ok(address);
        }
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        self.0.begin(socket, address).ended().await;
        Ok(address)
    }

    async fn open(&self) -> io::Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let socket = TcpListener::bind(self.address()).await?;
        let address = socket.local_addr()?;
        self.0.begin(socket, address).ended().await;
        Ok(())
    }

    async fn close(&self) {
        let address = self.address();
        self.0.replace(Accepting::new(address, false)).ended().await;
    }

    fn set_connection_limit(&self, connections: usize) {
        self.0.limit.store(connections.max(1), Ordering::Relaxed);
        self.0.room.notify_waiters();
    }

    fn set_certificate(&self, chain_pem: &str, key_pem: &pilothouse_model::Secret) -> Result<(), TlsError> {
        self.0
            .tls
            .as_ref()
            .map_or(Ok(()), |tls| tls.replace(chain_pem, key_pem))
    }

    fn set_minimum_tls(&self, minimum: MinimumTls) -> Result<(), TlsError> {
        self.0.tls.as_ref().map_or(Ok(()), |tls| tls.set_minimum(minimum))
    }
}

impl Accepting {
    /// Stops the loop and waits until its socket is closed.
    async fn ended(self) {
        self.stop.cancel();
        self.ended.close();
        self.ended.wait().await;
    }
}

impl Inner {
    /// Begins an accept loop on `socket`, makes it the one in force and returns the one that was.
    fn begin(self: &Arc<Self>, socket: TcpListener, address: SocketAddr) -> Accepting {
        let next = Accepting::new(address, true);
        let (stop, ended) = (next.stop.clone(), next.ended.token());
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            inner.accept_all(socket, &stop).await;
            drop(ended);
        });
        self.replace(next)
    }

    fn replace(&self, next: Accepting) -> Accepting {
        std::mem::replace(
            &mut *self.accepting.lock().unwrap_or_else(PoisonError::into_inner),
            next,
        )
    }

    async fn accept_all(self: Arc<Self>, socket: TcpListener, stop: &CancellationToken) {
        stop.run_until_cancelled(self.begun.cancelled()).await;
        while stop.run_until_cancelled(self.wait_for_room()).await.is_some() {
            match stop.run_until_cancelled(socket.accept()).await {
                None => return,
                Some(Ok((stream, peer))) => {
                    let connection = Connection::open(Arc::clone(&self));
                    self.tasks.spawn(async move { connection.serve(stream, peer).await });
                }
                Some(Err(error)) => {
                    tracing::warn!(dialect = self.service.dialect_name(), %error, "a connection cannot be accepted");
                    stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    /// Returns when there is room for one more connection. Cancel-safe.
    async fn wait_for_room(&self) {
        loop {
            let changed = self.room.notified();
            if self.open.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed) {
                return;
            }
            changed.await;
        }
    }
}

/// One connection; counted while it lives.
struct Connection(Arc<Inner>);

impl Connection {
    fn open(inner: Arc<Inner>) -> Self {
        inner.open.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        // Fails only on a socket that is dead already, which the first read will tell.
        let _ = stream.set_nodelay(true);
        match &self.0.tls {
            None => self.serve_http(stream, peer, false).await,
            Some(tls) => {
                let handshake = TlsAcceptor::from(tls.config()).accept(stream);
                let handshake = tokio::time::timeout(self.0.limits.handshake_timeout, handshake);
                match self.0.closing.run_until_cancelled(handshake).await {
                    Some(Ok(Ok(stream))) => self.serve_http(stream, peer, true).await,
                    Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                    Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
                    None => {}
                }
            }
        }
    }

    async fn serve_http<S>(&self, stream: S, peer: SocketAddr, secure: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let inner = &self.0;
        let unread = Unread::default();
        let service = service_fn(async |request| {
            Ok::<_, Infallible>(inner.service.respond(peer, secure, request, &unread).await)
        });
        let stream = Worded::new(stream, inner.service.dialect(), unread.clone());
        let stream = Lingering::new(stream, unread.clone(), inner.limits);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(inner.limits.head_timeout)
            .max_buf_size(inner.limits.head_bytes)
            .max_headers(inner.limits.head_lines)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = inner.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.room.notify_waiters();
    }
}
