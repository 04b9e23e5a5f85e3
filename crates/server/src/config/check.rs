//! From raw values to the checked [`Configuration`]. Every problem is collected, so that one start shows all of them. Pure.

mod backup;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilothouse_model::{Cidr, EngineKind, Secret, TenantName};
use tracing_subscriber::EnvFilter;

use super::checked::{
    Admin, Bootstrap, Configuration, Endpoints, Engines, Globo, GloboEnvironment, GloboInfra, GloboPlan, GloboTeam,
    Health, KvrocksCompat, KvrocksController, Listen, Placement, RedisCloud, RedisCloudAccount, RedisCloudPlan,
    RedisEnterprise, RunAs, Server, Tls, TlsPair, Trove, TroveAuth, TroveFlavor, TroveProject, TroveToken, TroveUser,
};
use super::error::{ConfigError, Origin};
use super::layers::origin_of;
use super::raw::{
    RawConfiguration, RawGlobo, RawKvrocksController, RawListen, RawRedisCloud, RawRedisEnterprise, RawSecret,
    RawServer, RawTlsPair, RawTrove,
};
use super::value::{PortRange, duration, listener, port_range, size};

/// The account that servers run as when nothing else is said and we are root.
pub const DEFAULT_RUN_AS: &str = "pilothouse";

/// Checks everything. `working_dir` is what relative paths are relative to.
pub(super) fn check(
    file: Option<PathBuf>,
    raw: &RawConfiguration,
    origins: &BTreeMap<String, Origin>,
    working_dir: &Path,
) -> Result<Configuration, Vec<ConfigError>> {
    let mut checker = Checker {
        origins,
        working_dir,
        errors: Vec::new(),
    };
    let configuration = Configuration {
        file,
        server: checker.server(&raw.server),
        admin: checker.admin(&raw.admin.user, &raw.admin.password),
        listen: checker.listen(&raw.listen),
        endpoints: checker.endpoints(raw),
        engines: checker.engines(raw),
        health: checker.health(raw),
        placement: Placement {
            single_host_replicas: raw.placement.single_host_replicas,
        },
        redis_enterprise: checker.redis_enterprise(&raw.redis_enterprise),
        redis_cloud: checker.redis_cloud(&raw.redis_cloud),
        kvrocks_controller: checker.kvrocks_controller(&raw.kvrocks_controller),
        trove: checker.trove(&raw.trove),
        globo: checker.globo(&raw.globo),
        backup: checker.backup(&raw.backup),
        tls: checker.tls(raw),
    };
    checker.together(&configuration);
    if checker.errors.is_empty() {
        Ok(configuration)
    } else {
        Err(checker.errors)
    }
}

struct Checker<'a> {
    origins: &'a BTreeMap<String, Origin>,
    working_dir: &'a Path,
    errors: Vec<ConfigError>,
}

impl Checker<'_> {
    fn server(&mut self, raw: &RawServer) -> Server {
        let address = raw.advertise_address.parse::<IpAddr>();
        let address = address
            .ok()
            .filter(|address| !address.is_unspecified() && !address.is_multicast());
        let address = address.ok_or_else(|| {
            format!(
                "is {:?}; allowed: one IP address of this machine, for instance \"192.0.2.7\"",
                raw.advertise_address
            )
        });
        let log = EnvFilter::try_new(&raw.log).map(|_| raw.log.clone()).map_err(|error| {
            format!(
                "is {:?}: {error}; allowed: error, warn, info, debug, trace, or target=level lists",
                raw.log
            )
        });
        Server {
            data_dir: self.required_path("server.data_dir", &raw.data_dir),
            advertise_address: self.value("server.advertise_address", address, Ipv4Addr::LOCALHOST.into()),
            log: self.value("server.log", log, String::new()),
            run_as: self.value("server.run_as", run_as(&raw.run_as), RunAs::Name(String::new())),
        }
    }

    fn admin(&mut self, user: &str, password: &RawSecret) -> Admin {
        if user.is_empty()
            || user.len() > 255
            || user.contains([':', '&', '<', '>', '"'])
            || user.contains(char::is_control)
        {
            self.refuse(
                "admin.user",
                format!("is {user:?}; allowed: 1 to 255 characters without : & < > \""),
            );
        }
        if password.0.contains(char::is_control) {
            self.refuse(
                "admin.password",
                "holds a control character; a line end at its end, perhaps".to_owned(),
            );
        }
        Admin {
            user: user.to_owned(),
            password: secret(password),
        }
    }

    fn listen(&mut self, raw: &RawListen) -> Listen {
        let off = raw.trove.iter().any(|text| text == "off");
        if off && raw.trove.len() > 1 {
            self.refuse("listen.trove", "mixes \"off\" with addresses".to_owned());
        }
        let listen = Listen {
            redis_enterprise: self.value("listen.redis_enterprise", listener(&raw.redis_enterprise), None),
            redis_enterprise_http: self.value(
                "listen.redis_enterprise_http",
                listener(&raw.redis_enterprise_http),
                None,
            ),
            redis_cloud: self.value("listen.redis_cloud", listener(&raw.redis_cloud), None),
            kvrocks_controller: self.value("listen.kvrocks_controller", listener(&raw.kvrocks_controller), None),
            trove: raw
                .trove
                .iter()
                .filter_map(|text| self.value("listen.trove", listener(text), None))
                .collect(),
            globo: self.value("listen.globo", listener(&raw.globo), None),
            metrics: self.value("listen.metrics", listener(&raw.metrics), None),
        };
        let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
        for (key, address) in listen
            .addresses()
            .into_iter()
            .filter(|(_, address)| address.port() != 0)
        {
            if let Some((other, _)) = seen.iter().find(|(_, other)| *other == address) {
                self.refuse(
                    &format!("listen.{key}"),
                    format!("is {address}, which listen.{other} has already"),
                );
            }
            seen.push((key, address));
        }
        listen
    }

    fn endpoints(&mut self, raw: &RawConfiguration) -> Endpoints {
        let nothing = PortRange { first: 0, last: 0 };
        let ports = self.value("endpoints.port_range", port_range(&raw.endpoints.port_range), nothing);
        let servers = port_range(&raw.endpoints.server_port_range).and_then(|servers| {
            if servers.overlaps(ports) {
                Err(format!(
                    "is {servers} and overlaps endpoints.port_range, which is {ports}"
                ))
            } else {
                Ok(servers)
            }
        });
        let pool = raw
            .endpoints
            .address_pool
            .parse::<Cidr>()
            .map_err(|error| error.to_string());
        let pool = pool.map_err(|problem| format!("is wrong: {problem}, for instance \"127.77.0.0/16\""));
        let no_pool: Cidr = Cidr::try_from("127.77.0.0/16".to_owned()).expect("the default pool is a range");
        Endpoints {
            port_range: ports,
            server_port_range: self.value("endpoints.server_port_range", servers, nothing),
            address_pool: self.value("endpoints.address_pool", pool, no_pool),
        }
    }

    fn engines(&mut self, raw: &RawConfiguration) -> Engines {
        Engines {
            search_path: raw
                .engines
                .search_path
                .iter()
                .map(|path| self.required_path("engines.search_path", path))
                .collect(),
            warm: self.number("engines.warm", raw.engines.warm, 0, 64),
        }
    }

    fn health(&mut self, raw: &RawConfiguration) -> Health {
        let health = &raw.health;
        let interval = self.number("health.probe_interval_ms", health.probe_interval_ms, 10, 60_000);
        let deadline = self.number("health.probe_deadline_ms", health.probe_deadline_ms, 5, 60_000);
        if deadline > interval {
            let problem = format!("is {deadline}; allowed: at most health.probe_interval_ms, which is {interval}");
            self.refuse("health.probe_deadline_ms", problem);
        }
        Health {
            probe_interval: Duration::from_millis(u64::from(interval)),
            probe_deadline: Duration::from_millis(u64::from(deadline)),
            missed_probes: self.number("health.missed_probes", health.missed_probes, 1, 1_000),
            busy_timeout: self.duration("health.busy_timeout", &health.busy_timeout, Duration::from_millis(100)),
        }
    }

    fn redis_enterprise(&mut self, raw: &RawRedisEnterprise) -> RedisEnterprise {
        let words = [
            ("loopback", Bootstrap::Loopback),
            ("open", Bootstrap::Open),
            ("admin", Bootstrap::Admin),
        ];
        let tenants: Vec<_> = raw
            .tenants
            .iter()
            .filter_map(|name| self.tenant("redis_enterprise.tenants", name))
            .collect();
        self.non_empty("redis_enterprise.software_version", &raw.software_version);
        RedisEnterprise {
            bootstrap: self.word("redis_enterprise.bootstrap", &raw.bootstrap, &words),
            tenants: (!raw.tenants.is_empty()).then_some(tenants),
            software_version: raw.software_version.clone(),
        }
    }

    fn redis_cloud(&mut self, raw: &RawRedisCloud) -> RedisCloud {
        let mut accounts = Vec::new();
        for (index, account) in raw.accounts.iter().enumerate() {
            let key = format!("redis_cloud.accounts[{index}]");
            accounts.push(RedisCloudAccount {
                access_key: self.secret(&format!("{key}.access_key"), &account.access_key),
                secret_key: self.secret(&format!("{key}.secret_key"), &account.secret_key),
                name: text(&account.name),
                tenant: self.tenant(&format!("{key}.tenant"), &account.tenant),
            });
        }
        let mut plans = Vec::new();
        for (index, plan) in raw.plans.iter().enumerate() {
            let key = format!("redis_cloud.plans[{index}]");
            self.non_empty(&format!("{key}.name"), &plan.name);
            plans.push(RedisCloudPlan {
                name: plan.name.clone(),
                memory_bytes: self.value(&format!("{key}.memory"), size(&plan.memory), 0),
                replication: plan.replication,
                persistence: plan.persistence,
                price: self.number(&format!("{key}.price"), plan.price, 0, 1_000_000),
            });
        }
        RedisCloud {
            accounts,
            plans,
            pending_subscriptions: self.number(
                "redis_cloud.pending_subscriptions",
                raw.pending_subscriptions,
                1,
                1_000,
            ),
            rate_limit_per_minute: self.number(
                "redis_cloud.rate_limit_per_minute",
                raw.rate_limit_per_minute,
                0,
                1_000_000,
            ),
            capacity_step_gb: self.number("redis_cloud.capacity_step_gb", raw.capacity_step_gb, 1, 10_000),
        }
    }

    fn kvrocks_controller(&mut self, raw: &RawKvrocksController) -> KvrocksController {
        let words = [
            ("doc", KvrocksCompat::Doc),
            ("v1", KvrocksCompat::V1),
            ("v0", KvrocksCompat::V0),
        ];
        let fallback = TenantName::parse("default").expect("default is a tenant name");
        let tenant = TenantName::parse(&raw.tenant).map_err(|error| format!("is {:?}: {error}", raw.tenant));
        KvrocksController {
            compat: self.word("kvrocks_controller.compat", &raw.compat, &words),
            token: secret(&raw.token),
            tenant: self.value("kvrocks_controller.tenant", tenant, fallback),
            probe_interval: self.duration(
                "kvrocks_controller.probe_interval",
                &raw.probe_interval,
                Duration::from_millis(100),
            ),
            max_failures: self.number("kvrocks_controller.max_failures", raw.max_failures, 1, 1_000),
        }
    }

    fn trove(&mut self, raw: &RawTrove) -> Trove {
        let words = [
            ("identity", TroveAuth::Identity),
            ("http_basic", TroveAuth::HttpBasic),
            ("none", TroveAuth::None),
            ("static", TroveAuth::Static),
        ];
        let auth: Vec<_> = raw
            .auth
            .iter()
            .map(|word| self.word("trove.auth", word, &words))
            .collect();
        if auth.is_empty() {
            self.refuse(
                "trove.auth",
                "is empty; turn the listener off with listen.trove = \"off\"".to_owned(),
            );
        }
        if raw.tokens.is_empty() && auth == [TroveAuth::Static] {
            self.refuse(
                "trove.auth",
                "is \"static\" alone, and there is no [[trove.tokens]]".to_owned(),
            );
        }
        let mut trove = Trove {
            auth,
            projects: Vec::new(),
            users: Vec::new(),
            tokens: Vec::new(),
            flavors: Vec::new(),
        };
        for (index, project) in raw.projects.iter().enumerate() {
            let key = format!("trove.projects[{index}]");
            self.non_empty(&format!("{key}.name"), &project.name);
            trove.projects.push(TroveProject {
                name: project.name.clone(),
                id: text(&project.id),
                tenant: self.tenant(&format!("{key}.tenant"), &project.tenant),
            });
        }
        for (index, user) in raw.users.iter().enumerate() {
            let key = format!("trove.users[{index}]");
            self.non_empty(&format!("{key}.name"), &user.name);
            trove.users.push(TroveUser {
                name: user.name.clone(),
                password: self.secret(&format!("{key}.password"), &user.password),
                project: project(&user.project),
                admin: user.admin,
            });
        }
        for (index, token) in raw.tokens.iter().enumerate() {
            trove.tokens.push(TroveToken {
                token: self.secret(&format!("trove.tokens[{index}].token"), &token.token),
                project: project(&token.project),
                admin: token.admin,
            });
        }
        for (index, flavor) in raw.flavors.iter().enumerate() {
            let key = format!("trove.flavors[{index}]");
            self.non_empty(&format!("{key}.id"), &flavor.id);
            self.non_empty(&format!("{key}.name"), &flavor.name);
            trove.flavors.push(TroveFlavor {
                id: flavor.id.clone(),
                name: flavor.name.clone(),
                memory_bytes: self.value(&format!("{key}.memory"), size(&flavor.memory), 0),
                cpus: self.number(&format!("{key}.cpus"), flavor.cpus, 1, 4_096),
            });
        }
        trove
    }

    fn globo(&mut self, raw: &RawGlobo) -> Globo {
        let engines = EngineKind::ALL.map(|kind| (kind.as_str(), kind));
        let stages = [("dev", "dev"), ("prod", "prod")];
        let mut globo = Globo {
            quarantine_retention_days: self.number(
                "globo.quarantine_retention_days",
                raw.quarantine_retention_days,
                0,
                3_650,
            ),
            create_wait: self.duration("globo.create_wait", &raw.create_wait, Duration::ZERO),
            later_api: raw.later_api,
            plans: Vec::new(),
            environments: Vec::new(),
            infras: Vec::new(),
            teams: Vec::new(),
        };
        for (index, plan) in raw.plans.iter().enumerate() {
            let key = format!("globo.plans[{index}]");
            self.non_empty(&format!("{key}.name"), &plan.name);
            for environment in &plan.environments {
                let known = raw.environments.iter().any(|known| known.name == *environment);
                self.reference(
                    &format!("{key}.environments"),
                    environment,
                    known,
                    "[[globo.environments]]",
                );
            }
            let replicas: u32 = self.number(&format!("{key}.replicas"), plan.replicas, 0, 1);
            globo.plans.push(GloboPlan {
                name: plan.name.clone(),
                engine: self.word(&format!("{key}.engine"), &plan.engine, &engines),
                memory_bytes: self.value(&format!("{key}.memory"), size(&plan.memory), 0),
                replicas: u8::from(replicas == 1),
                environments: plan.environments.clone(),
                default: plan.default,
            });
        }
        for (index, environment) in raw.environments.iter().enumerate() {
            let key = format!("globo.environments[{index}]");
            self.non_empty(&format!("{key}.name"), &environment.name);
            globo.environments.push(GloboEnvironment {
                name: environment.name.clone(),
                stage: self
                    .word(&format!("{key}.stage"), &environment.stage, &stages)
                    .to_owned(),
            });
        }
        for (index, infra) in raw.infras.iter().enumerate() {
            let key = format!("globo.infras[{index}]");
            self.non_empty(&format!("{key}.name"), &infra.name);
            let plan = raw.plans.iter().any(|plan| plan.name == infra.plan);
            self.reference(&format!("{key}.plan"), &infra.plan, plan, "[[globo.plans]]");
            let environment = raw.environments.iter().any(|known| known.name == infra.environment);
            self.reference(
                &format!("{key}.environment"),
                &infra.environment,
                environment,
                "[[globo.environments]]",
            );
            globo.infras.push(GloboInfra {
                name: infra.name.clone(),
                plan: infra.plan.clone(),
                environment: infra.environment.clone(),
                capacity: self.number(&format!("{key}.capacity"), infra.capacity, 1, 100_000),
            });
        }
        for (index, team) in raw.teams.iter().enumerate() {
            let key = format!("globo.teams[{index}]");
            self.non_empty(&format!("{key}.name"), &team.name);
            globo.teams.push(GloboTeam {
                name: team.name.clone(),
                tenant: self.tenant(&format!("{key}.tenant"), &team.tenant),
            });
        }
        globo
    }

    fn tls(&mut self, raw: &RawConfiguration) -> Tls {
        let tls = &raw.tls;
        Tls {
            redis_enterprise: self.tls_pair("redis_enterprise", &tls.redis_enterprise),
            redis_cloud: self.tls_pair("redis_cloud", &tls.redis_cloud),
            kvrocks_controller: self.tls_pair("kvrocks_controller", &tls.kvrocks_controller),
            trove: self.tls_pair("trove", &tls.trove),
            globo: self.tls_pair("globo", &tls.globo),
            metrics: self.tls_pair("metrics", &tls.metrics),
        }
    }

    fn tls_pair(&mut self, listener: &str, pair: &RawTlsPair) -> Option<TlsPair> {
        match (pair.cert.is_empty(), pair.key.is_empty()) {
            (true, true) => None,
            (false, false) => Some(TlsPair {
                cert: self.working_dir.join(&pair.cert),
                key: self.working_dir.join(&pair.key),
            }),
            (true, false) => {
                self.refuse(
                    &format!("tls.{listener}.cert"),
                    format!("is missing, and tls.{listener}.key is set"),
                );
                None
            }
            (false, true) => {
                self.refuse(
                    &format!("tls.{listener}.key"),
                    format!("is missing, and tls.{listener}.cert is set"),
                );
                None
            }
        }
    }

    /// What only shows when sections are read together.
    fn together(&mut self, configuration: &Configuration) {
        let outside = |addresses: &[SocketAddr]| addresses.iter().find(|address| !address.ip().is_loopback()).copied();
        let kvrocks: Vec<_> = configuration.listen.kvrocks_controller.into_iter().collect();
        if let (None, Some(address)) = (&configuration.kvrocks_controller.token, outside(&kvrocks)) {
            let problem = format!(
                "is {address}, which others reach, and kvrocks_controller.token is empty; set a token, or listen on loopback"
            );
            self.refuse("listen.kvrocks_controller", problem);
        }
        if configuration.trove.auth.contains(&TroveAuth::None)
            && let Some(address) = outside(&configuration.listen.trove)
        {
            let problem = format!(
                "is {address}, which others reach, and trove.auth has \"none\"; take it out, or listen on loopback"
            );
            self.refuse("listen.trove", problem);
        }
    }

    fn value<T>(&mut self, key: &str, result: Result<T, String>, otherwise: T) -> T {
        result.unwrap_or_else(|problem| {
            self.refuse(key, problem);
            otherwise
        })
    }

    fn number(&mut self, key: &str, value: i64, min: u32, max: u32) -> u32 {
        let checked = u32::try_from(value).ok().filter(|value| (min..=max).contains(value));
        self.value(
            key,
            checked.ok_or_else(|| format!("is {value}; allowed: {min} to {max}")),
            min,
        )
    }

    fn duration(&mut self, key: &str, text: &str, min: Duration) -> Duration {
        let checked = duration(text).and_then(|value| {
            if value >= min {
                Ok(value)
            } else {
                Err(format!("is {text:?}; allowed: at least {} ms", min.as_millis()))
            }
        });
        self.value(key, checked, min)
    }

    fn word<T: Copy>(&mut self, key: &str, word: &str, words: &[(&str, T)]) -> T {
        let found = words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        found.unwrap_or_else(|| {
            let known: Vec<_> = words.iter().map(|(known, _)| format!("{known:?}")).collect();
            self.refuse(key, format!("is {word:?}; allowed: {}", known.join(", ")));
            words[0].1
        })
    }

    fn tenant(&mut self, key: &str, name: &str) -> Option<TenantName> {
        if name.is_empty() {
            return None;
        }
        let checked = TenantName::parse(name)
            .map(Some)
            .map_err(|error| format!("is {name:?}: {error}"));
        self.value(key, checked, None)
    }

    fn secret(&mut self, key: &str, given: &RawSecret) -> Secret {
        self.non_empty(key, &given.0);
        Secret::new(given.0.clone())
    }

    fn reference(&mut self, key: &str, name: &str, known: bool, section: &str) {
        if !known {
            self.refuse(key, format!("is {name:?}, and no {section} has that name"));
        }
    }

    fn non_empty(&mut self, key: &str, text: &str) {
        if text.is_empty() {
            self.refuse(key, "is missing or empty".to_owned());
        }
    }

    fn required_path(&mut self, key: &str, path: &str) -> PathBuf {
        if path.contains('\0') {
            self.refuse(key, "holds a zero byte".to_owned());
        }
        self.non_empty(key, path);
        self.working_dir.join(path).components().collect()
    }

    fn refuse(&mut self, key: &str, problem: String) {
        self.errors.push(ConfigError {
            origin: origin_of(self.origins, key),
            key: key.to_owned(),
            problem,
        });
    }
}

fn run_as(text: &str) -> Result<RunAs, String> {
    let allowed = || format!("is {text:?}; allowed: the name of an account other than root, or UID:GID in numbers");
    if text.is_empty() {
        return Ok(RunAs::Name(DEFAULT_RUN_AS.to_owned()));
    }
    if let Some((uid, gid)) = text.split_once(':') {
        return match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) if uid != 0 => Ok(RunAs::Ids { uid, gid }),
            _ => Err(allowed()),
        };
    }
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
    if text == "root" || text.starts_with('-') || !text.chars().all(word) {
        return Err(allowed());
    }
    Ok(RunAs::Name(text.to_owned()))
}

fn secret(given: &RawSecret) -> Option<Secret> {
    text(&given.0).map(Secret::new)
}

fn text(given: &str) -> Option<String> {
    (!given.is_empty()).then(|| given.to_owned())
}

fn project(given: &str) -> String {
    text(given).unwrap_or_else(|| "default".to_owned())
}
