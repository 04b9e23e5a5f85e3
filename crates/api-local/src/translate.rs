//! Wire request to core command, core view to wire answer. Pure, but for sealing.

use pilothouse_control::{Control, CreateDatabase, DatabaseView as CoreView, UpdateDatabase};
use pilothouse_model::{
    AccessSpec, Cidr, ClientAuthentication, Condition, Database, DatabaseName, DatabaseSpec, EngineKind, Event,
    EvictionPolicy, FsyncPolicy, InstalledEngine, LogLimits, NetworkSpec, Operation, OperationPhase, OperationResult,
    Persistence, ProcessState, Secret, ServerId, SnapshotRule, TlsMode,
};

use crate::error::Failure;
use crate::state;
use crate::wire::{
    AcceptedView, ConditionView, CreateRequest, DatabaseView, ErrorView, EventView, OperationView, ServerView,
    UpdateRequest,
};

/// A snapshot every hour in which something was written.
const HOURLY: SnapshotRule = SnapshotRule {
    seconds: 3_600,
    writes: 1,
};

/// Length of generated passwords.
const PASSWORD_LENGTH: usize = 32;

/// The command that a request asks for.
pub(crate) fn create(control: &Control, request: CreateRequest) -> Result<CreateDatabase, Failure> {
    let name = DatabaseName::parse(request.name).map_err(|error| Failure::invalid("name", error))?;
    let engine = engine(&control.engines(), request.engine.as_deref())?;
    let password = match request.password {
        Some(text) if text.is_empty() => return Err(Failure::invalid("password", "must not be empty")),
        Some(text) => Secret::new(text),
        None => control.generate_secret(PASSWORD_LENGTH),
    };
    let spec = DatabaseSpec {
        engine: engine.kind,
        version: engine.version,
        memory_bytes: request.memory_bytes,
        shards: 1,
        cluster: false,
        replicas: request.replicas,
        persistence: persistence(request.persistence.as_deref())?,
        log_limits: LogLimits::default(),
        eviction: eviction(request.eviction.as_deref())?,
        access: AccessSpec {
            default_user: true,
            default_passwords: vec![control.seal(&password)],
            admin_password: control.seal(&control.generate_secret(PASSWORD_LENGTH)),
            bindings: Vec::new(),
            disabled_commands: Vec::new(),
        },
        network: NetworkSpec {
            port: request.port.unwrap_or(0),
            address: control.settings().advertise_address,
            tls: TlsMode::Disabled,
            client_auth: ClientAuthentication::default(),
            source_allow: ranges(&request.source_allow)?,
            max_connections: request.max_connections,
            traffic_stopped: false,
            encrypt_replication: false,
        },
        tuning: std::collections::BTreeMap::new(),
        replica_of: None,
        backup: None,
    };
    Ok(CreateDatabase {
        name,
        spec,
        group: None,
        wire_id: None,
        documents: Vec::new(),
    })
}

/// What a request leaves out stays as it is.
pub(crate) fn update(database: &Database, request: UpdateRequest) -> Result<UpdateDatabase, Failure> {
    let mut spec = database.spec.clone();
    if let Some(bytes) = request.memory_bytes {
        spec.memory_bytes = bytes;
    }
    if let Some(replicas) = request.replicas {
        spec.replicas = replicas;
    }
    if let Some(word) = &request.persistence {
        spec.persistence = persistence(Some(word))?;
    }
    if let Some(word) = &request.eviction {
        spec.eviction = eviction(Some(word))?;
    }
    if let Some(sources) = &request.source_allow {
        spec.network.source_allow = ranges(sources)?;
    }
    if let Some(most) = request.max_connections {
        spec.network.max_connections = most;
    }
    Ok(UpdateDatabase {
        name: database.name.clone(),
        spec,
        expected_generation: database.generation,
        documents: Vec::new(),
    })
}

/// More ranges than anybody lists by hand; each is looked at for every new connection.
const RANGES_MAX: usize = 256;

fn ranges(texts: &[String]) -> Result<Vec<Cidr>, Failure> {
    if texts.len() > RANGES_MAX {
        return Err(Failure::invalid(
            "source_allow",
            format!("has {} ranges; at most {RANGES_MAX} are allowed", texts.len()),
        ));
    }
    let parsed = texts.iter().map(|text| text.parse::<Cidr>());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::invalid("source_allow", format!("holds a wrong range: {error}")))
}

/// The newest installed version of the product that was asked for, or of the first product that is there.
fn engine(installed: &[InstalledEngine], wanted: Option<&str>) -> Result<InstalledEngine, Failure> {
    let known = EngineKind::ALL.map(EngineKind::as_str);
    if let Some(word) = wanted.filter(|word| !known.contains(word)) {
        return Err(Failure::invalid(
            "engine",
            format!("is {word:?}; allowed: {}", known.join(", ")),
        ));
    }
    let newest = |kind: EngineKind| {
        installed
            .iter()
            .filter(|engine| engine.kind == kind)
            .max_by_key(|engine| engine.version)
    };
    let kinds = EngineKind::ALL
        .into_iter()
        .filter(|kind| wanted.is_none_or(|word| word == kind.as_str()));
    let found = kinds.into_iter().find_map(newest).cloned();
    found.ok_or_else(|| {
        Failure::invalid(
            "engine",
            "is not installed; `pilothouse doctor` tells which package has it",
        )
    })
}

fn persistence(word: Option<&str>) -> Result<Persistence, Failure> {
    match word {
        Some("disabled") => Ok(Persistence::Disabled),
        Some("snapshot") => Ok(Persistence::Snapshot { rules: vec![HOURLY] }),
        None | Some("aof") => Ok(Persistence::AppendOnly {
            fsync: FsyncPolicy::EverySecond,
        }),
        Some("aof-always") => Ok(Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        }),
        Some(word) => Err(Failure::invalid(
            "persistence",
            format!("is {word:?}; allowed: disabled, snapshot, aof, aof-always"),
        )),
    }
}

const fn persistence_word(persistence: &Persistence) -> &'static str {
    match persistence {
        Persistence::Disabled => "disabled",
        Persistence::Snapshot { .. } => "snapshot",
        Persistence::AppendOnly {
            fsync: FsyncPolicy::EverySecond,
        } => "aof",
        Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        } => "aof-always",
    }
}

fn eviction(word: Option<&str>) -> Result<EvictionPolicy, Failure> {
    let word = word.unwrap_or(EvictionPolicy::Noeviction.as_str());
    EvictionPolicy::ALL
        .into_iter()
        .find(|policy| policy.as_str() == word)
        .ok_or_else(|| {
            let known = EvictionPolicy::ALL.map(EvictionPolicy::as_str);
            Failure::invalid("eviction", format!("is {word:?}; allowed: {}", known.join(", ")))
        })
}

/// A database in a list. Tenants are shown by their names.
pub(crate) fn summary(view: &CoreView, tenant: String) -> DatabaseView {
    let database = &view.database;
    DatabaseView {
        id: database.id.to_string(),
        name: database.name.to_string(),
        tenant,
        origin: database.origin.to_string(),
        engine: database.spec.engine.to_string(),
        version: database.spec.version.to_string(),
        state: state::database(view.lifecycle).to_owned(),
        reason: state::reason(database, view.lifecycle),
        endpoint: database.endpoint().to_string(),
        tls: database.spec.network.tls == TlsMode::Enabled,
        memory_bytes: database.spec.memory_bytes,
        used_memory_bytes: used_memory(view),
        replicas: database.spec.replicas,
        persistence: persistence_word(&database.spec.persistence).to_owned(),
        eviction: database.spec.eviction.as_str().to_owned(),
        source_allow: database.spec.network.source_allow.iter().map(Cidr::to_string).collect(),
        max_connections: database.spec.network.max_connections,
        created_at: database.created_at.to_rfc3339_seconds(),
        changed_at: database.changed_at.to_rfc3339_seconds(),
        operation: database.operation.map(|id| id.to_string()),
        servers: Vec::new(),
        conditions: Vec::new(),
        password: None,
    }
}

/// Everything about a database, but its password.
pub(crate) fn whole(view: &CoreView, tenant: String) -> DatabaseView {
    let servers = view
        .database
        .layout
        .servers()
        .map(|server| server_view(view, server.id))
        .collect();
    let conditions = view.database.conditions.iter().map(condition_view).collect();
    DatabaseView {
        servers,
        conditions,
        ..summary(view, tenant)
    }
}

fn used_memory(view: &CoreView) -> Option<u64> {
    let primary = view.database.layout.shards.first()?.primary()?;
    Some(
        view.observation
            .servers
            .get(&primary.id)?
            .facts
            .as_ref()?
            .used_memory_bytes,
    )
}

/// The role of a server by the lineage, which is what counts.
pub(crate) fn role(database: &Database, server: ServerId) -> &'static str {
    match database.layout.shard_of(server).map(|shard| shard.lineage.primary) {
        Some(Some(primary)) if primary == server => "primary",
        _ => "replica",
    }
}

fn server_view(view: &CoreView, id: ServerId) -> ServerView {
    let seen = view.observation.servers.get(&id);
    let pid = seen.and_then(|seen| match seen.process {
        ProcessState::Running { pid } => Some(pid),
        ProcessState::Absent | ProcessState::Leftover | ProcessState::Unknown => None,
    });
    let ports = view.database.layout.server(id).map(|server| server.ports);
    let tls = view.database.spec.network.tls == TlsMode::Enabled;
    ServerView {
        id: id.to_string(),
        role: role(&view.database, id).to_owned(),
        state: state::server(seen).to_owned(),
        port: ports.map_or(0, |ports| if tls { ports.tls } else { ports.plain }),
        pid,
    }
}

fn condition_view(condition: &Condition) -> ConditionView {
    ConditionView {
        kind: state::word(condition.kind),
        truth: state::word(condition.truth),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: condition.since.to_rfc3339_seconds(),
    }
}

/// What an operation that was asked for is called.
pub(crate) fn accepted(database: String, operation: Option<&Operation>) -> AcceptedView {
    AcceptedView {
        operation: operation.map(|operation| operation.id.to_string()),
        database,
    }
}

/// An operation as shown.
pub(crate) fn operation(operation: &Operation) -> OperationView {
    let failure = match (&operation.phase, &operation.result) {
        (OperationPhase::Failed { code, message }, _) | (_, Some(OperationResult::Failed { code, message })) => {
            Some(ErrorView {
                code: code.clone(),
                message: message.clone(),
            })
        }
        _ => None,
    };
    OperationView {
        id: operation.id.to_string(),
        kind: state::operation(operation.kind).to_owned(),
        phase: state::phase(&operation.phase).to_owned(),
        step: operation.step.clone(),
        progress: operation.progress,
        done: operation.is_final(),
        failure,
    }
}

/// An event as shown.
pub(crate) fn event(event: &Event) -> EventView {
    EventView {
        at: event.at.to_string(),
        severity: state::word(event.what.severity),
        kind: event.what.kind.clone(),
        actor: event.what.actor.clone(),
        message: event.what.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_model::EngineVersion;

    use super::*;

    fn installed(kind: EngineKind, major: u16) -> InstalledEngine {
        let version = EngineVersion::new(major, 0, 0);
        InstalledEngine {
            kind,
            version,
            compatible: version,
            binary: "/usr/bin/server".into(),
        }
    }

    #[test]
    fn the_newest_version_of_the_preferred_product_is_taken() {
        let all = [
            installed(EngineKind::Valkey, 8),
            installed(EngineKind::Redis, 6),
            installed(EngineKind::Redis, 7),
        ];
        assert_eq!(engine(&all, None).unwrap(), all[2]);
        assert_eq!(engine(&all, Some("valkey")).unwrap(), all[0]);
        assert_eq!(engine(&all[..1], None).unwrap(), all[0]);
        assert!(engine(&all[..1], Some("redis")).is_err());
        assert!(engine(&all, Some("mysql")).is_err());
    }

    #[test]
    fn words_go_there_and_back() {
        for word in ["disabled", "snapshot", "aof", "aof-always"] {
            assert_eq!(persistence_word(&persistence(Some(word)).unwrap()), word);
        }
        for policy in EvictionPolicy::ALL {
            assert_eq!(eviction(Some(policy.as_str())).unwrap(), policy);
        }
        assert!(persistence(Some("always")).is_err() && eviction(Some("lru")).is_err());
    }
}
