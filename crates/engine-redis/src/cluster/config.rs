//! What a server of a cluster is configured with besides everything else. Pure.

use std::fmt::Write as _;

use pilothouse_engine::{ServerDirectory, ServerSettings};

use crate::config::{Wanted, yes_no};
use crate::quote::quoted;

/// Where a server keeps its name, its slots and what it knows of the others. It writes this file by itself; not in the data directory,
/// because a server without data is still the same server.
const STATE_FILE: &str = "nodes.conf";

/// Settings that are the same for every server of a cluster. None of them is ever changed in a running server.
const FIXED: &str = "\
cluster-enabled yes
# Who becomes a primary is decided by the control plane, which first makes sure that the old one has ended.
cluster-replica-no-failover yes
cluster-replica-validity-factor 0
cluster-allow-replica-migration no
cluster-node-timeout 15000
# One shard that is away does not stop the others.
cluster-require-full-coverage no
";

/// Lines for the file from which a server starts, besides [`live`]; none for a server on its own.
pub(crate) fn file(settings: &ServerSettings, directory: &ServerDirectory) -> String {
    let Some(cluster) = &settings.cluster else {
        return String::new();
    };
    let state = directory.root.join(STATE_FILE);
    let mut text = FIXED.to_owned();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "cluster-config-file {}\ncluster-port {bus}\ncluster-announce-ip {}\ncluster-announce-bus-port {bus}\n",
        quoted(&state.to_string_lossy()),
        cluster.announce,
        bus = settings.ports.bus,
    );
    // A replica follows its primary by itself as soon as it starts.
    let _ = writeln!(text, "tls-replication {}", yes_no(encrypted(settings)));
    text
}

/// Values that change with the TLS of the database, in the file and in a running server.
///
/// The ports are announced although the server knows them, because it tells its siblings of a change only when what it announces changes.
pub(crate) fn live(settings: &ServerSettings, plain_open: bool) -> Vec<Wanted> {
    if settings.cluster.is_none() {
        return Vec::new();
    }
    let encrypted = encrypted(settings);
    let port = |open: bool, port: u16| if open { port.to_string() } else { "0".to_owned() };
    vec![
        Wanted::new("tls-cluster", yes_no(encrypted)),
        Wanted::new("cluster-announce-port", port(plain_open, settings.ports.plain)),
        Wanted::new("cluster-announce-tls-port", port(encrypted, settings.ports.tls)),
    ]
}

fn encrypted(settings: &ServerSettings) -> bool {
    settings.encrypt_replication && settings.tls.is_some()
}

#[cfg(test)]
mod tests {
    use pilothouse_engine::ClusterSettings;
    use pilothouse_model::EngineVersion;

    use super::*;
    use crate::config::tests::{directory, settings, tls};

    #[test]
    fn a_server_of_a_cluster() {
        let mut settings = settings();
        assert!(file(&settings, &directory()).is_empty() && live(&settings, true).is_empty());
        settings.ports.bus = 20002;
        settings.cluster = Some(ClusterSettings {
            announce: "::1".parse().unwrap(),
        });
        let lines = |settings: &ServerSettings| {
            let whole = crate::config::file("redis", EngineVersion::new(7, 0, 15), settings, &directory());
            let of_cluster = |line: &&str| {
                let names = ["cluster-", "tls-cluster", "tls-replication"];
                names.iter().any(|name| line.starts_with(name))
            };
            whole.lines().filter(of_cluster).collect::<Vec<_>>().join("\n")
        };
        let plain = lines(&settings);
        settings.encrypt_replication = true;
        settings.tls = Some(tls());
        insta::assert_snapshot!(format!("{plain}\n{}", lines(&settings)), @r#"
        tls-cluster no
        cluster-announce-port 20000
        cluster-announce-tls-port 0
        cluster-enabled yes
        cluster-replica-no-failover yes
        cluster-replica-validity-factor 0
        cluster-allow-replica-migration no
        cluster-node-timeout 15000
        cluster-require-full-coverage no
        cluster-config-file "/var/lib/pilothouse/servers/a b/nodes.conf"
        cluster-port 20002
        cluster-announce-ip ::1
        cluster-announce-bus-port 20002
        tls-replication no
        tls-cluster yes
        cluster-announce-port 0
        cluster-announce-tls-port 20001
        cluster-enabled yes
        cluster-replica-no-failover yes
        cluster-replica-validity-factor 0
        cluster-allow-replica-migration no
        cluster-node-timeout 15000
        cluster-require-full-coverage no
        cluster-config-file "/var/lib/pilothouse/servers/a b/nodes.conf"
        cluster-port 20002
        cluster-announce-ip ::1
        cluster-announce-bus-port 20002
        tls-replication yes
        "#);
    }
}
