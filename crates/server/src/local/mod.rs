//! The client side of our own socket: HTTP with JSON over `data_dir/control.sock`. Used by `pilothouse db`.

mod client;

pub use pilothouse_api_local::wire;

pub use client::{ClientError, LocalClient};
