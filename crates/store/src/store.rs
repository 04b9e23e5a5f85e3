//! The store: opening, views, transactions, closing.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use pilothouse_model::Histogram;
use tokio::sync::{Semaphore, watch};

use crate::backend_redb::RedbBackend;
use crate::error::{StoreError, TransactError};
use crate::format::{MIGRATIONS, Migration};
use crate::load::load;
use crate::medium::Medium;
use crate::record::Revision;
use crate::transaction::Transaction;
use crate::view::View;
use crate::writer::{self, Shared};

/// Transactions that may be planned and not yet durable. More wait before they are planned. It bounds what an urgent one can stand behind.
const PLANNED_MAX: usize = 32;

/// What can be chosen when a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many events are kept, in memory and on disk; older ones are removed.
    pub events_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { events_max: 10_000 }
    }
}

/// How soon a transaction must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// In its turn.
    Normal,
    /// Clients of a database wait for it: it stands in no line, and the batch that it joins ends with it.
    Failover,
}

/// The durable state of the installation. Cheap to clone; all clones are the same store. When the last one is dropped, what was planned is
/// written and the file is closed.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Owns the writer thread.
struct Handle {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in that file, creates it if there is none, and migrates it if it is older than this program. Blocks while it reads
    /// everything into memory. The caller holds the lock on the directory.
    ///
    /// # Errors
    /// A newer version of the program wrote it, another process has it open, it is damaged, or the disk fails or is full.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Options::default())
    }

    /// As [`Store::open`], with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(path: &Path, options: Options) -> Result<Self, StoreError> {
        Self::start(Medium::File(path.to_owned()), options, MIGRATIONS)
    }

    /// Opens the store in storage other than a file; for tests that cut the power and for benches.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn with_backend(storage: impl redb::StorageBackend) -> Result<Self, StoreError> {
        Self::with_backend_and(storage, Options::default())
    }

    /// As [`Store::with_backend`], with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn with_backend_and(storage: impl redb::StorageBackend, options: Options) -> Result<Self, StoreError> {
        Self::start(Medium::Given(Arc::new(storage)), options, MIGRATIONS)
    }

    pub(crate) fn start(
        medium: Medium,
        options: Options,
        migrations: &'static [Migration],
    ) -> Result<Self, StoreError> {
        let (backend, view) = read(medium, migrations)?;
        let shared = Arc::new(Shared::new(view, options.events_max.max(1)));
        let writer = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("store-writer".to_owned())
                .spawn(move || writer::run(&shared, backend))
                .map_err(|error| StoreError::io("starting the writer thread", error))?
        };
        let permits = Arc::new(Semaphore::new(PLANNED_MAX));
        Ok(Self {
            handle: Arc::new(Handle {
                shared,
                permits,
                writer: Mutex::new(Some(writer)),
            }),
        })
    }

    /// The durable state. Never touches the disk, never waits.
    pub fn view(&self) -> Arc<View> {
        self.handle.shared.durable()
    }

    /// Tells the revision of the durable state whenever it changed. A receiver that is slow sees the newest only.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.handle.shared.revisions()
    }

    /// How long writes took to be on disk, one duration for each batch of transactions that shared a sync.
    pub fn commit_durations(&self) -> &Histogram {
        &self.handle.shared.commits
    }

    /// Runs `plan` on the newest planned state, and resolves when its writes, and everything that it could have read, are on disk and in
    /// [`Store::view`]. All its writes are kept or none. Transactions take effect in the order in which their closures ran.
    ///
    /// The closure runs once, while no other does: it must be quick, must not block and must not do anything but read and write through its argument.
    ///
    /// # Errors
    /// [`TransactError::Rejected`] with the closure's own error; nothing was written then. [`TransactError::Store`] if the writes are too large,
    /// the disk failed, or the disk failed for another transaction that this one was planned on; see [`StoreError`].
    ///
    /// # Cancellation
    /// Before the closure ran, dropping the future does nothing at all. Afterwards the transaction is written whole, and only the answer is lost.
    pub async fn transact<T, E, F>(&self, urgency: Urgency, plan: F) -> Result<T, TransactError<E>>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send,
        T: Send,
        E: Send,
    {
        let permit = match urgency {
            Urgency::Normal => {
                let permit = Arc::clone(&self.handle.permits).acquire_owned().await;
                Some(permit.map_err(|_| StoreError::Closed)?)
            }
            Urgency::Failover => None,
        };
        let (answer, news) = self.handle.shared.stage(urgency == Urgency::Failover, permit, plan)?;
        if let Some(news) = news {
            news.await.unwrap_or(Err(StoreError::Closed))?;
        }
        answer.map_err(TransactError::Rejected)
    }

    /// Takes no more transactions, through this or any clone, and resolves when what was planned is written and the file is closed.
    ///
    /// # Errors
    /// The file could not be left in order; everything that was answered is on disk nevertheless.
    pub async fn close(self) -> Result<(), StoreError> {
        self.handle.permits.close();
        self.handle.shared.close();
        let mut ended = self.handle.shared.ended();
        match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

/// Opens and reads the file. redb panics over some kinds of damage; that is an error of the file, not of the program.
fn read(medium: Medium, migrations: &'static [Migration]) -> Result<(RedbBackend, View), StoreError> {
    let name = medium.to_string();
    let read = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut backend = RedbBackend::open(medium, migrations)?;
        let view = load(&mut backend)?;
        Ok((backend, view))
    }));
    read.unwrap_or_else(|_| Err(StoreError::Damaged(format!("{name}: it cannot be read"))))
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What is left to write is bounded, and a file that is still open could not be opened again.
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer thread of the store panicked");
        }
    }
}
