//! Binds endpoints and accepts their connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::entrance::Entrance;

/// Connections that the kernel keeps for us. A failover brings all clients of a database back at once.
const BACKLOG: i32 = 4096;

/// The pause when descriptors or memory are used up: others close theirs meanwhile, and trying at once would only burn the processor.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A silent peer is asked after this many seconds whether it is still there, so that one that vanished does not stay for ever.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// Binds and listens. What is set here is inherited by accepted sockets and costs no call per connection.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, KEEPALIVE)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until it is aborted; safe at every point, since an accepted connection is admitted without an await.
pub(crate) async fn accept(listener: TcpListener, entrance: Arc<Entrance>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "an endpoint cannot be watched");
            return;
        }
    };
    loop {
        match listener.accept().await {
            // The worker that is going to carry it need not be ours.
            Ok((client, peer)) => match client.into_std() {
                Ok(client) => entrance.admit(client, peer),
                Err(error) => tracing::warn!(%error, "a connection is lost"),
            },
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                if let Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) = errno {
                    tracing::warn!(%error, "connections wait in the backlog");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                // Otherwise the client has gone before we came, or the network says something about it.
            }
        }
    }
}
