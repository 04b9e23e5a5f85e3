//! The license. This program is free: there is nothing to buy, nothing expires and nothing is limited; collectors read numbers all the same.

use pilothouse_control::{Caller, ControlError};
use pilothouse_model::{Subject, Timestamp};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::own_caller;
use crate::call::{Answer, Call, ok};
use crate::documents;
use crate::error::Failure;

const DOCUMENT: &str = "license";
/// Far enough away that no monitoring warns.
const EXPIRATION: &str = "2099-12-31T23:59:59Z";
/// More than one machine runs.
const SHARDS_LIMIT: u64 = 10_000;
/// Longest text taken.
const TEXT_BYTES_MAX: usize = 32 * 1024;

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&shown(&app)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let text = body.get("license").and_then(Value::as_str);
    let text = text.ok_or_else(|| Failure::bad_request("invalid_license", "license must be the text of a license"))?;
    check(text)?;
    store(&app, &call.caller, text).await?;
    Ok(ok(&shown(&app)))
}

/// Refuses what is not framed like a license.
pub(crate) fn check(text: &str) -> Result<(), Failure> {
    let framed = text.contains("LICENSE START") && text.contains("LICENSE END");
    if framed && text.len() <= TEXT_BYTES_MAX {
        Ok(())
    } else {
        Err(Failure::bad_request(
            "invalid_license",
            "this is not the text of a license",
        ))
    }
}

/// Keeps the text of a license.
pub(crate) async fn store(app: &App, caller: &Caller, text: &str) -> Result<(), ControlError> {
    let changes = json!({ "license": text }).as_object().cloned().unwrap_or_default();
    let message = "a license text was stored";
    let event = documents::event(caller, "license-added", Subject::Installation, message);
    documents::change(app, caller, Subject::Installation, DOCUMENT, changes, Some(event)).await?;
    Ok(())
}

fn shown(app: &App) -> Value {
    let stored = documents::read(app, Subject::Installation, DOCUMENT);
    let text = stored
        .as_ref()
        .and_then(|body| body.get("license"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let in_use: usize = app
        .control()
        .databases(&own_caller(app))
        .iter()
        .map(|view| view.database.layout.servers().count())
        .sum();
    let activated = app.settings().bootstrap.ended_at.unwrap_or(app.control().started_at());
    json!({
        "license": text,
        "key": "",
        "type": "free",
        "owner": "",
        "cluster_name": app.cluster_name(),
        "expired": false,
        "activation_date": Timestamp::to_rfc3339_seconds(activated),
        "expiration_date": EXPIRATION,
        "features": [],
        "shards_limit": SHARDS_LIMIT,
        "ram_shards_in_use": in_use,
        "ram_shards_limit": SHARDS_LIMIT,
        "flash_shards_in_use": 0,
        "flash_shards_limit": 0,
    })
}
