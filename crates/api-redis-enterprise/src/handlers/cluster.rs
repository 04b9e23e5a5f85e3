//! The cluster object: settings, some of which move or change our own listeners.

use std::path::Path;

use pilothouse_api::{JsonObject, MinimumTls, StatusCode};
use pilothouse_control::S3Bucket;
use pilothouse_model::{Secret, Subject, Timestamp};
use serde_json::{Value, json};

use crate::app::{App, Listeners};
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::handlers::{certificates, debuginfo};
use crate::settings::{CLUSTER, Settings};
use crate::wire::cluster::{SETTINGS, SMTP_PASSWORD};
use crate::{documents, fields, mail, translate};

/// Policy keys that the cluster object repeats.
const MIRRORED: [&str; 7] = [
    "rack_aware",
    "slave_ha",
    "slave_ha_grace_period",
    "slave_ha_cooldown_period",
    "slave_ha_bdb_cooldown_period",
    "default_sharded_proxy_policy",
    "default_non_sharded_proxy_policy",
];

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&shown(&app, &app.settings().cluster)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let settings = app.settings();
    let mut body = call.body()?;
    // Scripts send the whole object back; what is as it was is no wish, and must not outlive the configuration file.
    let current = shown(&app, &settings.cluster);
    body.retain(|name, value| current.get(name) != Some(value));
    let mut changes = fields::checked(SETTINGS, &body)?;
    complete(&app, &settings, &body, &mut changes)?;
    check_honoured(&changes)?;
    if call.dry_run() {
        let mut would_be = settings.cluster.clone();
        would_be.extend(changes);
        return Ok(ok(&shown(&app, &would_be)));
    }
    move_listeners(&app, &changes).await?;
    let event = documents::event(
        &call.caller,
        "cluster-updated",
        Subject::Installation,
        "cluster settings changed",
    );
    documents::change(&app, &call.caller, Subject::Installation, CLUSTER, changes, Some(event)).await?;
    if let Some(listeners) = app.listeners() {
        apply_to_listeners(&app, &listeners);
    }
    Ok(ok(&shown(&app, &app.settings().cluster)))
}

pub(crate) async fn check(app: App, _call: Call) -> Answer {
    let nodes: Vec<Value> = app
        .control()
        .hosts()
        .iter()
        .map(|host| json!({"node_uid": app.uid(Subject::Host(host.id)), "result": true}))
        .collect();
    Ok(ok(&json!({"cluster_test_result": true, "nodes": nodes})))
}

pub(crate) async fn change_password_hashing(_app: App, call: Call) -> Answer {
    match call.body()?.get("algorithm").and_then(Value::as_str) {
        Some("SHA-256") => Err(Failure::invalid_schema("SHA-256 is set already")),
        Some("PBKDF2") => Err(Failure::new(
            StatusCode::NOT_IMPLEMENTED,
            "unsupported_resource",
            "passwords are kept as argon2id here, and as SHA-256 for databases; neither can be exchanged",
        )),
        _ => Err(Failure::invalid_schema("algorithm must be SHA-256 or PBKDF2")),
    }
}

pub(crate) async fn witness_disk(_app: App, _call: Call) -> Answer {
    Ok(ok_empty())
}

/// Brings the settings in force to the listeners: limits and TLS version. Ports are moved by [`move_listeners`].
pub(crate) fn apply_to_listeners(app: &App, listeners: &Listeners) {
    let settings = app.settings();
    let connections = settings
        .cluster
        .get("envoy_max_downstream_connections")
        .and_then(Value::as_u64);
    if let Some(connections) = connections.and_then(|connections| usize::try_from(connections).ok()) {
        listeners.https.set_connection_limit(connections);
        listeners.http.set_connection_limit(connections);
    }
    let minimum = match settings.cluster.get("min_control_TLS_version").and_then(Value::as_str) {
        Some("1.3") => MinimumTls::V1_3,
        _ => MinimumTls::V1_2,
    };
    if let Err(error) = listeners.https.set_minimum_tls(minimum) {
        tracing::error!(%error, "the oldest TLS version cannot be changed");
    }
}

/// Adds what follows from a body beyond its own keys: secrets, mirrors, objects that are merged key by key.
fn complete(app: &App, settings: &Settings, body: &JsonObject, changes: &mut JsonObject) -> Result<(), Failure> {
    if let Some(password) = body.get("smtp_password").and_then(Value::as_str) {
        changes.insert(
            SMTP_PASSWORD.to_owned(),
            json!(app.control().seal(&Secret::new(password))),
        );
    }
    // The older key of the two; the newer one wins when both are sent.
    match (
        changes.get("smtp_tls_mode").and_then(Value::as_str),
        changes.get("smtp_use_tls").and_then(Value::as_bool),
    ) {
        (Some(mode), _) => {
            let used = mode != "none";
            changes.insert("smtp_use_tls".to_owned(), used.into());
        }
        (None, Some(used)) => {
            changes.insert("smtp_tls_mode".to_owned(), if used { "tls" } else { "none" }.into());
        }
        (None, None) => {}
    }
    if let Some(Value::Object(alerts)) = changes.get("alert_settings") {
        let merged = translate::alerts::merged_settings(settings.cluster.get("alert_settings"), alerts)?;
        changes.insert("alert_settings".to_owned(), merged);
    }
    if let Some(Value::Object(rotation)) = changes.get("logrotate_settings") {
        let mut merged = settings
            .cluster
            .get("logrotate_settings")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        merged.extend(rotation.clone());
        changes.insert("logrotate_settings".to_owned(), Value::Object(merged));
    }
    match changes.get("debuginfo_path").and_then(Value::as_str) {
        Some(path) if !debuginfo::takes_packages(Path::new(path)) => Err(Failure::bad_request(
            "bad_debuginfo_path",
            "debuginfo_path must be a directory that exists and takes files",
        )),
        _ => Ok(()),
    }
}

/// Refuses values that nothing here could honour, rather than storing them without an effect.
fn check_honoured(changes: &JsonObject) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::not_acceptable("invalid_configuration", why));
    if changes.get("mtls_certificate_authentication") == Some(&Value::Bool(true)) {
        return refused("logging in with a client certificate is not available on this cluster");
    }
    if changes
        .get("reserved_ports")
        .and_then(Value::as_array)
        .is_some_and(|ports| !ports.is_empty())
    {
        return refused("reserve ports with endpoints.port_range in the configuration of the control plane");
    }
    check_s3(changes)?;
    if changes
        .get("email_from")
        .and_then(Value::as_str)
        .is_some_and(|sender| !sender.is_empty() && !mail::is_sender(sender))
    {
        return refused("email_from must be an address that mail can be sent from");
    }
    Ok(())
}

fn check_s3(changes: &JsonObject) -> Result<(), Failure> {
    let text = |name: &str| {
        changes
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let refused = |why: String| Err(Failure::not_acceptable("invalid_configuration", why));
    if let Some(url) = text("s3_url")
        && let Err(error) = S3Bucket::check_endpoint(url)
    {
        return refused(format!("s3_url: {error}"));
    }
    if text("s3_ca_cert").is_some() {
        return refused("add the authority of S3 to the certificates that this machine trusts".to_owned());
    }
    if changes.get("s3_certificate_verification") == Some(&Value::Bool(false)) {
        return refused("the certificate of S3 is always verified; s3_url may begin with http://".to_owned());
    }
    Ok(())
}

/// Moves, opens or closes listeners as asked. A port in use is the caller's mistake and changes nothing.
async fn move_listeners(app: &App, changes: &JsonObject) -> Result<(), Failure> {
    let Some(listeners) = app.listeners() else {
        return Ok(());
    };
    let port = |name: &str| {
        changes
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|port| u16::try_from(port).ok())
    };
    let in_use =
        |error: std::io::Error| Failure::bad_request("bad_nginx_conf", format!("the port cannot be used: {error}"));
    if let Some(port) = port("cnm_http_port") {
        listeners.http.move_to_port(port).await.map_err(in_use)?;
    }
    match changes.get("http_support").and_then(Value::as_bool) {
        Some(true) => listeners.http.open().await.map_err(in_use)?,
        Some(false) => listeners.http.close().await,
        None => {}
    }
    if let Some(port) = port("cnm_https_port") {
        listeners.https.move_to_port(port).await.map_err(in_use)?;
    }
    Ok(())
}

/// The cluster object from its settings and what is known live.
fn shown(app: &App, settings: &JsonObject) -> JsonObject {
    let mut cluster = settings.clone();
    cluster.remove(SMTP_PASSWORD);
    let created: Option<Timestamp> = cluster
        .remove("created_time")
        .and_then(|time| serde_json::from_value(time).ok());
    cluster.insert("name".to_owned(), app.cluster_name().into());
    if let Some(created) = created {
        cluster.insert("created_time".to_owned(), created.to_rfc3339_seconds().into());
    }
    let policy = crate::handlers::policy::shown(app);
    for name in MIRRORED.into_iter().chain(["default_provisioned_redis_version"]) {
        if let Some(value) = policy.get(name) {
            cluster.insert(name.to_owned(), value.clone());
        }
    }
    for (name, value) in certificates::shown_in_cluster(app) {
        cluster.insert(name.to_owned(), value);
    }
    if let Some(listeners) = app.listeners() {
        cluster.insert("cnm_https_port".to_owned(), listeners.https.address().port().into());
        cluster.insert("cnm_http_port".to_owned(), listeners.http.address().port().into());
        cluster.insert("http_support".to_owned(), listeners.http.is_open().into());
    }
    cluster
}
