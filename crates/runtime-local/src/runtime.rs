//! [`LocalRuntime`]: the contract of `pilothouse-runtime` as an index of calls into the other files.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use pilothouse_model::{HostFacts, MachineLoad, ProcessState, ServerId, ServerPorts};
use pilothouse_runtime::{DataFile, Exit, LaunchRequest, ProcessActivity, Running, Runtime, RuntimeError};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::Account;
use crate::cgroup::ControlGroups;
use crate::data::size_on_disk;
use crate::identity::ProcessFacts;
use crate::logs::{self, LogLimits};
use crate::ports::PortBook;
use crate::spawn::LauncherCommand;
use crate::trash::Trash;
use crate::tree::Tree;
use crate::watch::{Slot, Watcher};
use crate::{binaries, data, facts, lend};

/// Erased servers whose state is still remembered: a late question gets `Absent`, not `Unknown`.
const ERASED_REMEMBERED: usize = 1024;

/// How to run servers on this machine.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Below it stand `servers/<server id>/` and `trash/`. Made when missing.
    pub data_dir: PathBuf,
    /// Names this data directory. Written into every server's directory; one with another mark is never touched.
    pub mark: String,
    /// The account of servers, when it is not our own. Needs root.
    pub run_as: Option<Account>,
    /// How to start the launcher.
    pub launcher: LauncherCommand,
    /// Where to look for server binaries first.
    pub search_path: Vec<PathBuf>,
    /// Ports for servers.
    pub server_port_range: RangeInclusive<u16>,
    /// The address on which a port is probed: the one that servers bind.
    pub port_probe_address: IpAddr,
    /// When logs are rotated.
    pub logs: LogLimits,
}

/// Runs servers as processes of this machine.
///
/// Dropping it stops watching and background erasing; servers go on, and the next one adopts them.
#[derive(Debug)]
pub struct LocalRuntime {
    shared: Arc<Shared>,
    exits: Mutex<Option<mpsc::UnboundedReceiver<Exit>>>,
}

/// What tasks and calls share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub tree: Tree,
    pub launcher: LauncherCommand,
    /// The control groups for limits, or why there are none.
    pub cgroups: Result<ControlGroups, String>,
    pub watcher: Watcher,
    search_path: Vec<PathBuf>,
    answers: binaries::Answers,
    trash: Trash,
    ports: Mutex<PortBook>,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    of: HashMap<ServerId, Arc<Slot>>,
    erased: VecDeque<ServerId>,
}

impl LocalRuntime {
    /// Makes the folders, checks that servers will reach them, and starts the background tasks. Must be called in the context of the
    /// async runtime; blocks for a few milliseconds.
    ///
    /// # Errors
    /// When folders cannot be made, when the account of servers cannot reach them (the error names the folder that blocks it), and
    /// when another account is wanted without being root.
    pub fn new(options: LocalOptions) -> Result<Self, RuntimeError> {
        let tree = Tree::prepare(&options.data_dir, options.mark, options.run_as)?;
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let (exits, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            trash: Trash::start(&tree.trash(), &tasks, cancel.clone())?,
            watcher: Watcher {
                tree: tree.clone(),
                exits,
                tasks: tasks.clone(),
                cancel: cancel.clone(),
            },
            tree,
            launcher: options.launcher,
            cgroups: ControlGroups::take_over(),
            search_path: options.search_path,
            answers: binaries::Answers::default(),
            ports: Mutex::new(PortBook::new(options.server_port_range, options.port_probe_address)),
            slots: Mutex::default(),
        });
        let rotation = rotate_logs(shared.tree.clone(), options.logs);
        tasks.spawn(cancel.run_until_cancelled_owned(rotation));
        Ok(Self {
            shared,
            exits: Mutex::new(Some(receiver)),
        })
    }

    /// Stops the background tasks and waits for launches under way. Servers go on.
    pub async fn shutdown(&self) {
        self.shared.watcher.cancel.cancel();
        self.shared.watcher.tasks.close();
        self.shared.watcher.tasks.wait().await;
    }
}

impl Drop for LocalRuntime {
    fn drop(&mut self) {
        self.shared.watcher.cancel.cancel();
    }
}

impl Shared {
    /// What is known of a server, made on the first question.
    pub(crate) fn slot(&self, server: ServerId) -> Arc<Slot> {
        Arc::clone(self.slots().of.entry(server).or_insert_with(|| Arc::new(Slot::new())))
    }

    fn known(&self, server: ServerId) -> Option<Arc<Slot>> {
        self.slots().of.get(&server).map(Arc::clone)
    }

    /// Forgets the server that was erased longest ago, unless somebody is at it again.
    fn remember_erased(&self, server: ServerId) {
        let mut slots = self.slots();
        slots.erased.push_back(server);
        if slots.erased.len() > ERASED_REMEMBERED
            && let Some(oldest) = slots.erased.pop_front()
            && slots
                .of
                .get(&oldest)
                .is_some_and(|slot| Arc::strong_count(slot) == 1 && slot.process() == ProcessState::Absent)
        {
            slots.of.remove(&oldest);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Both halves are only a cache of what the system knows.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with files of a server, one at a time.
    async fn with_files<T: Send + 'static>(
        self: &Arc<Self>,
        server: ServerId,
        work: impl FnOnce(&Self) -> Result<T, RuntimeError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let guard = Arc::clone(&self.slot(server).files).lock_owned().await;
        let shared = Arc::clone(self);
        blocking(move || {
            let _held_until_done = guard;
            work(&shared)
        })
        .await
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    fn directory(&self, server: ServerId) -> PathBuf {
        self.shared.tree.server(server)
    }

    async fn launch(&self, request: LaunchRequest) -> Result<Running, RuntimeError> {
        owned(
            self.shared
                .watcher
                .tasks
                .spawn(Arc::clone(&self.shared).launch(request)),
        )
        .await
    }

    async fn adopt(&self, server: ServerId) -> Result<(ProcessState, Option<Running>), RuntimeError> {
        self.shared.adopt(server).await
    }

    fn state(&self, server: ServerId) -> ProcessState {
        self.shared
            .known(server)
            .map_or(ProcessState::Unknown, |slot| slot.process())
    }

    async fn kill(&self, server: ServerId, deadline: Instant) -> Result<(), RuntimeError> {
        self.shared.kill(server, deadline).await
    }

    async fn wait_released(&self, server: ServerId, deadline: Instant) -> Result<(), RuntimeError> {
        self.shared.wait_released(server, deadline).await
    }

    fn take_exits(&self) -> Option<mpsc::UnboundedReceiver<Exit>> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn activity(&self, server: ServerId) -> Option<ProcessActivity> {
        let main = self.shared.known(server)?.main()?;
        let facts = ProcessFacts::read(main.running.pid).ok().flatten()?;
        let same = facts.start_time == main.start_time && !facts.is_dead();
        same.then(|| ProcessActivity {
            cpu_time: facts.cpu_time(),
            stopped: facts.is_stopped(),
        })
    }

    async fn write_file(&self, server: ServerId, path: PathBuf, content: Vec<u8>) -> Result<(), RuntimeError> {
        let write = move |shared: &Shared| shared.tree.open_or_make(server)?.write(&path, &content);
        self.shared.with_files(server, write).await
    }

    async fn place_file(&self, server: ServerId, from: PathBuf, to: PathBuf) -> Result<(), RuntimeError> {
        let place = move |shared: &Shared| shared.tree.open_or_make(server)?.place(&from, &to);
        self.shared.with_files(server, place).await
    }

    async fn lend_file(&self, server: ServerId, path: PathBuf, to: PathBuf) -> Result<(), RuntimeError> {
        let shared = Arc::clone(&self.shared);
        // Not one at a time: a copy may take long, and nothing of the server is changed.
        blocking(move || lend::lend(shared.tree.open(server)?.as_ref(), &path, &to)).await
    }

    async fn remove_file(&self, server: ServerId, path: PathBuf) -> Result<(), RuntimeError> {
        let remove = move |shared: &Shared| lend::remove(shared.tree.open(server)?.as_ref(), &path);
        self.shared.with_files(server, remove).await
    }

    async fn data_bytes(&self, server: ServerId) -> Result<u64, RuntimeError> {
        Ok(self.data_files(server).await?.iter().map(|file| file.bytes).sum())
    }

    async fn data_files(&self, server: ServerId) -> Result<Vec<DataFile>, RuntimeError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared
                .tree
                .open(server)?
                .map_or(Ok(Vec::new()), |directory| data::files(&directory))
        })
        .await
    }

    async fn clear_data(&self, server: ServerId) -> Result<(), RuntimeError> {
        let Some((directory, closed)) = self.shared.close_down(server).await? else {
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let _held_until_done = closed;
            if let Some(path) = shared.tree.discard_data(&directory)? {
                shared.trash.erase_later(path);
            }
            Ok(())
        })
        .await
    }

    async fn erase(&self, server: ServerId) -> Result<(), RuntimeError> {
        let Some((_, closed)) = self.shared.close_down(server).await? else {
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let _held_until_done = closed;
            shared.trash.erase_later(shared.tree.discard(server)?);
            if let Ok(cgroups) = &shared.cgroups {
                cgroups.remove(server)?;
            }
            shared.remember_erased(server);
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Result<Vec<ServerId>, RuntimeError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.tree.list()).await
    }

    async fn log_tail(&self, server: ServerId, lines: usize) -> Result<Vec<String>, RuntimeError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || match shared.tree.open(server)? {
            Some(directory) => logs::tail(&directory, lines),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn free_ports(&self, taken: &[u16], cluster: bool) -> Result<ServerPorts, RuntimeError> {
        let mut ports = self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.take(taken, cluster, Instant::now())
    }

    async fn ask_binaries(&self, name: &str, arguments: &[&str]) -> Vec<(PathBuf, String)> {
        let path = std::env::var_os("PATH");
        let found = binaries::find(name, &self.shared.search_path, path.as_deref());
        let account = self.shared.tree.account();
        self.shared.answers.ask(found, arguments, account).await
    }

    async fn host_facts(&self) -> HostFacts {
        let shared = Arc::clone(&self.shared);
        let told = blocking(move || {
            Ok(facts::host(
                shared.tree.data_dir(),
                shared.cgroups.as_ref().err().cloned(),
            ))
        })
        .await;
        told.expect("it returns no error")
    }

    fn machine_load(&self) -> MachineLoad {
        facts::load(self.shared.tree.data_dir())
    }

    async fn disk_usage(&self) -> BTreeMap<ServerId, u64> {
        let shared = Arc::clone(&self.shared);
        let measured = blocking(move || {
            let servers = shared.tree.list()?;
            Ok(servers
                .into_iter()
                .map(|server| (server, size_on_disk(&shared.tree.server(server))))
                .collect())
        });
        measured.await.unwrap_or_else(|error: RuntimeError| {
            tracing::warn!(%error, "the space that servers use cannot be measured");
            BTreeMap::new()
        })
    }
}

/// Looks at the logs of all servers, round after round.
async fn rotate_logs(tree: Tree, limits: LogLimits) {
    let mut rounds = tokio::time::interval(limits.every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let tree = tree.clone();
        let round = blocking(move || {
            for server in tree.list()? {
                let rotated = tree
                    .open(server)
                    .and_then(|directory| directory.map_or(Ok(false), |directory| logs::rotate(&directory, limits)));
                if let Err(error) = rotated {
                    tracing::warn!(%server, %error, "the log of a server cannot be rotated");
                }
            }
            Ok(())
        });
        if let Err(error) = round.await {
            tracing::warn!(%error, "logs of servers cannot be rotated");
        }
    }
}

/// Runs blocking work on a thread for such work. It goes on to its end also when nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    owned(tokio::task::spawn_blocking(work)).await
}

/// Waits for a task; its panic is ours.
async fn owned<T>(task: tokio::task::JoinHandle<Result<T, RuntimeError>>) -> Result<T, RuntimeError> {
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the async runtime shuts down under us.
            Err(_) => Err(RuntimeError::Timeout {
                what: "work of a program that is shutting down",
            }),
        },
    }
}
