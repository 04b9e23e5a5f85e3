//! ACL rules, roles and users: named by each other, real on the servers of the databases that roles name (specification §14).

use std::ops::RangeInclusive;

use pilothouse_control::{
    AclRuleChange, ControlError, Field, NewAclRule, NewTenantUser, Noun, Processed, TenantRoleChange, UserChange,
};
use pilothouse_model::{AclRule, DatabaseId, Grant, Role, RoleId, Secret, Subject, User};
use serde_json::{Value, json};

use super::view::subscription;
use super::{Outcome, Task};
use crate::error::TaskError;
use crate::ids;
use crate::translate::acl::Access;
use crate::wire::acl::{RoleDatabase, RoleRequest, RoleRule, RuleRequest, UserRequest};

const PASSWORD_LENGTH: RangeInclusive<usize> = 8..=128;

fn access<'a>(task: &'a Task<'_>) -> Access<'a> {
    Access::of(task.app.control(), &task.caller())
}

/// The text that a request gives, where it gives one that is not blank.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn required<'a>(text: Option<&'a str>, code: &'static str) -> Result<&'a str, TaskError> {
    given(text).ok_or_else(|| TaskError::new(code, "a field that is needed is missing"))
}

pub(super) async fn create_rule(task: &Task<'_>) -> Outcome {
    let request: RuleRequest = task.typed()?;
    let name = required(request.name.as_deref(), "ACL_REDIS_RULE_NAME_IS_MISSING")?.to_owned();
    let rule = required(request.redis_rule.as_deref(), "ACL_REDIS_RULE_PATTERN_IS_MISSING")?;
    refuse_taken_rule(task, &name, None)?;
    let new = NewAclRule {
        name: name.clone(),
        rule: rule.to_owned(),
        documents: Vec::new(),
    };
    let tenant = task.pending.operation.tenant;
    let caller = task.settling_with(move |view| {
        let mut rules = view.all::<AclRule>().filter(|rule| rule.tenant == Some(tenant));
        let made = rules
            .find(|rule| rule.name == name)
            .map(|rule| Subject::AclRule(rule.id));
        json!({ "resourceId": made.and_then(|made| view.wire_number(ids::RULE, &made)) })
    });
    let made = task.app.control().create_tenant_acl_rule(&caller, new).await;
    made.map_err(rule_error)?;
    Ok(Processed::Settled)
}

/// Names of the rules that are always there are taken too, as this API calls them.
fn refuse_taken_rule(task: &Task<'_>, name: &str, but: Option<&AclRule>) -> Result<(), TaskError> {
    let access = access(task);
    let taken = access.rule_named(name);
    match taken.filter(|taken| but.is_none_or(|but| but.id != taken.id)) {
        Some(_) => Err(TaskError::new(
            "ACL_REDIS_RULE_NAME_ALREADY_EXISTS",
            format!("there is a rule {name} already"),
        )),
        None => Ok(()),
    }
}

/// The rule that the task is about, which is not one of those that are always there.
fn own_rule(task: &Task<'_>, when_default: &'static str) -> Result<std::sync::Arc<AclRule>, TaskError> {
    let found = access(task).rule(task.id.unwrap_or(0)).cloned();
    let found = found.ok_or_else(|| TaskError::new("ACL_REDIS_RULE_NOT_FOUND", "there is no such rule"))?;
    if found.built_in {
        return Err(TaskError::new(when_default, "this rule is always there as it is"));
    }
    Ok(found)
}

pub(super) async fn update_rule(task: &Task<'_>) -> Outcome {
    let request: RuleRequest = task.typed()?;
    let rule = own_rule(task, "ACL_REDIS_RULE_CANNOT_UPDATE_DEFAULT")?;
    if let Some(name) = given(request.name.as_deref()) {
        refuse_taken_rule(task, name, Some(&rule))?;
    }
    let change = AclRuleChange {
        name: given(request.name.as_deref()).map(str::to_owned),
        rule: given(request.redis_rule.as_deref()).map(str::to_owned),
        documents: Vec::new(),
    };
    let caller = task.settling(task.about());
    let updated = task.app.control().update_acl_rule(&caller, rule.id, change).await;
    updated.map_err(rule_error)?;
    Ok(Processed::Settled)
}

pub(super) async fn delete_rule(task: &Task<'_>) -> Outcome {
    let rule = own_rule(task, "ACL_REDIS_RULE_CANNOT_DELETE_DEFAULT")?;
    let caller = task.settling(task.about());
    let deleted = task.app.control().delete_acl_rule(&caller, rule.id).await;
    deleted.map_err(|error| match error {
        ControlError::Conflict(why) => TaskError::new("ACL_REDIS_RULE_CANNOT_DELETE_WHEN_ASSOCIATED_WITH_ROLES", why),
        other => rule_error(other),
    })?;
    Ok(Processed::Settled)
}

fn rule_error(error: ControlError) -> TaskError {
    let code = match &error {
        ControlError::AlreadyExists { .. } => "ACL_REDIS_RULE_NAME_ALREADY_EXISTS",
        ControlError::Invalid { field: Field::Name, .. } => "ACL_REDIS_RULE_NAME_NOT_VALID",
        ControlError::NotFound { what: Noun::AclRule } => "ACL_REDIS_RULE_NOT_FOUND",
        _ => return error.into(),
    };
    TaskError::new(code, error.to_string())
}

pub(super) async fn create_role(task: &Task<'_>) -> Outcome {
    let request: RoleRequest = task.typed()?;
    let name = required(request.name.as_deref(), "ACL_ROLE_NAME_IS_MISSING")?.to_owned();
    let rules = request.redis_rules.filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| TaskError::new("ACL_ROLE_REDIS_RULES_IS_MISSING", "a role grants a rule"))?;
    let grants = grants(task, &rules)?;
    let (tenant, wanted) = (task.pending.operation.tenant, name.clone());
    let caller = task.settling_with(move |view| {
        let mut roles = view.all::<Role>().filter(|role| role.tenant == Some(tenant));
        let made = roles
            .find(|role| role.name == wanted)
            .map(|role| Subject::Role(role.id));
        json!({ "resourceId": made.and_then(|made| view.wire_number(ids::ROLE, &made)) })
    });
    let made = task.app.control().create_tenant_role(&caller, name, grants).await;
    made.map_err(role_error)?;
    Ok(Processed::Settled)
}

fn role_error(error: ControlError) -> TaskError {
    let code = match &error {
        ControlError::AlreadyExists { .. } => "ACL_ROLE_NAME_ALREADY_EXISTS",
        ControlError::Invalid { field: Field::Name, .. } => "ACL_ROLE_NAME_NOT_VALID",
        ControlError::NotFound { what: Noun::Role } => "ACL_ROLE_NOT_FOUND",
        _ => return error.into(),
    };
    TaskError::new(code, error.to_string())
}

/// What a role is to open, in the words of the core.
fn grants(task: &Task<'_>, rules: &[RoleRule]) -> Result<Vec<Grant>, TaskError> {
    let access = access(task);
    let mut grants: Vec<Grant> = Vec::new();
    for asked in rules {
        let name = asked.rule_name.as_deref().unwrap_or_default();
        let rule = access.rule_named(name).ok_or_else(|| {
            let why = format!("there is no rule {name:?}");
            TaskError::new("ACL_REDIS_RULE_DOES_NOT_EXISTS", why)
        })?;
        let databases = asked.databases.as_ref().filter(|databases| !databases.is_empty());
        let databases = databases.ok_or_else(|| {
            let why = format!("on which databases {name} is granted is missing");
            TaskError::new("ACL_ROLE_REDIS_RULES_DATABASES_SPEC_IS_MISSING", why)
        })?;
        let databases: Vec<DatabaseId> = databases
            .iter()
            .map(|asked| database(task, asked))
            .collect::<Result<_, _>>()?;
        for (index, id) in databases.iter().enumerate() {
            let before = databases.iter().take(index);
            if before
                .chain(grants.iter().flat_map(|grant| &grant.databases))
                .any(|other| other == id)
            {
                return Err(TaskError::new(
                    "ACL_ROLE_REDIS_RULE_MUST_BE_DEFINED_ONLY_ONCE_PER_DATABASE",
                    "a role grants one rule on a database",
                ));
            }
        }
        grants.push(Grant {
            rule: rule.id,
            databases,
        });
    }
    Ok(grants)
}

fn database(task: &Task<'_>, asked: &RoleDatabase) -> Result<DatabaseId, TaskError> {
    let missing = |code| TaskError::new(code, "a database is named by its number and that of its subscription");
    let (Some(sid), Some(did)) = (asked.subscription_id, asked.database_id) else {
        return Err(missing(if asked.subscription_id.is_none() {
            "ACL_ROLE_REDIS_RULES_DATABASES_SUBSCRIPTION_ID_IS_MISSING"
        } else {
            "ACL_ROLE_REDIS_RULES_DATABASES_DATABASE_ID_IS_MISSING"
        }));
    };
    if asked.regions.as_ref().is_some_and(|regions| !regions.is_empty()) {
        return Err(TaskError::new(
            "ACL_ROLE_REDIS_RULES_DATABASES_REGION_MUST_BE_CRDB",
            "regions go with active-active databases",
        ));
    }
    let found = subscription(task.app, &task.caller(), sid);
    let found =
        found.ok_or_else(|| TaskError::new("SUBSCRIPTION_NOT_FOUND", format!("there is no subscription {sid}")))?;
    let number = |id| ids::of_database(task.app.control(), id);
    let living = found.databases.iter().filter(|view| view.database.deleted_at.is_none());
    living
        .map(|view| view.database.id)
        .find(|id| number(*id) == did)
        .ok_or_else(|| {
            let why = format!("there is no database {did} in subscription {sid}");
            TaskError::new("DATABASE_NOT_FOUND", why)
        })
}

fn own_role(task: &Task<'_>) -> Result<RoleId, TaskError> {
    let access = access(task);
    let found = access.role(task.id.unwrap_or(0)).map(|role| role.id);
    found.ok_or_else(|| TaskError::new("ACL_ROLE_NOT_FOUND", "there is no such role"))
}

pub(super) async fn update_role(task: &Task<'_>) -> Outcome {
    let request: RoleRequest = task.typed()?;
    let role = own_role(task)?;
    let change = TenantRoleChange {
        name: given(request.name.as_deref()).map(str::to_owned),
        grants: request.redis_rules.map(|rules| grants(task, &rules)).transpose()?,
    };
    let caller = task.settling(task.about());
    let updated = task.app.control().update_tenant_role(&caller, role, change).await;
    updated.map_err(role_error)?;
    Ok(Processed::Settled)
}

pub(super) async fn delete_role(task: &Task<'_>) -> Outcome {
    let role = own_role(task)?;
    let caller = task.settling(task.about());
    let deleted = task.app.control().delete_role(&caller, role).await;
    deleted.map_err(|error| match error {
        ControlError::Conflict(why) => TaskError::new("ACL_ROLE_HAS_ACTIVE_USERS_AND_CANNOT_BE_DELETED", why),
        other => role_error(other),
    })?;
    Ok(Processed::Settled)
}

fn role_named(task: &Task<'_>, name: &str) -> Result<RoleId, TaskError> {
    let access = access(task);
    let found = access.roles.iter().find(|role| role.name == name).map(|role| role.id);
    found.ok_or_else(|| TaskError::new("ACL_ROLE_DOES_NOT_EXISTS", format!("there is no role {name:?}")))
}

fn checked_password(password: &str) -> Result<Secret, TaskError> {
    let mut characters = password.chars();
    let first = characters.next();
    let monotonous = characters.all(|character| Some(character) == first);
    if !PASSWORD_LENGTH.contains(&password.chars().count()) || monotonous {
        return Err(TaskError::new(
            "ACL_USER_PASSWORD_NOT_VALID",
            "a password has 8 to 128 characters, not all the same",
        ));
    }
    Ok(Secret::new(password))
}

fn user_error(error: ControlError) -> TaskError {
    let code = match &error {
        ControlError::AlreadyExists { .. } => "ACL_USER_NAME_ALREADY_EXISTS",
        ControlError::Invalid { field: Field::Name, .. } => "ACL_USER_NAME_NOT_VALID",
        ControlError::NotFound { what: Noun::User } => "ACL_USER_NOT_FOUND",
        _ => return error.into(),
    };
    TaskError::new(code, error.to_string())
}

pub(super) async fn create_user(task: &Task<'_>) -> Outcome {
    let request: UserRequest = task.typed()?;
    let name = required(request.name.as_deref(), "ACL_USER_NAME_IS_MISSING")?.to_owned();
    let password = request.password.as_deref();
    let password = password.ok_or_else(|| TaskError::new("ACL_USER_PASSWORD_IS_MISSING", "a user has a password"))?;
    let new = NewTenantUser {
        name: name.clone(),
        role: role_named(task, required(request.role.as_deref(), "ACL_ROLE_DOES_NOT_EXISTS")?)?,
        password: checked_password(password)?,
    };
    let tenant = task.pending.operation.tenant;
    let caller = task.settling_with(move |view| {
        let mut users = view.all::<User>().filter(|user| user.tenant == Some(tenant));
        let made = users.find(|user| user.name == name).map(|user| Subject::User(user.id));
        json!({ "resourceId": made.and_then(|made| view.wire_number(ids::USER, &made)) })
    });
    let made = task.app.control().create_tenant_user(&caller, new).await;
    made.map_err(user_error)?;
    Ok(Processed::Settled)
}

fn own_user(task: &Task<'_>) -> Result<pilothouse_model::UserId, TaskError> {
    let access = access(task);
    let found = access.user(task.id.unwrap_or(0)).map(|user| user.id);
    found.ok_or_else(|| TaskError::new("ACL_USER_NOT_FOUND", "there is no such user"))
}

pub(super) async fn update_user(task: &Task<'_>) -> Outcome {
    let request: UserRequest = task.typed()?;
    let user = own_user(task)?;
    let role = given(request.role.as_deref())
        .map(|name| role_named(task, name))
        .transpose()?;
    let change = UserChange {
        roles: role.map(|role| vec![role]),
        password: request.password.as_deref().map(checked_password).transpose()?,
        ..UserChange::default()
    };
    let caller = task.settling(task.about());
    let updated = task.app.control().update_user(&caller, user, change).await;
    updated.map_err(user_error)?;
    Ok(Processed::Settled)
}

pub(super) async fn delete_user(task: &Task<'_>) -> Outcome {
    let user = own_user(task)?;
    let caller = task.settling(task.about());
    let deleted = task.app.control().delete_user(&caller, user).await;
    deleted.map_err(user_error)?;
    Ok(Processed::Settled)
}

impl Task<'_> {
    /// The answer of a task about something that is there: its number.
    pub(super) fn about(&self) -> Value {
        json!({ "resourceId": self.id })
    }
}
