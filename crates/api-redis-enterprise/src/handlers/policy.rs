//! The cluster policy: defaults of new databases, and how the cluster looks after itself.

use pilothouse_api::JsonObject;
use pilothouse_model::Subject;
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::settings::POLICY;
use crate::wire::policy::SETTINGS;
use crate::{documents, fields, translate};

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&shown(&app)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let mut body = call.body()?;
    let current = shown(&app);
    body.retain(|name, value| current.get(name) != Some(value));
    let changes = fields::checked(SETTINGS, &body)?;
    check_honoured(&app, &changes)?;
    if !call.dry_run() {
        let event = documents::event(
            &call.caller,
            "cluster-updated",
            Subject::Installation,
            "cluster policy changed",
        );
        documents::change(&app, &call.caller, Subject::Installation, POLICY, changes, Some(event)).await?;
        bring_into_force(&app);
        return Ok(ok(&shown(&app)));
    }
    let mut would_be = current;
    would_be.extend(changes);
    Ok(ok(&would_be))
}

pub(crate) async fn restore_default(app: App, call: Call) -> Answer {
    app.control()
        .delete_document(&call.caller, Subject::Installation, POLICY)
        .await?;
    bring_into_force(&app);
    Ok(ok(&shown(&app)))
}

/// Tells the core what it has to know of the policy. The rest is read where it counts.
pub(crate) fn bring_into_force(app: &App) {
    let most = app
        .settings()
        .policy
        .get("max_simultaneous_backups")
        .and_then(Value::as_u64);
    if let Some(most) = most.and_then(|most| usize::try_from(most).ok()) {
        app.control().limit_backups(most);
    }
}

/// The policy with the values that are computed until somebody sets them.
pub(crate) fn shown(app: &App) -> JsonObject {
    let mut policy = app.settings().policy.clone();
    if !policy.contains_key("default_provisioned_redis_version")
        && let Some(series) = translate::node::newest_series(&app.control().engines())
    {
        policy.insert("default_provisioned_redis_version".to_owned(), series.into());
    }
    policy
}

/// Refuses values that nothing here could honour, rather than storing them without an effect.
pub(crate) fn check_honoured(app: &App, changes: &JsonObject) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::invalid_schema(why));
    let is = |name: &str, value: &Value| changes.get(name) == Some(value);
    if is("rack_aware", &Value::Bool(true)) && app.control().hosts().iter().any(|host| host.rack.is_empty()) {
        return refused("rack_aware needs a rack id on every node");
    }
    if is("default_oss_cluster", &Value::Bool(true)) || is("default_oss_sharding", &Value::Bool(true)) {
        return refused("databases with the OSS cluster API are not available on this cluster");
    }
    if is("acl_pubsub_default", &"resetchannels".into()) {
        return refused("acl_pubsub_default can only be allchannels on this cluster; limit channels in the Redis ACLs");
    }
    if is("resp3_default", &Value::Bool(false)) {
        return refused("RESP3 cannot be switched off on this cluster");
    }
    if is("db_conns_auditing", &Value::Bool(true)) {
        return refused("connection auditing needs an audit listener, and none is configured");
    }
    match changes.get("default_provisioned_redis_version").and_then(Value::as_str) {
        Some(wanted) if !offers(app, wanted) => {
            refused("default_provisioned_redis_version is not one of the versions on offer")
        }
        _ => Ok(()),
    }
}

fn offers(app: &App, series: &str) -> bool {
    app.control()
        .engines()
        .iter()
        .any(|engine| engine.compatible.series() == series)
}
