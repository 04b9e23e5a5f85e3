//! The bdb object: what stands behind a database, and what is only echoed.
//!
//! [`Bdb`] holds the fields that follow from the truth; [`ECHO`] lists the fields that are checked, stored in the document `bdb` and
//! given back. Together they are the object.

use std::net::IpAddr;

use pilothouse_api::JsonObject;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::fields::{ANY_INT, COUNT, Default, Field, Kind, ro, rw};

/// The document of a database: what this API was told and nothing else knows.
pub(crate) const DOCUMENT: &str = "bdb";
/// Version of the document's format.
pub(crate) const DOCUMENT_VERSION: u32 = 1;

/// `/v1/bdbs/{uid}`: the fields that follow from the truth.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bdb<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u64>,
    pub(crate) name: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action_uid: Option<String>,
    pub(crate) created_time: String,
    pub(crate) last_changed_time: String,
    pub(crate) version: String,
    pub(crate) redis_version: String,
    /// Only for products whose own version differs from the version that clients are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine_version: Option<String>,
    pub(crate) background_op: [BackgroundOp; 1],
    pub(crate) topology_epoch: u64,
    pub(crate) memory_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_used: Option<u64>,
    pub(crate) eviction_policy: &'static str,
    pub(crate) data_internode_encryption: bool,
    pub(crate) sharding: bool,
    pub(crate) shards_count: u16,
    pub(crate) oss_cluster: bool,
    pub(crate) shard_list: Vec<u64>,
    pub(crate) replication: bool,
    pub(crate) data_persistence: &'static str,
    pub(crate) aof_policy: Value,
    pub(crate) snapshot_policy: Value,
    pub(crate) port: u16,
    pub(crate) endpoints: Vec<Endpoint<'a>>,
    pub(crate) max_connections: u32,
    pub(crate) tls_mode: &'static str,
    pub(crate) ssl: bool,
    pub(crate) enforce_client_authentication: &'static str,
    pub(crate) authentication_ssl_client_certs: Vec<ClientCertificate<'a>>,
    pub(crate) authentication_redis_pass: String,
    pub(crate) authentication_admin_pass: String,
    pub(crate) default_user: bool,
    pub(crate) roles_permissions: Vec<RolePermission>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) disabled_commands: String,
    pub(crate) backup: bool,
    pub(crate) backup_interval: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup_interval_offset: Option<u64>,
    pub(crate) backup_history: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup_location: Option<Value>,
    pub(crate) backup_status: &'static str,
    pub(crate) backup_progress: f64,
    pub(crate) backup_failure_reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_backup_time: Option<String>,
    pub(crate) export_status: &'static str,
    pub(crate) export_progress: f64,
    pub(crate) export_failure_reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_export_time: Option<String>,
    pub(crate) import_status: &'static str,
    pub(crate) import_progress: f64,
    pub(crate) import_failure_reason: String,
    pub(crate) replica_sources: Vec<Value>,
    pub(crate) sync_sources: Vec<Value>,
    pub(crate) replica_sync: Value,
    pub(crate) sync: Value,
    pub(crate) traffic_manually_disabled: bool,
    /// Directives of the engine that this API has a name for.
    #[serde(flatten)]
    pub(crate) tuning: JsonObject,
    /// Everything else.
    #[serde(flatten)]
    pub(crate) echo: Echo<'a>,
}

/// The fields of [`ECHO`]: what the document holds of them, else their defaults. Whatever else the document holds is not for show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo<'a>(pub(crate) &'a JsonObject);

impl<'a> Echo<'a> {
    /// One of the fields.
    pub(crate) const fn field(self, name: &'static str) -> Echoed<'a> {
        Echoed { document: self.0, name }
    }
}

impl Serialize for Echo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in ECHO {
            match self.0.get(field.name) {
                // A typed client expects texts in here, so that nothing is better than an empty list.
                Some(Value::Array(tags)) if field.name == "tags" && tags.is_empty() => {}
                Some(value) => map.serialize_entry(field.name, value)?,
                None if matches!(field.default, Default::Absent) => {}
                None => map.serialize_entry(field.name, &field.default)?,
            }
        }
        map.end()
    }
}

/// One field of [`ECHO`], shown in another place as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echoed<'a> {
    document: &'a JsonObject,
    name: &'static str,
}

impl Serialize for Echoed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let default = ECHO
            .iter()
            .find(|field| field.name == self.name)
            .map(|field| &field.default);
        match self.document.get(self.name) {
            Some(value) => value.serialize(serializer),
            None => default.serialize(serializer),
        }
    }
}

/// `background_op[]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BackgroundOp {
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<f64>,
}

/// `endpoints[]`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endpoint<'a> {
    pub(crate) uid: String,
    pub(crate) dns_name: String,
    pub(crate) port: u16,
    pub(crate) addr: Vec<IpAddr>,
    pub(crate) addr_type: &'static str,
    pub(crate) proxy_policy: Echoed<'a>,
    pub(crate) oss_cluster_api_preferred_ip_type: Echoed<'a>,
    pub(crate) oss_cluster_api_preferred_endpoint_type: Echoed<'a>,
}

/// `authentication_ssl_client_certs[]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ClientCertificate<'a> {
    pub(crate) client_cert: &'a str,
}

/// `roles_permissions[]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct RolePermission {
    pub(crate) role_uid: u64,
    pub(crate) redis_acl_uid: u64,
}

const ENABLED_DISABLED: Kind = Kind::Word(&["enabled", "disabled"]);
const PERCENT: Kind = Kind::Int(0, 100);

/// The fields that are checked, stored and given back. What some of them must not say is the business of `translate::bdb`.
#[rustfmt::skip]
pub(crate) const ECHO: &[Field] = &[
    // Identity
    rw("account_id", COUNT, Default::Absent),
    rw("auto_upgrade", Kind::Bool, Default::Bool(false)),
    ro("internal", Kind::Bool, Default::Bool(false)),
    rw("group_uid", COUNT, Default::Int(0)),
    rw("email_alerts", Kind::Bool, Default::Bool(false)),
    rw("tags", Kind::Objects, Default::Absent),
    // Placement
    rw("shards_placement", Kind::Word(&["dense", "sparse"]), Default::Text("dense")),
    rw("avoid_nodes", Kind::Texts, Default::Absent),
    rw("use_nodes", Kind::Texts, Default::Absent),
    rw("rack_aware", Kind::Bool, Default::Bool(false)),
    // Sharding
    rw("shard_key_regex", Kind::Objects, Default::Empty),
    rw("implicit_shard_key", Kind::Bool, Default::Bool(false)),
    rw("hash_slots_policy", Kind::Word(&["legacy", "16k"]), Default::Text("16k")),
    rw("oss_cluster_api_preferred_ip_type", Kind::Word(&["internal", "external"]), Default::Text("internal")),
    rw("oss_cluster_api_preferred_endpoint_type", Kind::Word(&["ip", "hostname"]), Default::Text("ip")),
    rw("oss_sharding", Kind::Bool, Default::Bool(false)),
    ro("redis_cluster_enabled", Kind::Bool, Default::Bool(false)),
    rw("compare_key_hslot", Kind::Bool, Default::Bool(false)),
    rw("mkms", Kind::Bool, Default::Bool(true)),
    rw("shard_block_crossslot_keys", Kind::Bool, Default::Bool(false)),
    rw("shard_block_foreign_keys", Kind::Bool, Default::Bool(true)),
    // High availability
    rw("slave_ha", Kind::Bool, Default::Bool(false)),
    rw("slave_ha_priority", ANY_INT, Default::Int(0)),
    ro("wait_command", Kind::Bool, Default::Bool(true)),
    rw("master_persistence", Kind::Bool, Default::Bool(false)),
    rw("recovery_wait_time", ANY_INT, Default::Int(-1)),
    rw("replica_read_only", Kind::Bool, Default::Bool(false)),
    // Network, TLS
    ro("dns_address_master", Kind::Text, Default::Text("")),
    rw("dns_suffixes", Kind::Texts, Default::Empty),
    rw("proxy_policy", Kind::Text, Default::Text("single")),
    rw("authentication_ssl_crdt_certs", Kind::Objects, Default::Empty),
    rw("client_cert_subject_validation_type", Kind::Word(&["disabled", "san_cn", "full_subject"]), Default::Text("disabled")),
    rw("authorized_subjects", Kind::Objects, Default::Empty),
    rw("authorized_names", Kind::Texts, Default::Absent),
    rw("mtls_allow_weak_hashing", Kind::Bool, Default::Bool(false)),
    rw("mtls_allow_outdated_certs", Kind::Bool, Default::Bool(false)),
    // Authentication
    ro("acl", Kind::Objects, Default::Empty),
    ro("authentication_sasl_uname", Kind::Text, Default::Text("")),
    ro("authentication_sasl_pass", Kind::Text, Default::Text("")),
    rw("disconnect_clients_on_password_removal", Kind::Bool, Default::Absent),
    rw("db_conns_auditing", Kind::Bool, Default::Bool(false)),
    rw("audit_settings", Kind::Object, Default::Absent),
    // Import
    ro("dataset_import_sources", Kind::Objects, Default::Empty),
    rw("skip_import_analyze", ENABLED_DISABLED, Default::Text("disabled")),
    // Replica Of
    rw("syncer_mode", Kind::Word(&["distributed", "centralized"]), Default::Text("distributed")),
    rw("sync_dedicated_threads", Kind::Int(0, 10), Default::Int(5)),
    rw("syncer_log_level", Kind::Word(&["crit", "error", "warn", "info", "trace", "debug"]), Default::Text("info")),
    rw("support_syncer_reconf", Kind::Bool, Default::Bool(true)),
    rw("use_selective_flush", Kind::Bool, Default::Bool(true)),
    rw("flush_on_fullsync", Kind::Bool, Default::Bool(true)),
    rw("gradual_src_mode", ENABLED_DISABLED, Default::Text("disabled")),
    rw("gradual_src_max_sources", COUNT, Default::Int(1)),
    rw("gradual_sync_mode", Kind::Word(&["enabled", "disabled", "auto"]), Default::Text("auto")),
    rw("gradual_sync_max_shards_per_source", COUNT, Default::Int(1)),
    rw("gradual_sync_policy", Kind::Text, Default::Absent),
    rw("gradual_sync_policy_parameters", Kind::Objects, Default::Absent),
    rw("replica_sync_dist", Kind::Bool, Default::Bool(true)),
    rw("generate_text_monitor", Kind::Bool, Default::Bool(false)),
    rw("replica_sync_connection_alarm_timeout_seconds", COUNT, Default::Int(0)),
    // Active-Active
    rw("crdt", Kind::Bool, Default::Bool(false)),
    ro("crdt_causal_consistency", Kind::Bool, Default::Bool(false)),
    ro("crdt_config_version", COUNT, Default::Int(0)),
    ro("crdt_ghost_replica_ids", Kind::Text, Default::Text("")),
    ro("crdt_guid", Kind::Text, Default::Text("")),
    ro("crdt_modules", Kind::Text, Default::Text("[]")),
    ro("crdt_repl_backlog_size", Kind::Text, Default::Text("auto")),
    ro("crdt_replica_id", COUNT, Default::Int(0)),
    ro("crdt_replicas", Kind::Text, Default::Text("")),
    ro("crdt_sources", Kind::Objects, Default::Empty),
    ro("crdt_sync", Kind::Text, Default::Text("disabled")),
    ro("crdt_sync_connection_alarm_timeout_seconds", COUNT, Default::Int(0)),
    ro("crdt_sync_dist", Kind::Bool, Default::Bool(true)),
    ro("crdt_syncer_auto_oom_unlatch", Kind::Bool, Default::Bool(true)),
    ro("crdt_xadd_id_uniqueness_mode", Kind::Text, Default::Text("strict")),
    // Modules, flash
    rw("module_list", Kind::Objects, Default::Empty),
    rw("bigstore", Kind::Bool, Default::Bool(false)),
    rw("bigstore_ram_size", COUNT, Default::Int(0)),
    rw("bigstore_max_ram_ratio", PERCENT, Default::Int(10)),
    rw("bigstore_version", COUNT, Default::Int(1)),
    // Proxy tuning
    rw("resp3", Kind::Bool, Default::Bool(true)),
    rw("conns", COUNT, Default::Int(5)),
    rw("conns_type", Kind::Word(&["per-thread", "per-shard"]), Default::Text("per-thread")),
    rw("conns_minimum_dedicated", COUNT, Default::Int(2)),
    rw("conns_global_maximum_dedicated", COUNT, Default::Int(0)),
    rw("max_client_pipeline", Kind::Int(0, 2047), Default::Int(200)),
    rw("max_pipelined", COUNT, Default::Int(2000)),
    rw("multi_commands_opt", Kind::Text, Default::Text("auto")),
    rw("sched_policy", Kind::Word(&["cmp", "mru", "spread", "mnp"]), Default::Text("cmp")),
    rw("link_sconn_on_full_request", Kind::Text, Default::Text("disabled")),
    rw("partial_request_timeout_seconds", COUNT, Default::Int(3)),
    rw("preemptive_drain_timeout_seconds", COUNT, Default::Int(2)),
    rw("replica_sconns_on_demand", Kind::Text, Default::Absent),
    rw("throughput_ingress", COUNT, Default::Int(0)),
    rw("metrics_export_all", Kind::Bool, Default::Bool(false)),
    rw("auto_shards_balancing", Kind::Bool, Default::Bool(false)),
    rw("auto_shards_balancing_grace_period", COUNT, Default::Int(120)),
    rw("shard_imbalance_threshold", COUNT, Default::Int(314_572_800)),
    rw("shard_imbalance_threshold_percentage", PERCENT, Default::Int(20)),
    rw("replication_oom_threshold_percent", Kind::Int(0, 20), Default::Int(5)),
];

/// The fields that have an effect, with their types and ranges; [`Bdb`] shows them.
#[rustfmt::skip]
pub(crate) const EFFECTIVE: &[Field] = &[
    rw("uid", COUNT, Default::Absent),
    rw("name", Kind::Text, Default::Absent),
    rw("type", Kind::Word(&["redis", "memcached"]), Default::Text("redis")),
    rw("version", Kind::Text, Default::Absent),
    rw("redis_version", Kind::Text, Default::Absent),
    rw("memory_size", COUNT, Default::Absent),
    rw("eviction_policy", Kind::Word(EVICTION_WORDS), Default::Text("volatile-lru")),
    rw("data_internode_encryption", Kind::Bool, Default::Bool(false)),
    rw("sharding", Kind::Bool, Default::Bool(false)),
    rw("shards_count", Kind::Int(1, 512), Default::Int(1)),
    rw("oss_cluster", Kind::Bool, Default::Bool(false)),
    rw("shards_blueprint", Kind::Objects, Default::Absent),
    rw("replication", Kind::Bool, Default::Bool(false)),
    rw("data_persistence", PERSISTENCE, Default::Text("disabled")),
    rw("persistence", PERSISTENCE, Default::Absent),
    rw("aof_policy", Kind::Word(&["appendfsync-every-sec", "appendfsync-always"]), Default::Text("appendfsync-every-sec")),
    rw("snapshot_policy", Kind::Any, Default::Empty),
    rw("port", Kind::Int(0, 65535), Default::Absent),
    rw("max_connections", Kind::Int(0, u32::MAX as i64), Default::Int(0)),
    rw("tls_mode", Kind::Word(&["enabled", "disabled", "replica_ssl"]), Default::Text("disabled")),
    rw("ssl", Kind::Bool, Default::Bool(false)),
    rw("enforce_client_authentication", ENABLED_DISABLED, Default::Text("enabled")),
    rw("authentication_ssl_client_certs", Kind::Objects, Default::Empty),
    rw("authentication_redis_pass", Kind::Text, Default::Text("")),
    rw("authentication_admin_pass", Kind::Text, Default::Absent),
    rw("default_user", Kind::Bool, Default::Bool(true)),
    rw("roles_permissions", Kind::Objects, Default::Empty),
    rw("disabled_commands", Kind::Text, Default::Absent),
    rw("backup", Kind::Bool, Default::Bool(false)),
    rw("backup_interval", Kind::Int(1, SECONDS_MAX), Default::Int(86400)),
    rw("backup_interval_offset", Kind::Int(0, SECONDS_MAX), Default::Absent),
    rw("backup_history", Kind::Int(0, 36_500), Default::Int(0)),
    rw("backup_location", Kind::Any, Default::Absent),
    rw("replica_sources", Kind::Objects, Default::Empty),
    rw("sync_sources", Kind::Objects, Default::Empty),
    rw("replica_sync", SYNC, Default::Text("disabled")),
    rw("sync", SYNC, Default::Text("disabled")),
    rw("max_aof_file_size", COUNT, Default::Int(322_122_547_200)),
    rw("max_aof_load_time", COUNT, Default::Int(3600)),
    rw("maxclients", Kind::Int(1, 1_000_000), Default::Int(10000)),
    rw("tracking_table_max_keys", Kind::Int(0, 1_000_000_000), Default::Int(1_000_000)),
    rw("repl_backlog_size", Kind::Any, Default::Text("auto")),
    rw("slave_buffer", Kind::Any, Default::Text("auto")),
    rw("activedefrag", Kind::Word(&["yes", "no"]), Default::Text("no")),
    rw("active_defrag_cycle_min", Kind::Int(1, 99), Default::Int(1)),
    rw("active_defrag_cycle_max", Kind::Int(1, 99), Default::Int(25)),
    rw("active_defrag_ignore_bytes", Kind::Any, Default::Text("104857600")),
    rw("active_defrag_max_scan_fields", COUNT, Default::Int(1000)),
    rw("active_defrag_threshold_lower", Kind::Int(0, 1000), Default::Int(10)),
    rw("active_defrag_threshold_upper", Kind::Int(0, 1000), Default::Int(100)),
    rw("search", Kind::Any, Default::Absent),
    rw("timeseries", Kind::Any, Default::Absent),
    rw("probabilistic", Kind::Any, Default::Absent),
    rw("query_performance_factor", Kind::Any, Default::Absent),
];

/// The words of eviction that newer versions of the product know; the last two no engine here has.
pub(crate) const EVICTION_WORDS: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-ttl",
    "volatile-random",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
    "volatile-lrm",
    "allkeys-lrm",
];

const PERSISTENCE: Kind = Kind::Word(&["disabled", "snapshot", "aof"]);
const SYNC: Kind = Kind::Word(&["enabled", "disabled", "paused", "stopped"]);
/// Ten years.
const SECONDS_MAX: i64 = 315_360_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_field_is_listed_twice() {
        let all = || ECHO.iter().chain(EFFECTIVE).map(|field| field.name);
        assert_eq!(all().collect::<BTreeSet<_>>().len(), all().count());
    }
}
