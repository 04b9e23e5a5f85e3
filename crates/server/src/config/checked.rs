//! The configuration after every check: what the rest of the program is given. Built once, by `check`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_control::S3Bucket;
use pilothouse_model::{BucketName, Cidr, EngineKind, Secret, TenantName};

use super::value::PortRange;

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The program itself.
    pub server: Server,
    /// The superuser.
    pub admin: Admin,
    /// Addresses that the dialects listen on.
    pub listen: Listen,
    /// Addresses of databases.
    pub endpoints: Endpoints,
    /// Database products.
    pub engines: Engines,
    /// Detection of failures.
    pub health: Health,
    /// Placement of servers.
    pub placement: Placement,
    /// The Redis Enterprise dialect.
    pub redis_enterprise: RedisEnterprise,
    /// The Redis Cloud dialect.
    pub redis_cloud: RedisCloud,
    /// The Kvrocks Controller dialect.
    pub kvrocks_controller: KvrocksController,
    /// The Trove dialect.
    pub trove: Trove,
    /// The Globo dialect.
    pub globo: Globo,
    /// Backups.
    pub backup: Backup,
    /// Certificates of listeners.
    pub tls: Tls,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where everything is kept, absolute.
    pub data_dir: PathBuf,
    /// The address that endpoints are bound to and shown with.
    pub advertise_address: IpAddr,
    /// What is logged, in the syntax of `tracing` filters.
    pub log: String,
    /// The account that servers and gateway run as when we are root.
    pub run_as: RunAs,
}

/// An account as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// By its name.
    Name(String),
    /// By numbers, for accounts that `/etc/passwd` does not list.
    Ids {
        /// User id; never 0.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// The name.
    pub user: String,
    /// The password; one is generated when none is configured.
    pub password: Option<Secret>,
}

/// `[listen]`; `None` is off.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The Redis Enterprise API, TLS.
    pub redis_enterprise: Option<SocketAddr>,
    /// The Redis Enterprise API without TLS.
    pub redis_enterprise_http: Option<SocketAddr>,
    /// The Redis Cloud API.
    pub redis_cloud: Option<SocketAddr>,
    /// The Kvrocks Controller API.
    pub kvrocks_controller: Option<SocketAddr>,
    /// The Trove API; none is off.
    pub trove: Vec<SocketAddr>,
    /// The Globo API.
    pub globo: Option<SocketAddr>,
    /// Metrics for Prometheus.
    pub metrics: Option<SocketAddr>,
}

impl Listen {
    /// Every address that is listened on, with its key.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let single = [
            ("redis_enterprise", self.redis_enterprise),
            ("redis_enterprise_http", self.redis_enterprise_http),
            ("redis_cloud", self.redis_cloud),
            ("kvrocks_controller", self.kvrocks_controller),
            ("globo", self.globo),
            ("metrics", self.metrics),
        ];
        single
            .into_iter()
            .filter_map(|(key, address)| Some((key, address?)))
            .chain(self.trove.iter().map(|address| ("trove", *address)))
            .collect()
    }
}

/// `[endpoints]`
#[derive(Clone, Copy, Debug)]
pub struct Endpoints {
    /// Ports of databases.
    pub port_range: PortRange,
    /// Ports of servers behind them.
    pub server_port_range: PortRange,
    /// Addresses of databases that have one of their own.
    pub address_pool: Cidr,
}

/// `[engines]`
#[derive(Clone, Debug)]
pub struct Engines {
    /// Folders with server binaries, looked through before `PATH`.
    pub search_path: Vec<PathBuf>,
    /// Servers kept ready ahead of demand.
    pub warm: u32,
}

/// `[health]`
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// Between two probes of a server.
    pub probe_interval: Duration,
    /// How long a probe may take.
    pub probe_deadline: Duration,
    /// Probes without an answer after which a silent server is dead.
    pub missed_probes: u32,
    /// How long a server that works but does not answer is waited for.
    pub busy_timeout: Duration,
}

/// `[placement]`
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// Whether primary and replica may share the only host there is.
    pub single_host_replicas: bool,
}

/// Who may bootstrap the Redis Enterprise dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Anybody on this machine.
    Loopback,
    /// Anybody.
    Open,
    /// Who has the credentials of `[admin]`.
    Admin,
}

/// `[redis_enterprise]`
#[derive(Clone, Debug)]
pub struct RedisEnterprise {
    /// Who may bootstrap.
    pub bootstrap: Bootstrap,
    /// Tenants whose databases it shows; `None` shows all.
    pub tenants: Option<Vec<TenantName>>,
    /// The version it tells clients, by which some choose how to behave.
    pub software_version: String,
}

/// `[redis_cloud]`
#[derive(Clone, Debug)]
pub struct RedisCloud {
    /// Accounts made at the first start.
    pub accounts: Vec<RedisCloudAccount>,
    /// Plans of fixed subscriptions.
    pub plans: Vec<RedisCloudPlan>,
    /// Subscriptions of one account that may be pending at once.
    pub pending_subscriptions: u32,
    /// Requests of one account in a minute.
    pub rate_limit_per_minute: u32,
    /// Capacity grows in steps of so many GB.
    pub capacity_step_gb: u32,
}

/// `[[redis_cloud.accounts]]`
#[derive(Clone, Debug)]
pub struct RedisCloudAccount {
    /// The account key.
    pub access_key: Secret,
    /// A user key.
    pub secret_key: Secret,
    /// What it is called.
    pub name: Option<String>,
    /// The tenant it is a view of; `None` is one of its own.
    pub tenant: Option<TenantName>,
}

/// `[[redis_cloud.plans]]`
#[derive(Clone, Debug)]
pub struct RedisCloudPlan {
    /// Its name.
    pub name: String,
    /// Memory limit, bytes.
    pub memory_bytes: u64,
    /// With a replica.
    pub replication: bool,
    /// With persistence.
    pub persistence: bool,
    /// Price shown, whole dollars a month.
    pub price: u32,
}

/// The generation of the Kvrocks Controller API that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvrocksCompat {
    /// As documented.
    Doc,
    /// As released with version 1.
    V1,
    /// As before version 1.
    V0,
}

/// `[kvrocks_controller]`
#[derive(Clone, Debug)]
pub struct KvrocksController {
    /// Which generation is spoken.
    pub compat: KvrocksCompat,
    /// The token that callers show; `None` lets everybody act in `tenant`.
    pub token: Option<Secret>,
    /// Where callers without a token act.
    pub tenant: TenantName,
    /// Between two probes of external nodes.
    pub probe_interval: Duration,
    /// Failures after which an external node is failed over.
    pub max_failures: u32,
}

/// A way to log in to the Trove dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroveAuth {
    /// Tokens from the identity service at the same listener.
    Identity,
    /// Name and password with every request.
    HttpBasic,
    /// None at all: everybody acts in the project `default`.
    None,
    /// Configured tokens.
    Static,
}

/// `[trove]`
#[derive(Clone, Debug)]
pub struct Trove {
    /// Ways to log in.
    pub auth: Vec<TroveAuth>,
    /// Projects made at the first start.
    pub projects: Vec<TroveProject>,
    /// Users made at the first start.
    pub users: Vec<TroveUser>,
    /// Tokens made at the first start.
    pub tokens: Vec<TroveToken>,
    /// Sizes on offer.
    pub flavors: Vec<TroveFlavor>,
}

/// `[[trove.projects]]`
#[derive(Clone, Debug)]
pub struct TroveProject {
    /// Its name.
    pub name: String,
    /// Its id; `None` takes a generated one.
    pub id: Option<String>,
    /// The tenant it is a view of; `None` is one of its own.
    pub tenant: Option<TenantName>,
}

/// `[[trove.users]]`
#[derive(Clone, Debug)]
pub struct TroveUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// The project it works in.
    pub project: String,
    /// Whether it is an administrator.
    pub admin: bool,
}

/// `[[trove.tokens]]`
#[derive(Clone, Debug)]
pub struct TroveToken {
    /// The token.
    pub token: Secret,
    /// The project it works in.
    pub project: String,
    /// Whether it is an administrator's.
    pub admin: bool,
}

/// `[[trove.flavors]]`
#[derive(Clone, Debug)]
pub struct TroveFlavor {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Processors.
    pub cpus: u32,
}

/// `[globo]`
#[derive(Clone, Debug)]
pub struct Globo {
    /// Days between a delete and the erasure.
    pub quarantine_retention_days: u32,
    /// How long a create may keep its caller waiting.
    pub create_wait: Duration,
    /// Answer in the later form of the API.
    pub later_api: bool,
    /// Plans made at the first start.
    pub plans: Vec<GloboPlan>,
    /// Environments made at the first start.
    pub environments: Vec<GloboEnvironment>,
    /// Infras made at the first start.
    pub infras: Vec<GloboInfra>,
    /// Teams made at the first start.
    pub teams: Vec<GloboTeam>,
}

/// `[[globo.plans]]`
#[derive(Clone, Debug)]
pub struct GloboPlan {
    /// Its name.
    pub name: String,
    /// Its product.
    pub engine: EngineKind,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Replicas.
    pub replicas: u8,
    /// Environments it is offered in.
    pub environments: Vec<String>,
    /// Whether it is taken when none is named.
    pub default: bool,
}

/// `[[globo.environments]]`
#[derive(Clone, Debug)]
pub struct GloboEnvironment {
    /// Its name.
    pub name: String,
    /// `dev` or `prod`.
    pub stage: String,
}

/// `[[globo.infras]]`
#[derive(Clone, Debug)]
pub struct GloboInfra {
    /// Its name.
    pub name: String,
    /// Its plan.
    pub plan: String,
    /// Its environment.
    pub environment: String,
    /// Databases that fit.
    pub capacity: u32,
}

/// `[[globo.teams]]`
#[derive(Clone, Debug)]
pub struct GloboTeam {
    /// Its name.
    pub name: String,
    /// The tenant it is a view of; `None` is one of its own.
    pub tenant: Option<TenantName>,
}

/// `[backup]`
#[derive(Clone, Debug)]
pub struct Backup {
    /// The folder below which backups to local paths lie; `None` sets no limit.
    pub local_root: Option<PathBuf>,
    /// Buckets, by the names that requests use.
    pub s3: BTreeMap<BucketName, Arc<S3Bucket>>,
}

/// `[tls]`: certificates by listener. The Redis Enterprise listener makes its own when it has none; every other one is plain then.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Of the Redis Enterprise API.
    pub redis_enterprise: Option<TlsPair>,
    /// Of the Redis Cloud API.
    pub redis_cloud: Option<TlsPair>,
    /// Of the Kvrocks Controller API.
    pub kvrocks_controller: Option<TlsPair>,
    /// Of the Trove API.
    pub trove: Option<TlsPair>,
    /// Of the Globo API.
    pub globo: Option<TlsPair>,
    /// Of the metrics.
    pub metrics: Option<TlsPair>,
}

/// `[tls.<listener>]`, absolute paths of PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPair {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}
