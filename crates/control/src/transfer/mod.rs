//! Transfers: datasets that travel out of and into databases.
//!
//! A command commits a [`Transfer`] together with its operation and wakes us; one task carries it out, beside the reconcile loop and never
//! in its way: it has connections of its own. Everything is level-triggered. At the start of control every transfer that is not final is
//! taken up again, whatever became of the control plane that had begun it:
//!
//! - An export or a backup begins anew. It writes under the same name, so nothing is there twice.
//! - An import that has not touched the database begins anew. One that was replacing the data asks the primary how far it came (see
//!   [`Replacement`]): with all new data in place it is finished, otherwise the old data are whole and it begins anew. One that has
//!   replaced the data never does so twice.
//!
//! Replication from a source elsewhere is none: the engine carries it out, and [`following`] watches it.
//!
//! A transfer of a database that is deleted meanwhile ends without a word: the deletion has ended its operation. Start reading at [`run`].

mod export;
mod feed;
mod following;
mod import;
mod job;
mod progress;
mod replace;
mod schedule;
mod snapshot;
mod standing;

pub use following::SourceStanding;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilothouse_backup::{BackupError, S3Bucket};
use pilothouse_engine::EngineError;
use pilothouse_model::{BucketName, Database, DatabaseId, Location, TransferKind};
use pilothouse_runtime::RuntimeError;
use tokio::sync::Semaphore;

use crate::reconcile::StepError;
use crate::{Control, ControlError, Field};
use job::Job;

#[cfg(doc)]
use pilothouse_model::{Replacement, Transfer};

/// Exports and imports under way at once: each reads or writes a disk as fast as it can. Backups are begun by their schedules only as far
/// as they may run, see [`Control::limit_backups`].
const CONCURRENT_MAX: usize = 4;
/// Scheduled backups under way at once, until somebody says otherwise.
const BACKUPS_MAX: usize = 4;
/// No export and no reading of a file takes longer than this.
const TRANSFER_TIMEOUT: Duration = Duration::from_hours(12);
/// How long a place may take to take a small file, when somebody waits for the answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the store refuses to record how far a transfer is.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How the names of our files in the scratch directory begin.
const SCRATCH_PREFIX: &str = "transfer-";

/// The transfers under way.
pub(crate) struct Transfers {
    /// Before the start nothing runs: the start takes everything up.
    started: AtomicBool,
    /// Databases that have a task.
    active: Mutex<HashSet<DatabaseId>>,
    permits: Arc<Semaphore>,
    /// Scheduled backups that may be under way at once.
    backups_max: AtomicUsize,
    /// How databases stand with the sources that they follow.
    standings: following::Standings,
}

impl Control {
    /// Has at most that many scheduled backups run at once. Those that run already go on. Holds until the control plane ends.
    pub fn limit_backups(&self, most: usize) {
        self.0.transfers.backups_max.store(most, Ordering::Relaxed);
    }

    /// Tries whether files can be written to a place, by writing and removing a small one. Cancel-safe.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] with the reason.
    pub async fn check_writable(&self, location: &Location) -> Result<(), ControlError> {
        let opened = job::opened(self, location)?;
        let tried = tokio::time::timeout(PROBE_TIMEOUT, pilothouse_backup::check_writable(&opened)).await;
        let why = match tried {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => with_causes(&error),
            Err(_) => "the place for backups does not answer in time".to_owned(),
        };
        Err(ControlError::invalid(Field::Backup, why))
    }

    /// The bucket that is configured under that name.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] when there is none.
    pub fn configured_bucket(&self, name: &BucketName) -> Result<Arc<S3Bucket>, ControlError> {
        let bucket = self.0.settings.buckets.get(name).map(Arc::clone);
        bucket.ok_or_else(|| ControlError::invalid(Field::Location, format!("no bucket {name} is configured")))
    }

    /// How many scheduled backups may run at once.
    pub fn backup_limit(&self) -> usize {
        self.0.transfers.backups_max.load(Ordering::Relaxed)
    }
}

impl Default for Transfers {
    fn default() -> Self {
        Self {
            started: AtomicBool::new(false),
            active: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            backups_max: AtomicUsize::new(BACKUPS_MAX),
            standings: following::Standings::default(),
        }
    }
}

impl Transfers {
    fn active(&self) -> MutexGuard<'_, HashSet<DatabaseId>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes up what was under way, and begins to keep the schedules.
pub(crate) fn start(control: &Control) {
    clear_scratch(&control.0.settings.scratch_dir);
    control.0.transfers.started.store(true, Ordering::Release);
    let view = control.store().view();
    for database in view.all::<Database>().filter(|database| is_open(database)) {
        wake(control, database.id);
    }
    drop(view);
    let keeping = control.clone();
    control.0.tasks.spawn(async move { schedule::run(keeping).await });
    let following = control.clone();
    control.0.tasks.spawn(async move { following::run(following).await });
}

/// Has the open transfer of a database carried out, unless that is under way.
pub(crate) fn wake(control: &Control, database: DatabaseId) {
    let transfers = &control.0.transfers;
    if !transfers.started.load(Ordering::Acquire) || !transfers.active().insert(database) {
        return;
    }
    let control = control.clone();
    let tasks = control.0.tasks.clone();
    tasks.spawn(async move {
        let stopped = control.0.tasks.stopped().clone();
        loop {
            tokio::select! {
                () = Box::pin(run(&control, database)) => {}
                () = stopped.cancelled() => return import::let_go(&control, database).await,
            }
            control.0.transfers.active().remove(&database);
            // Asked for after the work ended and before that was known.
            let again = control
                .store()
                .view()
                .get::<Database>(&database)
                .is_some_and(|row| is_open(row));
            if !again || !control.0.transfers.active().insert(database) {
                return;
            }
        }
    });
}

fn is_open(database: &Database) -> bool {
    database.deleted_at.is_none() && database.transfers.iter().any(job::is_open)
}

/// Carries the open transfer of a database out, to its end.
pub(crate) async fn run(control: &Control, database: DatabaseId) {
    while let Some(job) = Job::load(control, database) {
        let _permit = match job.transfer.kind {
            TransferKind::Export | TransferKind::Import => control.0.transfers.permits.acquire().await.ok(),
            TransferKind::Backup => None,
        };
        match carry_out(control, &job).await {
            Ok(done) => match job.succeed(control, done).await {
                Ok(()) | Err(Halt::Overtaken | Halt::Failed(_)) => return,
                Err(Halt::Store(error)) => pause(&job, &error).await,
            },
            Err(Halt::Overtaken) => return,
            Err(Halt::Failed(failure)) => match job.fail(control, failure).await {
                Ok(()) | Err(Halt::Overtaken | Halt::Failed(_)) => return,
                Err(Halt::Store(error)) => pause(&job, &error).await,
            },
            Err(Halt::Store(error)) => pause(&job, &error).await,
        }
    }
}

async fn pause(job: &Job, error: &ControlError) {
    tracing::warn!(database = %job.database, %error, "how far a transfer is cannot be recorded; it is tried again");
    tokio::time::sleep(STORE_PAUSE).await;
}

async fn carry_out(control: &Control, job: &Job) -> Result<Done, Halt> {
    job.begin(control).await?;
    match job.transfer.kind {
        TransferKind::Export | TransferKind::Backup => {
            let exported = tokio::time::timeout(TRANSFER_TIMEOUT, Box::pin(export::run(control, job))).await;
            exported.unwrap_or_else(|_| Err(Halt::general("it was not done in time")))
        }
        TransferKind::Import => Box::pin(import::run(control, job)).await,
    }
}

/// A transfer that ended well, for its event.
struct Done {
    /// What to tell, after the name of the database and of the place.
    facts: serde_json::Value,
    /// Something that went wrong and does not matter to the transfer.
    warning: Option<String>,
}

/// Why a transfer does not go on.
#[derive(Debug)]
enum Halt {
    /// It failed.
    Failed(Failure),
    /// The database was deleted, or the transfer is not wanted any more.
    Overtaken,
    /// How far it is cannot be recorded.
    Store(ControlError),
}

/// Why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    /// A word for programs.
    word: String,
    /// One sentence.
    sentence: String,
}

impl Halt {
    /// A failure that has no word of its own.
    fn general(sentence: impl Into<String>) -> Self {
        Self::failed("general-error", sentence)
    }

    fn failed(word: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::Failed(Failure {
            word: word.into(),
            sentence: sentence.into(),
        })
    }

    /// A failure to write to a place.
    fn writing(error: &BackupError) -> Self {
        Self::failed(error.export_reason(), with_causes(error))
    }

    /// A failure to read from a place.
    fn reading(error: &BackupError) -> Self {
        Self::failed(error.import_reason(), with_causes(error))
    }
}

impl From<ControlError> for Halt {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Unavailable { .. } => Self::Store(error),
            other => Self::general(other.to_string()),
        }
    }
}

impl From<EngineError> for Halt {
    fn from(error: EngineError) -> Self {
        Self::general(error.message)
    }
}

impl From<RuntimeError> for Halt {
    fn from(error: RuntimeError) -> Self {
        Self::general(error.to_string())
    }
}

impl From<StepError> for Halt {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Control(error) => error.into(),
            other => Self::general(other.to_string()),
        }
    }
}

/// An error with its causes, in one sentence.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Removes what transfers of an earlier control plane left in the scratch directory.
fn clear_scratch(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
            remove_scratch(&entry.path());
        }
    }
}

/// Removes a file of ours that is needed no more. Best effort: the next start removes it otherwise.
fn remove_scratch(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a scratch file cannot be removed");
        }
        _ => {}
    }
}

/// A file in the scratch directory that goes when this is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    /// The scratch file of a job. What an earlier attempt left is removed.
    fn of(control: &Control, job: &Job) -> Self {
        let name = format!("{SCRATCH_PREFIX}{}.rdb", job.database);
        let path = control.0.settings.scratch_dir.join(name);
        remove_scratch(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_scratch(&self.0);
    }
}
