//! From a body to what is wanted.

use pilothouse_api::JsonObject;
use pilothouse_model::{
    AccessSpec, ClientAuthentication, Database, DatabaseName, DatabaseSpec, EvictionPolicy, NetworkSpec, Persistence,
    TlsMode,
};
use serde_json::Value;

use super::{Body, Draft, Surroundings, backup, network, persistence, refuse, replica_of, sharding, tuning, version};
use crate::error::Failure;
use crate::fields::checked;
use crate::wire::bdb::{ECHO, EFFECTIVE};

/// Length of the password of the data-plane user `admin` that nobody chose.
pub(crate) const ADMIN_PASSWORD_LENGTH: usize = 48;
/// The longest name.
const NAME_MAX: usize = 63;
/// Where remembered import sources stand in the document, sealed.
pub(crate) const IMPORT_SOURCES: &str = "sealed_import_sources";

/// A new database.
pub(crate) fn create(object: &JsonObject, around: &Surroundings<'_>) -> Result<Draft, Failure> {
    let (effective, echo) = (checked(EFFECTIVE, object)?, checked(ECHO, object)?);
    let body = Body(&effective);
    let name = match body.text("name") {
        Some(name) => checked_name(name)?,
        None => return Err(Failure::not_acceptable("missing_db_name", "name is required")),
    };
    let port = checked_port(&body)?.unwrap_or(0);
    let Some(memory_bytes) = body.number("memory_size") else {
        return Err(Failure::not_acceptable(
            "missing_memory_size",
            "memory_size is required",
        ));
    };
    refuse::check(&body, &echo, around, true)?;
    let engine = version::choose(&body, around)?;
    let mut spec = DatabaseSpec {
        engine: engine.kind,
        version: engine.version,
        memory_bytes,
        shards: 1,
        cluster: false,
        replicas: 0,
        persistence: Persistence::Disabled,
        log_limits: tuning::LOG_LIMITS,
        eviction: EvictionPolicy::VolatileLru,
        access: access_of_new_databases(around),
        network: network_of_new_databases(port, around),
        tuning: tuning::of_new_databases(),
        replica_of: None,
        backup: None,
    };
    let mut document = JsonObject::new();
    for (field, setting) in [
        ("shards_placement", "default_shards_placement"),
        ("proxy_policy", "default_non_sharded_proxy_policy"),
    ] {
        if let Some(value) = around.policy.get(setting) {
            document.insert(field.to_owned(), value.clone());
        }
    }
    sharding::create(&body, &echo, &mut spec, &mut document)?;
    document.extend(echo);
    apply(&body, object, around, &mut spec, &mut document)?;
    let uid = body.number("uid").filter(|uid| *uid > 0);
    Ok(Draft {
        name,
        spec,
        uid,
        document,
    })
}

fn network_of_new_databases(port: u16, around: &Surroundings<'_>) -> NetworkSpec {
    let encrypted = around.policy.get("data_internode_encryption").and_then(Value::as_bool);
    NetworkSpec {
        port,
        address: around.address,
        tls: TlsMode::Disabled,
        client_auth: ClientAuthentication {
            required: true,
            trusted: Vec::new(),
        },
        source_allow: Vec::new(),
        max_connections: 0,
        traffic_stopped: false,
        encrypt_replication: encrypted.unwrap_or(false),
    }
}

/// Everybody gets in until somebody says otherwise.
fn access_of_new_databases(around: &Surroundings<'_>) -> AccessSpec {
    AccessSpec {
        default_user: true,
        default_passwords: Vec::new(),
        admin_password: around.core.seal(&around.core.generate(ADMIN_PASSWORD_LENGTH)),
        bindings: Vec::new(),
        disabled_commands: Vec::new(),
    }
}

/// A present database after a body.
pub(crate) fn update(
    object: &JsonObject,
    present: &Database,
    uid: u64,
    document: &JsonObject,
    around: &Surroundings<'_>,
) -> Result<Draft, Failure> {
    let (effective, echo) = (checked(EFFECTIVE, object)?, checked(ECHO, object)?);
    let body = Body(&effective);
    let name = match body.text("name") {
        // Another dialect may have given it a name that this one would refuse.
        Some(name) if name != present.name.as_str() => checked_name(name)?,
        _ => present.name.clone(),
    };
    refuse::check(&body, &echo, around, false)?;
    refuse::check_endpoint(object, uid)?;
    check_fixed(&body, &echo, present, uid, document, around)?;
    let mut spec = present.spec.clone();
    sharding::update(&body, &mut spec)?;
    let mut document = document.clone();
    document.extend(echo);
    apply(&body, object, around, &mut spec, &mut document)?;
    Ok(Draft {
        name,
        spec,
        uid: None,
        document,
    })
}

fn apply(
    body: &Body<'_>,
    object: &JsonObject,
    around: &Surroundings<'_>,
    spec: &mut DatabaseSpec,
    document: &mut JsonObject,
) -> Result<(), Failure> {
    if let Some(memory) = body.number("memory_size") {
        spec.memory_bytes = memory;
    }
    if let Some(replication) = body.flag("replication") {
        spec.replicas = u8::from(replication);
    }
    let sized = ["memory_size", "shards_count"]
        .iter()
        .any(|name| body.number(name).is_some());
    if sized || body.flag("replication").is_some() {
        refuse::check_memory(spec.memory_bytes, spec.shards, spec.replicas)?;
    }
    if let Some(word) = body.text("eviction_policy") {
        spec.eviction = EvictionPolicy::ALL
            .into_iter()
            .find(|policy| policy.as_str() == word)
            .unwrap_or(spec.eviction);
    }
    let allows = |name: &str| document.get(name).and_then(Value::as_bool).unwrap_or(false);
    let allowed = network::Allowed {
        outdated: allows("mtls_allow_outdated_certs"),
        weak: allows("mtls_allow_weak_hashing"),
    };
    if let Some(certificates) = document.get("authentication_ssl_crdt_certs").and_then(Value::as_array) {
        network::trusted(certificates, around, allowed)?;
    }
    persistence::apply(body, spec, document)?;
    network::apply(body, around, spec, allowed)?;
    network::apply_access(body, around, spec)?;
    tuning::apply(body, spec)?;
    backup::apply(body, around, spec, document)?;
    replica_of::apply(body, around, spec, document)?;
    remember_import_sources(object, around, document)
}

/// Import sources are kept for an import without a body; sealed, because they may hold credentials.
fn remember_import_sources(
    object: &JsonObject,
    around: &Surroundings<'_>,
    document: &mut JsonObject,
) -> Result<(), Failure> {
    match object.get("dataset_import_sources") {
        None | Some(Value::Null) => {}
        // What a GET shows: sent back, it changes nothing.
        Some(Value::Array(sources)) if sources.is_empty() => {}
        Some(Value::Array(sources)) => {
            super::location::locations(sources, "dataset_import_sources", super::Purpose::Read, around.core)?;
            let text = Value::Array(sources.clone()).to_string();
            let sealed = around.core.seal(&pilothouse_model::Secret::new(text));
            document.insert(IMPORT_SOURCES.to_owned(), sealed.cipher_text().into());
        }
        Some(_) => return Err(Failure::invalid_schema("dataset_import_sources must be a list")),
    }
    Ok(())
}

/// Refuses other values of what is fixed at creation; equal ones are fine.
fn check_fixed(
    body: &Body<'_>,
    echo: &JsonObject,
    present: &Database,
    uid: u64,
    document: &JsonObject,
    around: &Surroundings<'_>,
) -> Result<(), Failure> {
    let fixed = |field: &str| {
        Err(Failure::not_acceptable(
            "invalid_configuration",
            format!("{field} cannot be changed after creation"),
        ))
    };
    version::check_unchanged(body, around, present.spec.engine, present.spec.version)?;
    if checked_port(body)?.is_some_and(|port| port != present.spec.network.port) {
        return fixed("port");
    }
    if body.number("uid").is_some_and(|wanted| wanted != uid) {
        return fixed("uid");
    }
    let before = |name: &str| document.get(name).and_then(Value::as_bool).unwrap_or(false);
    let wanted = echo.get("replica_read_only").and_then(Value::as_bool);
    if wanted.is_some_and(|wanted| wanted != before("replica_read_only")) {
        return fixed("replica_read_only");
    }
    Ok(())
}

fn checked_name(name: &str) -> Result<DatabaseName, Failure> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let good = name.len() <= NAME_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && edge(name.chars().next())
        && edge(name.chars().last());
    let error = || {
        let why = "name must have 1 to 63 letters, digits and hyphens, and begin and end with a letter or digit";
        Failure::invalid_schema(why)
    };
    if good {
        DatabaseName::parse(name).map_err(|_| error())
    } else {
        Err(error())
    }
}

/// The port that was asked for; `None` when the choice is ours.
fn checked_port(body: &Body<'_>) -> Result<Option<u16>, Failure> {
    match body.number("port").map(u16::try_from) {
        None | Some(Ok(0)) => Ok(None),
        Some(Ok(port)) if port >= 1024 => Ok(Some(port)),
        Some(_) => Err(Failure::invalid_schema(
            "port must be a whole number from 1024 to 65535",
        )),
    }
}
