//! Users.

use pilothouse_api::JsonObject;
use pilothouse_control::{ControlError, DocumentWrite, NewUser, PasswordChange, UserChange};
use pilothouse_model::{ManagementRole, RoleId, Secret, Subject, User, UserId};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::Permission;
use crate::call::{Answer, Call, ok, ok_empty, typed};
use crate::error::Failure;
use crate::translate::permissions;
use crate::translate::user::{UserContext, check_password, roles_of_word, shown};
use crate::wire::user::{DOCUMENT, SETTINGS, UserObject, UserRequest};
use crate::{documents, fields, ids};

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    // A user whom another API made has a number here too.
    let users: Vec<UserObject> = app.control().users().iter().map(|user| describe(&app, user)).collect();
    Ok(ok(&users))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let user = find(&app, &call)?;
    Ok(ok(&describe(&app, &user)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let request: UserRequest = typed(body.clone())?;
    check_auth_method(&request)?;
    let (email, name) = (
        request.email.clone().unwrap_or_default(),
        request.name.clone().unwrap_or_default(),
    );
    if email.is_empty() && name.is_empty() {
        return Err(Failure::bad_request("missing_field", "email or name is missing"));
    }
    let password = request
        .password
        .clone()
        .ok_or_else(|| Failure::bad_request("missing_field", "password is missing"))?;
    let login = if name.is_empty() { &email } else { &name };
    check_password(&app.settings().cluster, &password, login)?;
    let (management, roles) = rights(&app, &request)?.unwrap_or_else(|| {
        // The word that the SDK documents as the default.
        (
            ManagementRole::DbViewer,
            roles_of_word(&app.control().roles(), ManagementRole::DbViewer),
        )
    });
    let new = NewUser {
        email,
        name,
        management,
        roles,
        password: Some(Secret::new(password)),
        wire_id: None,
        documents: vec![DocumentWrite {
            kind: DOCUMENT,
            version: documents::VERSION,
            body: Value::Object(fields::checked(SETTINGS, &body)?),
        }],
    };
    if call.dry_run() {
        app.control().check_new_user(&new)?;
        return Ok(ok(&would_be(&app, &new)));
    }
    let user = app.control().create_user(&call.caller, new).await?;
    Ok(ok(&describe(&app, &user)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let user = find(&app, &call)?;
    let body = call.body()?;
    let request: UserRequest = typed(body.clone())?;
    check_auth_method(&request)?;
    let own = call.principal.user.as_ref().is_some_and(|caller| caller.id == user.id);
    let change = change(&app, &user, &request, own, call.principal.may(Permission::ManageUsers))?;
    let settings = fields::checked(SETTINGS, &body)?;
    if call.dry_run() {
        let mut shown = describe(&app, &user);
        shown.name = change.name.unwrap_or(shown.name);
        shown.email = change.email.unwrap_or(shown.email);
        shown.settings.extend(settings);
        return Ok(ok(&shown));
    }
    let control = app.control();
    if let Some(password) = request.password.clone() {
        let replaced = control
            .change_passwords(&call.caller, user.id, PasswordChange::Replace(Secret::new(password)))
            .await;
        match replaced {
            // Scripts send whole objects with the password that is set already; only asking for nothing else is a mistake.
            Err(ControlError::AlreadyExists { .. }) if body.len() > 1 => {}
            other => other.map_err(password_failure)?,
        }
    }
    control
        .update_user(&call.caller, user.id, change)
        .await
        .map_err(update_failure)?;
    if !settings.is_empty() {
        documents::change(&app, &call.caller, Subject::User(user.id), DOCUMENT, settings, None).await?;
    }
    let changed = control.user(user.id).ok_or_else(not_exist)?;
    Ok(ok(&describe(&app, &changed)))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let user = find(&app, &call)?;
    let refused = |why: &str| Err(Failure::not_acceptable("unauthorized_action", why));
    if app.uid(Subject::User(user.id)) == ids::BOOTSTRAP_USER_UID {
        return refused("the user that made the cluster cannot be deleted");
    }
    if call.principal.user.as_ref().is_some_and(|caller| caller.id == user.id) {
        return refused("users cannot delete themselves");
    }
    app.control()
        .delete_user(&call.caller, user.id)
        .await
        .map_err(update_failure)?;
    Ok(ok_empty())
}

pub(crate) async fn own_role(_app: App, call: Call) -> Answer {
    let role = call
        .principal
        .management
        .first()
        .copied()
        .unwrap_or(ManagementRole::None);
    Ok(ok(&json!({"role": crate::wire::user::ManagementWord::from(role)})))
}

pub(crate) async fn permissions(_app: App, _call: Call) -> Answer {
    Ok(ok(&permissions::of_all_roles()))
}

pub(crate) async fn permissions_of(_app: App, call: Call) -> Answer {
    let all = permissions::of_all_roles();
    let role = call.text("role");
    match all.get(role) {
        Some(permissions) => Ok(ok(&json!({ role: permissions }))),
        None => Err(Failure::not_found("role_not_exist", "there is no such management role")),
    }
}

/// A user as this API shows it.
pub(crate) fn describe(app: &App, user: &User) -> UserObject {
    let document = documents::read(app, Subject::User(user.id), DOCUMENT);
    let context = UserContext {
        uid: app.uid(Subject::User(user.id)),
        role_uids: user.roles.iter().map(|role| app.uid(Subject::Role(*role))).collect(),
        management: app.management_of(user),
        last_login: app.last_login(user.id),
        password_lifetime: app.settings().password_lifetime,
        now: app.control().now(),
    };
    shown(user, document.as_ref(), context)
}

/// A change of passwords that was refused, in the words of this API.
pub(crate) fn password_failure(error: ControlError) -> Failure {
    let code = match &error {
        ControlError::AlreadyExists { .. } => "new_password_same_as_current",
        ControlError::Conflict(_) => "cannot_delete_last_password",
        ControlError::NotFound {
            what: pilothouse_control::Noun::Document,
        } => "invalid_param",
        _ => return error.into(),
    };
    let description = match code {
        "new_password_same_as_current" => "this password is valid for the user already".to_owned(),
        "invalid_param" => "this is no password of the user".to_owned(),
        _ => error.to_string(),
    };
    Failure::bad_request(code, description)
}

fn update_failure(error: ControlError) -> Failure {
    match error {
        ControlError::AlreadyExists { field: "email", .. } => {
            Failure::not_acceptable("email_already_exists", "another user has this e-mail")
        }
        ControlError::Conflict(why) => Failure::not_acceptable("change_last_admin_role_not_allowed", why),
        other => other.into(),
    }
}

fn find(app: &App, call: &Call) -> Result<std::sync::Arc<User>, Failure> {
    let id: UserId = ids::user(app.control(), call.uid("uid")?).ok_or_else(not_exist)?;
    app.control().user(id).ok_or_else(not_exist)
}

fn not_exist() -> Failure {
    Failure::not_found("user_not_exist", "there is no such user")
}

fn check_auth_method(request: &UserRequest) -> Result<(), Failure> {
    match request.auth_method.as_deref() {
        None | Some("" | "regular") => Ok(()),
        Some("external" | "certificate" | "entraid" | "sso") => Err(Failure::not_acceptable(
            "unsupported_auth_method",
            "users of this cluster log in with a password: auth_method can only be regular",
        )),
        Some(_) => Err(Failure::invalid_schema("auth_method must be regular")),
    }
}

/// What a request says a user may do; `None` when it says nothing. Role uids win over the word.
fn rights(app: &App, request: &UserRequest) -> Result<Option<(ManagementRole, Vec<RoleId>)>, Failure> {
    let control = app.control();
    if let Some(uids) = request.role_uids.as_ref().filter(|uids| !uids.is_empty()) {
        let unknown = |uid: &u64| Failure::bad_request("invalid_role_uids_param", format!("there is no role {uid}"));
        let roles = uids
            .iter()
            .map(|uid| {
                ids::role(control, *uid)
                    .filter(|id| control.role(*id).is_some())
                    .ok_or_else(|| unknown(uid))
            })
            .collect::<Result<Vec<RoleId>, Failure>>()?;
        let first = roles
            .first()
            .and_then(|id| control.role(*id))
            .map_or(ManagementRole::None, |role| role.management);
        return Ok(Some((first, roles)));
    }
    Ok(request.role.map(|word| {
        let management = ManagementRole::from(word);
        (management, roles_of_word(&control.roles(), management))
    }))
}

/// What is to become of a user. Everybody changes their own name, password and alerts; the rest needs the permission.
fn change(app: &App, user: &User, request: &UserRequest, own: bool, manages: bool) -> Result<UserChange, Failure> {
    if !own && !manages {
        return Err(Failure::forbidden(
            "forbidden",
            "the role of this user does not permit this",
        ));
    }
    let name = request.name.clone().filter(|name| *name != user.name);
    if name.is_some() && !own {
        // Quirk: the product lets nobody else change a name.
        return Err(Failure::bad_request(
            "unauthorized_action",
            "only users themselves can change their names",
        ));
    }
    let email = request.email.clone().filter(|email| *email != user.email);
    let rights = rights(app, request)?
        .filter(|(management, roles)| *roles != user.roles || (roles.is_empty() && *management != user.management));
    if (email.is_some() || rights.is_some()) && !manages {
        return Err(Failure::forbidden(
            "forbidden",
            "users can change only their own name, password and alerts",
        ));
    }
    if let Some(password) = &request.password {
        check_password(
            &app.settings().cluster,
            password,
            name.as_deref().unwrap_or(user.display_name()),
        )?;
    }
    let (management, roles) = rights.map_or((None, None), |(management, roles)| (Some(management), Some(roles)));
    Ok(UserChange {
        email,
        name,
        management,
        roles,
        ..UserChange::default()
    })
}

fn would_be(app: &App, new: &NewUser) -> JsonObject {
    let uids: Vec<u64> = new.roles.iter().map(|role| app.uid(Subject::Role(*role))).collect();
    let role = crate::wire::user::ManagementWord::from(new.management);
    let shown = json!({
        "email": new.email, "name": new.name, "role": role, "role_uids": uids, "auth_method": "regular", "status": "active",
    });
    let mut shown = shown.as_object().cloned().unwrap_or_default();
    let stored = new.documents.first().map(|document| &document.body);
    shown.extend(fields::merged(SETTINGS, stored));
    shown
}
