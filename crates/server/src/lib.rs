//! The program `pilothouse`: configuration, command line, wiring, metrics, shutdown. Nothing else.
//!
//! Called by: people and service managers. It is the only place where all crates meet: it reads the [`config`], opens the [`data_dir`],
//! hands engines and runtime to control as trait objects, and binds the listeners of the dialects.
//!
//! It never decides anything about a database, and never speaks to a database server. Start reading at [`program::run`].

pub mod accounts;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod db;
pub mod doctor;
pub mod local;
pub mod logging;
mod metrics;
pub mod output;
pub mod program;
pub mod serve;
pub mod wiring;
