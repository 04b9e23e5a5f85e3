//! Actions: what is under way, in the two forms of this API.

use serde::Serialize;
use serde_json::{Map, Value};

/// An element of `/v1/actions`. Numbers are texts in places, because that is what was recorded and typed clients accept nothing else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Action {
    pub(crate) action_uid: String,
    pub(crate) creation_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat: Option<i64>,
    pub(crate) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_name: Option<String>,
    pub(crate) progress: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) task_id: String,
}

/// An element of `/v2/actions`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ActionV2 {
    pub(crate) action_uid: String,
    pub(crate) action_type: &'static str,
    pub(crate) creation_time: i64,
    pub(crate) name: &'static str,
    pub(crate) progress: f64,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) additional_info: Map<String, Value>,
}

/// `/v1/actions`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Actions {
    pub(crate) actions: Vec<Action>,
    #[serde(rename = "state-machines")]
    pub(crate) state_machines: Vec<Action>,
}
