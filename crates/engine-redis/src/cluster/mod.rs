//! Servers that form a cluster: they share one key space, and lead clients to the server that has a key.
//!
//! What the servers would decide among themselves is switched off where it can be (`config.rs`): none makes itself a primary and none
//! changes whom it follows, but one that learns that another has taken its slots over follows that one by itself.

mod config;
mod handover;
mod migrate;
mod nodes;
mod slots;
mod view;

pub(crate) use config::{file, live};
pub(crate) use handover::{hand_over, take};
pub(crate) use migrate::move_keys;
pub(crate) use slots::{assign, claim, export, import};
pub(crate) use view::{attach, facts, forget, meet, take_over};
