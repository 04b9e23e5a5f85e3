//! Roles and Redis ACLs. Clients read these as types of exactly these keys: none is added.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::wire::user::ManagementWord;

/// Body of `POST` and `PUT /v1/roles`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RoleRequest {
    pub(crate) name: Option<String>,
    pub(crate) management: Option<ManagementWord>,
    pub(crate) resources: Option<Vec<Value>>,
    pub(crate) account_id: Option<i64>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RoleObject {
    pub(crate) uid: u64,
    pub(crate) name: String,
    pub(crate) management: ManagementWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account_id: Option<i64>,
}

/// Body of `POST` and `PUT /v1/redis_acls`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AclRequest {
    pub(crate) name: Option<String>,
    pub(crate) acl: Option<String>,
    pub(crate) min_version: Option<String>,
    pub(crate) max_version: Option<String>,
    pub(crate) account_id: Option<i64>,
}

/// A Redis ACL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AclObject {
    pub(crate) uid: u64,
    pub(crate) name: String,
    pub(crate) acl: String,
    #[serde(flatten)]
    pub(crate) extras: AclExtras,
}

/// What of a Redis ACL is only stored and shown, where it was set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AclExtras {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) min_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account_id: Option<i64>,
}
