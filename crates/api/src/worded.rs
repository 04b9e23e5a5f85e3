//! Answers to what is no HTTP, in the words of the dialect.
//!
//! A request that cannot even be parsed never becomes one: hyper refuses it with an empty answer of its own, and offers no way to word
//! it. [`Worded`] stands between hyper and the socket, knows such an answer by its form, and sends the dialect's refusal in its place.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::linger::Unread;
use crate::{Dialect, Refusal, Response};

/// A stream on which hyper's own refusals are replaced.
pub(crate) struct Worded<S> {
    stream: S,
    /// Words the refusals.
    dialect: Arc<dyn Dialect>,
    /// Of a refusal, what is still to be sent.
    pending: Bytes,
    /// Told of each refusal: the rest of such a request is not read.
    unread: Unread,
}

impl<S> Worded<S> {
    pub(crate) fn new(stream: S, dialect: Arc<dyn Dialect>, unread: Unread) -> Self {
        Self {
            stream,
            dialect,
            pending: Bytes::new(),
            unread,
        }
    }
}

impl<S: AsyncWrite + Unpin> Worded<S> {
    /// Sends what is left of a refusal.
    fn drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pending.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Worded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Worded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.drain(context))?;
        let Some(refusal) = own_refusal(bytes) else {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        };
        self.unread.note();
        self.pending = rendered(self.dialect.refuse(&refusal));
        // The answer counts as taken; whatever the socket does not take now goes out with the flush that follows.
        match self.drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What hyper refuses, if these bytes are an answer of its own: a 4xx that closes the connection and has neither body nor type. The
/// toolkit's answers always have a type where they have a status of the client's fault.
fn own_refusal(bytes: &[u8]) -> Option<Refusal> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() < 256)?;
    let (line, headers) = text.strip_suffix("\r\n\r\n")?.split_once("\r\n")?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let has = |wanted: &str| headers.lines().any(|header| header.eq_ignore_ascii_case(wanted));
    let is_own =
        has("content-length: 0") && has("connection: close") && !headers.to_ascii_lowercase().contains("-type:");
    match (is_own, status.get(..3)?) {
        (true, "431" | "414") => Some(Refusal::HeadTooLong),
        (true, "400") => Some(Refusal::NotHttp),
        _ => None,
    }
}

/// An answer as bytes, after which the connection ends.
fn rendered(response: Response) -> Bytes {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .now_or_never()
        .and_then(Result::ok)
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::{bytes_response, empty_response};

    #[test]
    fn only_hyper_s_own_refusals_are_known() {
        let check = |bytes: &str, expected| assert_eq!(own_refusal(bytes.as_bytes()), expected, "{bytes:?}");
        check(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n",
            Some(Refusal::NotHttp),
        );
        check(
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Some(Refusal::HeadTooLong),
        );
        for other in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
            "{}",
            "",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn a_refusal_is_rendered_whole() {
        let rendered = |response| String::from_utf8(super::rendered(response).to_vec()).unwrap();
        let answer = rendered(bytes_response(StatusCode::BAD_REQUEST, "text/plain", "no"));
        let expected =
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(answer, expected);
        assert!(rendered(empty_response(StatusCode::BAD_REQUEST)).ends_with("content-length: 0\r\n\r\n"));
    }
}
