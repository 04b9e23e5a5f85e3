//! Roles.

use std::sync::Arc;

use pilothouse_control::{ControlError, DocumentWrite, NewRole, RoleChange};
use pilothouse_model::{ManagementRole, Role, Subject};
use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::wire::role::{RoleObject, RoleRequest};
use crate::{documents, ids};

/// Document of a role: what is only stored and shown.
const DOCUMENT: &str = "role";

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let roles: Vec<RoleObject> = app.control().roles().iter().map(|role| describe(&app, role)).collect();
    Ok(ok(&roles))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    Ok(ok(&describe(&app, &*find(&app, &call)?)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let request: RoleRequest = call.body_as()?;
    refuse_resources(&request)?;
    let name = request
        .name
        .ok_or_else(|| Failure::bad_request("missing_field", "name is missing"))?;
    let management = request.management.map_or(ManagementRole::None, ManagementRole::from);
    let new = NewRole {
        name,
        management,
        documents: document(request.account_id),
    };
    if call.dry_run() {
        app.control().check_new_role(&new)?;
        return Ok(ok(
            &json!({"name": new.name, "management": crate::wire::user::ManagementWord::from(management)}),
        ));
    }
    let role = app.control().create_role(&call.caller, new).await?;
    Ok(ok(&describe(&app, &role)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let role = find(&app, &call)?;
    let request: RoleRequest = call.body_as()?;
    refuse_resources(&request)?;
    let name = request.name.filter(|name| *name != role.name);
    let management = request
        .management
        .map(ManagementRole::from)
        .filter(|management| *management != role.management);
    if name.is_none() && management.is_none() && request.account_id.is_none() {
        return Ok(ok(&describe(&app, &role)));
    }
    let change = RoleChange {
        name,
        management,
        documents: document(request.account_id),
    };
    if call.dry_run() {
        let mut shown = describe(&app, &role);
        shown.name = change.name.unwrap_or(shown.name);
        shown.management = change.management.map_or(shown.management, Into::into);
        return Ok(ok(&shown));
    }
    let role = app
        .control()
        .update_role(&call.caller, role.id, change)
        .await
        .map_err(failure)?;
    Ok(ok(&describe(&app, &role)))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let role = find(&app, &call)?;
    app.control()
        .delete_role(&call.caller, role.id)
        .await
        .map_err(|error| match error {
            ControlError::Conflict(why) | ControlError::Forbidden(why) => Failure::not_acceptable("role_in_use", why),
            other => other.into(),
        })?;
    Ok(ok_empty())
}

fn failure(error: ControlError) -> Failure {
    match error {
        ControlError::Conflict(why) => Failure::not_acceptable("change_last_admin_role_not_allowed", why),
        ControlError::Forbidden(why) => Failure::not_acceptable("unauthorized_action", why),
        other => other.into(),
    }
}

/// A role limited to some databases would not be limited here: refused rather than made too strong.
fn refuse_resources(request: &RoleRequest) -> Result<(), Failure> {
    if request
        .resources
        .as_ref()
        .is_some_and(|resources| !resources.is_empty())
    {
        return Err(Failure::not_acceptable(
            "unsupported_resource",
            "roles that are limited to some databases are not available on this cluster",
        ));
    }
    Ok(())
}

fn document(account_id: Option<i64>) -> Vec<DocumentWrite> {
    let body = |id: i64| json!({ "account_id": id });
    account_id
        .map(|id| DocumentWrite {
            kind: DOCUMENT,
            version: documents::VERSION,
            body: body(id),
        })
        .into_iter()
        .collect()
}

fn find(app: &App, call: &Call) -> Result<Arc<Role>, Failure> {
    let id = ids::role(app.control(), call.uid("uid")?);
    let role = id.and_then(|id| app.control().role(id));
    role.ok_or_else(|| Failure::not_found("role_not_exist", "there is no such role"))
}

fn describe(app: &App, role: &Role) -> RoleObject {
    let document = documents::read(app, Subject::Role(role.id), DOCUMENT);
    RoleObject {
        uid: app.uid(Subject::Role(role.id)),
        name: role.name.clone(),
        management: role.management.into(),
        account_id: document.and_then(|body| body.get("account_id").and_then(Value::as_i64)),
    }
}
