//! Carries the bytes of one connection, both directions in one task.
//!
//! A worker reads into one buffer that all its connections share. A short message is written when everything else that was ready on
//! the thread has been read, so that the receivers wake up to many messages and not to the first of them; a long one is written on
//! at once. What the other side does not take yet is kept, and the direction reads no more until it is gone. So an idle connection
//! owns no buffer, a busy one a short message, and a slow reader costs at most one buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::leash::{Leash, Order};
use crate::stream::BackendStream;

/// The shared buffer, bytes. Large enough that bulk transfers are bound by copying; also the most that a stalled direction keeps.
const BUFFER: usize = 64 * 1024;

/// Reads of one direction before other connections of the thread get their turn: at most 1 MiB, well below a millisecond.
const READS_PER_TURN: usize = 16;

/// The longest message, bytes, that waits for its turn to be written. Copying more than this costs more than waking up less saves.
const SHORT: usize = 4 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// A client joined with its primary.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: TcpStream,
    pub(crate) backend: BackendStream,
    pub(crate) to_backend: Half,
    pub(crate) to_client: Half,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// Read and not yet taken by the other side.
    pub(crate) kept: Vec<u8>,
    /// The sender has sent its last byte.
    pub(crate) ended: bool,
    /// The receiver was told so.
    pub(crate) closed: bool,
}

/// Bytes carried by one worker thread for one endpoint. On a cache line of its own and written by its thread only, so that counting
/// costs no traffic between cores.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Bytes {
    pub(crate) from_clients: AtomicU64,
    pub(crate) to_clients: AtomicU64,
}

/// How carrying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides have closed, one of them failed, or an order said so. The sockets are to be closed.
    Over,
    /// An order said to stop here; the link can be carried on elsewhere.
    Frozen,
}

/// Carries bytes until the connection is over. Not cancel-safe in the sense of half-close, but no byte is lost: what was read is in the
/// link.
pub(crate) async fn carry(link: &mut Link, leash: &Leash, bytes: &Bytes) -> End {
    let mut armed = false;
    poll_fn(|context| {
        if !armed {
            // The task's waker does not change while this future lives, so once is enough.
            leash.arm(context.waker());
            armed = true;
        }
        match leash.order() {
            Some(Order::Close) => return Poll::Ready(End::Over),
            Some(Order::Freeze) => return Poll::Ready(End::Frozen),
            None => {}
        }
        match SCRATCH.with_borrow_mut(|scratch| link.poll(context, bytes, scratch)) {
            Poll::Ready(_) => Poll::Ready(End::Over),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl Link {
    fn poll(&mut self, context: &mut Context<'_>, bytes: &Bytes, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        let Self {
            client,
            backend,
            to_backend,
            to_client,
        } = self;
        let there = to_backend.poll(context, client, backend, &bytes.from_clients, scratch)?;
        let back = to_client.poll(context, backend, client, &bytes.to_clients, scratch)?;
        match (there, back) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl Half {
    /// Ready when the last byte and the end of the stream were passed on.
    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        count: &AtomicU64,
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..READS_PER_TURN {
            if !self.kept.is_empty() {
                let kept = std::mem::take(&mut self.kept);
                self.write(context, sink, &kept)?;
                if !self.kept.is_empty() {
                    return Poll::Pending;
                }
            }
            if self.ended {
                ready!(poll_close(context, sink))?;
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *source).poll_read(context, &mut buffer))?;
            let data = buffer.filled();
            if data.is_empty() {
                self.ended = true;
            } else {
                // One writer per counter, see `Bytes`.
                let carried = count.load(Ordering::Relaxed) + data.len() as u64;
                count.store(carried, Ordering::Relaxed);
                if data.len() <= SHORT {
                    // Behind the tasks that are ready already.
                    self.kept = data.to_vec();
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.write(context, sink, data)?;
                if !self.kept.is_empty() {
                    return Poll::Pending;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes `data` and keeps what the sink does not take; the sink's waker is then registered.
    fn write<W: AsyncWrite + Unpin>(&mut self, context: &mut Context<'_>, sink: &mut W, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            match Pin::new(&mut *sink).poll_write(context, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => rest = &rest[written..],
                Poll::Pending => {
                    self.kept = rest.to_vec();
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Passes the end of a stream on. A receiver that is gone entirely needs no telling.
fn poll_close<W: AsyncWrite + Unpin>(context: &mut Context<'_>, sink: &mut W) -> Poll<io::Result<()>> {
    match ready!(Pin::new(sink).poll_shutdown(context)) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
        _ => Poll::Ready(Ok(())),
    }
}
