//! What a server is configured with: the file it starts from, and the values that a running one is compared with. Pure.

use std::fmt::Write as _;

use pilothouse_engine::{EngineError, ServerDirectory, ServerSettings};
use pilothouse_model::{EngineVersion, FsyncPolicy, Persistence, Secret};

use crate::quote::quoted;
use crate::tuning::{self, BACKLOG, DIRECTIVES};
use crate::{cluster, error, users};

/// The name of the file below the server's directory.
pub(crate) const FILE_NAME: &str = "redis.conf";

/// The snapshot below the data directory.
pub(crate) const SNAPSHOT_FILE: &str = "dump.rdb";

/// Settings that are the same for every server, with the reason for each. None of them is ever changed in a running server.
const FIXED: &str = "\
# The runtime starts, watches and ends this process and keeps what it prints.
daemonize no
supervised no
logfile \"\"
loglevel notice
always-show-logo no
set-proc-title no
# Accounts guard every way in, also where an address is not of this machine.
protected-mode no
unixsocketperm 700
enable-protected-configs no
enable-debug-command no
enable-module-command no
# Clients get one key space.
databases 1
# Replicas: the first sync goes over the wire at once, without a detour over a disk.
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-diskless-load on-empty-db
repl-ping-replica-period 1
repl-timeout 60
# A backlog that expires would change the replication id, by which a history is recognised.
repl-backlog-ttl 0
replica-serve-stale-data yes
replica-read-only yes
replica-lazy-flush yes
rdb-del-sync-files yes
# One long command must not look like a server that hangs.
lazyfree-lazy-user-flush yes
latency-tracking no
dbfilename dump.rdb
appenddirname appendonlydir
appendfilename appendonly.aof
";

/// The whole file. Equal input gives equal text. Everything in it leaves the server closed: see `users::file_lines`.
pub(crate) fn file(
    product: &str,
    version: EngineVersion,
    settings: &ServerSettings,
    directory: &ServerDirectory,
) -> String {
    let mut text = format!("# Written for {product} {version} before each start; changes made here are lost.\n{FIXED}");
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} {value}");
    };
    line("dir", &quoted(&directory.data().to_string_lossy()));
    line("unixsocket", &quoted(&directory.admin_socket().to_string_lossy()));
    for Wanted { name, value, .. } in &base(settings) {
        match *name {
            // Several words that are arguments of their own; empty where there is none.
            "bind" | "save" if !value.is_empty() => line(name, value),
            _ => line(name, &quoted(value)),
        }
    }
    // Unknown or bad settings were refused when they were asked for.
    for (name, value) in tuning::canonical(&settings.tuning).unwrap_or_default() {
        match name {
            "client-output-buffer-limit" => line(name, &value),
            _ => line(name, &quoted(&value)),
        }
    }
    if !settings.tuning.contains_key(BACKLOG) {
        line(BACKLOG, &tuning::backlog_bytes(settings.memory_bytes).to_string());
    }
    line("masteruser", users::REPLICATION_LOGIN);
    line("masterauth", &quoted(settings.replication_secret.expose()));
    text.push_str(&cluster::file(settings, directory));
    for account in users::file_lines(settings) {
        text.push_str(&account);
        text.push('\n');
    }
    text
}

/// A value that a running server should have.
pub(crate) struct Wanted {
    /// The directive.
    pub(crate) name: &'static str,
    /// Its value in the form of [`Wanted::canonical`].
    pub(crate) value: String,
    /// How the server's own value is brought into the same form.
    kind: Option<&'static tuning::Kind>,
    /// Somebody asked for it, so that a server that does not know it is an error.
    pub(crate) explicit: bool,
}

impl Wanted {
    /// A value that was asked for, compared as it is.
    pub(crate) fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            kind: None,
            explicit: true,
        }
    }

    /// Whether the server's value says the same.
    pub(crate) fn equals(&self, current: &str) -> bool {
        match self.kind {
            Some(kind) => kind.canonical(current).as_deref() == Ok(self.value.as_str()),
            None => current == self.value,
        }
    }
}

/// The values that a running server should have, without those that depend on whom it follows: see [`link`].
pub(crate) fn live(settings: &ServerSettings) -> Result<Vec<Wanted>, EngineError> {
    let mut wanted = base(settings);
    let mut tuning = tuning::canonical(&settings.tuning).map_err(error::invalid)?;
    for directive in DIRECTIVES.iter().filter(|directive| directive.live) {
        let chosen = tuning.remove(directive.name);
        wanted.push(Wanted {
            name: directive.name,
            explicit: chosen.is_some(),
            value: chosen.unwrap_or_else(|| match directive.name {
                BACKLOG => tuning::backlog_bytes(settings.memory_bytes).to_string(),
                _ => directive.default.to_owned(),
            }),
            kind: Some(&directive.kind),
        });
    }
    Ok(wanted)
}

/// The account and the encryption with which a server follows its siblings.
pub(crate) fn link(replication_secret: &Secret, encrypted: bool) -> Vec<Wanted> {
    vec![
        Wanted::new("tls-replication", yes_no(encrypted)),
        Wanted::new("masteruser", users::REPLICATION_LOGIN),
        Wanted::new("masterauth", replication_secret.expose()),
    ]
}

/// Network, memory, persistence: what is written to the file and compared live alike.
fn base(settings: &ServerSettings) -> Vec<Wanted> {
    let bind: Vec<String> = settings.bind.iter().map(ToString::to_string).collect();
    let clients_tls = settings.tls.as_ref().is_some_and(|tls| tls.clients);
    let plain = !clients_tls || !settings.encrypt_replication;
    let port = |open: bool, port: u16| if open { port.to_string() } else { "0".to_owned() };
    let mut wanted = vec![
        Wanted::new("bind", bind.join(" ")),
        Wanted::new("port", port(plain, settings.ports.plain)),
    ];
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    match &settings.tls {
        Some(tls) => wanted.extend([
            Wanted::new("tls-cert-file", path(&tls.certificate)),
            Wanted::new("tls-key-file", path(&tls.key)),
            Wanted::new("tls-ca-cert-file", path(&tls.trusted)),
            Wanted::new("tls-auth-clients", yes_no(tls.client_certificates)),
        ]),
        None => wanted.extend(
            ["tls-cert-file", "tls-key-file", "tls-ca-cert-file"]
                .map(|name| Wanted::new(name, ""))
                .into_iter()
                .chain([Wanted::new("tls-auth-clients", "yes")]),
        ),
    }
    let encrypted = clients_tls || (settings.tls.is_some() && settings.encrypt_replication);
    let (save, append_only, fsync) = persistence(&settings.persistence);
    wanted.extend([
        Wanted::new("tls-port", port(encrypted, settings.ports.tls)),
        Wanted::new("maxmemory", settings.memory_bytes.to_string()),
        Wanted::new("maxmemory-policy", settings.eviction.as_str()),
        Wanted::new("save", save),
        Wanted::new("appendonly", append_only),
        Wanted::new("appendfsync", fsync),
    ]);
    wanted.extend(cluster::live(settings, plain));
    wanted
}

fn persistence(persistence: &Persistence) -> (String, &'static str, &'static str) {
    match persistence {
        Persistence::Disabled => (String::new(), "no", "everysec"),
        Persistence::Snapshot { rules } => {
            let rules: Vec<String> = rules
                .iter()
                .map(|rule| format!("{} {}", rule.seconds, rule.writes))
                .collect();
            (rules.join(" "), "no", "everysec")
        }
        Persistence::AppendOnly { fsync } => {
            let fsync = match fsync {
                FsyncPolicy::EverySecond => "everysec",
                FsyncPolicy::Always => "always",
            };
            (String::new(), "yes", fsync)
        }
    }
}

pub(crate) fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use pilothouse_engine::{Fence, Login, TlsFiles};
    use pilothouse_model::{EvictionPolicy, ServerPorts, SnapshotRule};

    use super::*;

    /// Settings of a plain database without persistence.
    pub(crate) fn settings() -> ServerSettings {
        ServerSettings {
            bind: vec!["127.0.0.1".parse().unwrap()],
            ports: ServerPorts {
                bus: 0,
                plain: 20000,
                tls: 20001,
            },
            tls: None,
            encrypt_replication: false,
            memory_bytes: 100 * 1024 * 1024,
            persistence: Persistence::Disabled,
            eviction: EvictionPolicy::VolatileLru,
            tuning: BTreeMap::new(),
            management_secret: Secret::new("management"),
            replication_secret: Secret::new("replication"),
            logins: vec![Login {
                name: "default".into(),
                enabled: true,
                password_sha256: vec![],
                without_password: true,
                rules: "+@all ~* &*".into(),
            }],
            disabled_commands: vec![],
            fence: Fence::Open,
            cluster: None,
        }
    }

    pub(crate) fn directory() -> ServerDirectory {
        ServerDirectory {
            root: "/var/lib/pilothouse/servers/a b".into(),
        }
    }

    pub(crate) fn tls() -> TlsFiles {
        TlsFiles {
            certificate: "/d/tls/cert.pem".into(),
            key: "/d/tls/key.pem".into(),
            trusted: "/d/tls/trusted.pem".into(),
            clients: true,
            client_certificates: true,
            fingerprint: "1".into(),
        }
    }

    /// The lines that are not the same for every server, accounts left out.
    fn own_lines(version: EngineVersion, settings: &ServerSettings) -> String {
        let text = file("redis", version, settings, &directory());
        let own = text.split_once(FIXED).expect("the fixed part is in every file").1;
        own.lines()
            .filter(|line| !line.starts_with("user "))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn the_whole_file_of_redis_7_0() {
        insta::assert_snapshot!(
            "redis-7.0",
            file("redis", EngineVersion::new(7, 0, 15), &settings(), &directory())
        );
    }

    #[test]
    fn the_whole_file_of_valkey_8_0() {
        let mut settings = settings();
        settings.tls = Some(tls());
        settings.encrypt_replication = true;
        settings.disabled_commands = vec!["flushall".into()];
        settings.persistence = Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        };
        settings.tuning = BTreeMap::from([
            ("maxclients".into(), "500".into()),
            ("client-output-buffer-limit".into(), "slave 1mb 1mb 60".into()),
            ("io-threads".into(), "4".into()),
            ("notify-keyspace-events".into(), "".into()),
            ("repl-backlog-size".into(), "5mb".into()),
        ]);
        insta::assert_snapshot!(
            "valkey-8.0",
            file("valkey", EngineVersion::new(8, 0, 1), &settings, &directory())
        );
    }

    #[test]
    fn persistence_and_memory() {
        let mut settings = settings();
        settings.memory_bytes = 0;
        settings.persistence = Persistence::Snapshot {
            rules: vec![
                SnapshotRule {
                    seconds: 900,
                    writes: 1,
                },
                SnapshotRule {
                    seconds: 60,
                    writes: 1000,
                },
            ],
        };
        insta::assert_snapshot!(own_lines(EngineVersion::new(7, 0, 15), &settings), @r#"
        dir "/var/lib/pilothouse/servers/a b/data"
        unixsocket "/var/lib/pilothouse/servers/a b/admin.sock"
        bind 127.0.0.1
        port 20000
        tls-cert-file ""
        tls-key-file ""
        tls-ca-cert-file ""
        tls-auth-clients yes
        tls-port 0
        maxmemory 0
        maxmemory-policy volatile-lru
        save 900 1 60 1000
        appendonly no
        appendfsync everysec
        repl-backlog-size 1048576
        masteruser pilothouse-replica
        masterauth replication
        "#);
    }

    #[test]
    fn ports_follow_who_speaks_tls() {
        let ports = |clients: Option<bool>, encrypt_replication: bool| {
            let mut settings = settings();
            settings.tls = clients.map(|clients| TlsFiles { clients, ..tls() });
            settings.encrypt_replication = encrypt_replication;
            let wanted = base(&settings);
            let value = |name| {
                wanted
                    .iter()
                    .find(|wanted| wanted.name == name)
                    .map(|wanted| wanted.value.clone())
                    .unwrap()
            };
            (value("port"), value("tls-port"))
        };
        let pair = |plain: &str, tls: &str| (plain.to_owned(), tls.to_owned());
        assert_eq!(ports(None, false), pair("20000", "0"));
        assert_eq!(ports(Some(false), true), pair("20000", "20001"));
        assert_eq!(ports(Some(true), true), pair("0", "20001"));
        // Replicas speak plain, over an address that only this host reaches.
        assert_eq!(ports(Some(true), false), pair("20000", "20001"));
    }

    #[test]
    fn no_file_opens_an_account_of_others_or_follows_anybody() {
        for fence in [Fence::Closed, Fence::Replication, Fence::Open] {
            let mut settings = settings();
            settings.fence = fence;
            let text = file("redis", EngineVersion::new(7, 0, 15), &settings, &directory());
            let starts = |word: &str| text.lines().any(|line| line.starts_with(word));
            assert!(!starts("replicaof") && !starts("slaveof") && !starts("aclfile") && !text.contains("nopass"));
            let open: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with("user ") && line.contains(" on "))
                .collect();
            assert_eq!(open.len(), 2, "{open:?}");
            assert!(open.iter().all(|line| !line.starts_with("user default")));
        }
    }
}
