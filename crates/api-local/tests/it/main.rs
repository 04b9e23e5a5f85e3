//! The local API over its socket, on a control plane whose servers are simulated.

mod databases;
mod harness;
mod malformed;
