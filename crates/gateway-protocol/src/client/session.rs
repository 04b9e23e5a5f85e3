//! One connection after the other: greeting, table, then deltas out and answers in.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::Shared;
use crate::frame::{self, FRAME_LIMIT, FrameError, FrameReader, GREETING_LIMIT};
use crate::{FromGateway, PROTOCOL_VERSION, ToGateway};

/// The pause after the first failed attempt. A gateway that was killed is back within milliseconds, and a failover may wait for it.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause. An attempt on a socket that nobody serves costs one system call.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long a gateway may take to answer the greeting.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);

/// Why a connection ended.
enum End {
    Lost(String),
    Refused(String),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Connects for ever. Ends by being aborted, which is safe at every point: the state is the truth, the connection only carries it.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut welcomed = false;
        let end = match session(&shared, &mut welcomed).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Lost(reason) => shared.state().away(reason),
            End::Refused(reason) => shared.state().refused(reason),
        }
        if welcomed {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn session(shared: &Shared, welcomed: &mut bool) -> Result<std::convert::Infallible, End> {
    let stream = UnixStream::connect(&shared.socket).await?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(reader, GREETING_LIMIT);
    let mut out = BytesMut::new();

    let hello = ToGateway::Hello {
        version: PROTOCOL_VERSION,
        data_dir_id: shared.data_dir_id.clone(),
    };
    frame::encode(&hello, &mut out)?;
    writer.write_all_buf(&mut out).await?;
    let answer = tokio::time::timeout(GREETING_PATIENCE, reader.next::<FromGateway>()).await;
    let peer = match answer.map_err(|_| End::Lost("it does not answer the greeting".into()))?? {
        Some(FromGateway::Welcome(peer)) => peer,
        Some(FromGateway::Refused { reason }) => return Err(End::Refused(reason)),
        Some(_) => return Err(End::Lost("it answers the greeting with something else".into())),
        None => return Err(End::Lost("it closed the connection".into())),
    };
    *welcomed = true;
    reader.set_limit(FRAME_LIMIT);

    let (outbox, mut inbox) = mpsc::unbounded_channel();
    let table = shared.state().connected(peer, outbox);
    frame::encode(&table, &mut out)?;
    // Each branch is cancel-safe: a partial write leaves the rest in `out`, a partial read stays in the reader.
    loop {
        tokio::select! {
            message = inbox.recv() => {
                // The state holds the sending end until `away`, which only our caller says.
                let Some(message) = message else { return Err(End::Lost("the client was shut down".into())) };
                frame::encode(&message, &mut out)?;
            }
            message = reader.next() => {
                let message = message?.ok_or_else(|| End::Lost("it closed the connection".into()))?;
                let reply = shared.state().answered(message);
                if let Some(reply) = reply {
                    frame::encode(&reply, &mut out)?;
                }
            }
            written = writer.write_buf(&mut out), if !out.is_empty() => {
                written?;
            }
        }
    }
}
