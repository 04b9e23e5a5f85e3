//! Password lists of users: several passwords can be valid at once, so that they can be exchanged without a gap.

use pilothouse_control::PasswordChange;
use pilothouse_model::{Secret, User};
use serde_json::json;
use std::sync::Arc;

use crate::app::App;
use crate::auth::{self, Permission};
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::handlers::users::password_failure;
use crate::translate::user::check_password;
use crate::wire::user::PasswordRequest;

pub(crate) async fn hash_method(_app: App, _call: Call) -> Answer {
    Ok(ok(&json!({"password_hash_method": "1"})))
}

pub(crate) async fn replace(app: App, call: Call) -> Answer {
    let request: PasswordRequest = call.body_as()?;
    set(&app, &call, request, PasswordChange::Replace).await
}

pub(crate) async fn add(app: App, call: Call) -> Answer {
    let request: PasswordRequest = call.body_as()?;
    // Quirk: the older keys mean a replacement also with this method.
    let replaces = request.new_password.is_none() && request.password.is_some();
    set(
        &app,
        &call,
        request,
        if replaces {
            PasswordChange::Replace
        } else {
            PasswordChange::Add
        },
    )
    .await
}

pub(crate) async fn remove(app: App, call: Call) -> Answer {
    let request: PasswordRequest = call.body_as()?;
    let user = whose(&app, &call, &request)?;
    let password = request
        .old_password
        .or(request.password)
        .filter(|password| !password.is_empty());
    let password = password.ok_or_else(|| Failure::bad_request("missing_field", "old_password is missing"))?;
    let change = PasswordChange::Remove(Secret::new(password));
    app.control()
        .change_passwords(&call.caller, user.id, change)
        .await
        .map_err(password_failure)?;
    Ok(ok_empty())
}

async fn set(app: &App, call: &Call, request: PasswordRequest, change: fn(Secret) -> PasswordChange) -> Answer {
    let user = whose(app, call, &request)?;
    let password = request.new_password.or(request.password);
    let password = password.ok_or_else(|| Failure::bad_request("missing_field", "new_password is missing"))?;
    check_password(&app.settings().cluster, &password, user.display_name())?;
    if let Some(old) = request.old_password {
        let login = if user.email.is_empty() { &user.name } else { &user.email };
        auth::log_in(app, login, &Secret::new(old)).await?;
    }
    let change = change(Secret::new(password));
    app.control()
        .change_passwords(&call.caller, user.id, change)
        .await
        .map_err(password_failure)?;
    Ok(ok_empty())
}

/// The user that is meant: the one named, or the caller. Another user's passwords need the permission.
fn whose(app: &App, call: &Call, request: &PasswordRequest) -> Result<Arc<User>, Failure> {
    let Some(login) = request.username.as_deref().or(request.email.as_deref()) else {
        return call.principal.user.clone().ok_or_else(|| {
            Failure::bad_request(
                "missing_field",
                "username is missing: the account of the configuration is changed there",
            )
        });
    };
    let found = app.control().user_by_login(login);
    let own = found
        .as_ref()
        .is_some_and(|user| call.principal.user.as_ref().is_some_and(|own| own.id == user.id));
    if !own && !call.principal.may(Permission::ManageUsers) {
        return Err(Failure::forbidden(
            "unauthorized_action",
            "the role of this user does not permit this",
        ));
    }
    found.ok_or_else(|| Failure::not_found("user_not_exist", "there is no such user"))
}
