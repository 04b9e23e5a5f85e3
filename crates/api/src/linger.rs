//! Closing a connection whose client is still sending.
//!
//! A system that closes a socket with unread bytes resets the connection, and a reset makes the client's system throw away the answer
//! that had arrived before. So the sending side is closed first, which tells the client that the answer is complete, and what it still
//! sends is read and thrown away, within bounds of size and time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::Limits;

/// What is thrown away at once.
const PIECE: usize = 16 * 1024;

/// Whether a request of a connection was refused before it was read to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// One was.
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that, once told to close, listens on where something was left unread.
pub(crate) struct Lingering<S> {
    stream: S,
    unread: Unread,
    limits: Limits,
    /// What is left to be thrown away, and until when; `None` before the sending side is closed.
    discarding: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(stream: S, unread: Unread, limits: Limits) -> Self {
        Self {
            stream,
            unread,
            limits,
            discarding: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.discarding.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if !this.unread.is_noted() {
                return Poll::Ready(Ok(()));
            }
        }
        let limits = &this.limits;
        let (left, until) = this.discarding.get_or_insert_with(|| {
            let until = tokio::time::sleep(limits.discard_timeout);
            (limits.discarded_bytes, Box::pin(until))
        });
        let mut piece = [0; PIECE];
        while *left > 0 && until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut piece);
            // A client that hangs up has read what it wanted.
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer));
            let length = buffer.filled().len();
            if read.is_err() || length == 0 {
                break;
            }
            *left = left.saturating_sub(length);
        }
        Poll::Ready(Ok(()))
    }
}
