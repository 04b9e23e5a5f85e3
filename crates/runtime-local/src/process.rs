//! The life of a server's process, from our side: start, look, kill, wait. One server at a time, guarded by its [`Slot`].

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{LaunchRequest, Running, RuntimeError};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout_at;

use crate::directory::Directory;
use crate::error::{Context, system};
use crate::identity::{self, Found, ticks_since_boot};
use crate::kill::{Target, kill_all};
use crate::launch::Request;
use crate::lock::{HeldLock, LockFile};
use crate::runtime::{Shared, blocking};
use crate::spawn::spawn;
use crate::watch::Slot;

/// Somebody else's descriptor of a free lock lives for the moment between fork and exec of another program that we start.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);

/// A launcher that a predecessor of ours started, and that did not record itself yet, takes a few milliseconds to do so.
const LAUNCHER_PATIENCE: Duration = Duration::from_millis(200);

/// First and longest pause between two looks at a lock that shall become free. Waiting in `flock` itself would need a thread for each
/// server, and a thread in a system call cannot be called back; a look costs about a microsecond.
const LOOK_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

impl Shared {
    /// Starts a server. Runs in a task of its own, so that a caller who goes away leaves nothing half done.
    pub(crate) async fn launch(self: Arc<Self>, request: LaunchRequest) -> Result<Running, RuntimeError> {
        let server = request.server;
        let slot = self.slot(server);
        let files = Arc::clone(&slot.files).lock_owned().await;
        let gate = Arc::clone(&slot.gate).lock_owned().await;
        match self.look(server, &slot).await? {
            (_, Some(running)) if running.incarnation == request.incarnation => return Ok(running),
            (ProcessState::Absent, None) => {}
            _ => return Err(RuntimeError::Locked),
        }
        check_program(&request.program)?;
        let shared = Arc::clone(&self);
        let directory = blocking(move || shared.tree.open_or_make(server)).await?;
        let lock = take_lock(&directory).await?;
        blocking(move || {
            let _held_until_done = (files, gate);
            self.start(&slot, &directory, lock, request)
        })
        .await
    }

    fn start(
        &self,
        slot: &Arc<Slot>,
        directory: &Directory,
        lock: HeldLock,
        request: LaunchRequest,
    ) -> Result<Running, RuntimeError> {
        for folder in &request.directories {
            directory.make_folder(folder)?;
        }
        directory.write_all(&request.files)?;
        let cgroup = match &self.cgroups {
            Ok(cgroups) => Some(cgroups.prepare(request.server, request.limits)?),
            Err(_) => None,
        };
        let spawned = spawn(
            &self.launcher,
            &Request {
                directory: directory.path().to_owned(),
                program: request.program,
                arguments: request.arguments,
                environment: request.environment,
                account: self.tree.account().map(|account| (account.uid, account.gid)),
                open_files: request.limits.open_files,
                cgroup,
                incarnation: request.incarnation,
            },
            lock,
        )?;
        let running = Running {
            pid: spawned.pid,
            incarnation: request.incarnation,
        };
        self.watcher
            .watch(request.server, slot, running, spawned.start_time, spawned.pidfd)?;
        tracing::debug!(server = %request.server, pid = running.pid, "server started");
        Ok(running)
    }

    /// Looks for the server's process and watches it. A lock that somebody holds whom nobody knows may be that of a launcher which
    /// has not recorded itself yet, so a first look is patient.
    pub(crate) async fn adopt(
        self: &Arc<Self>,
        server: ServerId,
    ) -> Result<(ProcessState, Option<Running>), RuntimeError> {
        let slot = self.slot(server);
        let _gate = slot.gate.lock().await;
        let first = slot.process() == ProcessState::Unknown;
        let give_up = Instant::now() + LAUNCHER_PATIENCE;
        loop {
            let found = self.look(server, &slot).await?;
            if !(first && found.0 == ProcessState::Leftover && Instant::now() < give_up) {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What runs, by what is known or else by what is found. The caller holds the gate.
    async fn look(
        self: &Arc<Self>,
        server: ServerId,
        slot: &Arc<Slot>,
    ) -> Result<(ProcessState, Option<Running>), RuntimeError> {
        if let Some(main) = slot.main()
            && !main.has_ended()
        {
            return Ok((ProcessState::Running { pid: main.running.pid }, Some(main.running)));
        }
        let (shared, slot) = (Arc::clone(self), Arc::clone(slot));
        blocking(move || shared.find(server, &slot)).await
    }

    fn find(&self, server: ServerId, slot: &Arc<Slot>) -> Result<(ProcessState, Option<Running>), RuntimeError> {
        let found = match self.tree.open(server)? {
            Some(directory) => identity::find(&directory).at("looking for a server's process", directory.path())?,
            None => Found::Absent,
        };
        let state = match found {
            Found::Running(record, pidfd) => {
                let running = Running {
                    pid: record.pid,
                    incarnation: record.incarnation,
                };
                self.watcher.watch(server, slot, running, record.start_time, pidfd)?;
                return Ok((ProcessState::Running { pid: record.pid }, Some(running)));
            }
            Found::Leftover => ProcessState::Leftover,
            Found::Absent => ProcessState::Absent,
        };
        // One follower a server: while the state was the same before, there is one.
        if slot.set_without_main(state) != ProcessState::Leftover && state == ProcessState::Leftover {
            let (watcher, slot) = (self.watcher.clone(), Arc::clone(slot));
            let follow = async move { watcher.follow_leftover(server, &slot).await };
            self.watcher
                .tasks
                .spawn(self.watcher.cancel.clone().run_until_cancelled_owned(follow));
        }
        Ok((state, None))
    }

    /// Kills every process of a server and waits for the end of the main one.
    pub(crate) async fn kill(self: &Arc<Self>, server: ServerId, deadline: Instant) -> Result<(), RuntimeError> {
        const WHAT: &str = "the end of the server's process";
        let slot = self.slot(server);
        let late = |_| RuntimeError::Timeout { what: WHAT };
        let gate = timeout_at(deadline.into(), Arc::clone(&slot.gate).lock_owned())
            .await
            .map_err(late)?;
        if slot.process() == ProcessState::Unknown {
            self.look(server, &slot).await?;
        }
        let Some(main) = slot.main() else {
            return match slot.process() {
                ProcessState::Leftover => self.sweep(server, gate, None, true).await,
                _ => Ok(()),
            };
        };
        let seen_alive = (!main.has_ended()).then(ticks_since_boot);
        // Fails only when it has ended. The session is looked for while the main process dies: both take some milliseconds.
        let _ = pidfd_send_signal(&main.pidfd, Signal::KILL);
        let session = Some(Session {
            leader: main.running.pid,
            seen_alive,
        });
        let (swept, ended) = tokio::join!(
            self.sweep(server, gate, session, false),
            main.wait_ended(deadline, WHAT)
        );
        ended?;
        swept?;
        if slot.process() == ProcessState::Leftover {
            // Either dying, or it left the session. Nobody has to wait here for finding out: there is `wait_released` for that.
            let shared = Arc::clone(self);
            self.watcher.tasks.spawn(async move {
                let gate = Arc::clone(&slot.gate).lock_owned().await;
                if let Err(error) = shared.sweep(server, gate, None, true).await {
                    tracing::warn!(%server, %error, "processes that a server left behind cannot be looked for");
                }
            });
        }
        Ok(())
    }

    /// Kills what belongs to a server; with `everywhere`, also outside its session, and only while no main process runs.
    async fn sweep(
        self: &Arc<Self>,
        server: ServerId,
        gate: OwnedMutexGuard<()>,
        session: Option<Session>,
        everywhere: bool,
    ) -> Result<(), RuntimeError> {
        let shared = Arc::clone(self);
        blocking(move || {
            let _held_until_done = gate;
            if everywhere && shared.slot(server).main().is_some() {
                return Ok(());
            }
            let Some(directory) = shared.tree.open(server)? else {
                return Ok(());
            };
            let what = "looking for processes of a server";
            let record = identity::read_record(&directory).at(what, directory.path())?;
            let lock = LockFile::new(directory.open_lock().at(what, directory.path())?);
            let target = Target {
                lock: lock.id().at(what, directory.path())?,
                lock_descriptor: record.as_ref().map(|record| record.lock_descriptor),
                session: session
                    .map(|session| session.leader)
                    .or(record.map(|record| record.pid)),
                seen_alive: session.and_then(|session| session.seen_alive),
            };
            if let Ok(cgroups) = &shared.cgroups {
                cgroups.kill(server);
            }
            let killed = kill_all(&target, everywhere).at(what, "/proc")?;
            tracing::debug!(%server, killed, "killed what was left of a server");
            Ok(())
        })
        .await
    }

    /// Waits until the directory lock is free.
    pub(crate) async fn wait_released(
        self: &Arc<Self>,
        server: ServerId,
        deadline: Instant,
    ) -> Result<(), RuntimeError> {
        const WHAT: &str = "the release of the server's directory";
        let slot = self.slot(server);
        if let Some(main) = slot.main() {
            main.wait_ended(deadline, WHAT).await?;
        }
        let Some(directory) = self.tree.open(server)? else {
            slot.set_released();
            return Ok(());
        };
        let what = "waiting for a directory lock";
        let lock = LockFile::new(directory.open_lock().at(what, directory.path())?);
        let mut pause = LOOK_PAUSES.0;
        while lock.is_held().at(what, directory.path())? {
            let now = Instant::now();
            if now >= deadline {
                return Err(RuntimeError::Timeout { what: WHAT });
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause = (pause * 2).min(LOOK_PAUSES.1);
        }
        slot.set_released();
        Ok(())
    }

    /// Takes what is needed to move files of a server that does not run out of the way, and refuses when it runs.
    pub(crate) async fn close_down(
        self: &Arc<Self>,
        server: ServerId,
    ) -> Result<Option<(Directory, ClosedDown)>, RuntimeError> {
        let slot = self.slot(server);
        let files = Arc::clone(&slot.files).lock_owned().await;
        let gate = Arc::clone(&slot.gate).lock_owned().await;
        match self.look(server, &slot).await? {
            (ProcessState::Absent, None) => {}
            _ => return Err(RuntimeError::Locked),
        }
        let Some(directory) = self.tree.open(server)? else {
            return Ok(None);
        };
        let lock = take_lock(&directory).await?;
        Ok(Some((
            directory,
            ClosedDown {
                _lock: lock,
                _guards: (files, gate),
            },
        )))
    }
}

/// While this lives, nobody starts the server or writes its files.
pub(crate) struct ClosedDown {
    _lock: HeldLock,
    _guards: (OwnedMutexGuard<()>, OwnedMutexGuard<()>),
}

#[derive(Clone, Copy)]
struct Session {
    leader: u32,
    seen_alive: Option<u64>,
}

/// Takes the directory lock that was just seen free.
async fn take_lock(directory: &Directory) -> Result<HeldLock, RuntimeError> {
    let what = "taking a directory lock";
    let give_up = Instant::now() + LOCK_PATIENCE;
    let mut lock = LockFile::new(directory.open_lock().at(what, directory.path())?);
    loop {
        lock = match lock.try_lock().at(what, directory.path())? {
            Ok(held) => return Ok(held),
            Err(_) if Instant::now() >= give_up => return Err(RuntimeError::Locked),
            Err(lock) => lock,
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Refuses a program that is not there before anything is made for it. Whether the account may run it is seen at the start.
fn check_program(program: &Path) -> Result<(), RuntimeError> {
    let refuse = |reason: String| RuntimeError::Program {
        program: program.to_owned(),
        reason,
    };
    if !program.is_absolute() {
        return Err(refuse("not an absolute path".into()));
    }
    match std::fs::metadata(program) {
        Ok(facts) if facts.is_file() => Ok(()),
        Ok(_) => Err(refuse("not a file".into())),
        Err(error) => match system("looking for the program", program, error) {
            RuntimeError::Io { source, .. } => Err(refuse(source.to_string())),
            other => Err(other),
        },
    }
}
