//! Servers that form a cluster.

mod client;
mod encrypted;
mod formed;
mod moving;
