//! Seeing how far a transfer is, and stopping it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{BackupError, FailureKind};

/// How far one transfer is. Clones share it: one goes into the transfer, another is read by whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicU64,
    /// 0 while unknown.
    total: AtomicU64,
    cancelled: Mutex<bool>,
    /// Wakes whoever pauses.
    cancelling: Condvar,
}

impl Shared {
    fn cancelled(&self) -> MutexGuard<'_, bool> {
        self.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Nothing done, the total unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes read so far.
    pub fn done_bytes(&self) -> u64 {
        self.shared.done.load(Relaxed)
    }

    /// Bytes to be read, once known.
    pub fn total_bytes(&self) -> Option<u64> {
        Some(self.shared.total.load(Relaxed)).filter(|total| *total > 0)
    }

    /// From 0 to 1; 0 while the total is unknown.
    #[expect(clippy::cast_precision_loss, reason = "a ratio to be shown")]
    pub fn fraction(&self) -> f64 {
        self.total_bytes()
            .map_or(0.0, |total| (self.done_bytes() as f64 / total as f64).min(1.0))
    }

    /// Stops the transfer soon: it then ends with [`FailureKind::Cancelled`] and leaves nothing behind.
    pub fn cancel(&self) {
        *self.shared.cancelled() = true;
        self.shared.cancelling.notify_all();
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.shared.total.store(bytes, Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), BackupError> {
        if *self.shared.cancelled() {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    /// Waits before something is tried again; shorter when the transfer is stopped.
    pub(crate) fn pause(&self, length: Duration) -> Result<(), BackupError> {
        let waiting = self
            .shared
            .cancelling
            .wait_timeout_while(self.shared.cancelled(), length, |cancelled| !*cancelled);
        let (cancelled, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        if *cancelled { Err(stopped()) } else { Ok(()) }
    }

    fn add(&self, bytes: u64) {
        self.shared.done.fetch_add(bytes, Relaxed);
    }
}

/// A reader that counts, stops when told to, and refuses to read more than allowed.
///
/// What went wrong while reading is kept here, because decoders on top of it turn every error into one of their own.
pub(crate) struct Metered<R> {
    inner: R,
    progress: Progress,
    left: u64,
    failure: Option<BackupError>,
    /// Names the class of an error of `inner`.
    classify: fn(io::Error) -> BackupError,
}

impl<R: Read> Metered<R> {
    pub(crate) fn new(inner: R, progress: &Progress, most: u64, classify: fn(io::Error) -> BackupError) -> Self {
        Self {
            inner,
            progress: progress.clone(),
            left: most,
            failure: None,
            classify,
        }
    }

    /// What stopped reading, other than the end.
    pub(crate) fn take_failure(&mut self) -> Option<BackupError> {
        self.failure.take()
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> Result<usize, BackupError> {
        self.progress.check()?;
        let count = loop {
            match self.inner.read(buffer) {
                Ok(count) => break count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((self.classify)(error)),
            }
        };
        self.left = self.left.checked_sub(count).ok_or_else(too_large)?;
        self.progress.add(count);
        Ok(usize::try_from(count).expect("no more than the buffer holds"))
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read(buffer).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("reading stopped")
        })
    }
}

fn stopped() -> BackupError {
    BackupError::new(FailureKind::Cancelled, "the transfer was stopped")
}

pub(crate) fn too_large() -> BackupError {
    BackupError::new(FailureKind::TooLarge, "the file is larger than allowed")
}
