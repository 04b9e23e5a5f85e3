//! The reconcile loop: load → probe → plan (pure) → act → record.
//!
//! A pass gets a database id and nothing else. Signals only wake it early; a timer always comes. There is one pass per database at a
//! time, a bounded number of passes overall, and a slow server delays nothing but its own database.

mod act;
mod adopt;
mod apply;
mod cluster;
mod erase;
mod failover;
mod files;
mod observe;
pub(crate) mod orphans;
pub(crate) mod pass;
mod record;
mod replicas;
mod scheduler;
mod settings;
mod trouble;
mod version;

use std::sync::Arc;

pub(crate) use act::limits;
pub(crate) use scheduler::Scheduler;
pub(crate) use trouble::Troubles;

use crate::{Control, ControlError};

/// Removes what no record knows, then starts the scheduler and the watch over process ends.
pub(crate) async fn start(control: &Control) -> Result<(), ControlError> {
    orphans::remove(control).await?;
    crate::health::watch_exits(control);
    let looping = control.clone();
    control.0.tasks.spawn(async move { scheduler::run(looping).await });
    let view = control.store().view();
    control.0.scheduler.wake_all(&view);
    drop(view);
    Ok(())
}

/// What went wrong in a step. The loop goes on: it plans again from what it then sees.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The server did not do as told.
    #[error("{0}")]
    Engine(#[from] pilothouse_engine::EngineError),
    /// The process could not be started or stopped.
    #[error("{0}")]
    Runtime(#[from] pilothouse_runtime::RuntimeError),
    /// The endpoint could not be set.
    #[error("{0}")]
    Gateway(#[from] pilothouse_gateway_protocol::GatewayError),
    /// The change could not be committed.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// The replica shows no sign of what was written on its primary.
    #[error("replica {0} does not get what its primary writes yet")]
    NotFed(pilothouse_model::ServerId),
    /// A server went away while slots moved; looking tells which.
    #[error("slots moved, and one of the servers went away")]
    Interrupted,
    /// The record changed since the step was planned.
    #[error("the database changed meanwhile")]
    Outdated,
}

/// The record of the pass.
pub(crate) type Record = Arc<pilothouse_model::Database>;
