//! Actions: what is under way and what was.

use std::sync::Arc;

use pilothouse_model::{Host, Operation, OperationId, Subject};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::bdbs;
use crate::translate::action;
use crate::wire::action::Actions;

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let actions = app
        .control()
        .hosts()
        .iter()
        .map(|host| action::founding_v1(host, app.uid(Subject::Host(host.id))))
        .collect();
    let operations = app.control().operations(&call.caller);
    let state_machines = operations
        .iter()
        .map(|operation| action::v1(operation, bdb_uid(&app, operation)))
        .collect();
    Ok(ok(&Actions {
        actions,
        state_machines,
    }))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    match find(&app, &call)? {
        Found::Operation(operation) => Ok(ok(&action::v1(&operation, bdb_uid(&app, &operation)))),
        Found::Host(host) => Ok(ok(&action::founding_v1(&host, app.uid(Subject::Host(host.id))))),
    }
}

pub(crate) async fn list_of_bdb(app: App, call: Call) -> Answer {
    let view = bdbs::find(&app, &call)?;
    let operations = app.control().operations_of(&call.caller, view.database.id);
    let running = operations.iter().filter(|operation| !operation.is_final());
    Ok(ok(&running
        .map(|operation| action::v1(operation, bdb_uid(&app, operation)))
        .collect::<Vec<_>>()))
}

pub(crate) async fn list_v2(app: App, call: Call) -> Answer {
    let hosts = app.control().hosts();
    let operations = app.control().operations(&call.caller);
    let tasks = hosts.iter().map(|host| action::founding_v2(host));
    let machines = operations
        .iter()
        .map(|operation| action::v2(operation, bdb_uid(&app, operation)));
    Ok(ok(&tasks.chain(machines).collect::<Vec<_>>()))
}

pub(crate) async fn get_v2(app: App, call: Call) -> Answer {
    match find(&app, &call)? {
        Found::Operation(operation) => Ok(ok(&action::v2(&operation, bdb_uid(&app, &operation)))),
        Found::Host(host) => Ok(ok(&action::founding_v2(&host))),
    }
}

enum Found {
    Operation(Arc<Operation>),
    Host(Arc<Host>),
}

fn find(app: &App, call: &Call) -> Result<Found, Failure> {
    let uid = call.text("uid");
    let operation = uid
        .parse::<OperationId>()
        .ok()
        .and_then(|id| app.control().operation(&call.caller, id));
    let host = || {
        app.control()
            .hosts()
            .into_iter()
            .find(|host| host.id.to_string() == uid)
            .map(Found::Host)
    };
    let found = operation.map(Found::Operation).or_else(host);
    found.ok_or_else(|| Failure::not_found("action_not_found", format!("there is no action {uid}")))
}

fn bdb_uid(app: &App, operation: &Operation) -> Option<u64> {
    matches!(operation.subject, Subject::Database(_))
        .then(|| app.uid(operation.subject))
        .filter(|uid| *uid > 0)
}
