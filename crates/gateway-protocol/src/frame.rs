//! Frames: a length of four bytes, most significant first, then that many bytes of JSON.

use bytes::{Buf, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest frame between peers that know each other: a table of about a hundred thousand routes.
pub const FRAME_LIMIT: usize = 32 * 1024 * 1024;

/// The largest frame of a peer that has not introduced itself.
pub const GREETING_LIMIT: usize = 4 * 1024;

/// How much room a read asks for. A delta is a few hundred bytes; a table grows the buffer as it arrives, so that an announced
/// length alone costs no memory.
const READ_CHUNK: usize = 16 * 1024;

const PREFIX: usize = size_of::<u32>();

/// Why a frame could not be read or written. The connection is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// A frame is larger than agreed.
    #[error("a frame of {length} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its length, bytes.
        length: usize,
        /// What would have been accepted, bytes.
        limit: usize,
    },
    /// The connection ended in the middle of a frame.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    /// The bytes are not the expected message, or a message cannot be expressed.
    #[error("not a message of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Appends `message` to `out` as one frame. On error `out` is as before.
pub fn encode<T: Serialize>(message: &T, out: &mut BytesMut) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message)?;
    if body.len() > FRAME_LIMIT {
        return Err(FrameError::TooLarge {
            length: body.len(),
            limit: FRAME_LIMIT,
        });
    }
    let length = u32::try_from(body.len()).expect("the limit is below 4 GiB");
    out.reserve(PREFIX + body.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&body);
    Ok(())
}

/// Reads frames from one half of a connection.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    buffer: BytesMut,
    limit: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader that accepts frames of up to `limit` bytes.
    pub fn new(inner: R, limit: usize) -> Self {
        Self {
            inner,
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// Accepts frames of up to `limit` bytes from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next message, or `None` when the peer has closed between two frames.
    ///
    /// Cancel-safe: what was read stays in the reader.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            self.buffer.reserve(READ_CHUNK);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        }
    }

    /// The connection's half; what was read of an unfinished frame is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLarge {
                length,
                limit: self.limit,
            });
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let body = self.buffer.split_to(length);
        Ok(Some(serde_json::from_slice(&body)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8], limit: usize) -> (Vec<String>, Option<FrameError>) {
        let mut reader = FrameReader::new(bytes, limit);
        let mut messages = Vec::new();
        loop {
            match reader.next::<String>().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (messages, None),
                Err(error) => return (messages, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn frames_come_back_as_they_were_written() {
        let long = "x".repeat(100_000);
        let mut bytes = BytesMut::new();
        for text in ["", "one", long.as_str()] {
            encode(&text, &mut bytes).unwrap();
        }
        let (messages, error) = read_all(&bytes, FRAME_LIMIT).await;
        assert_eq!(messages, ["", "one", long.as_str()]);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn bad_frames_are_errors() {
        let (_, error) = read_all(&[0, 0, 0], 100).await;
        assert!(matches!(error, Some(FrameError::Truncated)));
        let (_, error) = read_all(&[0, 0, 0, 9, b'"'], 100).await;
        assert!(matches!(error, Some(FrameError::Truncated)));
        let (_, error) = read_all(&[0xff, 0xff, 0xff, 0xff], 100).await;
        assert!(matches!(
            error,
            Some(FrameError::TooLarge {
                length: 0xffff_ffff,
                limit: 100
            })
        ));
        let (_, error) = read_all(&[0, 0, 0, 2, b'{', b'}'], 100).await;
        assert!(matches!(error, Some(FrameError::Malformed(_))));
        let (_, error) = read_all(&[0, 0, 0, 2, 0xff, 0xfe], 100).await;
        assert!(matches!(error, Some(FrameError::Malformed(_))));
    }
}
