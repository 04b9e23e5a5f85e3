//! Subscriptions (specification §9, §13).

use pilothouse_api::StatusCode;
use serde_json::{Value, json};

use super::{ACCEPTED, content, ok, submit};
use crate::app::App;
use crate::call::{Answer, Call, Family, typed};
use crate::documents::SubscriptionDocument;
use crate::error::Failure;
use crate::processing::view::{Subscription, subscription, subscriptions};
use crate::translate::{database, show};
use crate::wire::subscription::SubscriptionRequest;

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let shown: Vec<Value> = subscriptions(&app, &call.caller)
        .iter()
        .filter(|found| found.family() == Family::Pro)
        .map(|found| object(&call, found))
        .collect();
    Ok(ok(&json!({
        "accountId": call.account.number,
        "subscriptions": shown,
        "links": call.links("/subscriptions"),
    })))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    Ok(ok(&object(&call, &find(&app, &call)?)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let _: SubscriptionRequest = typed(body.clone())?;
    let content = content(&call, None, None, Value::Object(body));
    submit(&app, &call, ACCEPTED, "subscriptionCreateRequest", content).await
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let number = call.number("sid")?;
    let body = call.body()?;
    let _: SubscriptionRequest = typed(body.clone())?;
    let content = content(&call, Some(number), None, Value::Object(body));
    submit(&app, &call, StatusCode::OK, "subscriptionUpdateRequest", content).await
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let content = content(&call, Some(call.number("sid")?), None, json!({}));
    submit(&app, &call, StatusCode::OK, "subscriptionDeleteRequest", content).await
}

pub(crate) async fn redis_versions(app: App, call: Call) -> Answer {
    let installed = database::installed(app.control());
    let mut short: Vec<String> = installed.iter().map(|version| database::short(*version)).collect();
    short.dedup();
    let newest = short.last().cloned();
    let versions: Vec<Value> = short
        .into_iter()
        .map(
            |version| json!({ "isDefault": newest.as_ref() == Some(&version), "isPreview": false, "version": version }),
        )
        .collect();
    let _ = call;
    Ok(ok(&json!({ "redisVersions": versions })))
}

pub(crate) async fn maintenance_windows(app: App, call: Call) -> Answer {
    let found = find(&app, &call)?;
    let windows = found.document.and_then(|document| document.maintenance);
    Ok(ok(&windows.unwrap_or_else(|| json!({ "mode": "automatic" }))))
}

pub(crate) async fn update_maintenance_windows(app: App, call: Call) -> Answer {
    let content = content(&call, Some(call.number("sid")?), None, Value::Object(call.body()?));
    submit(
        &app,
        &call,
        StatusCode::OK,
        "subscriptionMaintenanceWindowsUpdateRequest",
        content,
    )
    .await
}

pub(crate) async fn pricing(app: App, call: Call) -> Answer {
    let found = find(&app, &call)?;
    Ok(ok(&json!({ "pricing": prices(&found) })))
}

pub(crate) async fn cidr(app: App, call: Call) -> Answer {
    let content = content(&call, Some(call.number("sid")?), None, json!({}));
    submit(&app, &call, ACCEPTED, "cidrWhiteListGetRequest", content).await
}

pub(crate) async fn update_cidr(app: App, call: Call) -> Answer {
    let content = content(&call, Some(call.number("sid")?), None, Value::Object(call.body()?));
    submit(&app, &call, ACCEPTED, "cidrWhiteListUpdateRequest", content).await
}

pub(crate) async fn update_resource_tags(app: App, call: Call) -> Answer {
    let content = content(&call, Some(call.number("sid")?), None, Value::Object(call.body()?));
    submit(&app, &call, ACCEPTED, "subscriptionResourceTagsUpdateRequest", content).await
}

/// The subscription that the path names.
pub(super) fn find(app: &App, call: &Call) -> Result<Subscription, Failure> {
    let number = call.number("sid")?;
    subscription(app, &call.caller, number)
        .filter(|found| found.family() == call.family())
        .ok_or_else(|| Failure::not_found(format!("Subscription {number} not found")))
}

fn object(call: &Call, found: &Subscription) -> Value {
    let sum = show::Sum {
        number: found.number,
        name: found.name.clone(),
        status: found.state.as_str(),
        databases: found.databases.len(),
        total_bytes: found.bytes(),
        created: found.created.map(|at| at.to_rfc3339_seconds()),
    };
    let links = call.links(&format!("/subscriptions/{}", found.number));
    show::subscription(&sum, found.document.as_ref(), prices(found), links)
}

fn prices(found: &Subscription) -> Value {
    let region = found
        .document
        .as_ref()
        .map_or("us-east-1", |document: &SubscriptionDocument| &document.region);
    found
        .databases
        .iter()
        .map(|view| show::price(view.database.name.as_str(), region, &view.database.spec))
        .collect()
}
