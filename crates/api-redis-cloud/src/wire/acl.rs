//! The requests that make and change ACL rules, roles and users (specification §14). Every field may be missing.

use serde::Deserialize;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleRequest {
    pub(crate) name: Option<String>,
    // The alias is what one client sends (§6).
    #[serde(alias = "rule")]
    pub(crate) redis_rule: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleRequest {
    pub(crate) name: Option<String>,
    #[serde(alias = "redis_rules")]
    pub(crate) redis_rules: Option<Vec<RoleRule>>,
}

/// A rule that a role grants on databases.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleRule {
    pub(crate) rule_name: Option<String>,
    pub(crate) databases: Option<Vec<RoleDatabase>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoleDatabase {
    pub(crate) subscription_id: Option<u64>,
    pub(crate) database_id: Option<u64>,
    pub(crate) regions: Option<Vec<String>>,
}

#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserRequest {
    pub(crate) name: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) password: Option<String>,
}
