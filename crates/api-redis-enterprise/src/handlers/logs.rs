//! The log of events.

use std::collections::HashMap;

use pilothouse_api::JsonObject;
use pilothouse_control::EventFilter;
use pilothouse_model::{Event, ServerId, Subject, Timestamp};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::translate::event::{EventContext, line};

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let filter = EventFilter {
        from: time(&call, "stime")?,
        to: time(&call, "etime")?,
        subject: None,
    };
    let newest_first = match call.query("order") {
        None | Some("" | "asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Failure::bad_request("bad_request", "order must be asc or desc")),
    };
    let (limit, offset) = (count(&call, "limit")?, count(&call, "offset")?.unwrap_or(0));
    let mut originators = HashMap::new();
    let events = app.control().events(&call.caller, &filter);
    let lines = events.iter().filter_map(|event| {
        let context = context(&app, event, &mut originators);
        line(event, &context)
    });
    let mut lines: Vec<JsonObject> = lines.collect();
    if newest_first {
        lines.reverse();
    }
    let page: Vec<JsonObject> = lines
        .into_iter()
        .skip(offset)
        .take(limit.unwrap_or(usize::MAX))
        .collect();
    Ok(ok(&page))
}

fn context(app: &App, event: &Event, originators: &mut HashMap<String, Option<(u64, String)>>) -> EventContext {
    let originator = event.what.actor.strip_prefix("user:").and_then(|login| {
        let find = || {
            let user = app.control().user_by_login(login)?;
            Some((app.uid(Subject::User(user.id)), user.email.clone()))
        };
        originators.entry(login.to_owned()).or_insert_with(find).clone()
    });
    let server = event.what.facts.get("server").cloned();
    let server = server.and_then(|id| serde_json::from_value::<ServerId>(id).ok());
    EventContext {
        server_uid: server.map(|id| app.uid(Subject::Server(id))).filter(|uid| *uid != 0),
        uid: app.uid(event.what.subject),
        database_name: None,
        originator,
    }
}

/// A time of the query, ISO 8601; without a zone it is UTC.
fn time(call: &Call, name: &str) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = call.query(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let time = zoned.or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    });
    let time = time.ok_or_else(|| Failure::bad_request("bad_request", format!("{name} is not an ISO 8601 time")))?;
    Ok(Some(Timestamp::from_millis(time.as_millisecond())))
}

fn count(call: &Call, name: &str) -> Result<Option<usize>, Failure> {
    let Some(text) = call.query(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = || {
        Failure::bad_request(
            "bad_request",
            format!("{name} must be a whole number that is not negative"),
        )
    };
    text.parse().map(Some).map_err(|_| wrong())
}
