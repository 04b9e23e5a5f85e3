//! ACL rules, roles and users as clients see them (specification §14).

use std::sync::Arc;

use pilothouse_control::{Caller, Control};
use pilothouse_model::{AclRule, DatabaseId, Lifecycle, Role, Subject, User};
use serde_json::{Value, json};

use crate::ids;

/// What this API calls the built-in rules.
const DEFAULT_NAMES: [(&str, &str); 3] = [
    ("Full Access", "Full-Access"),
    ("Not Dangerous", "Read-Write"),
    ("Read Only", "Read-Only"),
];

/// Rules, roles and users of an account at one moment, in the order of their making.
pub(crate) struct Access<'a> {
    control: &'a Control,
    pub(crate) rules: Vec<Arc<AclRule>>,
    pub(crate) roles: Vec<Arc<Role>>,
    pub(crate) users: Vec<Arc<User>>,
    databases: Vec<Known>,
}

/// A database that a role can open.
struct Known {
    id: DatabaseId,
    number: u64,
    subscription: u64,
    name: String,
}

/// A rule's name in this API.
pub(crate) fn rule_name(rule: &AclRule) -> &str {
    let renamed = DEFAULT_NAMES
        .iter()
        .find(|(name, _)| rule.built_in && rule.name == *name);
    renamed.map_or(&rule.name, |(_, shown)| shown)
}

impl<'a> Access<'a> {
    /// Those of the caller's account.
    pub(crate) fn of(control: &'a Control, caller: &Caller) -> Self {
        let living = control.databases(caller).into_iter();
        let databases = living
            .filter(|view| view.lifecycle != Lifecycle::Deleting)
            .map(|view| Known {
                id: view.database.id,
                number: ids::of_database(control, view.database.id),
                subscription: ids::of_group(control, view.database.group),
                name: view.database.name.to_string(),
            });
        Self {
            rules: control.tenant_acl_rules(caller),
            roles: control.tenant_roles(caller),
            users: control.tenant_users(caller),
            databases: databases.collect(),
            control,
        }
    }

    /// The rule with that number.
    pub(crate) fn rule(&self, number: u64) -> Option<&Arc<AclRule>> {
        self.rules.iter().find(|rule| self.number_of_rule(rule) == number)
    }

    /// The rule with that name.
    pub(crate) fn rule_named(&self, name: &str) -> Option<&Arc<AclRule>> {
        self.rules.iter().find(|rule| rule_name(rule) == name)
    }

    /// The role with that number.
    pub(crate) fn role(&self, number: u64) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| self.number_of_role(role) == number)
    }

    /// The user with that number.
    pub(crate) fn user(&self, number: u64) -> Option<&Arc<User>> {
        self.users.iter().find(|user| self.number_of_user(user) == number)
    }

    fn number_of_rule(&self, rule: &AclRule) -> u64 {
        ids::of_access(self.control, ids::RULE, Subject::AclRule(rule.id))
    }

    fn number_of_role(&self, role: &Role) -> u64 {
        ids::of_access(self.control, ids::ROLE, Subject::Role(role.id))
    }

    fn number_of_user(&self, user: &User) -> u64 {
        ids::of_access(self.control, ids::USER, Subject::User(user.id))
    }

    pub(crate) fn show_rule(&self, rule: &AclRule) -> Value {
        let grants = self.roles.iter().flat_map(|role| &role.grants);
        let databases = grants
            .filter(|grant| grant.rule == rule.id)
            .flat_map(|grant| &grant.databases);
        let databases: Vec<DatabaseId> = databases.copied().collect();
        let since = self.control.access_revision(&[rule.id], &[], &[]);
        json!({
            "id": self.number_of_rule(rule),
            "name": rule_name(rule),
            "acl": rule.rule,
            "isDefault": rule.built_in,
            "status": self.status(&databases, since),
        })
    }

    pub(crate) fn show_role(&self, role: &Role) -> Value {
        let rules = role.grants.iter().map(|grant| {
            let rule = self.rules.iter().find(|rule| rule.id == grant.rule);
            let databases = self
                .databases
                .iter()
                .filter(|known| grant.databases.contains(&known.id));
            let databases: Vec<Value> = databases
                .map(|known| {
                    json!({
                        "subscriptionId": known.subscription,
                        "databaseId": known.number,
                        "databaseName": known.name,
                        "regions": [],
                    })
                })
                .collect();
            json!({
                "ruleId": rule.map_or(0, |rule| self.number_of_rule(rule)),
                "ruleName": rule.map_or("", |rule| rule_name(rule)),
                "databases": databases,
            })
        });
        let rules: Vec<Value> = rules.collect();
        let holders = self.users.iter().filter(|user| user.roles.contains(&role.id));
        let holders: Vec<Value> = holders
            .map(|user| json!({ "id": self.number_of_user(user), "name": user.name }))
            .collect();
        let since = self.control.access_revision(&[], &[role.id], &[]);
        json!({
            "id": self.number_of_role(role),
            "name": role.name,
            "redisRules": rules,
            "users": holders,
            "status": self.status(&opened_by(role), since),
        })
    }

    pub(crate) fn show_user(&self, user: &User) -> Value {
        let role = self.roles.iter().find(|role| user.roles.contains(&role.id));
        let databases = role.map(|role| opened_by(role)).unwrap_or_default();
        let since = self.control.access_revision(&[], &user.roles, &[user.id]);
        json!({
            "id": self.number_of_user(user),
            "name": user.name,
            "role": role.map_or("", |role| role.name.as_str()),
            "status": self.status(&databases, since),
            "links": [],
        })
    }

    /// Active once every server of every database concerned has it.
    fn status(&self, databases: &[DatabaseId], since: u64) -> &'static str {
        if self.control.logins_are_in_force(databases, since) {
            "active"
        } else {
            "pending"
        }
    }
}

fn opened_by(role: &Role) -> Vec<DatabaseId> {
    role.grants
        .iter()
        .flat_map(|grant| grant.databases.iter().copied())
        .collect()
}
