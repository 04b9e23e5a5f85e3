//! Databases: queries and commands. A command validates, plans, reserves and commits; the reconcile loop does the rest.

mod actions;
mod check;
mod create;
mod delete;
mod endpoint;
mod layout;
mod query;
mod room;
mod update;

pub use query::DataFile;
pub use room::Room;
