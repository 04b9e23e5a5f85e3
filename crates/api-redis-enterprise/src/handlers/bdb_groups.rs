//! Groups of databases that share a memory limit. The product registers them and documents nothing; they are kept and limit nothing.

use pilothouse_api::JsonObject;
use pilothouse_control::ControlError;
use pilothouse_model::Subject;
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::fields::{COUNT, Default, Field, Kind, rw};
use crate::{documents, fields};

/// Document of all groups: by uid, and the next one.
const DOCUMENT: &str = "bdb-groups";
/// Most groups: the document that holds them is limited.
const GROUPS_MAX: usize = 200;

const TABLE: &[Field] = &[
    rw("memory_size", COUNT, Default::Int(0)),
    rw("members", Kind::Texts, Default::Empty),
    rw("name", Kind::Text, Default::Absent),
];

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let groups = groups(&app);
    let all: Vec<&Value> = groups.values().collect();
    Ok(ok(&json!({ "bdb_groups": all })))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let uid = call.uid("uid")?.to_string();
    groups(&app).get(&uid).map(ok).ok_or_else(not_exist)
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let mut group = fields::defaults(TABLE);
    group.extend(fields::checked(TABLE, &call.body()?)?);
    let add = move |body: Option<&Value>| {
        let mut body = body.cloned().unwrap_or_else(|| json!({"next": 1, "groups": {}}));
        let uid = body["next"].as_u64().unwrap_or(1);
        let groups = body["groups"]
            .as_object_mut()
            .ok_or_else(|| ControlError::internal("groups are damaged"))?;
        if groups.len() >= GROUPS_MAX {
            return Err(ControlError::Quota(format!("there can be {GROUPS_MAX} groups")));
        }
        group.insert("uid".to_owned(), uid.into());
        groups.insert(uid.to_string(), Value::Object(group));
        body["next"] = (uid + 1).into();
        Ok(body)
    };
    let body = change(&app, &call, add).await?;
    let uid = (body["next"].as_u64().unwrap_or(1) - 1).to_string();
    Ok(ok(&body["groups"][&uid]))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let uid = call.uid("uid")?.to_string();
    let changes = fields::checked(TABLE, &call.body()?)?;
    let key = uid.clone();
    let merge = move |body: Option<&Value>| {
        let mut body = body.cloned().unwrap_or_default();
        let group = body
            .pointer_mut(&format!("/groups/{key}"))
            .and_then(Value::as_object_mut);
        group
            .ok_or(ControlError::not_found(pilothouse_control::Noun::Document))?
            .extend(changes);
        Ok(body)
    };
    let body = change(&app, &call, merge).await?;
    Ok(ok(&body["groups"][&uid]))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let uid = call.uid("uid")?.to_string();
    let remove = move |body: Option<&Value>| {
        let mut body = body.cloned().unwrap_or_default();
        let removed = body
            .get_mut("groups")
            .and_then(Value::as_object_mut)
            .and_then(|groups| groups.shift_remove(&uid));
        removed
            .map(|_| body)
            .ok_or(ControlError::not_found(pilothouse_control::Noun::Document))
    };
    change(&app, &call, remove).await?;
    Ok(ok_empty())
}

fn groups(app: &App) -> JsonObject {
    let body = documents::read(app, Subject::Installation, DOCUMENT).unwrap_or_default();
    body.get("groups")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

async fn change(
    app: &App,
    call: &Call,
    change: impl FnOnce(Option<&Value>) -> Result<Value, ControlError> + Send,
) -> Result<Value, Failure> {
    let changed = app
        .control()
        .update_document(
            &call.caller,
            Subject::Installation,
            DOCUMENT,
            documents::VERSION,
            change,
            None,
        )
        .await;
    changed.map_err(|error| match error {
        ControlError::NotFound { .. } => not_exist(),
        other => other.into(),
    })
}

fn not_exist() -> Failure {
    Failure::not_found("bdb_group_not_exist", "there is no such group")
}
