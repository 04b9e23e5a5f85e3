//! The log of the account (specification §7.7, §7.8).

use pilothouse_control::{Control, EventFilter};
use pilothouse_model::{Event, Subject, Timestamp};
use serde_json::{Value, json};

use super::ok;
use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;
use crate::ids;
use crate::translate::time;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
const SESSIONS_MAX: usize = 100;

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let (offset, limit) = page(&call, LIMIT_MAX)?;
    let control = app.control();
    let filter = EventFilter {
        from: moment(&call, "startTime")?,
        to: moment(&call, "endTime")?,
        subject: None,
    };
    let entries: Vec<Value> = match call.query_number("resourceId")? {
        None => {
            let newest = control.newest_events(&call.caller, &filter, offset, limit);
            newest
                .iter()
                .map(|(number, event)| entry(control, *number, event))
                .collect()
        }
        Some(wanted) => of_resource(control, wanted as u64)
            .map(|subject| EventFilter {
                subject: Some(subject),
                ..filter
            })
            .map(|filter| control.newest_events(&call.caller, &filter, offset, limit))
            .unwrap_or_default()
            .iter()
            .map(|(number, event)| entry(control, *number, event))
            .collect(),
    };
    Ok(ok(&json!({ "entries": entries, "links": call.links("/logs") })))
}

/// Nobody logs in to a console here.
pub(crate) async fn sessions(_app: App, call: Call) -> Answer {
    page(&call, SESSIONS_MAX)?;
    Ok(ok(&json!({ "entries": [], "links": call.links("/session-logs") })))
}

fn page(call: &Call, most: usize) -> Result<(usize, usize), Failure> {
    let offset = call.query_number("offset")?.unwrap_or(0);
    let limit = call.query_number("limit")?.unwrap_or(LIMIT);
    if limit == 0 || limit > most {
        return Err(Failure::bad_request(format!("limit lies between 1 and {most}")));
    }
    Ok((offset, limit))
}

fn moment(call: &Call, name: &str) -> Result<Option<Timestamp>, Failure> {
    let text = call.request.query.get(name).filter(|text| !text.is_empty());
    let parse = |text| time::parse(text).ok_or_else(|| Failure::bad_request(format!("{name} is not a time")));
    text.map(parse).transpose()
}

fn of_resource(control: &Control, number: u64) -> Option<Subject> {
    let schemes = [ids::DATABASE, ids::SUBSCRIPTION];
    schemes
        .iter()
        .find_map(|scheme| control.subject_of_number(scheme, number))
}

fn entry(control: &Control, number: u64, event: &Event) -> Value {
    let what = &event.what;
    let key = what.actor.strip_prefix("key:");
    let mut entry = json!({
        "id": number,
        "time": event.at.to_rfc3339_seconds(),
        "originator": key.or_else(|| what.actor.strip_prefix("user:")).unwrap_or(&what.actor),
        "type": category(event),
        "description": what.message,
    });
    if let Some(key) = key {
        entry["apiKeyName"] = json!(key);
    }
    if let Some(name) = what.facts.get("name").and_then(Value::as_str) {
        entry["resource"] = json!(name);
    }
    if let Some(number) = number_of(control, what.subject) {
        entry["resourceId"] = json!(number);
    }
    entry
}

fn number_of(control: &Control, subject: Subject) -> Option<u64> {
    let scheme = match subject {
        Subject::Database(_) => ids::DATABASE,
        Subject::Group(_) => ids::SUBSCRIPTION,
        Subject::AclRule(_) => ids::RULE,
        Subject::Role(_) => ids::ROLE,
        Subject::User(_) => ids::USER,
        Subject::Server(_) | Subject::Host(_) | Subject::Tenant(_) | Subject::Installation => return None,
    };
    control.wire_number(scheme, subject)
}

/// What an entry is about, in a word.
fn category(event: &Event) -> &'static str {
    match event.what.subject {
        Subject::Database(_) | Subject::Server(_) => "Database",
        Subject::Group(_) => "Subscription",
        Subject::AclRule(_) | Subject::Role(_) | Subject::User(_) => "Access",
        Subject::Tenant(_) if event.what.kind.starts_with("request-") => "Task",
        Subject::Host(_) | Subject::Tenant(_) | Subject::Installation => "Account",
    }
}
