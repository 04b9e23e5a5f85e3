//! The object of a database.

use std::net::IpAddr;

use pilothouse_api::JsonObject;
use pilothouse_control::{DatabaseView, SourceStanding};
use pilothouse_model::{
    AclRuleId, BackupSchedule, Database, InstalledEngine, Operation, RoleId, ServerId, TlsMode, Transfer, TransferKind,
    TransferPhase,
};
use serde_json::Value;

use super::{Core, backup, location, persistence, replica_of, tuning, version};
use crate::state;
use crate::wire::bdb::{BackgroundOp, Bdb, ClientCertificate, Echo, Endpoint, RolePermission};

/// What the object says besides what the view holds.
pub(crate) struct Shown<'a> {
    /// The integer of the database; `None` for one that would be made.
    pub(crate) uid: Option<u64>,
    /// The integers of other things.
    pub(crate) shard_uid: &'a dyn Fn(ServerId) -> u64,
    pub(crate) role_uid: &'a dyn Fn(RoleId) -> u64,
    pub(crate) acl_uid: &'a dyn Fn(AclRuleId) -> u64,
    /// Server binaries that can be run.
    pub(crate) engines: &'a [InstalledEngine],
    /// The name of the cluster.
    pub(crate) cluster_name: &'a str,
    /// Addresses of the nodes for clients outside.
    pub(crate) external_addresses: &'a [IpAddr],
    /// Opens secrets; `None` for somebody who may not see passwords.
    pub(crate) secrets: Option<&'a dyn Core>,
    /// How it stands with the source that it follows.
    pub(crate) source: SourceStanding,
}

/// The object. `document` is what this API was told of the database.
pub(crate) fn show<'a>(view: &'a DatabaseView, document: &'a JsonObject, with: &Shown<'_>) -> Bdb<'a> {
    let database = view.database.as_ref();
    let spec = &database.spec;
    let running = view.operation.as_deref().filter(|operation| !operation.is_final());
    let echo = Echo(document);
    let (aof_policy, snapshot_policy) = persistence::show(&spec.persistence, document);
    let primary = database.layout.shards.first().and_then(|shard| shard.primary());
    let facts = primary.and_then(|server| view.observation.servers.get(&server.id)?.facts.as_ref());
    let (replica_sync, replica_sources) = replica_of::show(spec, document, facts.map(|facts| &facts.replication), with);
    let (version, redis_version) = version::wire_versions(with.engines, spec.engine, spec.version);
    let differs = version != spec.version.to_string();
    let (backup, export, import) = (
        Travel::of(database, TransferKind::Backup),
        Travel::of(database, TransferKind::Export),
        Travel::of(database, TransferKind::Import),
    );
    let number = |name: &str| document.get(name).and_then(Value::as_u64);
    Bdb {
        uid: with.uid,
        name: database.name.as_str(),
        kind: "redis",
        status: state::status_of(view),
        action_uid: running.map(|operation| operation.id.to_string()),
        created_time: database.created_at.to_rfc3339_seconds(),
        last_changed_time: database.changed_at.to_rfc3339_seconds(),
        engine: differs.then(|| spec.engine.as_str()),
        engine_version: differs.then(|| spec.version.to_string()),
        version,
        redis_version,
        background_op: [background_op(running)],
        topology_epoch: database.topology_epoch.max(1),
        memory_size: spec.memory_bytes,
        memory_used: memory_used(view),
        eviction_policy: spec.eviction.as_str(),
        data_internode_encryption: spec.network.encrypt_replication,
        sharding: spec.cluster,
        shards_count: spec.shards,
        oss_cluster: spec.cluster,
        shard_list: shard_list(database, with),
        replication: spec.replicas > 0,
        data_persistence: persistence::word(&spec.persistence),
        aof_policy,
        snapshot_policy,
        port: spec.network.port,
        endpoints: endpoints(database, echo, with),
        max_connections: spec.network.max_connections,
        tls_mode: if spec.network.tls == TlsMode::Enabled {
            "enabled"
        } else {
            "disabled"
        },
        ssl: spec.network.tls == TlsMode::Enabled,
        enforce_client_authentication: if spec.network.client_auth.required {
            "enabled"
        } else {
            "disabled"
        },
        authentication_ssl_client_certs: spec
            .network
            .client_auth
            .trusted
            .iter()
            .map(|pem| ClientCertificate { client_cert: pem })
            .collect(),
        authentication_redis_pass: opened(with, spec.access.default_passwords.first()),
        authentication_admin_pass: opened(with, Some(&spec.access.admin_password)),
        default_user: spec.access.default_user,
        roles_permissions: spec
            .access
            .bindings
            .iter()
            .map(|bound| RolePermission {
                role_uid: (with.role_uid)(bound.role),
                redis_acl_uid: (with.acl_uid)(bound.rule),
            })
            .collect(),
        disabled_commands: spec.access.disabled_commands.join(","),
        backup: spec.backup.as_ref().is_some_and(|backup| backup.enabled),
        backup_interval: interval(spec.backup.as_ref(), number("backup_interval")),
        backup_interval_offset: spec
            .backup
            .as_ref()
            .map(|backup| backup.offset_seconds)
            .or(number("backup_interval_offset")),
        backup_history: spec.backup.as_ref().map_or(
            number("backup_history")
                .and_then(|days| u32::try_from(days).ok())
                .unwrap_or(0),
            |backup| backup.retention_days,
        ),
        backup_location: spec.backup.as_ref().map(|backup| location::show(&backup.location)),
        backup_status: backup.outbound_word(),
        backup_progress: backup.progress,
        backup_failure_reason: backup.failure,
        last_backup_time: backup.last,
        export_status: export.outbound_word(),
        export_progress: export.progress,
        export_failure_reason: export.failure,
        last_export_time: export.last,
        import_status: import.inbound_word(),
        import_progress: import.progress,
        import_failure_reason: import.failure,
        sync_sources: replica_sources.clone(),
        replica_sources,
        sync: replica_sync.clone(),
        replica_sync,
        traffic_manually_disabled: spec.network.traffic_stopped,
        tuning: tuning::show(spec),
        echo,
    }
}

/// Of all primaries together, as far as they told.
fn memory_used(view: &DatabaseView) -> Option<u64> {
    let primaries = view.database.layout.shards.iter().filter_map(|shard| shard.primary());
    primaries
        .filter_map(|server| view.observation.servers.get(&server.id)?.facts.as_ref())
        .map(|facts| facts.used_memory_bytes)
        .reduce(|sum, bytes| sum + bytes)
}

fn opened(with: &Shown<'_>, sealed: Option<&pilothouse_model::Sealed>) -> String {
    let opened = with
        .secrets
        .zip(sealed)
        .and_then(|(secrets, sealed)| secrets.open(sealed).ok());
    opened.map(|secret| secret.expose().to_owned()).unwrap_or_default()
}

fn interval(schedule: Option<&BackupSchedule>, remembered: Option<u64>) -> u64 {
    schedule
        .map(|backup| backup.interval_seconds)
        .or(remembered)
        .unwrap_or(backup::DEFAULT_INTERVAL)
}

fn background_op(running: Option<&Operation>) -> BackgroundOp {
    match running {
        None => BackgroundOp {
            status: "idle",
            name: None,
            progress: None,
        },
        Some(operation) => BackgroundOp {
            status: "running",
            name: Some(state::state_machine(operation.kind)),
            progress: Some(f64::from(operation.progress)),
        },
    }
}

/// Masters first, then replicas.
fn shard_list(database: &Database, with: &Shown<'_>) -> Vec<u64> {
    let shards = &database.layout.shards;
    let primaries = shards.iter().filter_map(|shard| shard.primary());
    let replicas = shards.iter().flat_map(|shard| shard.replicas());
    primaries
        .chain(replicas)
        .map(|server| (with.shard_uid)(server.id))
        .collect()
}

/// One element; where nodes have addresses for clients outside, those are its, and the second has the address that is bound.
fn endpoints<'a>(database: &Database, echo: Echo<'a>, with: &Shown<'_>) -> Vec<Endpoint<'a>> {
    let endpoint = database.endpoint();
    let element = |domain: &str, addr: Vec<IpAddr>, addr_type| Endpoint {
        uid: format!("{}:1", with.uid.unwrap_or(0)),
        dns_name: format!("redis-{}.{domain}{}", endpoint.port, with.cluster_name),
        port: endpoint.port,
        addr,
        addr_type,
        proxy_policy: echo.field("proxy_policy"),
        oss_cluster_api_preferred_ip_type: echo.field("oss_cluster_api_preferred_ip_type"),
        oss_cluster_api_preferred_endpoint_type: echo.field("oss_cluster_api_preferred_endpoint_type"),
    };
    let bound = vec![endpoint.address];
    if with.external_addresses.is_empty() {
        return vec![element("", bound, "external")];
    }
    vec![
        element("", with.external_addresses.to_vec(), "external"),
        element("internal.", bound, "internal"),
    ]
}

/// The last transfer of one kind, in this API's terms.
struct Travel {
    phase: Option<TransferPhase>,
    progress: f64,
    failure: String,
    last: Option<String>,
}

impl Travel {
    fn of(database: &Database, kind: TransferKind) -> Self {
        let transfer = database.transfer(kind);
        let outcome = transfer.filter(|transfer| !transfer.status.acknowledged);
        Self {
            phase: outcome.map(|transfer| transfer.status.phase),
            progress: outcome.map_or(0.0, |transfer| f64::from(transfer.status.progress)),
            failure: outcome.map(failure_reason).unwrap_or_default(),
            last: transfer
                .and_then(|transfer| transfer.last_success_at)
                .map(|at| at.to_rfc3339_seconds()),
        }
    }

    const fn outbound_word(&self) -> &'static str {
        match self.phase {
            None => "",
            Some(TransferPhase::Waiting | TransferPhase::Running) => "exporting",
            Some(TransferPhase::Succeeded) => "succeeded",
            Some(TransferPhase::Failed) => "failed",
        }
    }

    const fn inbound_word(&self) -> &'static str {
        match self.phase {
            None => "",
            Some(TransferPhase::Waiting) => "initializing",
            Some(TransferPhase::Running) => "importing",
            Some(TransferPhase::Succeeded) => "succeeded",
            Some(TransferPhase::Failed) => "failed",
        }
    }
}

/// Why a transfer failed, in the words that clients know. Classes that have no word of their own there are `general-error`.
fn failure_reason(transfer: &Transfer) -> String {
    let Some((class, message)) = &transfer.status.failure else {
        return String::new();
    };
    let word = if transfer.kind == TransferKind::Import {
        match class.as_str() {
            "no-permission" | "wrong-path" | "unreachable" | "download-error" => "download-error",
            "corrupted" | "file-corrupted" => "file-corrupted",
            "key-too-long" => "key-too-long",
            "invalid-bulk-length" => "invalid-bulk-length",
            "out-of-memory" => "out-of-memory",
            "too-large" => return too_large(message),
            larger if larger.starts_with("file-larger-than-mem-limit:") => larger,
            _ => "general-error",
        }
    } else {
        match class.as_str() {
            "no-permission" => "no-permission",
            "wrong-path" | "wrong-file-path" => "wrong-file-path",
            _ => "general-error",
        }
    };
    word.to_owned()
}

/// The word that carries what was expected and what was allowed, which are the first numbers of the message.
fn too_large(message: &str) -> String {
    let numbers: Vec<&str> = message
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect();
    match numbers.as_slice() {
        [expected, limit, ..] => format!("file-larger-than-mem-limit:{expected}:{limit}"),
        _ => "general-error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_model::{Timestamp, TransferStatus};

    use super::*;

    #[test]
    fn failures_have_the_words_of_their_direction() {
        let check = |kind, class: &str, expected: &str| {
            let at = Timestamp::from_millis(0);
            let failure = Some((
                class.to_owned(),
                "the data needs 500 bytes, the limit is 100 bytes".to_owned(),
            ));
            let status = TransferStatus {
                phase: TransferPhase::Failed,
                progress: 0,
                failure,
                started_at: at,
                ended_at: Some(at),
                acknowledged: false,
            };
            let transfer = Transfer {
                kind,
                locations: Vec::new(),
                skip_size_check: false,
                confined: false,
                status,
                last_success_at: None,
                replacement: None,
            };
            assert_eq!(failure_reason(&transfer), expected, "{kind:?} {class}");
        };
        check(TransferKind::Export, "no-permission", "no-permission");
        check(TransferKind::Backup, "wrong-path", "wrong-file-path");
        check(TransferKind::Export, "unreachable", "general-error");
        check(TransferKind::Import, "wrong-path", "download-error");
        check(TransferKind::Import, "corrupted", "file-corrupted");
        check(TransferKind::Import, "too-large", "file-larger-than-mem-limit:500:100");
        check(TransferKind::Import, "cancelled", "general-error");
    }
}
