//! The writer: one thread that takes planned transactions from a queue, forms batches, and tells who waits.
//!
//! There is no artificial delay. An idle writer commits the first transaction that comes at once; whatever comes while the disk is busy
//! shares the next batch. The queue is bounded by permits that a transaction holds until it is durable, so an urgent one, which needs none,
//! waits for at most the batch being written and the one that it joins.

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use pilothouse_model::Histogram;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use crate::StoreError;
use crate::backend::{Backend, Batch, Write};
use crate::record::Revision;
use crate::transaction::{Transaction, Writes};
use crate::view::View;

/// How far the events may grow beyond what is kept before some are removed; one removal then takes many.
const TRIM_SLACK: usize = 64;

/// A planned transaction on its way to the disk.
struct Planned {
    writes: Writes,
    /// The state with it.
    view: Arc<View>,
    urgent: bool,
    /// Who waits for it; nobody waits for housekeeping, nor after giving up.
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Its place in the queue, free again when this is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The state beyond the disk.
struct Staging {
    /// The durable state with everything that is planned.
    view: Arc<View>,
    /// In the order of planning: each was planned on top of those before it.
    queue: VecDeque<Planned>,
    /// No more transactions are taken.
    closing: bool,
}

/// What the store and its writer thread share.
pub(crate) struct Shared {
    staging: Mutex<Staging>,
    /// Wakes the writer.
    work: Condvar,
    durable: ArcSwap<View>,
    revisions: watch::Sender<Revision>,
    /// How the writer ended, once it has.
    ended: watch::Sender<Option<Result<(), StoreError>>>,
    events_max: usize,
    /// How long batches took to be on disk.
    pub(crate) commits: Histogram,
}

/// What a closure answered, and the news that everything it had seen is durable; no news are needed when it was already.
pub(crate) type Staged<A> = (A, Option<oneshot::Receiver<Result<(), StoreError>>>);

impl Shared {
    pub(crate) fn new(view: View, events_max: usize) -> Self {
        let view = Arc::new(view);
        Self {
            revisions: watch::Sender::new(view.revision()),
            ended: watch::Sender::new(None),
            durable: ArcSwap::new(Arc::clone(&view)),
            staging: Mutex::new(Staging {
                view,
                queue: VecDeque::new(),
                closing: false,
            }),
            work: Condvar::new(),
            events_max,
            commits: Histogram::default(),
        }
    }

    pub(crate) fn durable(&self) -> Arc<View> {
        self.durable.load_full()
    }

    pub(crate) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revisions.subscribe()
    }

    pub(crate) fn ended(&self) -> watch::Receiver<Option<Result<(), StoreError>>> {
        self.ended.subscribe()
    }

    /// Runs the closure on the newest planned state and puts its writes into the queue.
    pub(crate) fn stage<T, E>(
        &self,
        urgent: bool,
        permit: Option<OwnedSemaphorePermit>,
        plan: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<Staged<Result<T, E>>, StoreError> {
        let mut staging = self.lock();
        if staging.closing {
            return Err(StoreError::Closed);
        }
        let mut transaction = Transaction::new(&staging.view);
        let answer = plan(&mut transaction);
        let planned = if answer.is_ok() { transaction.finish()? } else { None };
        let (writes, view) = match planned {
            Some((writes, view)) => (writes, Arc::new(view)),
            None if staging.view.revision() == self.durable.load().revision() => return Ok((answer, None)),
            None => (Writes::new(), Arc::clone(&staging.view)),
        };
        let (done, news) = oneshot::channel();
        staging.push(Planned {
            writes,
            view,
            urgent,
            done: Some(done),
            _permit: permit,
        });
        staging.trim_events(self.events_max);
        drop(staging);
        self.work.notify_one();
        Ok((answer, Some(news)))
    }

    /// Takes no more transactions; the writer finishes what it has and ends.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// Waits for work and takes a batch of it; `None` when the store is closed and everything is written.
    fn next_batch(&self, rows_max: usize) -> Option<Vec<Planned>> {
        let mut staging = self.lock();
        while staging.queue.is_empty() {
            if staging.closing {
                return None;
            }
            staging = self.work.wait(staging).unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch = Vec::with_capacity(staging.queue.len());
        let mut rows = 0;
        let mut urgent_left = staging.queue.iter().filter(|planned| planned.urgent).count();
        let has_urgent = urgent_left > 0;
        while let Some(next) = staging.queue.front() {
            rows += next.writes.len();
            let cut = has_urgent && urgent_left == 0;
            if !batch.is_empty() && (rows > rows_max || cut) {
                break;
            }
            urgent_left -= usize::from(next.urgent);
            batch.extend(staging.queue.pop_front());
        }
        Some(batch)
    }

    fn publish(&self, batch: Vec<Planned>) {
        if let Some(last) = batch.last() {
            let revision = last.view.revision();
            self.durable.store(Arc::clone(&last.view));
            self.revisions
                .send_if_modified(|known| std::mem::replace(known, revision) != revision);
        }
        for planned in batch {
            planned.answer(Ok(()));
        }
    }

    /// Goes back to the durable state: what was planned on the batch fails with it.
    fn give_up(&self, batch: Vec<Planned>, error: &StoreError) {
        let planned_on_it = {
            let mut staging = self.lock();
            staging.view = self.durable();
            std::mem::take(&mut staging.queue)
        };
        for planned in batch.into_iter().chain(planned_on_it) {
            planned.answer(Err(error.clone()));
        }
    }

    /// A closure that panicked has changed nothing: it worked on a copy.
    fn lock(&self) -> MutexGuard<'_, Staging> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Staging {
    fn push(&mut self, planned: Planned) {
        self.view = Arc::clone(&planned.view);
        self.queue.push_back(planned);
    }

    fn trim_events(&mut self, max: usize) {
        if self.view.events.len() <= max + TRIM_SLACK {
            return;
        }
        let mut transaction = Transaction::new(&self.view);
        transaction.trim_events(max);
        if let Ok(Some((writes, view))) = transaction.finish() {
            self.push(Planned {
                writes,
                view: Arc::new(view),
                urgent: false,
                done: None,
                _permit: None,
            });
        }
    }
}

impl Planned {
    fn answer(self, result: Result<(), StoreError>) {
        if let Some(done) = self.done {
            // Whoever gave up waiting does not hear it; the transaction stands nevertheless.
            let _ = done.send(result);
        }
    }
}

/// The body of the writer thread.
pub(crate) fn run(shared: &Shared, mut backend: impl Backend) {
    let ending = Ending(shared);
    while let Some(mut planned) = shared.next_batch(backend.rows_max()) {
        let batch = merge(shared.durable.load().revision(), &mut planned);
        let written = if batch.writes.is_empty() {
            Ok(())
        } else {
            let begun = Instant::now();
            let written = backend.commit(&batch);
            shared.commits.record(begun.elapsed());
            written
        };
        match written {
            Ok(()) => shared.publish(planned),
            Err(error) => shared.give_up(planned, &error),
        }
    }
    let closed = backend.close();
    drop(backend);
    ending.with(closed);
}

/// Puts the writes of several transactions together: a row keeps the first condition and the last value.
fn merge(base: Revision, planned: &mut [Planned]) -> Batch {
    let mut revision = base;
    let mut writes: BTreeMap<_, Write> = BTreeMap::new();
    for transaction in planned {
        revision = transaction.view.revision();
        for (key, write) in std::mem::take(&mut transaction.writes) {
            match writes.entry(key) {
                btree_map::Entry::Vacant(free) => {
                    free.insert(write);
                }
                btree_map::Entry::Occupied(mut earlier) => earlier.get_mut().value = write.value,
            }
        }
    }
    Batch { base, revision, writes }
}

/// Lets nobody wait for a writer that is gone, however it went.
struct Ending<'a>(&'a Shared);

impl Ending<'_> {
    fn with(self, result: Result<(), StoreError>) {
        self.0.ended.send_replace(Some(result));
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        self.0.give_up(Vec::new(), &StoreError::Closed);
        self.0.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(Err(StoreError::Closed));
            first
        });
    }
}
