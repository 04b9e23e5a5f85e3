//! What is known of each server, and the tasks that notice the end of its process at once.
//!
//! One task a running server waits for the process descriptor to become readable, so watching costs nothing until then.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{Exit, Running, RuntimeError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Context;
use crate::lock::LockFile;
use crate::tree::Tree;

/// First and longest pause between two looks at a lock that outlives its main process.
const LEFTOVER_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));

/// One server: who may act on it, and what is known of its process.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Held by whoever changes files of the server. Taken before `gate` where both are needed.
    pub files: Arc<tokio::sync::Mutex<()>>,
    /// Held by whoever starts a process, looks for one, or picks those to kill. Never for long: a kill waits for it.
    pub gate: Arc<tokio::sync::Mutex<()>>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    process: ProcessState,
    main: Option<Main>,
}

/// The main process of a running server.
#[derive(Clone, Debug)]
pub(crate) struct Main {
    pub running: Running,
    pub start_time: u64,
    /// The only way by which signals are sent.
    pub pidfd: Arc<OwnedFd>,
    /// Becomes true once its end was seen and told.
    pub ended: watch::Receiver<bool>,
}

impl Main {
    /// Whether it has ended, told or not.
    pub(crate) fn has_ended(&self) -> bool {
        has_ended(&self.pidfd, Duration::ZERO)
    }

    /// Waits until its end was seen and told. `what` names that in the error. Cancel-safe.
    pub(crate) async fn wait_ended(&self, deadline: Instant, what: &'static str) -> Result<(), RuntimeError> {
        let mut ended = self.ended.clone();
        match timeout_at(deadline.into(), ended.wait_for(|ended| *ended)).await {
            Ok(Ok(_)) => Ok(()),
            // Late, or nobody watches any more because the program shuts down.
            Ok(Err(_)) | Err(_) => Err(RuntimeError::Timeout { what }),
        }
    }
}

impl Slot {
    /// A server that nobody looked at yet.
    pub(crate) fn new() -> Self {
        Self {
            files: Arc::default(),
            gate: Arc::default(),
            known: Mutex::new(Known {
                process: ProcessState::Unknown,
                main: None,
            }),
        }
    }

    pub(crate) fn process(&self) -> ProcessState {
        self.known().process
    }

    /// The main process, as long as its end was not seen.
    pub(crate) fn main(&self) -> Option<Main> {
        self.known().main.clone()
    }

    /// Nothing runs: `process` is one of the other states. Returns the state before.
    pub(crate) fn set_without_main(&self, process: ProcessState) -> ProcessState {
        std::mem::replace(&mut *self.known(), Known { process, main: None }).process
    }

    /// The lock was seen free: nothing runs, unless a start has come in between.
    pub(crate) fn set_released(&self) {
        let mut known = self.known();
        if known.main.is_none() {
            known.process = ProcessState::Absent;
        }
    }

    fn set_running(&self, main: Main) {
        *self.known() = Known {
            process: ProcessState::Running { pid: main.running.pid },
            main: Some(main),
        };
    }

    /// The end of a main process was seen. Changes nothing when another one has taken its place since.
    fn set_ended(&self, pidfd: &Arc<OwnedFd>, process: ProcessState) {
        let mut known = self.known();
        if known.main.as_ref().is_some_and(|main| Arc::ptr_eq(&main.pidfd, pidfd)) {
            *known = Known { process, main: None };
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one assignment, so what a panicking holder left is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What watching tasks share.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    pub tree: Tree,
    pub exits: mpsc::UnboundedSender<Exit>,
    pub tasks: TaskTracker,
    pub cancel: CancellationToken,
}

impl Watcher {
    /// Notes that this process runs, and watches it from now on. Must be called in the context of the async runtime.
    pub(crate) fn watch(
        &self,
        server: ServerId,
        slot: &Arc<Slot>,
        running: Running,
        start_time: u64,
        pidfd: OwnedFd,
    ) -> Result<(), RuntimeError> {
        let pidfd = Arc::new(pidfd);
        // SAFETY: the descriptor is owned by an `Arc` that the `AsyncFd` holds and whose content is never replaced, so it stays open
        // and the same for as long as the registration lives.
        #[expect(
            unsafe_code,
            reason = "tokio cannot know that an `Arc<OwnedFd>` keeps its descriptor"
        )]
        let registered = unsafe { AsyncFd::register_with_interest(Arc::clone(&pidfd), Interest::READABLE) };
        let readable = registered.at("watching a server", self.tree.server(server))?;
        let (tell_ended, ended) = watch::channel(false);
        slot.set_running(Main {
            running,
            start_time,
            pidfd: Arc::clone(&pidfd),
            ended,
        });
        let (watcher, slot) = (self.clone(), Arc::clone(slot));
        self.tasks
            .spawn(self.cancel.clone().run_until_cancelled_owned(async move {
                let Some(how) = end_of(&readable).await else { return };
                slot.set_ended(&pidfd, watcher.after_end(server));
                let exit = Exit {
                    server,
                    pid: running.pid,
                    incarnation: running.incarnation,
                    how,
                };
                tracing::debug!(%server, pid = exit.pid, how = %exit.how, "server process ended");
                // Nobody listens while the program shuts down.
                let _ = watcher.exits.send(exit);
                tell_ended.send_replace(true);
                watcher.follow_leftover(server, &slot).await;
            }));
        Ok(())
    }

    /// Looks, less and less often, until nobody of an earlier process holds the lock any more. Cancel-safe.
    pub(crate) async fn follow_leftover(&self, server: ServerId, slot: &Slot) {
        let (mut pause, longest) = LEFTOVER_PAUSES;
        while slot.process() == ProcessState::Leftover {
            if self.after_end(server) == ProcessState::Absent {
                slot.set_released();
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// What is left after the main process: two calls on cached entries, quick enough for the path that a failover waits for.
    fn after_end(&self, server: ServerId) -> ProcessState {
        let held = match self.tree.open(server) {
            Ok(Some(directory)) => directory
                .open_lock()
                .and_then(|lock| Ok(LockFile::new(lock).is_held()?))
                .unwrap_or(true),
            Ok(None) => false,
            // Cannot be told: the safe side is that somebody still lives. Whoever looks again finds out.
            Err(_) => true,
        };
        if held {
            ProcessState::Leftover
        } else {
            ProcessState::Absent
        }
    }
}

/// Waits for the end of a process and collects it when it is our child. `None` when the async runtime shuts down.
async fn end_of(pidfd: &AsyncFd<Arc<OwnedFd>>) -> Option<String> {
    loop {
        let mut ready = pidfd.readable().await.ok()?;
        match waitid(
            WaitId::PidFd(pidfd.get_ref().as_fd()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        ) {
            Ok(Some(status)) => return Some(how_it_ended(&status)),
            Err(Errno::INTR) => {}
            Err(_) if has_ended(pidfd.get_ref(), Duration::ZERO) => return Some("unknown".to_owned()),
            Ok(None) | Err(_) => ready.clear_ready(),
        }
    }
}

/// `exit code N` or `signal N`.
pub(crate) fn how_it_ended(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// Whether the process has ended, waiting for it as long as `patience`.
pub(crate) fn has_ended(pidfd: &OwnedFd, patience: Duration) -> bool {
    let mut descriptors = [PollFd::new(pidfd, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    poll(&mut descriptors, Some(&patience)).is_ok_and(|ready| ready > 0)
}
