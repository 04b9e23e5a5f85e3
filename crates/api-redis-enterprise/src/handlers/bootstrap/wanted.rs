//! What the body of a bootstrap asks for, checked before anything is done.

use pilothouse_api::JsonObject;
use pilothouse_model::Secret;
use serde_json::Value;

use crate::app::App;
use crate::call::{Call, typed};
use crate::error::Failure;
use crate::handlers::{license, nodes, policy};
use crate::wire::bootstrap::{CreateClusterRequest, NodeSetup};
use crate::{fields, wire};

/// What of the node is taken from `node.identity` and `node.limits`.
const NODE_KEYS: [&str; 5] = [
    "accept_servers",
    "rack_id",
    "external_addr",
    "max_listeners",
    "max_redis_servers",
];
/// The port that scripts name because it is the product's.
const DEFAULT_PORT: u16 = 9443;

/// What was asked for, checked.
pub(super) struct Wanted {
    pub(super) cluster_name: String,
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) policy: Value,
    pub(super) node: JsonObject,
    pub(super) license: Option<String>,
}

fn config_error(description: impl Into<String>) -> Failure {
    Failure::bad_request("config_error", description)
}

/// Reads and checks the body.
pub(super) fn wanted(app: &App, call: &Call) -> Result<Wanted, Failure> {
    let body = call.body()?;
    let request: CreateClusterRequest = typed(body).map_err(|failure| failure.with_code("config_error"))?;
    if request
        .action
        .as_deref()
        .is_some_and(|action| action != "create_cluster")
    {
        return Err(config_error("action must be create_cluster here"));
    }
    let name = request.cluster.and_then(|cluster| cluster.name).or(request.name);
    let cluster_name = name.ok_or_else(|| config_error("cluster.name is missing"))?;
    check_cluster_name(&cluster_name)?;
    let credentials = request
        .credentials
        .ok_or_else(|| config_error("credentials are missing"))?;
    let username = credentials.username.unwrap_or_default();
    let password = credentials.password.unwrap_or_default();
    if username.is_empty() || username.len() > 255 || username.chars().any(|c| "&<>\"".contains(c) || !is_plain(c)) {
        return Err(config_error(
            "credentials.username must have 1 to 255 ASCII characters without &, <, > and \"",
        ));
    }
    if password.is_empty() {
        return Err(config_error("credentials.password is missing"));
    }
    let node = wanted_node(&request.node.unwrap_or_default())?;
    let asked = fields::checked(wire::policy::SETTINGS, &request.policy.unwrap_or_default())
        .map_err(|failure| failure.with_code("config_error"))?;
    let racks = node.get("rack_id").is_some_and(|rack| rack != "");
    let mut judged = asked.clone();
    judged.retain(|name, _| !(racks && name == "rack_aware"));
    policy::check_honoured(app, &judged).map_err(|failure| config_error(failure.description))?;
    let license = request.license.filter(|license| !license.trim().is_empty());
    if let Some(text) = &license {
        license::check(text)?;
    }
    check_port(app, request.cnm_https_port)?;
    Ok(Wanted {
        cluster_name,
        username,
        password: Secret::new(password),
        policy: Value::Object(asked),
        node,
        license,
    })
}

/// What of a node the bootstrap may set, as a change of the node object. What is blank was not asked for.
fn wanted_node(setup: &NodeSetup) -> Result<JsonObject, Failure> {
    if setup.bigstore_enabled == Some(true) {
        return Err(config_error("node.bigstore_enabled: there is no flash on this cluster"));
    }
    let parts = setup.identity.iter().chain(&setup.limits).flatten();
    let mut node: JsonObject = parts
        .filter(|(name, value)| NODE_KEYS.contains(&name.as_str()) && !value.is_null() && *value != "")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(Value::Array(addresses)) = node.get_mut("external_addr") {
        addresses.retain(|address| address != "");
    }
    nodes::checked(&node).map_err(|failure| config_error(failure.description))?;
    Ok(node)
}

/// The listener is bound long before the bootstrap: another port than its own is no part of it. The product's own default is no wish.
fn check_port(app: &App, wanted: Option<u16>) -> Result<(), Failure> {
    let bound = app.listeners().map(|listeners| listeners.https.address().port());
    match wanted {
        Some(port) if port != DEFAULT_PORT && bound.is_some_and(|bound| bound != port) => Err(config_error(
            "cnm_https_port: the listener is moved with PUT /v1/cluster, or in the configuration",
        )),
        _ => Ok(()),
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_control()
}

/// A host name by RFC 952 and 1123, of at most 64 characters; one label is enough.
fn check_cluster_name(name: &str) -> Result<(), Failure> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 64 && name.split('.').all(label) {
        Ok(())
    } else {
        Err(config_error(
            "cluster.name must be a host name of at most 64 characters",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names_are_host_names() {
        for good in [
            "my.cluster",
            "cluster",
            "a-b.c1",
            "1.2",
            &format!("{}.a", "x".repeat(62)),
        ] {
            assert!(check_cluster_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "ä",
            "a b",
            "a.",
            &"x".repeat(64),
            &"x.".repeat(40),
        ] {
            assert!(check_cluster_name(bad).is_err(), "{bad}");
        }
    }
}
