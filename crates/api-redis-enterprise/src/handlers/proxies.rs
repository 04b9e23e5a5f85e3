//! Proxies: one per node. Their tuning is stored and shown; the gateway has none of it.

use pilothouse_api::JsonObject;
use pilothouse_model::{Host, Subject};
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::nodes;
use crate::wire::node::PROXY;
use crate::{documents, fields};

/// Document of a proxy.
const DOCUMENT: &str = "proxy";

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let proxies: Vec<JsonObject> = app.control().hosts().iter().map(|host| describe(&app, host)).collect();
    Ok(ok(&proxies))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    Ok(ok(&describe(&app, &*find(&app, &call)?)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let host = find(&app, &call)?;
    let changes = changes(&call)?;
    documents::change(&app, &call.caller, Subject::Host(host.id), DOCUMENT, changes, None).await?;
    Ok(ok(&describe(&app, &host)))
}

pub(crate) async fn update_all(app: App, call: Call) -> Answer {
    let changes = changes(&call)?;
    for host in app.control().hosts() {
        documents::change(
            &app,
            &call.caller,
            Subject::Host(host.id),
            DOCUMENT,
            changes.clone(),
            None,
        )
        .await?;
    }
    list(app, call).await
}

/// The proxy part of a body: below `proxy`, or the body itself where a client leaves that out.
fn changes(call: &Call) -> Result<JsonObject, Failure> {
    let body = call.body()?;
    match body.get("proxy") {
        Some(Value::Object(proxy)) => fields::checked(PROXY, proxy),
        Some(Value::Null) | None => fields::checked(PROXY, &body),
        Some(_) => Err(Failure::invalid_schema("proxy must be an object")),
    }
}

fn find(app: &App, call: &Call) -> Result<std::sync::Arc<Host>, Failure> {
    nodes::find(app, call.uid("uid")?).map_err(|_| Failure::not_found("proxy_not_exist", "there is no such proxy"))
}

fn describe(app: &App, host: &Host) -> JsonObject {
    let mut proxy = JsonObject::new();
    proxy.insert("uid".to_owned(), app.uid(Subject::Host(host.id)).into());
    proxy.extend(fields::merged(
        PROXY,
        documents::read(app, Subject::Host(host.id), DOCUMENT).as_ref(),
    ));
    proxy
}
