//! What travels over the local socket. Field names are part of `-o json`: they are added to, never renamed.

use serde::{Deserialize, Serialize};

/// A database as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is: the tenant's name.
    pub tenant: String,
    /// Through which API it was made.
    pub origin: String,
    /// The product.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// Where it stands, one word.
    pub state: String,
    /// Why, one sentence; empty when there is nothing to say.
    #[serde(default)]
    pub reason: String,
    /// Address and port that clients use.
    pub endpoint: String,
    /// Whether the endpoint speaks TLS.
    #[serde(default)]
    pub tls: bool,
    /// Memory limit of the whole database, bytes; 0 is none.
    pub memory_bytes: u64,
    /// Memory in use, bytes, where it is known.
    #[serde(default)]
    pub used_memory_bytes: Option<u64>,
    /// Copies besides the primary.
    pub replicas: u8,
    /// What survives a restart, one word.
    pub persistence: String,
    /// What goes when memory is full, the engine's word.
    pub eviction: String,
    /// Address ranges that may connect; empty means everybody.
    #[serde(default)]
    pub source_allow: Vec<String>,
    /// Most connections at once; 0 is no limit.
    #[serde(default)]
    pub max_connections: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub changed_at: String,
    /// The operation being carried out.
    #[serde(default)]
    pub operation: Option<String>,
    /// Its servers; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerView>,
    /// Typed truths; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionView>,
    /// The password of the login without a name; only when asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// A server of a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerView {
    /// Its id.
    pub id: String,
    /// `primary` or `replica`.
    pub role: String,
    /// One word: whether it answers.
    pub state: String,
    /// The port that it listens on, behind the endpoint.
    pub port: u16,
    /// Its process, when it runs.
    #[serde(default)]
    pub pid: Option<u32>,
}

/// One typed truth about a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionView {
    /// What it speaks of.
    pub kind: String,
    /// `true`, `false` or `unknown`.
    pub truth: String,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// `POST /databases`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// The product; the first that is installed when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Memory limit of the whole database, bytes; 0 is none.
    pub memory_bytes: u64,
    /// Copies besides the primary.
    #[serde(default)]
    pub replicas: u8,
    /// `disabled`, `snapshot`, `aof` or `aof-always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<String>,
    /// The engine's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<String>,
    /// The port of the endpoint; a free one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The password; one is generated when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Address ranges that may connect; everybody when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_allow: Vec<String>,
    /// Most connections at once; 0 is no limit.
    #[serde(default)]
    pub max_connections: u32,
}

/// `PATCH /databases/{database}`: what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    /// Memory limit of the whole database, bytes; 0 is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Copies besides the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u8>,
    /// `disabled`, `snapshot`, `aof` or `aof-always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<String>,
    /// The engine's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<String>,
    /// Address ranges that may connect; empty means everybody. Connections from elsewhere are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_allow: Option<Vec<String>>,
    /// Most connections at once; 0 is no limit. Connections that are there stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
}

/// The answer to everything that takes time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceptedView {
    /// The operation to ask for, `GET /operations/{id}`; none when nothing had to be done.
    pub operation: Option<String>,
    /// The database that it works on.
    pub database: String,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationView {
    /// Its id.
    pub id: String,
    /// What it does, one word.
    pub kind: String,
    /// `received`, `processing`, `processed` or `failed`.
    pub phase: String,
    /// The step in hand, for people.
    #[serde(default)]
    pub step: String,
    /// Share that is done, 0 to 100.
    #[serde(default)]
    pub progress: u8,
    /// Nothing more will happen to it.
    pub done: bool,
    /// Why it failed, if it did.
    #[serde(default)]
    pub failure: Option<ErrorView>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// When, RFC 3339.
    pub at: String,
    /// How much it matters.
    pub severity: String,
    /// What, one word.
    pub kind: String,
    /// Who caused it.
    pub actor: String,
    /// One sentence.
    pub message: String,
}

/// The last lines of one server's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogView {
    /// Whose.
    pub server: String,
    /// Its role.
    pub role: String,
    /// Oldest first.
    pub lines: Vec<String>,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorView {
    /// A word for programs.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// An account of an API whose clients show a pair of keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The tenant that it is a view of.
    pub tenant: String,
    /// The holders of its secret keys.
    pub keys: Vec<String>,
}

/// What makes an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRequest {
    /// Its name.
    pub name: String,
    /// The tenant that it is a view of; without one it gets its own.
    #[serde(default)]
    pub tenant: Option<String>,
}

/// An account that was made, with its keys: they are shown this once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IssuedView {
    /// The account.
    pub account: AccountView,
    /// The key that names the account.
    pub access_key: String,
    /// The secret key of its first holder.
    pub secret_key: String,
}

/// A further secret key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRequest {
    /// The name of its holder.
    pub name: String,
    /// What its holder may do: `owner`, `viewer` or `logs-viewer`.
    pub role: String,
    /// From where it works; empty for anywhere.
    pub sources: Vec<String>,
}

/// A secret key that was made: it is shown this once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IssuedKeyView {
    /// The account.
    pub account: AccountView,
    /// The name of its holder.
    pub name: String,
    /// The key.
    pub secret_key: String,
}
