//! What callers ask for, sent to the kind of location that it is about.
//!
//! All work blocks and runs on Tokio's blocking threads. Dropping a future here stops its transfer soon, and what it had written under a
//! draft's name is removed.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_model::{DatabaseId, DatabaseName, TenantId, Timestamp};
use tokio::task::spawn_blocking;

use crate::directory::Directory;
use crate::ftp::FtpTarget;
use crate::location::{OpenedLocation, RemoteUrl, Scheme};
use crate::name::{Found, recognise};
use crate::progress::Progress;
use crate::s3::S3Target;
use crate::{BackupError, FailureKind, FileName, http};

/// How old a file that was never completed must be before it counts as left behind.
const DRAFT_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Size of the dataset.
    pub plain_bytes: u64,
    /// Size of the compressed file.
    pub stored_bytes: u64,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Size of the file written, after decompressing.
    pub bytes: u64,
    /// Whether it came compressed.
    pub was_gzip: bool,
    /// Whose backup it says to be, when it is one of ours.
    pub tenant: Option<TenantId>,
}

/// What a retention removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names of the removed files.
    pub removed: Vec<String>,
    /// How many backups of the database remain.
    pub kept: usize,
}

/// What every place that can be written to can do.
pub(crate) trait Target {
    /// Writes and removes a small file.
    fn probe(&mut self) -> Result<(), BackupError>;
    /// Names of the files there.
    fn list(&mut self) -> Result<Vec<String>, BackupError>;
    /// The database that a file says to be of.
    fn owner(&mut self, file: &str) -> Result<Option<DatabaseId>, BackupError>;
    /// Removes a file; one that is gone is no error.
    fn remove(&mut self, file: &str) -> Result<(), BackupError>;
    /// Compresses `source` into the file, which appears whole or not at all.
    fn store(&mut self, name: &FileName, source: File, progress: &Progress) -> Result<Stored, BackupError>;
}

/// Tries whether backups can be written to `location`, by writing and removing a small file.
///
/// # Errors
/// [`FailureKind::WrongPath`], [`FailureKind::NoPermission`], [`FailureKind::Unreachable`], [`FailureKind::NoSpace`];
/// [`FailureKind::Unsupported`] for places that can only be read.
pub async fn check_writable(location: &OpenedLocation) -> Result<(), BackupError> {
    with_target(location, &Progress::new(), |target| target.probe()).await
}

/// Tries whether `location` looks as if it could be read: the file exists, or the URL can be parsed. Connects nowhere.
///
/// # Errors
/// [`FailureKind::WrongPath`], [`FailureKind::NoPermission`], [`FailureKind::Unsupported`].
pub async fn check_readable(location: &OpenedLocation) -> Result<(), BackupError> {
    match location {
        OpenedLocation::Url { url } => RemoteUrl::parse(url.expose()).map(drop),
        OpenedLocation::S3 { bucket, path } => crate::s3::check_names_object(bucket, path),
        OpenedLocation::Directory { path, access } => {
            let (path, access) = (path.clone(), Arc::clone(access));
            blocking(&Progress::new(), move |_| {
                access.act(|| crate::directory::open_source(&path, &access).map(drop))
            })
            .await
        }
    }
}

/// Compresses the file `source` and stores it as `name`. It appears there whole and synced, or not at all.
///
/// # Errors
/// Every [`FailureKind`] but `Corrupted` and `TooLarge`. After an error nothing is left under that name that was not there before.
pub async fn store(
    location: &OpenedLocation,
    name: &FileName,
    source: &Path,
    progress: &Progress,
) -> Result<Stored, BackupError> {
    // Before the rights of another account are taken, which this file is closed to.
    let source = tokio::fs::File::open(source)
        .await
        .map_err(|error| BackupError::new(FailureKind::Other, "cannot read the dataset").because(error))?;
    let (name, source, shared) = (name.clone(), source.into_std().await, progress.clone());
    with_target(location, progress, move |target| target.store(&name, source, &shared)).await
}

/// Reads the file at `location` into `to`, which must not exist, decompressed if it came compressed. At most `most_bytes` are written;
/// compressed input is no way around that.
///
/// # Errors
/// Every [`FailureKind`]. After an error `to` does not exist.
pub async fn fetch(
    location: &OpenedLocation,
    to: &Path,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    let (location, to) = (location.clone(), to.to_owned());
    blocking(progress, move |progress| {
        crate::directory::write_new(&to, &to, |sink| match &location {
            OpenedLocation::Directory { path, access } => {
                access.act(|| crate::directory::fetch(path, access, sink, most_bytes, progress))
            }
            OpenedLocation::Url { url } => {
                let url = RemoteUrl::parse(url.expose())?;
                match url.scheme() {
                    Scheme::Http | Scheme::Https => http::fetch(&url, sink, most_bytes, progress),
                    Scheme::Ftp | Scheme::Ftps => crate::ftp::fetch(&url, sink, most_bytes, progress),
                }
            }
            OpenedLocation::S3 { bucket, path } => crate::s3::fetch(bucket, path, sink, most_bytes, progress),
        })
    })
    .await
}

/// Removes the backups of one database that are older than `keep`, as their names tell, and drafts that were left behind for a day.
///
/// A file is removed only if its name has our form with this database's name *and* its content says to be of this database. The newest
/// backup is kept however old it is.
///
/// # Errors
/// As [`store`]. What was removed before the error stays removed.
pub async fn prune(
    location: &OpenedLocation,
    database: DatabaseId,
    name: &DatabaseName,
    keep: Duration,
    now: Timestamp,
) -> Result<Pruned, BackupError> {
    let name = name.clone();
    with_target(location, &Progress::new(), move |target| {
        prune_target(target, database, &name, keep, now)
    })
    .await
}

fn prune_target(
    target: &mut dyn Target,
    database: DatabaseId,
    name: &DatabaseName,
    keep: Duration,
    now: Timestamp,
) -> Result<Pruned, BackupError> {
    let mut found: Vec<(Found, String)> = target
        .list()?
        .into_iter()
        .filter_map(|file| Some((recognise(&file, name)?, file)))
        .collect();
    found.sort_by_key(|(found, _)| std::cmp::Reverse(found.at));
    let mut pruned = Pruned::default();
    let mut newest = None;
    for (found, file) in found {
        let age = now.since(found.at);
        let old = age > if found.draft { DRAFT_KEPT } else { keep };
        // Asking a file whose it is can be slow, so only those are asked that matter.
        if !old && found.draft || target.owner(&file)? != Some(database) {
            continue;
        }
        // One backup may have several files; they share its time.
        let of_newest = !found.draft && *newest.get_or_insert(found.at) == found.at;
        if old && !of_newest {
            target.remove(&file)?;
            pruned.removed.push(file);
        } else {
            pruned.kept += 1;
        }
    }
    Ok(pruned)
}

async fn with_target<T: Send + 'static>(
    location: &OpenedLocation,
    progress: &Progress,
    work: impl FnOnce(&mut dyn Target) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let location = location.clone();
    blocking(progress, move |progress| match location {
        OpenedLocation::Directory { path, access } => access.act(|| work(&mut Directory::open(&path, &access)?)),
        OpenedLocation::Url { url } => {
            let url = RemoteUrl::parse(url.expose())?;
            if !url.scheme().is_writable() {
                let what = format!("{} can be read only", url.shown());
                return Err(BackupError::new(FailureKind::Unsupported, what));
            }
            work(&mut FtpTarget::open(url, progress)?)
        }
        OpenedLocation::S3 { bucket, path } => work(&mut S3Target::open(&bucket, path)),
    })
    .await
}

async fn blocking<T: Send + 'static>(
    progress: &Progress,
    work: impl FnOnce(&Progress) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    /// Stops the work when nobody waits for it any more.
    struct StopOnDrop(Option<Progress>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.as_ref().inspect(|progress| progress.cancel());
        }
    }

    let mut stop = StopOnDrop(Some(progress.clone()));
    let shared = progress.clone();
    let result = spawn_blocking(move || work(&shared)).await;
    stop.0 = None;
    result.unwrap_or_else(|error| Err(BackupError::new(FailureKind::Other, "the transfer broke down").because(error)))
}
