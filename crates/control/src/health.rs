//! Health: the end of a process is an event; silence is judged by probes over a kept connection and by what the scheduler says.
//!
//! A process that exited is dead at once. Otherwise any reply is a sign of life. A silent process that is stopped or uses no processor
//! time is hung after a few missed probes; one that works is busy, and hung only after a longer time. A probe counts as missed only when
//! our own timer was on time, so that a starved control plane kills nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_engine::{Engine, ErrorClass, ManagementAccess, ServerDirectory, Session};
use pilothouse_model::{Database, DatabaseId, Liveness, Persistence, Server, ServerId, Severity};
use pilothouse_planner::Verdict;
use pilothouse_runtime::{Exit, ProcessActivity};
use tokio::time::MissedTickBehavior;

use crate::control::ControlSettings;
use crate::memory::ServerMemory;
use crate::{Control, events, gateway_process};

/// A server that ran at least this long before it ended was not a failed start.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// Longest pause between two starts.
const START_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Pause after the second failed start; the first is followed by a start at once.
const START_PAUSE_FIRST: Duration = Duration::from_millis(100);
/// How long after the end of a server it is recorded.
const TELLING_PAUSE: Duration = Duration::from_millis(30);
/// Lines of a server's log that a failure tells.
const LOG_LINES: usize = 5;

/// Starts the watch over ends of processes.
pub(crate) fn watch_exits(control: &Control) {
    let Some(mut exits) = control.0.runtime.take_exits() else {
        return;
    };
    let control = control.clone();
    let tasks = control.0.tasks.clone();
    tasks.spawn(async move {
        let stopped = control.0.tasks.stopped().clone();
        loop {
            let exit = tokio::select! {
                exit = exits.recv() => exit,
                () = stopped.cancelled() => return,
            };
            let Some(exit) = exit else { return };
            on_exit(&control, &exit);
        }
    });
}

/// A process ended: what was known of it is void, and its database is looked at now.
pub(crate) fn on_exit(control: &Control, exit: &Exit) {
    if gateway_process::is_gateway(exit.server) {
        control.0.gateway_exited.notify_one();
        return;
    }
    // A server of an import, or one that was erased before its end was told, is no server that anybody looks at.
    let Some(memory) = control.0.memories.get(exit.server) else {
        return;
    };
    let (uptime, asked) = {
        let known = memory.lock();
        (known.started.map(|started| started.elapsed()), known.end_asked)
    };
    if !control.process_ended(exit.server, exit.pid) {
        return;
    }
    tracing::info!(server = %exit.server, pid = exit.pid, how = %exit.how, "a server ended");
    if uptime.is_some_and(|uptime| uptime < STEADY_AFTER) {
        count_failed_start(control, exit.server, &exit.how);
    }
    if let Some(database) = control.store().view().database_of_server(exit.server) {
        control.wake(database);
        if !asked {
            tell_end(control, database, exit);
        }
    }
}

/// Records that a server ended unasked, and what follows from it.
fn tell_end(control: &Control, database: DatabaseId, exit: &Exit) {
    let view = control.store().view();
    let Some(record) = view
        .get::<Database>(&database)
        .filter(|database| database.deleted_at.is_none())
    else {
        return;
    };
    let (severity, consequence) = consequence(record, exit.server);
    let message = format!(
        "server {} of {} ended ({}): {consequence}",
        exit.server, record.name, exit.how
    );
    let mut event = events::about(record, "server-ended", severity, "health", record.operation, message);
    event.facts = serde_json::json!({ "name": record.name.as_str(), "server": exit.server, "how": exit.how });
    let (control, tasks) = (control.clone(), control.0.tasks.clone());
    tasks.spawn(async move {
        // A commit of its own, and not in the way of the one that a failover waits for.
        tokio::time::sleep(TELLING_PAUSE).await;
        if let Err(error) = control.record_event(event).await {
            tracing::warn!(%error, "the end of a server could not be recorded");
        }
    });
}

/// What the end of a server means for its database.
fn consequence(database: &Database, server: ServerId) -> (Severity, &'static str) {
    let shard = database
        .layout
        .shards
        .iter()
        .find(|shard| shard.servers.iter().any(|other| other.id == server));
    let Some(shard) = shard else {
        return (Severity::Warning, "it is started again");
    };
    if shard.lineage.primary != Some(server) {
        return (Severity::Warning, "the replica is started again and copies the primary");
    }
    if !shard.lineage.synced.is_empty() {
        return (Severity::Warning, "a replica takes over if it lives");
    }
    if database.spec.persistence == Persistence::Disabled {
        return (
            Severity::Error,
            "it is started again EMPTY: no copy of the data is in sync, and none is kept on disk",
        );
    }
    (Severity::Error, "it is started again from its files")
}

/// A start failed, or the server ended soon after it: the next one waits, longer each time.
pub(crate) fn count_failed_start(control: &Control, server: ServerId, how: &str) {
    let memory = control.0.memories.of(server);
    let failures = {
        let mut known = memory.lock();
        known.starts.failures += 1;
        let pause = start_pause(known.starts.failures);
        known.starts.not_before = Some(control.now().plus(pause));
        known.starts.last_failure = how.to_owned();
        known.starts.failures
    };
    if failures < 2 {
        return;
    }
    // What it printed tells more than how it ended; reading it must not hold up the loop.
    let (control, how) = (control.clone(), how.to_owned());
    let tasks = control.0.tasks.clone();
    tasks.spawn(async move {
        if let Ok(lines) = control.0.runtime.log_tail(server, LOG_LINES).await
            && !lines.is_empty()
        {
            let memory = control.0.memories.of(server);
            memory.lock().starts.last_failure = format!("{how}: {}", lines.join(" | "));
        }
    });
}

fn start_pause(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => (START_PAUSE_FIRST * 2_u32.saturating_pow(more - 2)).min(START_PAUSE_MAX),
    }
}

/// Probes the process that runs now, until it ends.
pub(crate) fn watch(
    control: &Control,
    database: &pilothouse_model::Database,
    server: &Server,
    memory: &Arc<ServerMemory>,
) {
    let Some(engine) = control.0.engines.get(database.spec.engine).cloned() else {
        return;
    };
    let Ok(secret) = control.open(&server.management_secret) else {
        return;
    };
    let directory = ServerDirectory {
        root: control.0.runtime.directory(server.id),
    };
    let token = control.0.tasks.stopped().child_token();
    if let Some(before) = memory.lock().watch.replace(token.clone()) {
        before.cancel();
    }
    let probe = Probe {
        control: control.clone(),
        database: database.id,
        server: server.id,
        engine,
        access: ManagementAccess {
            socket: directory.admin_socket(),
            secret,
            cluster: database.spec.cluster,
        },
        memory: Arc::clone(memory),
        session: None,
        silence: None,
    };
    control.0.tasks.spawn(async move {
        tokio::select! {
            () = Box::pin(probe.run()) => {}
            () = token.cancelled() => {}
        }
    });
}

/// The probing of one process.
struct Probe {
    control: Control,
    database: DatabaseId,
    server: ServerId,
    engine: Arc<dyn Engine>,
    access: ManagementAccess,
    memory: Arc<ServerMemory>,
    session: Option<Box<dyn Session>>,
    /// Since when it does not answer.
    silence: Option<Silence>,
}

/// A server that does not answer.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    missed: u32,
    /// What the scheduler said when it was first missed.
    activity: Option<ProcessActivity>,
}

impl Probe {
    async fn run(mut self) {
        let interval = self.control.0.settings.probe_interval;
        let patience = self.control.0.settings.probe_deadline;
        // Spread over the interval, so that two hundred servers are not asked in the same millisecond.
        let phase = interval.mul_f64(rand::random::<f64>());
        let mut ticks = tokio::time::interval_at((Instant::now() + phase).into(), interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let planned = ticks.tick().await;
            let started = Instant::now();
            let late = started.saturating_duration_since(planned.into_std()) > patience / 2;
            let alive = self.ask(started + patience).await;
            let overslept = started.elapsed() > patience * 2;
            if alive {
                self.answered();
            } else if !late && !overslept {
                self.missed(started);
            }
        }
    }

    /// Whether the server gave any reply in time.
    async fn ask(&mut self, deadline: Instant) -> bool {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => match self.engine.connect(&self.access, deadline).await {
                Ok(session) => session,
                Err(error) => return error.class != ErrorClass::Transient,
            },
        };
        match session.probe(deadline).await {
            Ok(liveness) => {
                // A late reply is still waited for on the same connection: asking again would only queue behind it.
                self.session = Some(session);
                matches!(liveness, Liveness::Ok | Liveness::Loading | Liveness::Busy)
            }
            Err(error) => error.class != ErrorClass::Transient,
        }
    }

    fn answered(&mut self) {
        self.silence = None;
        let changed = {
            let mut known = self.memory.lock();
            known.seen_at = self.control.now();
            std::mem::replace(&mut known.verdict, Verdict::Alive) != Verdict::Alive
        };
        if changed {
            self.control.wake(self.database);
        }
    }

    fn missed(&mut self, at: Instant) {
        let now = self.control.0.runtime.activity(self.server);
        let silence = self.silence.get_or_insert(Silence {
            since: at,
            missed: 0,
            activity: now,
        });
        silence.missed += 1;
        let verdict = judge(silence, now, at, &self.control.0.settings);
        let changed = {
            let mut known = self.memory.lock();
            let before = known.verdict;
            if let Some(verdict) = verdict {
                known.verdict = verdict;
            }
            known.verdict != before
        };
        if changed {
            tracing::warn!(server = %self.server, ?verdict, "the server does not answer");
            self.control.wake(self.database);
        }
    }
}

/// What silence means: nothing yet, busy, or hung.
fn judge(silence: &Silence, now: Option<ProcessActivity>, at: Instant, settings: &ControlSettings) -> Option<Verdict> {
    if silence.missed < settings.missed_probes {
        return None;
    }
    let works = match (silence.activity, now) {
        (Some(before), Some(now)) => !now.stopped && now.cpu_time > before.cpu_time,
        // The process is gone or cannot be read: its end is told by the watch over processes.
        _ => true,
    };
    let patient = at.saturating_duration_since(silence.since) < settings.busy_timeout;
    Some(if works && patient { Verdict::Busy } else { Verdict::Hung })
}
