//! Listeners over real sockets.

mod harness;
mod limits;
mod requests;
mod tls;
