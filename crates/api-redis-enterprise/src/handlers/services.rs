//! Services: the parts of the product by its own names, with the state of whatever does their work here.

use pilothouse_api::JsonObject;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;

/// Services whose work somebody here does; the others do not run.
const RUNNING: [&str; 7] = [
    "alert_mgr",
    "stats_archiver",
    "ccs",
    "cnm_exec",
    "dmcproxy",
    "node_wd",
    "cluster_wd",
];
const STOPPED: [&str; 9] = [
    "call_home_agent",
    "cm_server",
    "crdb_coordinator",
    "crdb_worker",
    "entraid_agent_mgr",
    "ldap_agent_mgr",
    "mdns_server",
    "pdns_server",
    "sentinel_service",
];

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let started = app.control().started_at();
    let uptime = uptime_text(app.control().now().since(started).as_secs());
    let running = |name: &str| {
        (
            name.to_owned(),
            json!({"start_time": started.to_rfc3339_seconds(), "status": "RUNNING", "uptime": uptime}),
        )
    };
    let stopped = |name: &str| (name.to_owned(), json!({"status": "STOPPED"}));
    let services: JsonObject = RUNNING
        .into_iter()
        .map(running)
        .chain(STOPPED.into_iter().map(stopped))
        .collect();
    Ok(ok(&services))
}

pub(crate) async fn control(_app: App, call: Call) -> Answer {
    let body = call.body()?;
    match body.get("operation_type").and_then(Value::as_str) {
        Some("stop" | "start" | "restart") => {}
        _ => return Err(Failure::invalid_schema("operation_type must be stop, start or restart")),
    }
    let names = body.get("services").and_then(Value::as_array);
    let names = names.ok_or_else(|| Failure::invalid_schema("services must be a list of names"))?;
    // None of them is a process of its own that could be stopped: nothing was done, and this says so.
    let outcome: JsonObject = names
        .iter()
        .filter_map(Value::as_str)
        .map(|name| (name.to_owned(), Value::Bool(false)))
        .collect();
    Ok(ok(&outcome))
}

pub(crate) async fn configuration(_app: App, _call: Call) -> Answer {
    Ok(ok(&configured()))
}

pub(crate) async fn configure(_app: App, call: Call) -> Answer {
    let configured = configured();
    for (name, wanted) in call.body()? {
        let Some(known) = configured.get(&name) else { continue };
        match wanted.get("operating_mode").and_then(Value::as_str) {
            Some(mode) if known["operating_mode"] == mode => {}
            Some("enabled" | "disabled") => {
                let why = format!("the service {name} cannot be switched on this cluster");
                return Err(Failure::not_acceptable("invalid_configuration", why));
            }
            _ => {
                return Err(Failure::invalid_schema(format!(
                    "{name}.operating_mode must be enabled or disabled"
                )));
            }
        }
    }
    Ok(ok(&configured))
}

fn configured() -> JsonObject {
    let mode = |name: &str, mode: &str| (name.to_owned(), json!({ "operating_mode": mode }));
    let optional = ["alert_mgr", "stats_archiver"]
        .into_iter()
        .map(|name| mode(name, "enabled"));
    optional
        .chain(STOPPED.into_iter().map(|name| mode(name, "disabled")))
        .collect()
}

/// `3 days, 0:58:59`
fn uptime_text(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_read_as_in_the_product() {
        assert_eq!(uptime_text(3 * 86_400 + 58 * 60 + 59), "3 days, 0:58:59");
        assert_eq!(uptime_text(86_400), "1 day, 0:00:00");
        assert_eq!(uptime_text(59), "0:00:59");
    }
}
