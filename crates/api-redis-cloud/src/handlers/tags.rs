//! Tags of databases: the one thing that is changed without a task (specification §10.12).

use pilothouse_control::ControlError;
use pilothouse_model::{Subject, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::databases::locate;
use super::ok;
use crate::app::App;
use crate::call::{Answer, Call, typed};
use crate::documents::Tag;
use crate::error::Failure;
use crate::translate::time;

const DOCUMENT: &str = "tags";
const DOCUMENT_VERSION: u32 = 1;
const KEY_MAX: usize = 64;
const TAGS_MAX: usize = 50;

#[derive(Deserialize)]
struct Wanted {
    key: String,
    value: String,
}

#[derive(Deserialize)]
struct WantedTags {
    tags: Vec<Wanted>,
}

#[derive(Deserialize)]
struct WantedValue {
    value: String,
}

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let (_, view) = locate(&app, &call)?;
    let tags = read(app.control(), Subject::Database(view.database.id));
    Ok(ok(&listed(&call, &tags)))
}

pub(crate) async fn replace(app: App, call: Call) -> Answer {
    let wanted: WantedTags = typed(call.body()?)?;
    let checked: Vec<Wanted> = wanted.tags.into_iter().map(checked).collect::<Result<_, _>>()?;
    if checked.len() > TAGS_MAX {
        return Err(Failure::bad_request(format!("a database has at most {TAGS_MAX} tags")));
    }
    let tags = change(&app, &call, |tags, now| {
        let before = std::mem::take(tags);
        for wanted in &checked {
            let old = before.iter().find(|tag| tag.key == wanted.key);
            tags.retain(|tag| tag.key != wanted.key);
            tags.push(Tag {
                key: wanted.key.clone(),
                value: wanted.value.clone(),
                created_at: old.map_or(now, |tag| tag.created_at),
                updated_at: old
                    .filter(|tag| tag.value == wanted.value)
                    .map_or(now, |tag| tag.updated_at),
            });
        }
        Ok(())
    })
    .await?;
    Ok(ok(&listed(&call, &tags)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let wanted = checked(typed(call.body()?)?)?;
    let key = wanted.key.clone();
    let tags = change(&app, &call, |tags, now| {
        if tags.iter().any(|tag| tag.key == wanted.key) {
            return Err(ControlError::Conflict(format!(
                "there is a tag {:?} already",
                wanted.key
            )));
        }
        if tags.len() >= TAGS_MAX {
            return Err(ControlError::Quota(format!("a database has at most {TAGS_MAX} tags")));
        }
        tags.push(Tag {
            key: wanted.key.clone(),
            value: wanted.value.clone(),
            created_at: now,
            updated_at: now,
        });
        Ok(())
    })
    .await?;
    one(&tags, &key)
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let key = call.params.text("key").to_lowercase();
    let WantedValue { value } = typed(call.body()?)?;
    let wanted = checked(Wanted { key, value })?;
    let tags = change(&app, &call, |tags, now| {
        let tag = tags.iter_mut().find(|tag| tag.key == wanted.key);
        let tag = tag.ok_or(ControlError::not_found(pilothouse_control::Noun::Document))?;
        tag.value.clone_from(&wanted.value);
        tag.updated_at = now;
        Ok(())
    })
    .await?;
    one(&tags, &wanted.key)
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let key = call.params.text("key").to_lowercase();
    change(&app, &call, |tags, _| {
        let before = tags.len();
        tags.retain(|tag| tag.key != key);
        if tags.len() == before {
            return Err(ControlError::not_found(pilothouse_control::Noun::Document));
        }
        Ok(())
    })
    .await?;
    Ok(ok(&json!({})))
}

fn read(control: &pilothouse_control::Control, subject: Subject) -> Vec<Tag> {
    let document = control.document(pilothouse_model::Dialect::RedisCloud, &subject, DOCUMENT);
    document
        .and_then(|document| serde_json::from_value(document.body.clone()).ok())
        .unwrap_or_default()
}

async fn change(
    app: &App,
    call: &Call,
    change: impl FnOnce(&mut Vec<Tag>, Timestamp) -> Result<(), ControlError> + Send,
) -> Result<Vec<Tag>, Failure> {
    let (_, view) = locate(app, call)?;
    let subject = Subject::Database(view.database.id);
    let now = app.control().now();
    let written = app
        .control()
        .update_document(
            &call.caller,
            subject,
            DOCUMENT,
            DOCUMENT_VERSION,
            move |present| {
                let mut tags: Vec<Tag> = present
                    .and_then(|body| serde_json::from_value(body.clone()).ok())
                    .unwrap_or_default();
                change(&mut tags, now)?;
                serde_json::to_value(&tags).map_err(ControlError::internal)
            },
            None,
        )
        .await?;
    serde_json::from_value(written).map_err(Failure::internal)
}

/// Keys are kept in lower case, as the service does.
fn checked(wanted: Wanted) -> Result<Wanted, Failure> {
    let key = wanted.key.to_lowercase();
    let plain = |text: &str| {
        text.chars()
            .all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || " -_.+@:".contains(c))
    };
    if key.is_empty() || key.chars().count() > KEY_MAX || !plain(&key) {
        return Err(Failure::bad_request(
            "a key has 1 to 64 lower-case letters, digits, spaces and - _ . + @ :",
        ));
    }
    if wanted.value.is_empty() || !plain(&wanted.value.to_lowercase()) {
        return Err(Failure::bad_request(
            "a value has letters, digits, spaces and - _ . + @ :",
        ));
    }
    Ok(Wanted {
        key,
        value: wanted.value,
    })
}

fn shown(tag: &Tag) -> Value {
    json!({
        "key": tag.key,
        "value": tag.value,
        "createdAt": time::millis(tag.created_at),
        "updatedAt": time::millis(tag.updated_at),
        "links": [],
    })
}

fn listed(call: &Call, tags: &[Tag]) -> Value {
    let path = call.request.path.trim_start_matches("/v1").to_owned();
    let tags: Vec<Value> = tags.iter().map(shown).collect();
    json!({ "accountId": call.account.number, "tags": tags, "links": call.links(&path) })
}

fn one(tags: &[Tag], key: &str) -> Answer {
    let tag = tags.iter().find(|tag| tag.key == key);
    tag.map(|tag| ok(&shown(tag)))
        .ok_or_else(|| Failure::not_found(format!("Tag {key} not found")))
}
