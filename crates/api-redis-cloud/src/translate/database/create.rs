//! A new database.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use pilothouse_model::{
    AccessSpec, ClientAuthentication, DatabaseSpec, EngineKind, LogLimits, NetworkSpec, Secret, TlsMode,
};

use super::backup::backup;
use super::checks::{
    alphanumeric, check_room, checked_alerts, checked_name, checked_password, checked_port, eviction, persistence,
    refuse_what_is_not_offered,
};
use super::replica::replica_of;
use super::sources::{sources, trusted};
use super::versions::{resp_version, version};
use super::{Around, Drafted, sharding};
use crate::documents::DatabaseDocument;
use crate::error::TaskError;
use crate::plans::Plan;
use crate::translate::size;
use crate::wire::database::{DataEvictionPolicy, DataPersistence, DatabaseRequest, Protocol, Throughput, ThroughputBy};

const GENERATED_PASSWORD: usize = 32;
const ADMIN_PASSWORD: usize = 48;

/// A new database.
pub(crate) fn create(request: &DatabaseRequest, around: &Around<'_>) -> Result<Drafted, TaskError> {
    refuse_what_is_not_offered(request)?;
    let memory_bytes = |copies| match around.plan {
        Some(plan) => Ok(plan.dataset_bytes() * copies),
        None => size::total_bytes(request.dataset_size_in_gb, request.memory_limit_in_gb, copies),
    };
    let name = checked_name(request.name.as_deref().unwrap_or_default())?;
    let replicated = around.plan.is_none_or(|plan| plan.replication);
    let replicas = u8::from(request.replication.unwrap_or(replicated));
    let copies = 1 + u64::from(replicas);
    let version = version(request.redis_version.as_deref(), around.control)?;
    let throughput = request.throughput_measurement.unwrap_or(Throughput {
        by: ThroughputBy::OperationsPerSecond,
        value: 1000,
    });
    let password = match &request.password {
        Some(password) => checked_password(password)?,
        None => alphanumeric(around.control, GENERATED_PASSWORD),
    };
    let document = DatabaseDocument {
        throughput,
        resp_version: resp_version(request, version)?,
        auto_minor_version_upgrade: request.auto_minor_version_upgrade.unwrap_or(true),
        alerts: checked_alerts(request.alerts.as_deref().unwrap_or_default(), around)?,
        source_ip: request.source_ip.clone().unwrap_or_default(),
        steps: 0,
        holds_subscription: false,
        tags: Vec::new(),
        protocol: around.plan.map(|_| request.protocol.unwrap_or(Protocol::Stack)),
    };
    let mut spec = DatabaseSpec {
        engine: EngineKind::Redis,
        version,
        memory_bytes: memory_bytes(copies)?,
        shards: 1,
        cluster: false,
        replicas,
        persistence: persistence(request.data_persistence.unwrap_or(DataPersistence::None)),
        log_limits: LogLimits::default(),
        eviction: eviction(request.data_eviction_policy.unwrap_or(DataEvictionPolicy::VolatileLru))?,
        access: access(request, &password, around),
        network: network(request, &document, around)?,
        tuning: BTreeMap::new(),
        replica_of: replica_of(request, around.control)?.flatten(),
        backup: backup(request, around.control, None)?,
    };
    sharding::create(request, throughput, &mut spec)?;
    check_room(&spec, around)?;
    Ok(Drafted { name, spec, document })
}

/// Everybody gets in with the password until somebody says otherwise.
fn access(request: &DatabaseRequest, password: &Secret, around: &Around<'_>) -> AccessSpec {
    AccessSpec {
        default_user: request.enable_default_user.unwrap_or(true),
        default_passwords: vec![around.control.seal(password)],
        admin_password: around.control.seal(&around.control.generate_secret(ADMIN_PASSWORD)),
        bindings: Vec::new(),
        disabled_commands: Vec::new(),
    }
}

fn network(
    request: &DatabaseRequest,
    document: &DatabaseDocument,
    around: &Around<'_>,
) -> Result<NetworkSpec, TaskError> {
    let port = request.port.map_or(Ok(0), checked_port)?;
    let trusted = trusted(request);
    Ok(NetworkSpec {
        port,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        tls: if request.enable_tls.unwrap_or(false) {
            TlsMode::Enabled
        } else {
            TlsMode::Disabled
        },
        client_auth: ClientAuthentication {
            required: trusted.as_ref().is_some_and(|trusted| !trusted.is_empty()),
            trusted: trusted.unwrap_or_default(),
        },
        source_allow: sources(&document.source_ip, around)?,
        max_connections: around.plan.map_or(0, Plan::connections),
        traffic_stopped: false,
        encrypt_replication: false,
    })
}
