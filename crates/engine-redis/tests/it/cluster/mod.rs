//! Servers that form a cluster.

mod client;
mod formed;
mod moving;
