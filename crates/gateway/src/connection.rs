//! One client connection from admission to close: wait for a primary, carry bytes.

use std::net::TcpStream as PlainTcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_gateway_protocol::{Backend, Route, RouteState};
use tokio::io::{self, Interest};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::entrance::{Frozen, FrozenLink, Residence};
use crate::leash::Order;
use crate::pump::{self, End, Half, Link};
use crate::stream::BackendStream;

/// The pause after the first refused connect. A server that is being started in place answers within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause between attempts. A primary that is dead is soon known to be, and the route then says so.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Serves a connection until it is over, or until it was ordered to freeze.
pub(crate) async fn serve(residence: Residence, start: Frozen) -> Option<Frozen> {
    match serve_until_over(&residence, start).await {
        Ok(frozen) => frozen,
        Err(error) => {
            // Our own limits, descriptors most likely; the two sides' failures end as closes.
            tracing::warn!(database = %residence.database(), %error, "a connection is lost");
            None
        }
    }
}

async fn serve_until_over(residence: &Residence, start: Frozen) -> io::Result<Option<Frozen>> {
    let client = PlainTcpStream::from(start.client);
    let (backend, mut link) = if let Some(link) = start.link {
        let stream = BackendStream::adopt(link.stream, &link.backend)?;
        let link_now = Link {
            client: TcpStream::from_std(client)?,
            backend: stream,
            to_backend: link.to_backend,
            to_client: link.to_client,
        };
        (link.backend, link_now)
    } else {
        let client = TcpStream::from_std(client)?;
        match find_primary(residence, &client).await? {
            Found::Primary(backend, stream) => {
                let link = Link {
                    client,
                    backend: stream,
                    to_backend: Half::default(),
                    to_client: Half::default(),
                };
                (backend, link)
            }
            Found::Nothing => return Ok(None),
            Found::Freeze => {
                return Ok(Some(Frozen {
                    database: residence.database(),
                    peer: residence.peer,
                    client: client.into_std()?.into(),
                    link: None,
                }));
            }
        }
    };
    match pump::carry(&mut link, &residence.leash, residence.bytes()).await {
        End::Over => Ok(None),
        End::Frozen => Ok(Some(Frozen {
            database: residence.database(),
            peer: residence.peer,
            client: link.client.into_std()?.into(),
            link: Some(FrozenLink {
                backend,
                stream: link.backend.release()?,
                to_backend: link.to_backend,
                to_client: link.to_client,
            }),
        })),
    }
}

enum Found {
    Primary(Arc<Backend>, BackendStream),
    /// Closed, or not found in time, or the client gave up.
    Nothing,
    Freeze,
}

/// What ends a wait for a primary, or changes what is waited for.
enum Interruption {
    Route,
    Order(Order),
    Deadline,
    ClientGone,
}

/// Connects to the primary, as soon as there is one that accepts.
async fn find_primary(residence: &Residence, client: &TcpStream) -> io::Result<Found> {
    let mut route = residence.route();
    let deadline = Instant::now() + residence.patience();
    // Made at the first obstacle, since most connections meet none.
    let mut hang_up = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let backend = match &route.borrow_and_update().state {
            RouteState::Open(backend) => Some(Arc::new(backend.clone())),
            RouteState::Held => None,
            RouteState::Closed => return Ok(Found::Nothing),
        };
        let attempt = async {
            match &backend {
                Some(backend) => BackendStream::connect(backend).await,
                None => std::future::pending().await,
            }
        };
        if backend.is_none() && hang_up.is_none() {
            hang_up = Some(HangUp::watch(client)?);
        }
        let interruption = tokio::select! {
            biased;
            interruption = interruption(residence, &mut route, deadline, hang_up.as_ref()) => interruption,
            stream = attempt => match (stream, backend) {
                (Ok(stream), Some(backend)) if residence.begin(&backend) => return Ok(Found::Primary(backend, stream)),
                // The route changed while we connected: no byte was sent, so start over.
                (Ok(_), _) => continue,
                (Err(error), _) => {
                    tracing::debug!(database = %residence.database(), %error, "the primary does not accept");
                    if !residence.may_wait() {
                        return Ok(Found::Nothing);
                    }
                    if hang_up.is_none() {
                        hang_up = Some(HangUp::watch(client)?);
                    }
                    tokio::select! {
                        biased;
                        interruption = interruption(residence, &mut route, deadline, hang_up.as_ref()) => interruption,
                        () = sleep(pause) => {
                            pause = (pause * 2).min(LONGEST_PAUSE);
                            continue;
                        }
                    }
                }
            },
        };
        match interruption {
            Interruption::Route => pause = FIRST_PAUSE,
            Interruption::Order(Order::Freeze) => return Ok(Found::Freeze),
            Interruption::Order(Order::Close) | Interruption::Deadline | Interruption::ClientGone => {
                return Ok(Found::Nothing);
            }
        }
    }
}

async fn interruption(
    residence: &Residence,
    route: &mut watch::Receiver<Arc<Route>>,
    deadline: Instant,
    hang_up: Option<&HangUp>,
) -> Interruption {
    tokio::select! {
        biased;
        order = residence.leash.pulled() => Interruption::Order(order),
        // The entrance lives as long as the residence, so the route has a sender.
        _ = route.changed() => Interruption::Route,
        () = HangUp::happened(hang_up) => Interruption::ClientGone,
        () = sleep_until(deadline) => Interruption::Deadline,
    }
}

/// Notices that a waiting client has closed.
///
/// What such a client sent must not reach a primary later: it has given up and may have asked somebody else. It is watched through a
/// second descriptor, since a watch through the client's own would lose the news that there are bytes to read.
struct HangUp(TcpStream);

impl HangUp {
    fn watch(client: &TcpStream) -> io::Result<Self> {
        let copy = PlainTcpStream::from(client.as_fd().try_clone_to_owned()?);
        Ok(Self(TcpStream::from_std(copy)?))
    }

    /// Cancel-safe. Without a watch it never happens.
    async fn happened(watch: Option<&Self>) {
        let Some(Self(client)) = watch else {
            return std::future::pending().await;
        };
        while let Ok(ready) = client.ready(Interest::READABLE).await {
            if ready.is_read_closed() {
                return;
            }
            // Bytes wait there; forget that until there is other news.
            let _ = client.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }
}
