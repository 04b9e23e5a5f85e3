//! One pass over one database.

use std::sync::Arc;
use std::time::Duration;

use pilothouse_model::{Database, DatabaseId, Operation};
use pilothouse_planner::{Plan, PlanInput, Starts, plan};

use super::{Record, StepError};
use crate::Control;

/// How long to wait after a pass that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Looks at the database and does what is next. Returns when to look again; `None` when it is gone.
pub(crate) async fn run(control: &Control, id: DatabaseId) -> Option<Duration> {
    let (record, operation) = load(control, id)?;
    let servers = control.observe(&record).await;
    let now = control.now();
    let input = PlanInput {
        database: &record,
        operation: operation.as_deref(),
        servers: &servers,
        now,
        policy: &control.0.settings.policy,
    };
    let decided = plan(&input);
    tracing::debug!(database = %id, name = %record.name, decision = %decided.sentence);
    match carry_out(control, &record, operation.as_deref(), &decided).await {
        Ok(()) => {
            control.0.troubles.over(id);
            Some(decided.look_again)
        }
        Err(StepError::Outdated) => Some(Duration::ZERO),
        Err(StepError::NotFed(_) | StepError::Interrupted) => Some(control.0.settings.policy.busy_pause),
        Err(error) => {
            control
                .note_trouble(&record, operation.as_deref(), &decided, &error)
                .await;
            Some(RETRY_PAUSE)
        }
    }
}

fn load(control: &Control, id: DatabaseId) -> Option<(Record, Option<Arc<Operation>>)> {
    let view = control.store().view();
    let record = control.record_of(view.get::<Database>(&id)?);
    let operation = record.operation.and_then(|operation| view.get::<Operation>(&operation));
    let operation = operation
        .filter(|operation| !operation.is_final())
        .map(|operation| Arc::clone(&operation.record));
    Some((record, operation))
}

async fn carry_out(
    control: &Control,
    record: &Record,
    operation: Option<&Operation>,
    decided: &Plan,
) -> Result<(), StepError> {
    control.set_route(record, decided.route).await?;
    control.record_findings(record, operation, decided).await?;
    if decided.settled {
        control.note_restartable(record).await?;
        // Whoever got this far did start: the pauses between starts are for servers that never do.
        for server in record.layout.servers() {
            control.0.memories.of(server.id).lock().starts = Starts::default();
        }
    }
    if decided.steps.is_empty() {
        return Ok(());
    }
    if let Some(operation) = operation {
        control.record_step(operation, &decided.steps).await?;
    }
    let results =
        futures_util::future::join_all(decided.steps.iter().map(|step| control.act_on(record, operation, step))).await;
    results.into_iter().collect()
}
