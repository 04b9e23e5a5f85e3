//! Messages of a handover: a header with two lengths, JSON, raw bytes, and descriptors beside the first byte.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use pilothouse_gateway_protocol::frame::FRAME_LIMIT;
use pilothouse_gateway_protocol::{Backend, EndpointLoad, Route};
use pilothouse_model::DatabaseId;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Descriptors in one message; the kernel's limit is 253.
pub(super) const MOST_DESCRIPTORS: usize = 200;

/// Two lengths of four bytes, most significant first.
const HEADER: usize = 8;

/// What the running gateway says. Each of the first three is answered by [`Taken::Next`], so that few descriptors are under way: the
/// kernel limits those of an unprivileged account.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Given {
    /// The first message, with the lock's descriptor.
    Table {
        routes: Vec<Arc<Route>>,
        loads: Vec<EndpointLoad>,
    },
    /// One descriptor each.
    Listeners(Vec<DatabaseId>),
    /// One or two descriptors each: the client's, the primary's. The bytes of both directions follow in order.
    Connections(Vec<ConnectionNote>),
    /// That was all; answered by [`Taken::Ready`].
    Complete,
    /// The successor serves from here on.
    Yours,
    /// The successor is refused.
    Refused(String),
}

/// What the successor says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Taken {
    /// The first message.
    Hello { version: u32, data_dir_id: String },
    /// The message before was received.
    Next,
    /// Everything was received.
    Ready,
}

/// A frozen connection without its descriptors and bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConnectionNote {
    pub(super) database: DatabaseId,
    pub(super) peer: SocketAddr,
    pub(super) link: Option<LinkNote>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LinkNote {
    pub(super) backend: Backend,
    pub(super) to_backend: HalfNote,
    pub(super) to_client: HalfNote,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HalfNote {
    pub(super) kept: usize,
    pub(super) ended: bool,
    pub(super) closed: bool,
}

/// A received message.
#[derive(Debug)]
pub(super) struct Received<T> {
    pub(super) message: T,
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Sends one message. Blocks within the stream's time limit.
pub(super) fn send<T: Serialize>(
    stream: &UnixStream,
    message: &T,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = |part: &[u8]| match u32::try_from(part.len()) {
        Ok(length) if part.len() <= FRAME_LIMIT => Ok(length.to_be_bytes()),
        _ => Err(io::Error::other("a message of the handover is too large")),
    };
    let mut head = Vec::with_capacity(HEADER + body.len());
    head.extend_from_slice(&length(&body)?);
    head.extend_from_slice(&length(bytes)?);
    head.extend_from_slice(&body);

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors in one message"));
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(&head)], &mut control, SendFlags::NOSIGNAL)?;
    let mut stream = stream;
    stream.write_all(&head[sent..])?;
    stream.write_all(bytes)
}

/// Receives one message. Blocks within the stream's time limit.
pub(super) fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<Received<T>> {
    let mut descriptors = Vec::new();
    let mut header = [0; HEADER];
    let mut filled = 0;
    while filled < HEADER {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut rest = [IoSliceMut::new(&mut header[filled..])];
        let read = rustix::net::recvmsg(stream, &mut rest, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        if read.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read.bytes;
    }
    let [a, b, c, d, e, f, g, h] = header;
    let body = read_exactly(stream, u32::from_be_bytes([a, b, c, d]))?;
    let bytes = read_exactly(stream, u32::from_be_bytes([e, f, g, h]))?;
    Ok(Received {
        message: serde_json::from_slice(&body)?,
        bytes,
        descriptors,
    })
}

fn read_exactly(mut stream: &UnixStream, length: u32) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_LIMIT {
        return Err(io::Error::other("a message of the handover is too large"));
    }
    let mut part = vec![0; length];
    stream.read_exact(&mut part)?;
    Ok(part)
}
