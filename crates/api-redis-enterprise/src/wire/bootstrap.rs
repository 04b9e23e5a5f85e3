//! Bootstrap: the request that makes the cluster, the answer that tells how far it is, and the record of it.

use pilothouse_api::JsonObject;
use pilothouse_model::{Sealed, Timestamp};
use serde::{Deserialize, Serialize};

/// `bootstrap_status.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BootstrapState {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// Accepted.
    Initiated,
    /// Under way.
    CreatingCluster,
    /// Given up; it may be asked for again.
    Error,
    /// The cluster exists.
    Completed,
}

/// The bootstrap as it is kept: enough to finish it after a crash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct BootstrapRecord {
    pub(crate) state: BootstrapState,
    /// Name of the cluster; empty before it was asked for.
    #[serde(default)]
    pub(crate) cluster_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<Timestamp>,
    /// Login of the first user, until the bootstrap is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// Password of the first user, until the bootstrap is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Sealed>,
    /// The policy that was asked for, until the bootstrap is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<serde_json::Value>,
    /// What was asked of the first node, as a change of the node object, until the bootstrap is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<JsonObject>,
    /// The text of the license that was sent along, until the bootstrap is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) license: Option<String>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl BootstrapRecord {
    pub(crate) fn is_completed(&self) -> bool {
        self.state == BootstrapState::Completed
    }

    /// Accepted and not ended.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, BootstrapState::Initiated | BootstrapState::CreatingCluster)
    }
}

/// Body of `POST /v1/bootstrap/create_cluster`. Everything else that may be sent speaks of what the configuration decides here: paths,
/// addresses, ports of parts that do not exist.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CreateClusterRequest {
    pub(crate) action: Option<String>,
    pub(crate) cluster: Option<ClusterIdentity>,
    /// Quirk: one command-line client sends the name of the cluster here.
    pub(crate) name: Option<String>,
    pub(crate) credentials: Option<BootstrapCredentials>,
    pub(crate) policy: Option<JsonObject>,
    pub(crate) node: Option<NodeSetup>,
    pub(crate) license: Option<String>,
    pub(crate) cnm_https_port: Option<u16>,
}

/// What may be asked of the first node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSetup {
    pub(crate) identity: Option<JsonObject>,
    pub(crate) limits: Option<JsonObject>,
    pub(crate) bigstore_enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterIdentity {
    pub(crate) name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BootstrapCredentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
}

/// Answer of every bootstrap route.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BootstrapAnswer {
    pub(crate) bootstrap_status: BootstrapStatus,
    pub(crate) local_node_info: LocalNodeInfo,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct BootstrapStatus {
    pub(crate) state: BootstrapState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_details: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LocalNodeInfo {
    pub(crate) uid: String,
    pub(crate) architecture: String,
    pub(crate) cores: u32,
    pub(crate) total_memory: u64,
    pub(crate) uptime: u64,
    pub(crate) available_addresses: Vec<AvailableAddress>,
    /// Quirk: the older name of the same list; clients of both ages read it.
    pub(crate) available_addrs: Vec<AvailableAddress>,
    pub(crate) ephemeral_storage_path: String,
    pub(crate) ephemeral_storage_size: f64,
    pub(crate) persistent_storage_path: String,
    pub(crate) persistent_storage_size: f64,
    pub(crate) bigredis_storage_path: String,
    pub(crate) bridge_interfaces: Vec<String>,
    pub(crate) fips_enabled: bool,
    pub(crate) os_family: String,
    pub(crate) os_name: String,
    pub(crate) os_semantic_version: String,
    pub(crate) os_version: String,
    pub(crate) short_hostname: String,
    pub(crate) software_version: String,
    pub(crate) cnm_version_sha: String,
    pub(crate) supported_bigstore_drivers: Vec<String>,
    pub(crate) supported_database_versions: Vec<SupportedVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AvailableAddress {
    pub(crate) address: String,
    pub(crate) format: &'static str,
    pub(crate) if_name: String,
    pub(crate) private: bool,
}

/// An engine on offer, as nodes and the bootstrap show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SupportedVersion {
    pub(crate) db_type: &'static str,
    pub(crate) major: bool,
    pub(crate) redis_version: String,
    pub(crate) version: String,
    /// Ours: which product it really is.
    pub(crate) engine: &'static str,
    /// Ours: the version of that product.
    pub(crate) engine_version: String,
}
