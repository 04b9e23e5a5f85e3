//! Users and their passwords.

use pilothouse_model::ManagementRole;
use serde::{Deserialize, Serialize};

use crate::fields::Default::{Absent, Bool, Empty};
use crate::fields::{ANY_INT, Field, Kind, rw};

/// Document of a user: the keys of [`SETTINGS`].
pub(crate) const DOCUMENT: &str = "user";

/// What only this API knows of a user, most of all which alerts are mailed.
pub(crate) const SETTINGS: &[Field] = &[
    rw("email_alerts", Kind::Bool, Bool(false)),
    rw("bdbs_email_alerts", Kind::Texts, Empty),
    rw("cluster_email_alerts", Kind::Bool, Bool(false)),
    rw("account_id", ANY_INT, Absent),
];

/// The words of management roles. Quirk: clients of 2021 do not know `user_manager` and fail on it; there is no other word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ManagementWord {
    Admin,
    ClusterMember,
    ClusterViewer,
    DbMember,
    DbViewer,
    UserManager,
    None,
}

impl From<ManagementRole> for ManagementWord {
    fn from(role: ManagementRole) -> Self {
        match role {
            ManagementRole::Admin => Self::Admin,
            ManagementRole::ClusterMember => Self::ClusterMember,
            ManagementRole::ClusterViewer => Self::ClusterViewer,
            ManagementRole::DbMember => Self::DbMember,
            ManagementRole::DbViewer => Self::DbViewer,
            ManagementRole::UserManager => Self::UserManager,
            ManagementRole::None => Self::None,
        }
    }
}

impl From<ManagementWord> for ManagementRole {
    fn from(word: ManagementWord) -> Self {
        match word {
            ManagementWord::Admin => Self::Admin,
            ManagementWord::ClusterMember => Self::ClusterMember,
            ManagementWord::ClusterViewer => Self::ClusterViewer,
            ManagementWord::DbMember => Self::DbMember,
            ManagementWord::DbViewer => Self::DbViewer,
            ManagementWord::UserManager => Self::UserManager,
            ManagementWord::None => Self::None,
        }
    }
}

/// Body of `POST` and `PUT`; the keys of [`SETTINGS`] are read from the same body by their table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UserRequest {
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) role: Option<ManagementWord>,
    pub(crate) role_uids: Option<Vec<u64>>,
    pub(crate) auth_method: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UserObject {
    pub(crate) uid: u64,
    pub(crate) email: String,
    pub(crate) name: String,
    /// Always a word, also when roles are held: that of the first role.
    pub(crate) role: ManagementWord,
    pub(crate) role_uids: Vec<u64>,
    pub(crate) auth_method: &'static str,
    pub(crate) certificate_subject_line: &'static str,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_issue_date: Option<String>,
    pub(crate) password_hash_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_login: Option<i64>,
    #[serde(flatten)]
    pub(crate) settings: pilothouse_api::JsonObject,
}

/// Body of the routes below `/v1/users/password`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PasswordRequest {
    pub(crate) username: Option<String>,
    /// Quirk: one command-line client sends this with `password`, and means a replacement.
    pub(crate) email: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) old_password: Option<String>,
    pub(crate) new_password: Option<String>,
}

/// Body of `POST /v1/users/authorize`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthorizeRequest {
    pub(crate) ttl: Option<i64>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// Answer with a token.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TokenAnswer {
    pub(crate) access_token: String,
    /// Quirk: the key that one typed client reads.
    pub(crate) jwt: String,
}
