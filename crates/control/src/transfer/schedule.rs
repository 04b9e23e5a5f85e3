//! Scheduled backups: which are due, and beginning them.

use std::collections::HashMap;
use std::time::Duration;

use pilothouse_backup::{next_due, retry_delay};
use pilothouse_model::{Database, DatabaseId, Timestamp, TransferKind, TransferPhase};
use pilothouse_store::View;

use super::job;
use crate::{Control, ControlError};

/// Looked at least this often, whatever is due.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Looked no more often than this, however often something changes.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the schedules until control stops.
pub(super) async fn run(control: Control) {
    let stopped = control.0.tasks.stopped().clone();
    let mut revisions = control.store().revisions();
    let mut failures = Failures::default();
    loop {
        let next = begin_due(&control, &mut failures).await;
        let wait = next.map_or(LOOK_EVERY, |next| next.since(control.now()).min(LOOK_EVERY));
        let changed = async {
            tokio::time::sleep(LOOK_PAUSE).await;
            if revisions.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait.max(LOOK_PAUSE)) => {}
            () = changed => {}
            () = stopped.cancelled() => return,
        }
    }
}

/// Failed backups in a row. Only remembered: after a restart the first retry comes soon.
#[derive(Default)]
struct Failures(HashMap<DatabaseId, Row>);

#[derive(Clone, Copy)]
struct Row {
    count: u32,
    last: Timestamp,
}

impl Failures {
    /// How many runs failed in a row, the last of which ended at `ended`.
    fn count(&mut self, database: DatabaseId, ended: Timestamp) -> u32 {
        let row = self.0.entry(database).or_insert(Row { count: 1, last: ended });
        if row.last != ended {
            (row.count, row.last) = (row.count.saturating_add(1), ended);
        }
        row.count
    }

    fn forget(&mut self, database: DatabaseId) {
        self.0.remove(&database);
    }
}

/// Begins what is due, as far as transfers may run; returns when the next one is due.
async fn begin_due(control: &Control, failures: &mut Failures) -> Option<Timestamp> {
    let view = control.store().view();
    let now = control.now();
    let mut due = due(&view, now, failures);
    let open = |database: &Database| database.transfer(TransferKind::Backup).is_some_and(job::is_open);
    let running = view.all::<Database>().filter(|database| open(database)).count();
    drop(view);
    due.sort_unstable_by_key(|(at, _)| *at);
    let (begun, next) = beginnable(&due, now, control.backup_limit().saturating_sub(running));
    for (_, id) in begun {
        begin(control, *id).await;
    }
    next
}

/// Those that are due, as far as more may run, and when the next one is due. One that waits for others to end holds up every change of its
/// database: it is begun when it can be.
fn beginnable(
    due: &[(Timestamp, DatabaseId)],
    now: Timestamp,
    free: usize,
) -> (&[(Timestamp, DatabaseId)], Option<Timestamp>) {
    let count = due.iter().take(free).take_while(|(at, _)| *at <= now).count();
    (&due[..count], due.get(count).map(|(at, _)| *at))
}

async fn begin(control: &Control, id: DatabaseId) {
    let view = control.store().view();
    let Some(database) = view.get::<Database>(&id).map(|row| control.record_of(row)) else {
        return;
    };
    drop(view);
    let Some(schedule) = database.spec.backup.as_ref() else {
        return;
    };
    match control.begin_backup(&database, schedule.location.clone()).await {
        Ok(()) => tracing::info!(database = %id, name = %database.name, "a scheduled backup begins"),
        // Something else is being done to it: its end is a change, upon which we look again.
        Err(ControlError::Busy { .. }) => {}
        Err(error) => tracing::warn!(database = %id, name = %database.name, %error, "a scheduled backup cannot begin"),
    }
}

/// When the next backup of each database with a schedule is due.
fn due(view: &View, now: Timestamp, failures: &mut Failures) -> Vec<(Timestamp, DatabaseId)> {
    let mut found = Vec::new();
    for database in view.all::<Database>() {
        let open = database.deleted_at.is_none() && database.was_active && database.operation.is_none();
        if !open {
            continue;
        }
        let Some(regular) = database
            .spec
            .backup
            .as_ref()
            .and_then(|schedule| next_due(schedule, last_run(database), now))
        else {
            continue;
        };
        found.push((
            retried(database, failures).map_or(regular, |retry| retry.min(regular)),
            database.id,
        ));
    }
    found
}

/// When the last scheduled backup began; before the first, when what is asked of the database last changed: the schedule as well.
fn last_run(database: &Database) -> Option<Timestamp> {
    let backup = database.transfer(TransferKind::Backup);
    Some(backup.map_or(database.changed_at, |backup| backup.status.started_at))
}

/// When a backup that failed is tried again.
fn retried(database: &Database, failures: &mut Failures) -> Option<Timestamp> {
    let status = &database.transfer(TransferKind::Backup)?.status;
    match (status.phase, status.ended_at) {
        (TransferPhase::Failed, Some(ended)) => Some(ended.plus(retry_delay(failures.count(database.id, ended)))),
        _ => {
            failures.forget(database.id);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_begin_as_may_run_and_the_rest_is_next() {
        let at = Timestamp::from_millis;
        let due = [1, 2, 3, 9].map(|millis| (at(millis), DatabaseId::new()));
        let begun = |free| {
            let (begun, next) = beginnable(&due, at(5), free);
            (begun.len(), next)
        };
        assert_eq!(begun(0), (0, Some(at(1))));
        assert_eq!(begun(2), (2, Some(at(3))));
        assert_eq!(begun(9), (3, Some(at(9))));
        assert_eq!(beginnable(&due[..1], at(5), 1), (&due[..1], None));
    }

    #[test]
    fn failures_in_a_row_are_counted_once_each() {
        let mut failures = Failures::default();
        let (id, at) = (DatabaseId::new(), Timestamp::from_millis);
        let counted = [1, 1, 2, 2, 3].map(|end| failures.count(id, at(end)));
        assert_eq!(counted, [1, 1, 2, 2, 3]);
        failures.forget(id);
        assert_eq!(failures.count(id, at(4)), 1);
    }
}
