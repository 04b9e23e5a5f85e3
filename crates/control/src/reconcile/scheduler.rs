//! Which database is looked at when.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pilothouse_model::{Database, DatabaseId, Histogram};
use pilothouse_store::View;
use tokio::sync::{Notify, Semaphore};

use super::pass;
use crate::Control;

/// Which database is looked at when, and which is being looked at.
pub(crate) struct Scheduler {
    state: Mutex<State>,
    changed: Notify,
    permits: Arc<Semaphore>,
    /// How long passes took.
    pub(crate) passes: Histogram,
}

#[derive(Default)]
struct State {
    due: BTreeSet<(Instant, DatabaseId)>,
    at: HashMap<DatabaseId, Instant>,
    running: HashSet<DatabaseId>,
    again: HashSet<DatabaseId>,
}

impl Scheduler {
    /// A scheduler that works on at most `concurrent` databases at once.
    pub(crate) fn new(concurrent: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            permits: Arc::new(Semaphore::new(concurrent.max(1))),
            passes: Histogram::default(),
        }
    }

    /// Has the database looked at now; once more if a pass over it is under way.
    pub(crate) fn wake(&self, database: DatabaseId) {
        self.plan(database, Instant::now());
    }

    /// Has every database looked at now.
    pub(crate) fn wake_all(&self, view: &View) {
        for database in view.all::<Database>() {
            self.wake(database.id);
        }
    }

    /// Whether no database is due or being looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.lock();
        state.running.is_empty() && state.due.first().is_none_or(|(at, _)| *at > Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the database looked at at that time, or earlier if that was planned already.
    fn plan(&self, database: DatabaseId, at: Instant) {
        let mut state = self.lock();
        if state.running.contains(&database) {
            if at <= Instant::now() {
                state.again.insert(database);
            }
            return;
        }
        match state.at.get(&database).copied() {
            Some(planned) if planned <= at => return,
            Some(planned) => {
                state.due.remove(&(planned, database));
            }
            None => {}
        }
        state.due.insert((at, database));
        state.at.insert(database, at);
        drop(state);
        self.changed.notify_one();
    }

    /// The next database that is due, or when the next one will be.
    fn next(&self) -> Result<DatabaseId, Option<Instant>> {
        let mut state = self.lock();
        let Some(&(at, database)) = state.due.first() else {
            return Err(None);
        };
        if at > Instant::now() {
            return Err(Some(at));
        }
        state.due.pop_first();
        state.at.remove(&database);
        state.running.insert(database);
        Ok(database)
    }

    /// A pass is over; the next one is wanted after `pause`, or never.
    fn done(&self, database: DatabaseId, pause: Option<Duration>) {
        let again = {
            let mut state = self.lock();
            state.running.remove(&database);
            state.again.remove(&database)
        };
        if again {
            self.wake(database);
        } else if let Some(pause) = pause {
            self.plan(database, Instant::now() + pause);
        }
    }
}

/// Hands databases that are due to passes, until control stops.
pub(super) async fn run(control: Control) {
    let stopped = control.0.tasks.stopped().clone();
    loop {
        let scheduler = &control.0.scheduler;
        match scheduler.next() {
            Ok(database) => {
                let permit = tokio::select! {
                    permit = Arc::clone(&scheduler.permits).acquire_owned() => permit,
                    () = stopped.cancelled() => return,
                };
                let passing = control.clone();
                control.0.tasks.spawn(async move {
                    let begun = Instant::now();
                    let pause = Box::pin(pass::run(&passing, database)).await;
                    passing.0.scheduler.passes.record(begun.elapsed());
                    drop(permit);
                    passing.0.scheduler.done(database, pause);
                });
            }
            Err(next) => {
                let due = async {
                    match next {
                        Some(at) => tokio::time::sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = scheduler.changed.notified() => {}
                    () = due => {}
                    () = stopped.cancelled() => return,
                }
            }
        }
    }
}
