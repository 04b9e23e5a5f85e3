//! The request that makes or changes a database (specification §10.1, §10.2). Every field may be missing; unknown ones are ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabaseRequest {
    pub(crate) name: Option<String>,
    pub(crate) dry_run: Option<bool>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) port: Option<i64>,
    pub(crate) dataset_size_in_gb: Option<f64>,
    pub(crate) memory_limit_in_gb: Option<f64>,
    pub(crate) redis_version: Option<String>,
    pub(crate) auto_minor_version_upgrade: Option<bool>,
    pub(crate) resp_version: Option<RespVersion>,
    // The alias is what one client sends; without it the flag would be lost without a word.
    #[serde(rename = "supportOSSClusterApi", alias = "supportOSSClusterAPI")]
    pub(crate) support_oss_cluster_api: Option<bool>,
    #[serde(rename = "useExternalEndpointForOSSClusterApi")]
    pub(crate) external_endpoint: Option<bool>,
    pub(crate) data_persistence: Option<DataPersistence>,
    pub(crate) data_eviction_policy: Option<DataEvictionPolicy>,
    pub(crate) replication: Option<bool>,
    pub(crate) throughput_measurement: Option<Throughput>,
    pub(crate) local_throughput_measurement: Option<Vec<Value>>,
    pub(crate) average_item_size_in_bytes: Option<i64>,
    pub(crate) ram_percentage: Option<i64>,
    pub(crate) replica_of: Option<Vec<String>>,
    pub(crate) replica: Option<Replica>,
    pub(crate) periodic_backup_path: Option<String>,
    pub(crate) remote_backup: Option<RemoteBackup>,
    // Essentials databases call it by its plural.
    #[serde(alias = "sourceIps")]
    pub(crate) source_ip: Option<Vec<String>>,
    pub(crate) client_ssl_certificate: Option<String>,
    pub(crate) client_tls_certificates: Option<Vec<ClientCertificate>>,
    pub(crate) enable_tls: Option<bool>,
    pub(crate) enable_default_user: Option<bool>,
    pub(crate) password: Option<String>,
    pub(crate) alerts: Option<Vec<Alert>>,
    pub(crate) modules: Option<Vec<Module>>,
    pub(crate) sharding_type: Option<ShardingType>,
    pub(crate) query_performance_factor: Option<String>,
    pub(crate) quantity: Option<i64>,
    pub(crate) regex_rules: Option<Vec<String>>,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal $(| $alias:literal)?),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum $name {
            $(#[serde(rename = $word $(, alias = $alias)?)] $variant,)+
        }

        #[allow(dead_code, reason = "not every set of words is read back")]
        impl $name {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    )+};
}

words! {
    /// What is spoken.
    Protocol { Redis = "redis", Memcached = "memcached", Stack = "stack" }
    /// Version of the Redis protocol.
    RespVersion { Resp2 = "resp2", Resp3 = "resp3" }
    /// Where data survives (§7.5).
    DataPersistence {
        None = "none",
        AofEverySecond = "aof-every-1-second" | "aof-every-1-sec",
        AofEveryWrite = "aof-every-write",
        SnapshotEveryHour = "snapshot-every-1-hour",
        SnapshotEvery6Hours = "snapshot-every-6-hours",
        SnapshotEvery12Hours = "snapshot-every-12-hours",
    }
    /// What goes when memory is full.
    DataEvictionPolicy {
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysLrm = "allkeys-lrm",
        AllkeysRandom = "allkeys-random",
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileLrm = "volatile-lrm",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        Noeviction = "noeviction",
    }
    /// How throughput is asked for.
    ThroughputBy { OperationsPerSecond = "operations-per-second", NumberOfShards = "number-of-shards" }
    /// How keys are spread.
    ShardingType {
        DefaultRegexRules = "default-regex-rules",
        CustomRegexRules = "custom-regex-rules",
        OssHashing = "redis-oss-hashing",
    }
    /// How often a backup is made.
    BackupInterval {
        Every24Hours = "every-24-hours",
        Every12Hours = "every-12-hours",
        Every6Hours = "every-6-hours",
        Every4Hours = "every-4-hours",
        Every2Hours = "every-2-hours",
        EveryHour = "every-1-hours",
    }
}

/// Throughput. Drives the number of shards and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Throughput {
    pub(crate) by: ThroughputBy,
    pub(crate) value: i64,
}

/// A threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) value: i64,
}

/// A module to load.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Module {
    pub(crate) name: String,
}

/// A scheduled backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemoteBackup {
    pub(crate) active: Option<bool>,
    pub(crate) interval: Option<BackupInterval>,
    #[serde(rename = "timeUTC")]
    pub(crate) time_utc: Option<String>,
    pub(crate) storage_type: Option<String>,
    pub(crate) storage_path: Option<String>,
}

/// Databases elsewhere to follow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replica {
    #[serde(default)]
    pub(crate) sync_sources: Vec<SyncSource>,
}

/// A database elsewhere to follow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyncSource {
    pub(crate) endpoint: String,
    pub(crate) encryption: Option<bool>,
    pub(crate) server_cert: Option<String>,
}

/// A trusted certificate, in either of the forms that clients send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum ClientCertificate {
    Plain(String),
    Object {
        #[serde(rename = "publicCertificatePEMString")]
        pem: String,
    },
}

impl ClientCertificate {
    pub(crate) fn pem(&self) -> &str {
        match self {
            Self::Plain(pem) | Self::Object { pem } => pem,
        }
    }
}
