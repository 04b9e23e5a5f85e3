//! The control thread: starts everything, then applies what the control plane says, one event at a time, until it is told to stop or
//! a successor has taken over.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_gateway_protocol::{Change, FromGateway, Route, ToGateway};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::control::{self, Event, Session, SessionId};
use crate::disk::{DiskCopy, Saver};
use crate::entrance::HoldLimits;
use crate::handover::{self, Estate};
use crate::lock::Lock;
use crate::table::Table;
use crate::workers::Workers;
use crate::{GatewayOptions, GatewayRunError};

/// The pause between attempts to bind a port that somebody else has.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Messages of the control plane that may wait; more wait in its socket.
const EVENT_QUEUE: usize = 64;

/// Runs the gateway on this thread until SIGTERM or SIGINT, or until a successor has taken over; both are success. Must not be called
/// inside an async runtime, since it makes its own.
///
/// Errors: what keeps it from starting. Once it serves, nothing but a panic ends it.
pub fn run(options: GatewayOptions) -> Result<(), GatewayRunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(GatewayRunError::io("make a runtime for", &options.paths.directory))?;
    runtime.block_on(async { Service::start(options).await?.serve().await })
}

struct Service {
    options: GatewayOptions,
    lock: Lock,
    workers: Arc<Workers>,
    table: Table,
    stop: Stop,
    events: mpsc::Receiver<Event>,
    successors: mpsc::Receiver<UnixStream>,
    /// Owns the tasks at the two sockets.
    sockets: JoinSet<()>,
    session: Option<Steering>,
    disk: Saver,
    /// When to try again to bind what could not be bound; `None` when everything is.
    rebind_at: Option<Instant>,
}

/// The control plane that steers now.
struct Steering {
    id: SessionId,
    session: Session,
    /// The revision applied last; `None` before the complete table came, and after a gap until it comes again.
    revision: Option<u64>,
    /// The last revision before a gap.
    before_gap: u64,
    asked_for_table: bool,
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Service {
    async fn start(options: GatewayOptions) -> Result<Self, GatewayRunError> {
        let paths = &options.paths;
        // First, so that an early signal is not lost.
        let stop = Stop::listen().map_err(GatewayRunError::io("watch signals for", &paths.directory))?;
        let data_dir_id = read_id(&paths.id)?;
        make_directory(&paths.directory)?;
        // Before anything that opens descriptors, or receives those of a predecessor.
        raise_descriptor_limit();
        let (lock, estate) = succeed(&options, &data_dir_id)?;

        let hold = HoldLimits {
            duration: options.hold,
            connections: options.held_connections,
        };
        let start_failed = GatewayRunError::io("start threads for", &paths.directory);
        let workers = Workers::start(options.threads).map_err(start_failed)?;
        let mut table = Table::new(hold, Arc::clone(&workers));
        let mut disk = Saver::new(paths.table.clone(), Arc::clone(&data_dir_id));
        match estate {
            Some(estate) => {
                // It may not have written its last changes.
                disk.ask();
                table.inherit(estate.routes, estate.loads);
                table.resume(estate.listeners, estate.connections);
            }
            None => {
                let failures = table.replace(DiskCopy::load(&paths.table, &data_dir_id)).await;
                for failure in failures {
                    tracing::warn!(database = %failure.database, address = %failure.address, reason = failure.reason, "not bound");
                }
            }
        }

        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        let (successor_sender, successors) = mpsc::channel(1);
        let bind = |path: &Path| control::bind(path).map_err(GatewayRunError::io("bind", path));
        let mut sockets = JoinSet::new();
        sockets.spawn(handover::serve(
            bind(&paths.handover)?,
            Arc::clone(&data_dir_id),
            successor_sender,
        ));
        sockets.spawn(control::serve(bind(&paths.socket)?, data_dir_id, event_sender));
        tracing::info!(
            databases = table.routes().len(),
            connections = table.connections(),
            "the gateway serves"
        );
        Ok(Self {
            lock,
            workers,
            rebind_at: table.has_unbound().then(|| Instant::now() + RETRY_DELAY),
            table,
            stop,
            events,
            successors,
            sockets,
            session: None,
            disk,
            options,
        })
    }

    async fn serve(mut self) -> Result<(), GatewayRunError> {
        loop {
            // The senders of both channels live in `sockets`, so neither ends before us.
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.handle(event).await,
                () = self.stop.asked() => {
                    self.drain().await;
                    return Ok(());
                }
                Some(successor) = self.successors.recv() => {
                    if self.hand_over(successor).await {
                        tracing::info!("the successor has taken over");
                        return Ok(());
                    }
                }
                () = at(self.rebind_at), if self.rebind_at.is_some() => {
                    self.rebind_at = self.table.retry().then(|| Instant::now() + RETRY_DELAY);
                }
                () = self.disk.turn() => self.disk.start(self.table.routes()),
            }
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Connected(id, session) => {
                let steering = Steering {
                    id,
                    session,
                    revision: None,
                    before_gap: 0,
                    asked_for_table: false,
                };
                if let Some(old) = self.session.replace(steering) {
                    old.session.end.cancel();
                }
                tracing::info!("a control plane steers");
            }
            Event::Message(id, message) => {
                // One that was replaced has nothing to say any more.
                if let Some(mut steering) = self.session.take_if(|steering| steering.id == id) {
                    let answer = self.answer(&mut steering, message).await;
                    if let Some(answer) = answer {
                        // It may have gone; then it comes back and sends the whole table.
                        let _ = steering.session.answers.send(answer);
                    }
                    self.session = Some(steering);
                }
            }
            Event::Gone(id) => {
                if self.session.take_if(|steering| steering.id == id).is_some() {
                    tracing::info!("the control plane has gone; the last table stays in force");
                }
            }
        }
    }

    async fn answer(&mut self, steering: &mut Steering, message: ToGateway) -> Option<FromGateway> {
        match message {
            ToGateway::Hello { .. } => {
                steering.session.end.cancel();
                None
            }
            ToGateway::Table { revision, routes } => {
                let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
                let failures = self.table.replace(routes).await;
                steering.revision = Some(revision);
                steering.asked_for_table = false;
                self.changed(failures.is_empty());
                Some(FromGateway::TableApplied { revision, failures })
            }
            ToGateway::Delta { revision, change } => self.answer_delta(steering, revision, change).await,
            ToGateway::Load { request } => Some(FromGateway::Load {
                request,
                endpoints: self.table.load(),
            }),
        }
    }

    async fn answer_delta(&mut self, steering: &mut Steering, revision: u64, change: Change) -> Option<FromGateway> {
        match steering.revision {
            // A delta that was under way when the table was sent again is part of that table.
            Some(have) if revision <= have => Some(FromGateway::Applied { revision }),
            Some(have) if revision == have + 1 => {
                let applied = self.table.apply(change).await;
                steering.revision = Some(revision);
                self.changed(applied.is_ok());
                Some(match applied {
                    Ok(()) => FromGateway::Applied { revision },
                    Err(unbound) => FromGateway::Failed {
                        revision,
                        failure: unbound.failure,
                        current: unbound.current,
                    },
                })
            }
            have => {
                steering.before_gap = have.unwrap_or(steering.before_gap);
                steering.revision = None;
                let first = !std::mem::replace(&mut steering.asked_for_table, true);
                first.then_some(FromGateway::TableWanted {
                    have: steering.before_gap,
                })
            }
        }
    }

    /// What follows every change of the table, off the path of the answer.
    fn changed(&mut self, all_bound: bool) {
        self.disk.ask();
        if !all_bound {
            self.rebind_at.get_or_insert_with(|| Instant::now() + RETRY_DELAY);
        }
    }

    /// Gives everything to a successor. Returns false, and goes on serving, when that fails.
    async fn hand_over(&mut self, successor: UnixStream) -> bool {
        tracing::info!("a successor asks for everything");
        // A copy that is written later would replace the successor's newer one.
        self.disk.finish().await;
        let lock = match self.lock.as_fd().try_clone_to_owned() {
            Ok(lock) => lock,
            Err(error) => {
                tracing::error!(%error, "the handover failed");
                return false;
            }
        };
        let loads = self.table.load();
        let listeners = self.table.stop_accepting().await;
        let connections = self.table.freeze().await;
        let estate = Estate {
            lock: Some(lock),
            routes: self.table.routes(),
            loads,
            listeners,
            connections,
        };
        // The blocking part has time limits of its own, and nobody else could use this thread meanwhile anyway.
        let given = spawn_blocking(move || {
            let result = handover::give(&successor, &estate);
            (estate, result)
        });
        match given.await {
            Ok((_, Ok(()))) => true,
            Ok((estate, Err(error))) => {
                tracing::error!(%error, "the handover failed; we go on");
                self.table.resume(estate.listeners, estate.connections);
                false
            }
            Err(error) => {
                // The estate is lost with the panic; clients reconnect to the next gateway.
                tracing::error!(%error, "the handover panicked");
                true
            }
        }
    }

    /// Ends in order: no new connections, a short time for those that are there, the disk copy, the sockets.
    async fn drain(mut self) {
        tracing::info!("stopping");
        self.sockets.shutdown().await;
        drop(self.table.stop_accepting().await);
        let deadline = Instant::now() + self.options.drain;
        while self.table.connections() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.disk.finish().await;
        if self.disk.is_asked() {
            self.disk.start(self.table.routes());
            self.disk.finish().await;
        }
        for socket in [&self.options.paths.socket, &self.options.paths.handover] {
            // A stale socket does no harm: the next gateway replaces it.
            let _ = std::fs::remove_file(socket);
        }
        self.workers.stop();
    }
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Becomes the one gateway of the data directory, with what a predecessor leaves.
fn succeed(options: &GatewayOptions, data_dir_id: &str) -> Result<(Lock, Option<Estate>), GatewayRunError> {
    let paths = &options.paths;
    if options.take_over
        && let Some(mut estate) = handover::take(&paths.handover, data_dir_id)?
    {
        let lock = estate
            .lock
            .take()
            .ok_or_else(|| GatewayRunError::Handover("it gave no lock".into()))?;
        return Ok((Lock::inherited(lock, &paths.lock), Some(estate)));
    }
    Ok((Lock::take(&paths.lock)?, None))
}

fn read_id(path: &Path) -> Result<Arc<str>, GatewayRunError> {
    let bad = |reason: String| GatewayRunError::Id {
        path: path.to_owned(),
        reason,
    };
    let id = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    match id.trim() {
        "" => Err(bad("it is empty".into())),
        id => Ok(id.into()),
    }
}

fn make_directory(path: &Path) -> Result<(), GatewayRunError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(GatewayRunError::io("create", path)),
    }
}

/// Two descriptors a connection: the customary soft limit of 1024 would end at five hundred clients.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open descriptors stays as it is");
    }
}
