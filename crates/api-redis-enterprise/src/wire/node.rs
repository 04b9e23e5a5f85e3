//! Nodes and their proxies, as tables of their changeable keys, and the node object.

use serde::Serialize;

use crate::fields::Default::{Bool, Empty, Int, Text};
use crate::fields::{ANY_INT, COUNT, Field, Kind, ro, rw};
use crate::wire::bootstrap::SupportedVersion;

/// What of a node is stored and shown.
pub(crate) const SETTINGS: &[Field] = &[
    rw("external_addr", Kind::Texts, Empty),
    rw("second_rack_id", Kind::Text, Text("")),
    rw("max_redis_servers", COUNT, Int(100)),
    rw("max_listeners", COUNT, Int(100)),
    rw("max_redis_forks", ANY_INT, Int(-1)),
    rw("max_slave_full_syncs", ANY_INT, Int(-1)),
    rw("recovery_path", Kind::Text, Text("")),
    ro("bigstore_enabled", Kind::Bool, Bool(false)),
    ro("fips_enabled", Kind::Bool, Bool(false)),
    ro("use_internal_ipv6", Kind::Bool, Bool(false)),
];

/// What of a node has an effect.
pub(crate) const EFFECTIVE: &[Field] = &[
    rw("accept_servers", Kind::Bool, Bool(true)),
    rw("rack_id", Kind::Text, Text("")),
    rw("addr", Kind::Text, Text("")),
];

/// A node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeObject {
    pub(crate) uid: u64,
    pub(crate) status: &'static str,
    pub(crate) addr: String,
    pub(crate) accept_servers: bool,
    pub(crate) rack_id: String,
    pub(crate) architecture: String,
    pub(crate) cores: u32,
    pub(crate) total_memory: u64,
    pub(crate) uptime: u64,
    pub(crate) os_family: &'static str,
    pub(crate) os_name: String,
    pub(crate) os_semantic_version: String,
    pub(crate) os_version: String,
    pub(crate) software_version: String,
    pub(crate) shard_count: usize,
    pub(crate) ram_shard_count: usize,
    pub(crate) flash_shard_count: usize,
    pub(crate) shard_list: Vec<u64>,
    pub(crate) ephemeral_storage_path: String,
    pub(crate) ephemeral_storage_size: f64,
    pub(crate) persistent_storage_path: String,
    pub(crate) persistent_storage_size: f64,
    pub(crate) bigredis_storage_path: String,
    pub(crate) supported_database_versions: Vec<SupportedVersion>,
    pub(crate) system_time: String,
    #[serde(flatten)]
    pub(crate) settings: pilothouse_api::JsonObject,
}

/// `/v1/nodes/{uid}/status`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeStatus {
    pub(crate) cores: u32,
    pub(crate) hostname: String,
    pub(crate) role: &'static str,
    pub(crate) node_status: &'static str,
    pub(crate) software_version: String,
    pub(crate) software_version_sha: String,
    pub(crate) total_memory: u64,
    pub(crate) free_ram: u64,
    pub(crate) total_provisional_ram: u64,
    pub(crate) free_provisional_ram: u64,
    pub(crate) node_overbooking_depth: u64,
    pub(crate) master_shards: Vec<u64>,
    pub(crate) slave_shards: Vec<u64>,
}

/// A proxy. Clients read it as a type of exactly these keys: none is added. All are tuning of a process that does not exist here, so
/// they are stored and shown only.
pub(crate) const PROXY: &[Field] = &[
    rw("backlog", COUNT, Int(1024)),
    rw("client_eviction", Kind::Bool, Bool(false)),
    rw("client_keepcnt", COUNT, Int(6)),
    rw("client_keepidle", COUNT, Int(180)),
    rw("client_keepintvl", COUNT, Int(30)),
    rw("conns", COUNT, Int(500_000)),
    rw("corefile", Kind::Bool, Bool(false)),
    rw("duration_usage_threshold", Kind::Int(10, 300), Int(30)),
    rw("dynamic_threads_scaling", Kind::Bool, Bool(true)),
    rw("ignore_bdb_cconn_limit", Kind::Bool, Bool(false)),
    rw("ignore_bdb_cconn_output_buff_limits", Kind::Bool, Bool(false)),
    rw("incoming_connections_capacity", COUNT, Int(0)),
    rw("incoming_connections_min_capacity", COUNT, Int(10)),
    rw("incoming_connections_rate_limit", COUNT, Int(0)),
    rw(
        "log_level",
        Kind::Word(&["crit", "error", "warning", "info", "trace", "debug"]),
        Text("info"),
    ),
    rw("max_listeners", COUNT, Int(1024)),
    rw("max_servers", COUNT, Int(4096)),
    rw("max_threads", Kind::Int(1, 256), Int(8)),
    rw("max_worker_client_conns", COUNT, Int(16_384)),
    rw("max_worker_server_conns", COUNT, Int(16_384)),
    rw("max_worker_txns", COUNT, Int(65_536)),
    rw("maxmemory_clients", COUNT, Int(4_294_967_296)),
    rw("threads", Kind::Int(1, 256), Int(3)),
    rw("threads_usage_threshold", Kind::Int(50, 99), Int(80)),
];
