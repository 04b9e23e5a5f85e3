//! Calls on features that are not offered here: refused as the specification says (§11, §13.5), never accepted and ignored.

use pilothouse_api::StatusCode;
use serde_json::json;

use super::{ACCEPTED, content, ok, submit};
use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;

/// A write on a feature that is switched off.
pub(crate) async fn switched_off(_app: App, call: Call) -> Answer {
    Err(Failure::switched_off(&call.request.path))
}

pub(crate) async fn not_found(_app: App, call: Call) -> Answer {
    Err(Failure::not_found(format!("{} not found", call.request.path)))
}

pub(crate) async fn data_integration(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({})))
}

pub(crate) async fn peerings(app: App, call: Call) -> Answer {
    let subscription = call.number("sid")?;
    let content = content(&call, Some(subscription), None, json!({}));
    submit(&app, &call, ACCEPTED, "vpcPeeringGetRequest", content).await
}

pub(crate) async fn create_peering(app: App, call: Call) -> Answer {
    let subscription = call.number("sid")?;
    let body = serde_json::Value::Object(call.body()?);
    let content = content(&call, Some(subscription), None, body);
    submit(&app, &call, ACCEPTED, "vpcPeeringCreateRequest", content).await
}

/// A peering that is not there.
pub(crate) async fn update_peering(app: App, call: Call) -> Answer {
    on_subscription(&app, &call, ACCEPTED, "vpcPeeringUpdateRequest").await
}

pub(crate) async fn delete_peering(app: App, call: Call) -> Answer {
    on_subscription(&app, &call, ACCEPTED, "vpcPeeringDeleteRequest").await
}

pub(crate) async fn regional_peerings(app: App, call: Call) -> Answer {
    on_subscription(&app, &call, StatusCode::OK, "activeActiveVpcPeeringGetRequest").await
}

pub(crate) async fn private_service_connect(app: App, call: Call) -> Answer {
    on_subscription(&app, &call, ACCEPTED, "pscServiceGetRequest").await
}

pub(crate) async fn private_link(app: App, call: Call) -> Answer {
    on_subscription(&app, &call, ACCEPTED, "privateLinkGetRequest").await
}

pub(crate) async fn transit_gateway(app: App, call: Call) -> Answer {
    on_subscription(&app, &call, StatusCode::OK, "tgwGetRequest").await
}

/// A task that can only tell that there is no such thing.
async fn on_subscription(app: &App, call: &Call, status: StatusCode, command: &str) -> Answer {
    let content = content(call, Some(call.number("sid")?), None, json!({}));
    submit(app, call, status, command, content).await
}

pub(crate) async fn add_region(app: App, call: Call) -> Answer {
    let subscription = call.number("sid")?;
    let body = serde_json::Value::Object(call.body()?);
    let content = content(&call, Some(subscription), None, body);
    submit(&app, &call, StatusCode::OK, "activeActiveRegionCreateRequest", content).await
}

pub(crate) async fn delete_regions(app: App, call: Call) -> Answer {
    let subscription = call.number("sid")?;
    let body = serde_json::Value::Object(call.body()?);
    let content = content(&call, Some(subscription), None, body);
    submit(&app, &call, StatusCode::OK, "activeActiveRegionDeleteRequest", content).await
}

pub(crate) async fn update_local(app: App, call: Call) -> Answer {
    let (subscription, database) = (call.number("sid")?, call.number("did")?);
    let body = serde_json::Value::Object(call.body()?);
    let content = content(&call, Some(subscription), Some(database), body);
    submit(&app, &call, StatusCode::OK, "crdbUpdatePropertiesRequest", content).await
}
