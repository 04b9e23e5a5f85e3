//! Databases of Pro subscriptions (specification §10).

use pilothouse_api::StatusCode;
use pilothouse_control::{DatabaseView, KeyRole, Reply};
use pilothouse_model::{Dialect, Lifecycle, OperationKind, OperationResult, TlsMode};
use serde_json::{Value, json};

use super::subscriptions::find;
use super::{ACCEPTED, content, ok, submit};
use crate::app::App;
use crate::call::{Answer, Call, Family, typed};
use crate::error::Failure;
use crate::processing::view::Subscription;
use crate::translate::show::{self, Shown};
use crate::translate::show_fixed;
use crate::translate::{database as asked, time};
use crate::wire::database::{DatabaseRequest, Protocol};
use crate::wire::fixed::FixedDatabaseFields;
use crate::{documents, ids};

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
const SLOW_ENTRIES: &str = "128";

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let found = find(&app, &call)?;
    let offset = call.query_number("offset")?.unwrap_or(0);
    let limit = call.query_number("limit")?.unwrap_or(LIMIT);
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Failure::bad_request(format!("limit lies between 1 and {LIMIT_MAX}")));
    }
    let mut views: Vec<&DatabaseView> = found.databases.iter().collect();
    views.sort_by_key(|view| ids::of_database(app.control(), view.database.id));
    let databases: Vec<Value> = views
        .into_iter()
        .skip(offset)
        .take(limit)
        .map(|view| object(&app, &call, &found, view, false))
        .collect();
    let family = call.family();
    let links = call.links(&format!(
        "{}/{}/databases?offset={offset}&limit={limit}",
        family.path(),
        found.number
    ));
    let part = json!({
        "subscriptionId": found.number,
        "numberOfDatabases": found.databases.len(),
        "databases": databases,
        "links": [],
    });
    // An array of one here, an object there: clients read each as it is.
    let part = match family {
        Family::Pro => json!([part]),
        Family::Essentials => part,
    };
    Ok(ok(
        &json!({ "accountId": call.account.number, "subscription": part, "links": links }),
    ))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let (found, view) = locate(&app, &call)?;
    let may_write = call.key.role == KeyRole::Owner;
    let view = app
        .control()
        .look_at_servers(vec![view.clone()])
        .await
        .pop()
        .unwrap_or(view);
    Ok(ok(&object(&app, &call, &found, &view, may_write)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let number = call.number("sid")?;
    let body = checked_body(&call)?;
    let content = content(&call, Some(number), None, body);
    // Where one family answers 202, the other answers 200 (§6).
    let status = match call.family() {
        Family::Pro => ACCEPTED,
        Family::Essentials => StatusCode::OK,
    };
    submit(
        &app,
        &call,
        status,
        &call.family().command("databaseCreateRequest"),
        content,
    )
    .await
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let body = checked_body(&call)?;
    on_database(&app, &call, StatusCode::OK, "databaseUpdateRequest", body).await
}

/// The body of a create or update; a wrong type in it is told at once (§2.3).
fn checked_body(call: &Call) -> Result<Value, Failure> {
    let body = call.body()?;
    let request: DatabaseRequest = typed(body.clone())?;
    match call.family() {
        Family::Essentials => {
            let _: FixedDatabaseFields = typed(body.clone())?;
        }
        Family::Pro if request.protocol == Some(Protocol::Stack) => {
            return Err(Failure::bad_request("protocol is redis or memcached"));
        }
        Family::Pro => {}
    }
    Ok(Value::Object(body))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    on_database(&app, &call, StatusCode::OK, "databaseDeleteRequest", json!({})).await
}

pub(crate) async fn flush(app: App, call: Call) -> Answer {
    on_database(&app, &call, StatusCode::OK, "crdbFlushRequest", json!({})).await
}

pub(crate) async fn backup(app: App, call: Call) -> Answer {
    let body = Value::Object(call.body()?);
    on_database(&app, &call, StatusCode::OK, "databaseBackupRequest", body).await
}

pub(crate) async fn backup_status(app: App, call: Call) -> Answer {
    let region = call.request.query.get("regionName").map(str::to_owned);
    let body = json!({ "regionName": region });
    on_database(&app, &call, StatusCode::OK, "databaseBackupStatusRequest", body).await
}

pub(crate) async fn import(app: App, call: Call) -> Answer {
    let body = Value::Object(call.body()?);
    on_database(&app, &call, StatusCode::OK, "databaseImportRequest", body).await
}

pub(crate) async fn import_status(app: App, call: Call) -> Answer {
    on_database(&app, &call, StatusCode::OK, "databaseImportStatusRequest", json!({})).await
}

pub(crate) async fn upgrade(app: App, call: Call) -> Answer {
    let mut body = call.body()?;
    // What one client calls the field (§6, aliases).
    if let Some(version) = body.remove("redisVersion") {
        body.entry("targetRedisVersion").or_insert(version);
    }
    let body = Value::Object(body);
    on_database(&app, &call, StatusCode::OK, "databaseUpgradeRedisVersionRequest", body).await
}

async fn on_database(app: &App, call: &Call, status: StatusCode, command: &str, body: Value) -> Answer {
    let content = content(call, Some(call.number("sid")?), Some(call.number("did")?), body);
    submit(app, call, status, &call.family().command(command), content).await
}

/// How the last upgrade went; 404 when there was none.
pub(crate) async fn upgrade_status(app: App, call: Call) -> Answer {
    let (_, view) = locate(&app, &call)?;
    let control = app.control();
    let number = ids::of_database(control, view.database.id);
    let commands = [
        "databaseUpgradeRedisVersionRequest",
        "fixedDatabaseUpgradeRedisVersionRequest",
    ];
    let requests = control.requests(Dialect::RedisCloud, call.account.tenant);
    let asked = requests.iter().rev().filter_map(|operation| operation.request.as_ref());
    let mut asked = asked.filter(|request| commands.contains(&request.command.as_str()));
    let asked = asked.find(|request| {
        let answer = request.answer.as_ref().and_then(|answer| answer.get("resourceId"));
        answer.and_then(Value::as_u64) == Some(number)
    });
    let upgrades = control.operations_of(&call.caller, view.database.id);
    let upgrade = upgrades
        .iter()
        .filter(|operation| operation.kind == OperationKind::UpgradeDatabase)
        .max_by_key(|operation| operation.received_at);
    let (Some(asked), Some(upgrade)) = (asked, upgrade) else {
        return Err(Failure::not_found(format!("Database {number} was never upgraded")));
    };
    let body: Value = serde_json::from_str(control.open(&asked.body)?.expose()).map_err(Failure::internal)?;
    let status = match &upgrade.result {
        None => "in-progress",
        Some(OperationResult::Succeeded) => "done",
        Some(OperationResult::Failed { .. }) => "failed",
    };
    let progress = if status == "done" { 100 } else { upgrade.progress };
    Ok(ok(&json!({
        "databaseId": number,
        "targetRedisVersion": body["body"]["targetRedisVersion"],
        "progress": progress,
        "upgradeStatus": status,
    })))
}

pub(crate) async fn target_versions(app: App, call: Call) -> Answer {
    let (_, view) = locate(&app, &call)?;
    let present = view.database.spec.version;
    let mut newer: Vec<String> = asked::installed(app.control())
        .into_iter()
        .filter(|version| *version > present)
        .map(asked::short)
        .collect();
    newer.dedup();
    let targets: Vec<Value> = newer
        .into_iter()
        .map(|version| json!({ "redisVersion": version }))
        .collect();
    Ok(ok(&json!({ "targets": targets })))
}

pub(crate) async fn certificate(app: App, call: Call) -> Answer {
    let (found, view) = locate(&app, &call)?;
    let pair = app.control().certificate(pilothouse_control::ENDPOINT_CERTIFICATE);
    match pair.filter(|_| view.database.spec.network.tls == TlsMode::Enabled) {
        Some(pair) => Ok(ok(&json!({ "publicCertificatePEMString": pair.certificate }))),
        None => Err(Failure::not_found(format!(
            "the database {} of {} speaks no TLS",
            view.database.name, found.name
        ))),
    }
}

pub(crate) async fn slow_log(app: App, call: Call) -> Answer {
    let (found, view) = locate(&app, &call)?;
    let number = ids::of_database(app.control(), view.database.id);
    let command = [b"SLOWLOG".to_vec(), b"GET".to_vec(), SLOW_ENTRIES.into()].to_vec();
    let replies = app
        .control()
        .execute_on_each_shard(&call.caller, view.database.id, command);
    let replies = replies.await?;
    let of_each = replies.iter().flat_map(|reply| match reply {
        Reply::Array(entries) => entries.as_slice(),
        _ => &[],
    });
    let mut entries: Vec<(i64, Value)> = of_each.filter_map(slow_entry).collect();
    entries.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let entries: Vec<Value> = entries.into_iter().map(|(_, entry)| entry).collect();
    let path = format!("{}/{}/databases/{number}/slow-log", call.family().path(), found.number);
    Ok(ok(&json!({ "entries": entries, "links": call.links(&path) })))
}

/// One entry of `SLOWLOG GET`: id, Unix time, microseconds, arguments; with its time, to be put in order.
fn slow_entry(entry: &Reply) -> Option<(i64, Value)> {
    let Reply::Array(fields) = entry else { return None };
    let [
        Reply::Integer(id),
        Reply::Integer(at),
        Reply::Integer(micros),
        Reply::Array(arguments),
        ..,
    ] = fields.as_slice()
    else {
        return None;
    };
    let words: Vec<String> = arguments
        .iter()
        .filter_map(|argument| match argument {
            Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        })
        .collect();
    let started = pilothouse_model::Timestamp::from_millis(at.saturating_mul(1000));
    let shown =
        json!({ "id": id, "startTime": time::millis(started), "duration": micros, "arguments": words.join(" ") });
    Some((*at, shown))
}

/// The database that the path names, which must be in the subscription that it names.
pub(super) fn locate(app: &App, call: &Call) -> Result<(Subscription, DatabaseView), Failure> {
    let found = find(app, call)?;
    let number = call.number("did")?;
    let view = found
        .databases
        .iter()
        .find(|view| ids::of_database(app.control(), view.database.id) == number)
        .filter(|view| view.lifecycle != Lifecycle::Deleting || view.database.deleted_at.is_some())
        .cloned();
    let unknown = || Failure::not_found(format!("Database {number} not found in subscription {}", found.number));
    let view = view.ok_or_else(unknown)?;
    Ok((found, view))
}

fn object(app: &App, call: &Call, found: &Subscription, view: &DatabaseView, with_password: bool) -> Value {
    let number = ids::of_database(app.control(), view.database.id);
    let (provider, region) = found.place();
    let shown = Shown {
        view,
        document: documents::database(app.control(), view.database.id),
        provider,
        region,
        public: found
            .document
            .as_ref()
            .is_none_or(|document| document.public_endpoint_access),
        links: call.links(&format!("{}/{}/databases/{number}", call.family().path(), found.number)),
    };
    match &found.fixed {
        Some(fixed) => show_fixed::database(app.control(), &shown, &fixed.plan, with_password),
        None => show::database(app.control(), &shown, with_password),
    }
}
