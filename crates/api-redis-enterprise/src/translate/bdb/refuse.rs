//! What cannot be honoured is refused with this API's own code, never stored and ignored.

use std::collections::BTreeSet;

use pilothouse_api::JsonObject;
use serde_json::Value;

use super::{Body, Surroundings};
use crate::error::Failure;

/// The rules that mean plain hash-tag hashing, which is what every engine does.
const DEFAULT_RULES: [&str; 2] = [r".*\{(?<tag>.*)\}.*", "(?<tag>.*)"];
/// Fields that configure modules.
const MODULE_FIELDS: [&str; 4] = ["search", "timeseries", "probabilistic", "query_performance_factor"];
/// The smallest limit that a server with replicas can work with, bytes.
const REPLICATED_MIN: u64 = 3 << 20;
/// The smallest limit of a server, bytes.
const SINGLE_MIN: u64 = 1 << 20;

/// Checks a body as it is. `created` tells a new database from a present one, for the codes that differ.
pub(super) fn check(
    body: &Body<'_>,
    echo: &JsonObject,
    around: &Surroundings<'_>,
    created: bool,
) -> Result<(), Failure> {
    check_kind(body, echo)?;
    check_slots(body, echo)?;
    check_clients(body, echo)?;
    check_placement(body, echo, around, created)?;
    check_tags(echo)
}

pub(super) fn no(code: &'static str, why: impl Into<String>) -> Result<(), Failure> {
    Err(Failure::not_acceptable(code, why))
}

/// Refuses a change of an endpoint that the database with that uid does not have. Each has one.
pub(super) fn check_endpoint(object: &JsonObject, uid: u64) -> Result<(), Failure> {
    match object.get("endpoint").and_then(Value::as_str) {
        Some(endpoint) if !endpoint.is_empty() && endpoint != format!("{uid}:1") => {
            let why = format!("the database has no endpoint {endpoint:?}, only \"{uid}:1\"");
            no("invalid_configuration", why)
        }
        _ => Ok(()),
    }
}

fn is(echo: &JsonObject, name: &str, wanted: bool) -> bool {
    echo.get(name).and_then(Value::as_bool) == Some(wanted)
}

fn listed<'a>(echo: &'a JsonObject, name: &str) -> &'a [Value] {
    echo.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn check_kind(body: &Body<'_>, echo: &JsonObject) -> Result<(), Failure> {
    if body.text("type") == Some("memcached") {
        return no(
            "unsupported_database_type",
            "databases of type memcached are not available on this cluster",
        );
    }
    if is(echo, "crdt", true) {
        let why = "Active-Active databases are created with /v1/crdbs and are not available on this cluster";
        return no("crdt_not_supported", why);
    }
    if is(echo, "bigstore", true) {
        return no(
            "bigstore_not_supported",
            "databases on flash are not available on this cluster",
        );
    }
    if !listed(echo, "module_list").is_empty() {
        return no("missing_module", "no modules are available on this cluster");
    }
    let configured = |name: &&str| {
        body.get(name)
            .is_some_and(|value| value.as_object().is_none_or(|object| !object.is_empty()))
    };
    if let Some(field) = MODULE_FIELDS.iter().find(|field| configured(field)) {
        return no(
            "missing_module",
            format!("{field} needs a module that is not available on this cluster"),
        );
    }
    if matches!(body.text("eviction_policy"), Some("volatile-lrm" | "allkeys-lrm")) {
        return no(
            "eviction_policy_violation",
            "no engine on this cluster has this eviction policy",
        );
    }
    Ok(())
}

fn check_slots(body: &Body<'_>, echo: &JsonObject) -> Result<(), Failure> {
    let oss_cluster = body.flag("oss_cluster") == Some(true);
    if echo.get("hash_slots_policy").and_then(Value::as_str) == Some("legacy") {
        let code = if oss_cluster {
            "invalid_oss_cluster_configuration"
        } else {
            "invalid_sharding"
        };
        return no(
            code,
            "hash_slots_policy legacy is not available: engines divide the key space into 16384 slots",
        );
    }
    let rules: Vec<_> = listed(echo, "shard_key_regex")
        .iter()
        .map(|rule| rule.get("regex").and_then(Value::as_str))
        .collect();
    if !rules.is_empty() && rules != DEFAULT_RULES.map(Some) {
        let why = format!("shard_key_regex must be the rules {DEFAULT_RULES:?}, others are not available");
        return no("invalid_sharding", why);
    }
    Ok(())
}

fn check_clients(body: &Body<'_>, echo: &JsonObject) -> Result<(), Failure> {
    if body.text("tls_mode") == Some("replica_ssl") {
        return no(
            "invalid_tls_mode",
            "an endpoint speaks either TLS or plain; replica_ssl would need both on one port",
        );
    }
    let validation = echo.get("client_cert_subject_validation_type").and_then(Value::as_str);
    if validation.is_some_and(|word| word != "disabled")
        || !listed(echo, "authorized_subjects").is_empty()
        || !listed(echo, "authorized_names").is_empty()
    {
        return no(
            "invalid_configuration",
            "subjects of client certificates are not checked on this cluster",
        );
    }
    if is(echo, "resp3", false) {
        return no("invalid_configuration", "RESP3 cannot be switched off on this cluster");
    }
    if is(echo, "db_conns_auditing", true) {
        return no("invalid_configuration", "db_conns_auditing needs an audit listener");
    }
    let policy = echo.get("proxy_policy").and_then(Value::as_str);
    if policy.is_some_and(|word| !matches!(word, "single" | "all-master-shards" | "all-nodes")) {
        return no(
            "invalid_proxy_policy",
            "proxy_policy must be single, all-master-shards or all-nodes",
        );
    }
    Ok(())
}

fn check_placement(
    body: &Body<'_>,
    echo: &JsonObject,
    around: &Surroundings<'_>,
    created: bool,
) -> Result<(), Failure> {
    if is(echo, "rack_aware", true) && !is(around.policy, "rack_aware", true) {
        let code = if created {
            "not_rack_aware"
        } else {
            "rack_awareness_violation"
        };
        return no(code, "the cluster is not rack aware");
    }
    let names = |node: &Value, uid: u64| node.as_str() == Some(uid.to_string().as_str());
    let avoided = |uid: u64| listed(echo, "avoid_nodes").iter().any(|node| names(node, uid));
    let wanted = listed(echo, "use_nodes");
    let usable = |uid: &&u64| !avoided(**uid) && (wanted.is_empty() || wanted.iter().any(|node| names(node, **uid)));
    let constrained = !wanted.is_empty() || !listed(echo, "avoid_nodes").is_empty();
    if constrained && around.nodes.iter().find(usable).is_none() {
        return no(
            "insufficient_resources",
            "no node is left after avoid_nodes and use_nodes",
        );
    }
    match body.list("shards_blueprint") {
        Some(blueprint) if !fits(blueprint, body.flag("replication"), around) => no(
            "bad_shards_blueprint",
            "shards_blueprint must place one shard with slots 0-16383 on nodes of this cluster",
        ),
        _ => Ok(()),
    }
}

/// Whether a blueprint is one that the database can have: one shard, one master, replicas only where there is replication.
fn fits(blueprint: &[Value], replication: Option<bool>, around: &Surroundings<'_>) -> bool {
    let [shard] = blueprint else { return false };
    let nodes = shard
        .get("nodes")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let role = |wanted: &str| {
        nodes
            .iter()
            .filter(|node| node.get("role").and_then(Value::as_str) == Some(wanted))
            .count()
    };
    let known = |node: &Value| {
        let uid = node
            .get("node_uid")
            .and_then(|uid| uid.as_u64().or_else(|| uid.as_str()?.parse().ok()));
        uid.is_some_and(|uid| around.nodes.contains(&uid))
    };
    let replicas = role("slave");
    shard.get("slot_range").and_then(Value::as_str) == Some("0-16383")
        && role("master") == 1
        && role("master") + replicas == nodes.len()
        && replication.is_none_or(|replication| replicas == usize::from(replication))
        && nodes.iter().all(known)
}

fn check_tags(echo: &JsonObject) -> Result<(), Failure> {
    let mut keys = BTreeSet::new();
    for tag in listed(echo, "tags") {
        let text = |name: &str| tag.get(name).and_then(Value::as_str);
        let (Some(key), Some(_)) = (text("key"), text("value")) else {
            return Err(Failure::invalid_schema("each of tags needs key and value, both texts"));
        };
        if !keys.insert(key) {
            return no("invalid_bdb_tags", format!("the tag {key:?} is given twice"));
        }
    }
    Ok(())
}

/// Refuses a memory limit that a server cannot work with; replicas need more.
pub(super) fn check_memory(memory_bytes: u64, shards: u16, replicas: u8) -> Result<(), Failure> {
    if memory_bytes == 0 {
        return Ok(());
    }
    let shards = u64::from(shards);
    if memory_bytes < SINGLE_MIN * shards {
        return no(
            "invalid_memory_size",
            format!("memory_size must be 0 or at least {}", SINGLE_MIN * shards),
        );
    }
    let least = REPLICATED_MIN * (1 + u64::from(replicas)) * shards;
    if replicas > 0 && memory_bytes < least {
        return no(
            "replication_size_violation",
            format!("with replication memory_size must be 0 or at least {least}"),
        );
    }
    Ok(())
}
