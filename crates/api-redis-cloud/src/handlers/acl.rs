//! ACL rules, roles and users (specification §14).

use pilothouse_api::StatusCode;
use serde_json::{Value, json};

use super::{ACCEPTED, content_about, ok, submit};
use crate::app::App;
use crate::call::{Answer, Call, typed};
use crate::error::Failure;
use crate::translate::acl::Access;
use crate::wire::acl::{RoleRequest, RuleRequest, UserRequest};

pub(crate) async fn rules(app: App, call: Call) -> Answer {
    let access = Access::of(app.control(), &call.caller);
    let shown: Vec<Value> = access.rules.iter().map(|each| access.show_rule(each)).collect();
    list(&call, "redisRules", shown)
}

pub(crate) async fn create_rule(app: App, call: Call) -> Answer {
    let _: RuleRequest = typed(call.body()?)?;
    create(&app, &call, "aclRedisRuleCreateRequest").await
}

pub(crate) async fn update_rule(app: App, call: Call) -> Answer {
    let _: RuleRequest = typed(call.body()?)?;
    update(&app, &call, ACCEPTED, "aclRedisRuleUpdateRequest").await
}

pub(crate) async fn delete_rule(app: App, call: Call) -> Answer {
    delete(&app, &call, ACCEPTED, "aclRedisRuleDeleteRequest").await
}

pub(crate) async fn roles(app: App, call: Call) -> Answer {
    let access = Access::of(app.control(), &call.caller);
    let shown: Vec<Value> = access.roles.iter().map(|each| access.show_role(each)).collect();
    list(&call, "roles", shown)
}

pub(crate) async fn create_role(app: App, call: Call) -> Answer {
    let _: RoleRequest = typed(call.body()?)?;
    create(&app, &call, "aclRoleCreateRequest").await
}

pub(crate) async fn update_role(app: App, call: Call) -> Answer {
    let _: RoleRequest = typed(call.body()?)?;
    update(&app, &call, ACCEPTED, "aclRoleUpdateRequest").await
}

pub(crate) async fn delete_role(app: App, call: Call) -> Answer {
    delete(&app, &call, StatusCode::OK, "aclRoleDeleteRequest").await
}

pub(crate) async fn users(app: App, call: Call) -> Answer {
    let access = Access::of(app.control(), &call.caller);
    let shown: Vec<Value> = access.users.iter().map(|each| access.show_user(each)).collect();
    list(&call, "users", shown)
}

pub(crate) async fn get_user(app: App, call: Call) -> Answer {
    let number = call.number("id")?;
    let access = Access::of(app.control(), &call.caller);
    let found = access.user(number);
    let found = found.ok_or_else(|| Failure::not_found(format!("ACL user {number} not found")))?;
    Ok(ok(&access.show_user(found)))
}

pub(crate) async fn create_user(app: App, call: Call) -> Answer {
    let _: UserRequest = typed(call.body()?)?;
    create(&app, &call, "aclUserCreateRequest").await
}

pub(crate) async fn update_user(app: App, call: Call) -> Answer {
    let _: UserRequest = typed(call.body()?)?;
    update(&app, &call, StatusCode::OK, "aclUserUpdateRequest").await
}

pub(crate) async fn delete_user(app: App, call: Call) -> Answer {
    delete(&app, &call, StatusCode::OK, "aclUserDeleteRequest").await
}

async fn create(app: &App, call: &Call, command: &str) -> Answer {
    let content = content_about(call, None, Value::Object(call.body()?));
    submit(app, call, ACCEPTED, command, content).await
}

async fn update(app: &App, call: &Call, status: StatusCode, command: &str) -> Answer {
    let content = content_about(call, Some(call.number("id")?), Value::Object(call.body()?));
    submit(app, call, status, command, content).await
}

async fn delete(app: &App, call: &Call, status: StatusCode, command: &str) -> Answer {
    let content = content_about(call, Some(call.number("id")?), json!({}));
    submit(app, call, status, command, content).await
}

fn list(call: &Call, key: &str, shown: Vec<Value>) -> Answer {
    Ok(ok(&json!({
        "accountId": call.account.number,
        key: shown,
        "links": call.links(&format!("/acl/{key}")),
    })))
}
