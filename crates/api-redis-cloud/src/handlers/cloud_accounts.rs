//! Cloud accounts (specification §8): the first is our own machines; others are recorded and stand for the same machines.

use pilothouse_api::StatusCode;
use serde_json::{Value, json};

use super::{ACCEPTED, content_about, ok, submit};
use crate::app::App;
use crate::call::{Answer, Call, typed};
use crate::documents::{self, CloudAccount};
use crate::error::Failure;
use crate::wire::account::CloudAccountRequest;

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let known = documents::cloud_accounts(app.control(), call.account.tenant);
    let shown: Vec<Value> = known.accounts.iter().map(|account| object(&call, account)).collect();
    Ok(ok(&json!({
        "accountId": call.account.number,
        "cloudAccounts": shown,
        "links": call.links("/cloud-accounts"),
    })))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let number = call.number("id")?;
    let known = documents::cloud_accounts(app.control(), call.account.tenant);
    let found = known
        .accounts
        .iter()
        .find(|account| u64::try_from(account.id) == Ok(number));
    let found = found.ok_or_else(|| Failure::not_found(format!("Cloud account {number} not found")))?;
    Ok(ok(&object(&call, found)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let _: CloudAccountRequest = typed(body.clone())?;
    let content = content_about(&call, None, Value::Object(body));
    submit(&app, &call, ACCEPTED, "cloudAccountCreateRequest", content).await
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let _: CloudAccountRequest = typed(body.clone())?;
    let content = content_about(&call, Some(call.number("id")?), Value::Object(body));
    submit(&app, &call, ACCEPTED, "cloudAccountUpdateRequest", content).await
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let content = content_about(&call, Some(call.number("id")?), json!({}));
    submit(&app, &call, StatusCode::OK, "cloudAccountDeleteRequest", content).await
}

fn object(call: &Call, account: &CloudAccount) -> Value {
    let mut object = json!({
        "id": account.id,
        "name": account.name,
        "provider": account.provider.as_str(),
        "status": "active",
        "accessKeyId": account.access_key_id,
        "links": call.links(&format!("/cloud-accounts/{}", account.id)),
    });
    if let Some(url) = &account.sign_in_login_url {
        object["signInLoginUrl"] = json!(url);
    }
    object
}
