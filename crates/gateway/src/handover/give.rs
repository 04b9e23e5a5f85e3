//! The running gateway's end.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::wire::{self, ConnectionNote, Given, HalfNote, LinkNote, MOST_DESCRIPTORS, Taken};
use super::{Estate, HANDOVER_VERSION, STEP_PATIENCE};
use crate::control::is_trusted;
use crate::entrance::Frozen;
use crate::pump::Half;

/// Waits at the handover socket and passes on successors that introduced themselves, one at a time. Never ends by itself.
pub(crate) async fn serve(listener: UnixListener, data_dir_id: Arc<str>, successors: mpsc::Sender<UnixStream>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) if is_trusted(stream.peer_cred()) => stream,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%error, "the handover socket does not accept");
                tokio::time::sleep(STEP_PATIENCE).await;
                continue;
            }
        };
        let id = Arc::clone(&data_dir_id);
        let introduced = match stream.into_std() {
            Ok(stream) => spawn_blocking(move || introduce(stream, &id)).await,
            Err(error) => Ok(Err(error)),
        };
        match introduced {
            Ok(Ok(stream)) => {
                if successors.send(stream).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "a successor is refused"),
            Err(error) => tracing::error!(%error, "the introduction of a successor failed"),
        }
    }
}

fn introduce(stream: UnixStream, ours: &str) -> io::Result<UnixStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STEP_PATIENCE))?;
    stream.set_write_timeout(Some(STEP_PATIENCE))?;
    let reason = match wire::receive::<Taken>(&stream)?.message {
        Taken::Hello { version, .. } if version != HANDOVER_VERSION => "it speaks another version",
        Taken::Hello { data_dir_id, .. } if data_dir_id != ours => "it belongs to another data directory",
        Taken::Hello { .. } => return Ok(stream),
        Taken::Next | Taken::Ready => "it does not introduce itself",
    };
    wire::send(&stream, &Given::Refused(reason.into()), &[], &[])?;
    Err(io::Error::other(reason))
}

/// Gives the estate away. After an error it is still all ours. Blocks.
pub(crate) fn give(stream: &UnixStream, estate: &Estate) -> io::Result<()> {
    let table = Given::Table {
        routes: estate.routes.clone(),
        loads: estate.loads.clone(),
    };
    let lock: Vec<_> = estate.lock.iter().map(AsFd::as_fd).collect();
    wire::send(stream, &table, &[], &lock)?;
    expect(stream, "Next", |taken| matches!(taken, Taken::Next))?;
    for batch in estate.listeners.chunks(MOST_DESCRIPTORS) {
        let databases = batch.iter().map(|(database, _)| *database).collect();
        let descriptors: Vec<_> = batch.iter().map(|(_, listener)| listener.as_fd()).collect();
        wire::send(stream, &Given::Listeners(databases), &[], &descriptors)?;
        expect(stream, "Next", |taken| matches!(taken, Taken::Next))?;
    }
    for batch in estate.connections.chunks(MOST_DESCRIPTORS / 2) {
        send_connections(stream, batch)?;
        expect(stream, "Next", |taken| matches!(taken, Taken::Next))?;
    }
    wire::send(stream, &Given::Complete, &[], &[])?;
    expect(stream, "Ready", |taken| matches!(taken, Taken::Ready))?;
    // A word that could not be written was not heard, because it is smaller than any socket buffer.
    wire::send(stream, &Given::Yours, &[], &[])
}

fn send_connections(stream: &UnixStream, batch: &[Frozen]) -> io::Result<()> {
    let mut notes = Vec::with_capacity(batch.len());
    let mut bytes = Vec::new();
    let mut descriptors = Vec::with_capacity(2 * batch.len());
    for connection in batch {
        descriptors.push(connection.client.as_fd());
        let link = connection.link.as_ref().map(|link| {
            descriptors.push(link.stream.as_fd());
            bytes.extend_from_slice(&link.to_backend.kept);
            bytes.extend_from_slice(&link.to_client.kept);
            LinkNote {
                backend: (*link.backend).clone(),
                to_backend: note(&link.to_backend),
                to_client: note(&link.to_client),
            }
        });
        notes.push(ConnectionNote {
            database: connection.database,
            peer: connection.peer,
            link,
        });
    }
    wire::send(stream, &Given::Connections(notes), &bytes, &descriptors)
}

fn note(half: &Half) -> HalfNote {
    HalfNote {
        kept: half.kept.len(),
        ended: half.ended,
        closed: half.closed,
    }
}

fn expect(stream: &UnixStream, word: &str, is_expected: impl Fn(&Taken) -> bool) -> io::Result<()> {
    let answer = wire::receive::<Taken>(stream)?.message;
    if is_expected(&answer) {
        Ok(())
    } else {
        Err(io::Error::other(format!("{word} was expected, not {answer:?}")))
    }
}
