//! The runtime of one machine: server processes that run detached, are adopted after a restart, and whose end is seen at once.
//!
//! **What it does.** [`LocalRuntime`] implements [`pilothouse_runtime::Runtime`]: it makes and marks directories of servers, starts
//! servers through the launcher, proves who a process is before it touches it, notices ends through process descriptors, kills whole
//! sessions, rotates logs, erases in the background, and tells what the machine is and how loaded it is. [`launch`] is the body of the
//! hidden subcommand `pilothouse launch`, the launcher itself.
//!
//! **Who calls it.** The binary makes one [`LocalRuntime`] and gives it to `control` as a trait object; its `main` calls [`launch`]
//! first of all when the first argument is `launch`.
//!
//! **What it never does.** It never signals a process by number, nor one whose belonging was not proven; never follows a link that a
//! server made; never starts a second process on a directory (the lock is taken before the launcher exists and lives as long as the
//! last process of the server); never decides when something is started, restarted or erased.
//!
//! **Where to start reading.** [`launch`] module for the order of a start, `lock` for why two servers never share a directory,
//! `identity` for the proof, `kill` for what belongs to a server, then [`LocalRuntime`], which puts them together.

mod account;
mod addresses;
mod binaries;
mod cgroup;
mod data;
mod directory;
mod error;
mod facts;
mod identity;
mod kill;
mod launch;
mod lend;
mod lock;
mod logs;
mod passage;
mod ports;
mod process;
mod runtime;
mod spawn;
mod trash;
mod tree;
mod watch;

pub use account::Account;
pub use launch::{LaunchError, LaunchStep, launch, launch_observed};
pub use logs::LogLimits;
pub use passage::Blocked;
pub use runtime::{LocalOptions, LocalRuntime};
pub use spawn::LauncherCommand;
