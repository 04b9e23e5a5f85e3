//! Desired state: what was asked for. Validated before it is stored; a stored spec can be provisioned as it stands.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{BucketName, Cidr, EngineKind, EngineVersion, ObjectPath, RoleBinding, Sealed};

/// Everything about a database that has an effect and was asked for. All sizes in bytes, all durations in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseSpec {
    /// The product.
    pub engine: EngineKind,
    /// Its version; always one that is installed at the time of asking.
    pub version: EngineVersion,
    /// Memory of the whole database, replicas included; 0 means no limit. See [`DatabaseSpec::memory_bytes_per_server`].
    pub memory_bytes: u64,
    /// Primaries. More than one only in a cluster.
    pub shards: u16,
    /// The servers form a cluster: clients are led to the server that has a key, and reach it directly.
    #[serde(default)]
    pub cluster: bool,
    /// Replicas of each shard; 0 or 1 today.
    pub replicas: u8,
    /// Where data survives a restart.
    pub persistence: Persistence,
    /// When the log of writes is made anew, where there is one.
    #[serde(default)]
    pub log_limits: LogLimits,
    /// What goes when memory is full.
    pub eviction: EvictionPolicy,
    /// Who may log in, and with which rights.
    pub access: AccessSpec,
    /// How clients reach it.
    pub network: NetworkSpec,
    /// Further engine directives by the engine's own names, checked by the driver's `validate`; for instance `maxclients`.
    pub tuning: BTreeMap<String, String>,
    /// A database elsewhere that this one follows.
    pub replica_of: Option<ReplicaSource>,
    /// Scheduled backups.
    pub backup: Option<BackupSchedule>,
}

impl DatabaseSpec {
    /// The memory limit of each server process: the whole divided by all copies. 0 means no limit.
    pub fn memory_bytes_per_server(&self) -> u64 {
        self.memory_bytes / (u64::from(self.shards.max(1)) * (1 + u64::from(self.replicas)))
    }

    /// Whether its servers speak TLS with each other: where that was asked for, and in a cluster whose clients do, because there servers
    /// and clients share a port.
    pub fn encrypts_links(&self) -> bool {
        self.network.encrypt_replication || (self.cluster && self.network.tls == TlsMode::Enabled)
    }
}

/// Where data survives a restart. Always on every copy, because a primary without files that restarts empty would empty its replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistence {
    /// Nowhere.
    Disabled,
    /// In snapshots taken when one of the rules holds.
    Snapshot {
        /// Never empty.
        rules: Vec<SnapshotRule>,
    },
    /// In a log of every write.
    AppendOnly {
        /// When the log reaches the disk.
        fsync: FsyncPolicy,
    },
}

/// A snapshot is taken when `seconds` have passed since the last and `writes` have come since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRule {
    /// At least this long since the last one.
    pub seconds: u64,
    /// At least this many writes since the last one.
    pub writes: u64,
}

/// When a log of writes is made anew although the engine itself would wait longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// It is larger than this; 0 for no limit.
    pub max_bytes: u64,
    /// To load it would probably take longer than this, seconds; 0 for no limit.
    pub max_load_seconds: u64,
}

/// When the log of writes reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FsyncPolicy {
    /// Once a second: at most about one second of writes is lost with the machine.
    EverySecond,
    /// Before every answer.
    Always,
}

/// What goes when memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words are the engine's own, see `maxmemory-policy`")]
pub enum EvictionPolicy {
    VolatileLru,
    VolatileLfu,
    VolatileTtl,
    VolatileRandom,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    Noeviction,
}

impl EvictionPolicy {
    /// Every policy.
    pub const ALL: [Self; 8] = [
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileTtl,
        Self::VolatileRandom,
        Self::AllkeysLru,
        Self::AllkeysLfu,
        Self::AllkeysRandom,
        Self::Noeviction,
    ];

    /// The engine's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileTtl => "volatile-ttl",
            Self::VolatileRandom => "volatile-random",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
            Self::Noeviction => "noeviction",
        }
    }
}

/// Who may log in. Commands that tenants never get are withheld by the driver whatever stands here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessSpec {
    /// Whether the login without a name works.
    pub default_user: bool,
    /// The passwords of the login without a name; none means that it needs no password.
    pub default_passwords: Vec<Sealed>,
    /// The password of the data-plane user `admin`.
    pub admin_password: Sealed,
    /// The roles that this database is open to.
    pub bindings: Vec<RoleBinding>,
    /// Commands withheld from every login of this database, lower case.
    pub disabled_commands: Vec<String>,
}

/// Which connections the endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain only.
    Disabled,
    /// TLS only.
    Enabled,
}

/// Whether clients must show a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAuthentication {
    /// Demanded when TLS is on and at least one certificate is stored.
    pub required: bool,
    /// Certificates that are trusted, PEM.
    pub trusted: Vec<String>,
}

/// How clients reach the database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The port of the endpoint; reserved before the operation was processed.
    pub port: u16,
    /// The address of the endpoint.
    pub address: IpAddr,
    /// Plain or TLS.
    pub tls: TlsMode,
    /// Client certificates.
    pub client_auth: ClientAuthentication,
    /// Who may connect; empty means everybody.
    pub source_allow: Vec<Cidr>,
    /// Most connections at once; 0 means no limit.
    pub max_connections: u32,
    /// Set by hand: connections are closed and new ones refused until it is taken back.
    pub traffic_stopped: bool,
    /// TLS on the links between primary and replicas.
    pub encrypt_replication: bool,
}

/// A database elsewhere that this one follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSource {
    /// Host name or address of the source.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user to log in as; empty for the login without a name.
    pub username: String,
    /// Its password, if one is needed.
    pub password: Option<Sealed>,
    /// Whether to speak TLS to it.
    pub tls: bool,
    /// The certificate that the source must show, PEM.
    pub server_certificate: Option<String>,
    /// Following, or paused with the configuration kept.
    pub sync: ReplicaSync,
}

/// Whether a configured source is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaSync {
    /// Followed.
    Enabled,
    /// Not followed, configuration and data kept.
    Paused,
    /// As paused, by us: what the source sends can never be loaded.
    Stopped,
}

/// Backups on a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupSchedule {
    /// Whether the schedule runs; a schedule that is off keeps its settings.
    pub enabled: bool,
    /// Seconds between two backups.
    pub interval_seconds: u64,
    /// Seconds after the multiple of the interval at which it starts; less than the interval.
    pub offset_seconds: u64,
    /// Backups older than this many days are deleted; 0 keeps all.
    pub retention_days: u32,
    /// Where to.
    pub location: Location,
}

/// Where a dataset is written to or read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Location {
    /// A directory of the host (a file when reading).
    Directory {
        /// Absolute.
        path: PathBuf,
    },
    /// An `ftp://` URL, and for reading also `http://` and `https://`. Sealed because it may hold a password.
    Url {
        /// The URL.
        url: Sealed,
        /// The URL without user name and password, to be shown.
        shown: String,
    },
    /// A bucket of an S3-compatible service.
    S3 {
        /// The bucket; without `access` the name of a configured one.
        bucket: BucketName,
        /// What keys there begin with; when reading, the key.
        path: ObjectPath,
        /// Which service, and as whom. `None`: as configured for the bucket.
        access: Option<S3Access>,
    },
}

impl Location {
    /// The place as it may be shown: without secrets.
    pub fn shown(&self) -> String {
        match self {
            Self::Directory { path } => path.display().to_string(),
            Self::Url { shown, .. } => shown.clone(),
            Self::S3 { bucket, path, .. } => format!("s3://{bucket}/{path}"),
        }
    }
}

/// How to get at a bucket that is not configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Access {
    /// Address of the service: `https://HOST` or `http://HOST:PORT`.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The public half of the key.
    pub access_key: String,
    /// Its secret half.
    pub secret_key: Sealed,
}
