//! Statistics of nodes.

use std::sync::Arc;

use pilothouse_api::JsonObject;
use pilothouse_control::{ControlError, Noun, StatSubject};
use pilothouse_model::{Host, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::ids;
use crate::translate::stats::{self, Kind, Wanted};

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    Ok(ok(&app
        .control()
        .hosts()
        .iter()
        .map(|host| shown(&app, host, &wanted))
        .collect::<Vec<_>>()))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let host = find(&app, &call)?;
    Ok(ok(&shown(&app, &host, &wanted)))
}

pub(crate) async fn last_all(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    Ok(ok(&app
        .control()
        .hosts()
        .iter()
        .map(|host| newest(&app, host, &wanted))
        .collect::<JsonObject>()))
}

pub(crate) async fn last(app: App, call: Call) -> Answer {
    let wanted = Wanted::of(&call.request.query)?;
    let host = find(&app, &call)?;
    Ok(ok(&JsonObject::from_iter([newest(&app, &host, &wanted)])))
}

fn find(app: &App, call: &Call) -> Result<Arc<Host>, Failure> {
    let id = ids::host(app.control(), call.uid("uid")?);
    let host = app.control().hosts().into_iter().find(|host| Some(host.id) == id);
    host.ok_or_else(|| ControlError::not_found(Noun::Host).into())
}

/// Quirk: the integer is a number here and a text in the keys of the newest samples.
fn shown(app: &App, host: &Host, wanted: &Wanted) -> Value {
    let subject = StatSubject::Host(host.id);
    let intervals = stats::intervals(
        app.control().statistics(),
        subject,
        Kind::Node,
        wanted,
        app.control().now(),
    );
    json!({"uid": app.uid(Subject::Host(host.id)), "intervals": intervals})
}

fn newest(app: &App, host: &Host, wanted: &Wanted) -> (String, Value) {
    let subject = StatSubject::Host(host.id);
    let sample = stats::newest(
        app.control().statistics(),
        subject,
        Kind::Node,
        wanted,
        app.control().now(),
    );
    (app.uid(Subject::Host(host.id)).to_string(), Value::Object(sample))
}
