//! Where the numbers come from: control's view of databases, the gateway's counters, and histograms that each part keeps of its own work.
//!
//! What ends, operations and failovers, is counted here from records and events, because those know kind and result. Records are kept for
//! an hour after their end, and looked at more often than that whether anybody asks or not.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pilothouse_api::Listener;
use pilothouse_control::{Caller, Control, DatabaseView, EventFilter, TenantScope};
use pilothouse_gateway_protocol::{EndpointLoad, Gateway, build_of};
use pilothouse_model::{
    DatabaseId, Dialect, EngineKind, Histogram, Lifecycle, Liveness, Operation, OperationId, OperationPhase,
    OperationResult, ProcessState, ServerId, Timestamp,
};
use pilothouse_store::Store;
use tokio_util::sync::CancellationToken;

use super::text::{Kind, Text};

/// Time between two looks at what has ended.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// How long the gateway may take; a scrape has ten seconds as a rule.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(2);

/// Every word of a state, so that one in which nothing is now has a zero and not a gap.
const LIFECYCLES: [Lifecycle; 8] = [
    Lifecycle::Creating,
    Lifecycle::CreationFailed,
    Lifecycle::Active,
    Lifecycle::Changing,
    Lifecycle::Importing,
    Lifecycle::Unavailable,
    Lifecycle::Recovery,
    Lifecycle::Deleting,
];

/// Gathers the numbers.
pub(crate) struct Collector {
    control: Control,
    gateway: Arc<dyn Gateway>,
    store: Store,
    listeners: Vec<(&'static str, Listener)>,
    ended: Mutex<Ended>,
}

/// What has ended since we run.
#[derive(Default)]
struct Ended {
    /// Final operations that were looked at, as long as there are records of them.
    known: HashSet<OperationId>,
    /// By kind and result.
    operations: BTreeMap<(String, &'static str), u64>,
    /// When the last event happened that was looked at.
    last_event: Option<Timestamp>,
    /// The failovers of that very moment, which may come again with the next look.
    at_last_event: usize,
    failovers: Histogram,
}

impl Collector {
    /// What ended before now is not counted.
    pub(crate) fn new(
        control: Control,
        gateway: Arc<dyn Gateway>,
        store: Store,
        listeners: Vec<(&'static str, Listener)>,
    ) -> Self {
        let (caller, now) = (caller(&control), control.now());
        let operations = control.operations(&caller);
        let known = operations.iter().filter(|operation| operation.is_final());
        let filter = EventFilter {
            from: Some(now),
            ..EventFilter::default()
        };
        let ended = Ended {
            known: known.map(|operation| operation.id).collect(),
            last_event: Some(now),
            at_last_event: control.events(&caller, &filter).len(),
            ..Ended::default()
        };
        Self {
            control,
            gateway,
            store,
            listeners,
            ended: Mutex::new(ended),
        }
    }

    /// Counts what ends until `stop`.
    pub(crate) async fn watch(&self, stop: &CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(WATCH_INTERVAL))
            .await
            .is_some()
        {
            self.count_ended(&self.control.operations(&caller(&self.control)));
        }
    }

    /// The page of now.
    pub(crate) async fn collect(&self) -> String {
        let caller = caller(&self.control);
        let databases = self.control.databases(&caller);
        let loads = tokio::time::timeout(GATEWAY_PATIENCE, self.gateway.load()).await;
        let loads = loads.ok().and_then(Result::ok);
        let operations = self.control.operations(&caller);
        self.count_ended(&operations);

        let mut text = Text::default();
        self.installation(&mut text);
        show_databases(&mut text, &databases);
        show_servers(&mut text, &databases);
        self.operations(&mut text, &operations);
        self.durations(&mut text);
        show_endpoints(&mut text, &databases, loads.as_deref());
        text.finish()
    }

    fn installation(&self, text: &mut Text) {
        let build = build_of("/proc/self/exe".as_ref()).unwrap_or_default();
        let mut family = text.family("pilothouse_build_info", Kind::Gauge, "Always 1; the program that runs.");
        family.sample(&[("version", env!("CARGO_PKG_VERSION")), ("build", &build)], 1);
        let mut family = text.family(
            "pilothouse_start_time_seconds",
            Kind::Gauge,
            "When the control plane was started, in seconds since 1970.",
        );
        let epoch = self.control.started_at().since(Timestamp::from_millis(0));
        family.sample(&[], epoch.as_secs_f64());
    }

    fn operations(&self, text: &mut Text, operations: &[Arc<Operation>]) {
        let mut running: BTreeMap<String, u64> = BTreeMap::new();
        for operation in operations.iter().filter(|operation| !operation.is_final()) {
            *running.entry(word(operation.kind)).or_default() += 1;
        }
        let mut family = text.family(
            "pilothouse_operations_running",
            Kind::Gauge,
            "Operations being carried out, by what they do.",
        );
        for (kind, count) in &running {
            family.sample(&[("kind", kind)], count);
        }
        let mut family = text.family(
            "pilothouse_operations_total",
            Kind::Counter,
            "Operations that ended since the start, by what they did and how.",
        );
        for ((kind, result), count) in &self.ended().operations {
            family.sample(&[("kind", kind), ("result", result)], count);
        }
    }

    fn durations(&self, text: &mut Text) {
        let mut family = text.family(
            "pilothouse_failover_duration_seconds",
            Kind::Histogram,
            "Failovers since the start, from the decision until a new primary was committed.",
        );
        family.histogram(&[], &self.ended().failovers.read());
        let mut family = text.family(
            "pilothouse_pass_duration_seconds",
            Kind::Histogram,
            "Looks of the control plane at one database, with the steps that followed.",
        );
        family.histogram(&[], &self.control.pass_durations().read());
        let mut family = text.family(
            "pilothouse_commit_duration_seconds",
            Kind::Histogram,
            "Batches of changes written to the store, until they were on disk.",
        );
        family.histogram(&[], &self.store.commit_durations().read());
        let mut family = text.family(
            "pilothouse_api_request_duration_seconds",
            Kind::Histogram,
            "Requests answered, by listener and class of the status.",
        );
        for (name, listener) in &self.listeners {
            for (status, counted) in listener.traffic().classes() {
                family.histogram(&[("listener", name), ("status", status)], &counted.read());
            }
        }
    }

    fn count_ended(&self, operations: &[Arc<Operation>]) {
        let mut ended = self.ended();
        let mut known = HashSet::new();
        for operation in operations.iter().filter(|operation| operation.is_final()) {
            known.insert(operation.id);
            if !ended.known.contains(&operation.id) {
                let key = (word(operation.kind), result(operation));
                *ended.operations.entry(key).or_default() += 1;
            }
        }
        ended.known = known;
        self.count_failovers(&mut ended);
    }

    fn count_failovers(&self, ended: &mut Ended) {
        let filter = EventFilter {
            from: ended.last_event,
            ..EventFilter::default()
        };
        let events = self.control.events(&caller(&self.control), &filter);
        // Those of the last moment looked at come first, and were counted.
        for event in events.iter().skip(ended.at_last_event) {
            if event.what.kind == "failover-completed"
                && let Some(took) = event.what.facts["took_ms"].as_u64()
            {
                ended.failovers.record(Duration::from_millis(took));
            }
        }
        if let Some(last) = events.last() {
            ended.last_event = Some(last.at);
            ended.at_last_event = events.iter().filter(|event| event.at == last.at).count();
        }
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, Ended> {
        // Counters are whole after each line that changes them.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn show_databases(text: &mut Text, databases: &[DatabaseView]) {
    let mut family = text.family("pilothouse_databases", Kind::Gauge, "Databases, by product and state.");
    for engine in EngineKind::ALL {
        for lifecycle in LIFECYCLES {
            let here = |view: &&DatabaseView| view.database.spec.engine == engine && view.lifecycle == lifecycle;
            let count = databases.iter().filter(here).count();
            family.sample(&[("engine", engine.as_str()), ("state", &word(lifecycle))], count);
        }
    }
}

fn show_servers(text: &mut Text, databases: &[DatabaseView]) {
    let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for engine in EngineKind::ALL {
        for role in ["primary", "replica"] {
            for state in ["ok", "stopped", "silent"] {
                counts.insert((engine.as_str(), role, state), 0);
            }
        }
    }
    for view in databases {
        for shard in &view.database.layout.shards {
            for server in &shard.servers {
                let is_primary = shard.lineage.primary == Some(server.id);
                let role = if is_primary { "primary" } else { "replica" };
                let key = (view.database.spec.engine.as_str(), role, server_state(view, server.id));
                *counts.entry(key).or_default() += 1;
            }
        }
    }
    let mut family = text.family(
        "pilothouse_servers",
        Kind::Gauge,
        "Database servers, by product, role and what was last seen of them.",
    );
    for ((engine, role, state), count) in counts {
        family.sample(&[("engine", engine), ("role", role), ("state", state)], count);
    }
}

fn server_state(view: &DatabaseView, server: ServerId) -> &'static str {
    let Some(seen) = view.observation.servers.get(&server) else {
        return "unknown";
    };
    match (seen.process, seen.liveness) {
        (ProcessState::Unknown, _) => "unknown",
        (ProcessState::Absent, _) => "stopped",
        (ProcessState::Leftover, _) => "ending",
        (ProcessState::Running { .. }, liveness) => match liveness {
            Liveness::Ok => "ok",
            Liveness::Loading => "loading",
            Liveness::Busy => "busy",
            Liveness::Silent => "silent",
            Liveness::Unreachable => "unreachable",
            Liveness::Unknown => "unknown",
        },
    }
}

fn show_endpoints(text: &mut Text, databases: &[DatabaseView], loads: Option<&[EndpointLoad]>) {
    let mut family = text.family("pilothouse_gateway_up", Kind::Gauge, "Whether the gateway answers.");
    family.sample(&[], u8::from(loads.is_some()));
    let loads: BTreeMap<DatabaseId, &EndpointLoad> = loads
        .unwrap_or_default()
        .iter()
        .filter_map(|load| Some((load.database?, load)))
        .collect();
    let of = |view: &DatabaseView| loads.get(&view.database.id).copied();
    type Number = fn(&EndpointLoad) -> u64;
    let families: [(&'static str, Kind, &str, Number); 5] = [
        (
            "pilothouse_endpoint_connections",
            Kind::Gauge,
            "Connections of clients, by database.",
            |load| load.connections,
        ),
        (
            "pilothouse_endpoint_connections_accepted_total",
            Kind::Counter,
            "Connections accepted since the gateway started, by database.",
            |load| load.accepted,
        ),
        (
            "pilothouse_endpoint_connections_refused_total",
            Kind::Counter,
            "Connections refused by a limit or a list of sources, by database.",
            |load| load.refused,
        ),
        (
            "pilothouse_endpoint_received_bytes_total",
            Kind::Counter,
            "Bytes from clients, by database.",
            |load| load.bytes_in,
        ),
        (
            "pilothouse_endpoint_sent_bytes_total",
            Kind::Counter,
            "Bytes to clients, by database.",
            |load| load.bytes_out,
        ),
    ];
    for (name, kind, help, number) in families {
        let mut family = text.family(name, kind, help);
        for view in databases {
            if let Some(load) = of(view) {
                let (id, name) = (view.database.id.to_string(), view.database.name.as_str());
                family.sample(&[("database", &id), ("name", name)], number(load));
            }
        }
    }
}

fn result(operation: &Operation) -> &'static str {
    match (&operation.phase, &operation.result) {
        (OperationPhase::Failed { .. }, _) | (_, Some(OperationResult::Failed { .. })) => "failed",
        _ => "succeeded",
    }
}

/// The word of the store for a word of the model: both are serialised without data.
fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// Sees everything.
fn caller(control: &Control) -> Caller {
    Caller {
        dialect: Dialect::Local,
        actor: "metrics".to_owned(),
        scope: TenantScope::All,
        tenant: control.default_tenant(),
        settles: None,
    }
}
