//! Every limit of a listener in one place, each with its reason.

use std::time::Duration;

/// What one listener takes from its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest body in bytes. The largest honest request is a list of certificates, some tens of KiB.
    pub body_bytes: usize,
    /// Longest request head in bytes: enough for every header that a browser or a proxy adds.
    pub head_bytes: usize,
    /// Most header lines of a request.
    pub head_lines: usize,
    /// Time to send a request head, and how long an idle kept-alive connection is held: a client that sends a byte a second gets no
    /// longer than a silent one.
    pub head_timeout: Duration,
    /// Time to send a body.
    pub body_timeout: Duration,
    /// How much of a request is thrown away, in bytes, after it was refused unread. A client that is still sending when its connection is
    /// closed loses the answer, so we listen on for a while.
    pub discarded_bytes: usize,
    /// How long that may take.
    pub discard_timeout: Duration,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Most connections at once. Further ones wait in the backlog of the socket until one ends.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            head_bytes: 64 * 1024,
            head_lines: 128,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            discarded_bytes: 16 * 1024 * 1024,
            discard_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            connections: 1024,
        }
    }
}
