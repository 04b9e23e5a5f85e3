//! The configuration file as it is written: every section and key with its default, in plain types.
//!
//! These structs are the one list of keys. The environment, the file and the documentation are checked against what
//! [`RawConfiguration::default`] serialises to, so a key added here is known everywhere. Nothing is judged here: see `check`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not shown, neither by `Debug` nor in an error.
#[derive(Clone, Default)]
pub(super) struct RawSecret(pub(super) String);

impl std::fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(hidden)" })
    }
}

impl Serialize for RawSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `String::deserialize`: its error for a number would print the number, which is the secret.
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a secret must be a text in quotes")),
        }
    }
}

/// Declares raw sections: struct, defaults, and the refusal of unknown keys.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $default:expr),* $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    )+};
}

sections! {
    /// The whole file.
    RawConfiguration {
        server: RawServer = RawServer::default(),
        admin: RawAdmin = RawAdmin::default(),
        listen: RawListen = RawListen::default(),
        endpoints: RawEndpoints = RawEndpoints::default(),
        engines: RawEngines = RawEngines::default(),
        health: RawHealth = RawHealth::default(),
        placement: RawPlacement = RawPlacement::default(),
        redis_enterprise: RawRedisEnterprise = RawRedisEnterprise::default(),
        redis_cloud: RawRedisCloud = RawRedisCloud::default(),
        kvrocks_controller: RawKvrocksController = RawKvrocksController::default(),
        trove: RawTrove = RawTrove::default(),
        globo: RawGlobo = RawGlobo::default(),
        backup: RawBackup = RawBackup::default(),
        tls: RawTls = RawTls::default(),
    }

    /// `[server]`
    RawServer {
        data_dir: String = "./pilothouse-data".into(),
        advertise_address: String = "127.0.0.1".into(),
        log: String = "info".into(),
        run_as: String = String::new(),
    }

    /// `[admin]`
    RawAdmin {
        user: String = "admin@pilothouse.local".into(),
        password: RawSecret = RawSecret::default(),
    }

    /// `[listen]`
    RawListen {
        redis_enterprise: String = "127.0.0.1:9443".into(),
        redis_enterprise_http: String = "off".into(),
        redis_cloud: String = "127.0.0.1:9444".into(),
        kvrocks_controller: String = "127.0.0.1:9379".into(),
        trove: Vec<String> = vec!["127.0.0.1:8779".into(), "127.0.0.1:8775".into()],
        globo: String = "127.0.0.1:8000".into(),
        metrics: String = "127.0.0.1:9600".into(),
    }

    /// `[endpoints]`
    RawEndpoints {
        port_range: String = "10000-19999".into(),
        server_port_range: String = "20000-29999".into(),
        address_pool: String = "127.77.0.0/16".into(),
    }

    /// `[engines]`
    RawEngines {
        search_path: Vec<String> = Vec::new(),
        warm: i64 = 0,
    }

    /// `[health]`
    RawHealth {
        probe_interval_ms: i64 = 300,
        probe_deadline_ms: i64 = 250,
        missed_probes: i64 = 3,
        busy_timeout: String = "5s".into(),
    }

    /// `[placement]`
    RawPlacement {
        single_host_replicas: bool = true,
    }

    /// `[redis_enterprise]`
    RawRedisEnterprise {
        bootstrap: String = "loopback".into(),
        tenants: Vec<String> = Vec::new(),
        software_version: String = "7.22.2-170".into(),
    }

    /// `[redis_cloud]`
    RawRedisCloud {
        accounts: Vec<RawRedisCloudAccount> = Vec::new(),
        plans: Vec<RawRedisCloudPlan> = Vec::new(),
        pending_subscriptions: i64 = 3,
        rate_limit_per_minute: i64 = 400,
        capacity_step_gb: i64 = 25,
    }

    /// `[[redis_cloud.accounts]]`
    RawRedisCloudAccount {
        access_key: RawSecret = RawSecret::default(),
        secret_key: RawSecret = RawSecret::default(),
        name: String = String::new(),
        tenant: String = String::new(),
    }

    /// `[[redis_cloud.plans]]`
    RawRedisCloudPlan {
        name: String = String::new(),
        memory: String = String::new(),
        replication: bool = false,
        persistence: bool = false,
        price: i64 = 0,
    }

    /// `[kvrocks_controller]`
    RawKvrocksController {
        compat: String = "doc".into(),
        token: RawSecret = RawSecret::default(),
        tenant: String = "default".into(),
        probe_interval: String = "3s".into(),
        max_failures: i64 = 5,
    }

    /// `[trove]`
    RawTrove {
        auth: Vec<String> = vec!["identity".into(), "http_basic".into()],
        projects: Vec<RawTroveProject> = Vec::new(),
        users: Vec<RawTroveUser> = Vec::new(),
        tokens: Vec<RawTroveToken> = Vec::new(),
        flavors: Vec<RawTroveFlavor> = Vec::new(),
    }

    /// `[[trove.projects]]`
    RawTroveProject {
        name: String = String::new(),
        id: String = String::new(),
        tenant: String = String::new(),
    }

    /// `[[trove.users]]`
    RawTroveUser {
        name: String = String::new(),
        password: RawSecret = RawSecret::default(),
        project: String = String::new(),
        admin: bool = false,
    }

    /// `[[trove.tokens]]`
    RawTroveToken {
        token: RawSecret = RawSecret::default(),
        project: String = String::new(),
        admin: bool = false,
    }

    /// `[[trove.flavors]]`
    RawTroveFlavor {
        id: String = String::new(),
        name: String = String::new(),
        memory: String = String::new(),
        cpus: i64 = 1,
    }

    /// `[globo]`
    RawGlobo {
        quarantine_retention_days: i64 = 7,
        create_wait: String = "60s".into(),
        later_api: bool = false,
        plans: Vec<RawGloboPlan> = Vec::new(),
        environments: Vec<RawGloboEnvironment> = Vec::new(),
        infras: Vec<RawGloboInfra> = Vec::new(),
        teams: Vec<RawGloboTeam> = Vec::new(),
    }

    /// `[[globo.plans]]`
    RawGloboPlan {
        name: String = String::new(),
        engine: String = String::new(),
        memory: String = String::new(),
        replicas: i64 = 0,
        environments: Vec<String> = Vec::new(),
        default: bool = false,
    }

    /// `[[globo.environments]]`
    RawGloboEnvironment {
        name: String = String::new(),
        stage: String = "dev".into(),
    }

    /// `[[globo.infras]]`
    RawGloboInfra {
        name: String = String::new(),
        plan: String = String::new(),
        environment: String = String::new(),
        capacity: i64 = 10,
    }

    /// `[[globo.teams]]`
    RawGloboTeam {
        name: String = String::new(),
        tenant: String = String::new(),
    }

    /// `[backup]`
    RawBackup {
        local_root: String = String::new(),
        s3: Vec<RawS3> = Vec::new(),
    }

    /// `[[backup.s3]]`
    RawS3 {
        name: String = String::new(),
        endpoint: String = String::new(),
        region: String = "us-east-1".into(),
        bucket: String = String::new(),
        path_style: bool = true,
        access_key: RawSecret = RawSecret::default(),
        secret_key: RawSecret = RawSecret::default(),
    }

    /// `[tls]`
    RawTls {
        redis_enterprise: RawTlsPair = RawTlsPair::default(),
        redis_cloud: RawTlsPair = RawTlsPair::default(),
        kvrocks_controller: RawTlsPair = RawTlsPair::default(),
        trove: RawTlsPair = RawTlsPair::default(),
        globo: RawTlsPair = RawTlsPair::default(),
        metrics: RawTlsPair = RawTlsPair::default(),
    }

    /// `[tls.<listener>]`
    RawTlsPair {
        cert: String = String::new(),
        key: String = String::new(),
    }
}
