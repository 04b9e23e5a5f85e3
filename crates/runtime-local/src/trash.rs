//! The trash: what was renamed away and is erased in the background, one after the other, so that a delete never waits for the disk.

use std::fs;
use std::path::{Path, PathBuf};

use pilothouse_runtime::RuntimeError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Context;

/// Hands paths to the task that erases them.
#[derive(Debug)]
pub(crate) struct Trash(mpsc::UnboundedSender<PathBuf>);

impl Trash {
    /// Starts the task and gives it everything that stands in the trash. What it does not get to is found by the next start.
    pub(crate) fn start(folder: &Path, tasks: &TaskTracker, cancel: CancellationToken) -> Result<Self, RuntimeError> {
        // Not bounded: one path for each delete that was answered, and there is nobody who could wait.
        let (sender, mut paths) = mpsc::unbounded_channel();
        for entry in fs::read_dir(folder).at("looking into the trash", folder)? {
            let path = entry.at("looking into the trash", folder)?.path();
            sender.send(path).expect("the receiver stands in this function");
        }
        tasks.spawn(cancel.run_until_cancelled_owned(async move {
            while let Some(path) = paths.recv().await {
                // A panic in there would be of the standard library; nothing depends on the outcome but free space.
                let _ = tokio::task::spawn_blocking(move || erase(&path)).await;
            }
        }));
        Ok(Self(sender))
    }

    /// Erases a path in the trash, some time.
    pub(crate) fn erase_later(&self, path: PathBuf) {
        // The task ends only with the runtime; the next start finds the path.
        let _ = self.0.send(path);
    }
}

fn erase(path: &Path) {
    let erased = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match erased {
        Ok(()) => tracing::debug!(path = %path.display(), "erased"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot be erased; the next start tries again"),
    }
}
