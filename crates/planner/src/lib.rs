//! Pure decisions: what a database needs next, given what was asked for, what is planned, and what was seen.
//!
//! Called by control's reconcile loop once per pass and by nothing else. It does no IO, has no clock of its own and no async: the same
//! input gives the same [`Plan`]. Every answer says what to do *next*, never a script to the end, because the world may change midway.
//! Start reading at [`plan`]; the order of its questions is the order of their importance.

mod cluster;
mod conditions;
mod failover;
mod input;
mod lifecycle;
mod plan;
mod primary_lost;
mod primary_runs;
mod replicas;
mod validate;
mod words;

pub use failover::candidate;
pub use input::{Applied, PlanInput, Policy, ServerState, Starts, Verdict};
pub use lifecycle::lifecycle;
pub use plan::{Access, FailOver, Plan, RouteWish, Step, plan};
pub use validate::{SpecError, SpecField, validate};

#[cfg(test)]
mod tests;
