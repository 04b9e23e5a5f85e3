//! Shards: server processes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// `/v1/shards/{uid}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shard {
    pub(crate) uid: String,
    pub(crate) bdb_uid: u64,
    pub(crate) node_uid: String,
    pub(crate) role: &'static str,
    pub(crate) status: &'static str,
    pub(crate) detailed_status: &'static str,
    pub(crate) assigned_slots: String,
    pub(crate) loading: Progress,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sync: Option<Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup: Option<Progress>,
    pub(crate) redis_info: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report_timestamp: Option<String>,
}

/// How far something is that a shard does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Progress {
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<f64>,
}
