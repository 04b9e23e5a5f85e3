//! The control socket: who may steer the gateway, and the frames that go in and out.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pilothouse_gateway_protocol::frame::{self, FRAME_LIMIT, FrameError, FrameReader, GREETING_LIMIT};
use pilothouse_gateway_protocol::{FromGateway, GatewayPeer, PROTOCOL_VERSION, ToGateway, own_program};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a peer may take to introduce itself.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);

/// Connections that may be open at once. One is in use, others introduce themselves or are being replaced.
const MOST_SESSIONS: usize = 16;

/// Answers that a peer has not read, bytes, before we read no more requests of it.
const UNREAD_LIMIT: usize = 8 * 1024 * 1024;

/// Names one connection of a control plane.
pub(crate) type SessionId = u64;

/// What happens on the control socket. One consumer handles events in order.
#[derive(Debug)]
pub(crate) enum Event {
    /// A control plane of our data directory has introduced itself. It replaces the one before.
    Connected(SessionId, Session),
    /// It says something.
    Message(SessionId, ToGateway),
    /// It has gone.
    Gone(SessionId),
}

/// The way back to a control plane.
#[derive(Debug)]
pub(crate) struct Session {
    /// Unbounded because each answer belongs to a request, and requests are not read while answers pile up.
    pub(crate) answers: mpsc::UnboundedSender<FromGateway>,
    /// Ends the connection.
    pub(crate) end: CancellationToken,
}

/// Binds a socket for our own account (and root) at `path`. The name appears with the finished socket, in place of a stale one, so that
/// a client finds either the old gateway or the new one.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

/// Whether a process may talk to us: it runs under our account, or is root's.
pub(crate) fn is_trusted(peer: io::Result<UCred>) -> bool {
    let own = rustix::process::geteuid().as_raw();
    peer.is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// Serves the control socket until it is dropped.
pub(crate) async fn serve(listener: UnixListener, data_dir_id: Arc<str>, events: mpsc::Sender<Event>) {
    let mut sessions = JoinSet::new();
    let mut next: SessionId = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if sessions.len() < MOST_SESSIONS && is_trusted(stream.peer_cred()) => {
                    next += 1;
                    sessions.spawn(session(next, stream, Arc::clone(&data_dir_id), events.clone()));
                }
                Ok(_) => tracing::warn!("a connection to the control socket is refused"),
                Err(error) => {
                    tracing::warn!(%error, "the control socket does not accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn session(id: SessionId, stream: UnixStream, data_dir_id: Arc<str>, events: mpsc::Sender<Event>) {
    let ended = converse(id, stream, &data_dir_id, &events).await;
    if let Err(error) = ended {
        tracing::warn!(%error, "the connection of the control plane is closed");
    }
    // Nobody listens when the gateway is shutting down.
    let _ = events.send(Event::Gone(id)).await;
}

async fn converse(
    id: SessionId,
    stream: UnixStream,
    data_dir_id: &str,
    events: &mpsc::Sender<Event>,
) -> Result<(), FrameError> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(reader, GREETING_LIMIT);
    let mut out = BytesMut::new();
    let greeting = tokio::time::timeout(GREETING_PATIENCE, reader.next::<ToGateway>()).await;
    let Ok(Some(greeting)) = greeting.map_or(Ok(None), std::convert::identity).inspect_err(|error| {
        tracing::warn!(%error, "a greeting cannot be read");
    }) else {
        return Ok(());
    };
    if let Err(reason) = check_greeting(&greeting, data_dir_id) {
        tracing::warn!(reason, "a control plane is refused");
        frame::encode(&FromGateway::Refused { reason: reason.into() }, &mut out)?;
        return Ok(writer.write_all_buf(&mut out).await?);
    }
    let welcome = FromGateway::Welcome(GatewayPeer {
        pid: std::process::id(),
        program: own_program(),
    });
    frame::encode(&welcome, &mut out)?;
    reader.set_limit(FRAME_LIMIT);

    let (answers, mut inbox) = mpsc::unbounded_channel();
    let end = CancellationToken::new();
    let session = Session {
        answers,
        end: end.clone(),
    };
    if events.send(Event::Connected(id, session)).await.is_err() {
        return Ok(());
    }
    // Each branch is cancel-safe: a partial write leaves the rest in `out`, a partial read stays in the reader.
    loop {
        tokio::select! {
            () = end.cancelled() => return Ok(()),
            answer = inbox.recv() => match answer {
                Some(answer) => frame::encode(&answer, &mut out)?,
                None => return Ok(()),
            },
            written = writer.write_buf(&mut out), if !out.is_empty() => {
                written?;
            }
            message = reader.next(), if out.len() < UNREAD_LIMIT => match message? {
                Some(message) => {
                    if events.send(Event::Message(id, message)).await.is_err() {
                        return Ok(());
                    }
                }
                None => return Ok(()),
            },
        }
    }
}

fn check_greeting(greeting: &ToGateway, ours: &str) -> Result<(), &'static str> {
    match greeting {
        ToGateway::Hello { version, .. } if *version != PROTOCOL_VERSION => Err("it speaks another protocol version"),
        ToGateway::Hello { data_dir_id, .. } if data_dir_id != ours => Err("it belongs to another data directory"),
        ToGateway::Hello { .. } => Ok(()),
        _ => Err("a greeting was expected"),
    }
}
