//! The successor's end.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::wire::{self, ConnectionNote, Given, HalfNote, Received, Taken};
use super::{Estate, HANDOVER_VERSION, STEP_PATIENCE};
use crate::GatewayRunError;
use crate::entrance::{Frozen, FrozenLink};
use crate::pump::Half;

/// Takes everything from the gateway that serves at `socket`. `None` when none does. Blocks.
pub(crate) fn take(socket: &Path, data_dir_id: &str) -> Result<Option<Estate>, GatewayRunError> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(GatewayRunError::io("connect to", socket)(error)),
    };
    receive_all(&stream, data_dir_id)
        .map(Some)
        .map_err(|error| GatewayRunError::Handover(error.to_string()))
}

fn receive_all(stream: &UnixStream, data_dir_id: &str) -> io::Result<Estate> {
    // The other end may be busy with another successor that does not answer.
    stream.set_read_timeout(Some(3 * STEP_PATIENCE))?;
    stream.set_write_timeout(Some(STEP_PATIENCE))?;
    let hello = Taken::Hello {
        version: HANDOVER_VERSION,
        data_dir_id: data_dir_id.to_owned(),
    };
    wire::send(stream, &hello, &[], &[])?;

    let first = wire::receive::<Given>(stream)?;
    let (routes, loads) = match first.message {
        Given::Table { routes, loads } => (routes, loads),
        Given::Refused(reason) => return Err(io::Error::other(reason)),
        other => return Err(unexpected(&other)),
    };
    let mut estate = Estate {
        lock: first.descriptors.into_iter().next(),
        routes,
        loads,
        listeners: Vec::new(),
        connections: Vec::new(),
    };
    loop {
        wire::send(stream, &Taken::Next, &[], &[])?;
        let Received {
            message,
            bytes,
            descriptors,
        } = wire::receive::<Given>(stream)?;
        let mut descriptors = descriptors.into_iter();
        match message {
            Given::Listeners(databases) => {
                for database in databases {
                    let descriptor = descriptors.next().ok_or_else(missing)?;
                    estate.listeners.push((database, TcpListener::from(descriptor)));
                }
            }
            Given::Connections(notes) => {
                let mut bytes = bytes.as_slice();
                for note in notes {
                    estate.connections.push(connection(note, &mut bytes, &mut descriptors)?);
                }
            }
            Given::Complete => break,
            other => return Err(unexpected(&other)),
        }
    }
    wire::send(stream, &Taken::Ready, &[], &[])?;
    match wire::receive::<Given>(stream)?.message {
        Given::Yours => Ok(estate),
        other => Err(unexpected(&other)),
    }
}

fn connection(
    note: ConnectionNote,
    bytes: &mut &[u8],
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> io::Result<Frozen> {
    let client = descriptors.next().ok_or_else(missing)?;
    let link = match note.link {
        None => None,
        Some(link) => Some(FrozenLink {
            backend: Arc::new(link.backend),
            stream: descriptors.next().ok_or_else(missing)?,
            to_backend: half(&link.to_backend, bytes)?,
            to_client: half(&link.to_client, bytes)?,
        }),
    };
    Ok(Frozen {
        database: note.database,
        peer: note.peer,
        client,
        link,
    })
}

fn half(note: &HalfNote, bytes: &mut &[u8]) -> io::Result<Half> {
    let (kept, rest) = bytes.split_at_checked(note.kept).ok_or_else(missing)?;
    *bytes = rest;
    Ok(Half {
        kept: kept.to_vec(),
        ended: note.ended,
        closed: note.closed,
    })
}

fn unexpected(message: &Given) -> io::Error {
    io::Error::other(match message {
        Given::Table { .. } => "the table came twice",
        Given::Listeners(_) | Given::Connections(_) | Given::Complete => "a message came out of order",
        Given::Yours => "it let go before everything was given",
        Given::Refused(_) => "it changed its mind",
    })
}

fn missing() -> io::Error {
    io::Error::other("a message lacks descriptors or bytes that it names")
}
