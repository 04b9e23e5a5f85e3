//! Our own API: HTTP with JSON over the unix socket `data_dir/control.sock`, for `pilothouse db` on the same machine.
//!
//! Called by `server`, which binds the socket with [`bind`] and runs [`serve`]. What travels is in [`wire`], which the client side in
//! `server` shares, so the two cannot differ. Whoever runs the control plane, and root, may do everything; nobody else may connect.
//!
//! It never listens on the network, has no users and no bootstrap, and keeps nothing: it shows and changes the truth in `control`.
//! Start reading at `routes`.
//!
//! The files are those of every dialect, less `ids`: the ids here are the core's own.

mod accounts;
mod auth;
mod error;
mod extract;
mod handlers;
mod routes;
mod socket;
mod state;
mod translate;
pub mod wire;

pub use socket::{bind, serve};
