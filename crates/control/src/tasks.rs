//! The owner of every task: nothing runs that nobody waits for.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks with one stop signal.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `task` to its end. It is expected to look at [`Tasks::stopped`] where it waits.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// The stop signal.
    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.stop
    }

    /// Gives the stop signal and waits for the tasks, at most for `patience`.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.tracker.len(),
                "some tasks did not end in time and are left"
            );
        }
    }
}
