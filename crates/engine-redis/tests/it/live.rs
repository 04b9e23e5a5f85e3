//! Changes of a running server, compared with what it says afterwards.

use std::collections::BTreeMap;

use pilothouse_engine::{ErrorClass, ServerSettings, Session};
use pilothouse_model::{EvictionPolicy, FsyncPolicy, Persistence, SnapshotRule};

use crate::runner::{Server, products, run, soon};

/// Applies a change twice: the first does something, the second does not, in this session and in another.
async fn change(server: &mut Server, session: &mut dyn Session, change: impl FnOnce(&mut ServerSettings)) {
    change(&mut server.settings);
    assert!(session.apply(&server.settings, soon()).await.unwrap());
    assert!(!session.apply(&server.settings, soon()).await.unwrap());
    assert!(!server.session().await.apply(&server.settings, soon()).await.unwrap());
}

fn tuning(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn memory_and_eviction() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        change(&mut server, session.as_mut(), |settings| {
            settings.memory_bytes = 512 * 1024 * 1024
        })
        .await;
        assert_eq!(
            (server.config("maxmemory"), server.config("repl-backlog-size")),
            ("536870912".into(), "5368709".into())
        );
        for policy in EvictionPolicy::ALL
            .into_iter()
            .filter(|policy| *policy != EvictionPolicy::Noeviction)
        {
            change(&mut server, session.as_mut(), |settings| settings.eviction = policy).await;
            assert_eq!(server.config("maxmemory-policy"), policy.as_str());
        }
    }
}

#[tokio::test]
async fn the_smallest_memory_still_takes_writes() {
    for product in products() {
        let (server, _session) = Server::start_open(&product, |settings| settings.memory_bytes = 1024 * 1024).await;
        let mut client = server.client("", "secret").unwrap();
        assert_eq!(run(&mut client, &["SET", "k", "v"]), Ok("OK".into()));
    }
}

#[tokio::test]
async fn persistence() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        let rules = vec![
            SnapshotRule {
                seconds: 900,
                writes: 1,
            },
            SnapshotRule {
                seconds: 60,
                writes: 1000,
            },
        ];
        change(&mut server, session.as_mut(), |settings| {
            settings.persistence = Persistence::Snapshot { rules }
        })
        .await;
        assert_eq!(server.config("save"), "900 1 60 1000");
        let always = Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        };
        change(&mut server, session.as_mut(), |settings| settings.persistence = always).await;
        assert_eq!(
            (
                server.config("save"),
                server.config("appendonly"),
                server.config("appendfsync")
            ),
            (String::new(), "yes".into(), "always".into())
        );
        change(&mut server, session.as_mut(), |settings| {
            settings.persistence = Persistence::Disabled
        })
        .await;
        assert_eq!(
            (server.config("save"), server.config("appendonly")),
            (String::new(), "no".into())
        );
    }
}

#[tokio::test]
async fn tuning_is_set_compared_in_its_own_units_and_taken_back() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        let set = tuning(&[
            ("maxclients", "321"),
            ("repl-backlog-size", "2mb"),
            ("client-output-buffer-limit", "slave 64mb 32mb 30"),
            ("notify-keyspace-events", "KEA"),
            ("slowlog-log-slower-than", "-1"),
            ("lua-time-limit", "100"),
            ("hash-max-ziplist-entries", "7"),
            ("active-defrag-ignore-bytes", "1mb"),
            ("acl-pubsub-default", "allchannels"),
            ("timeout", "300"),
        ]);
        change(&mut server, session.as_mut(), |settings| settings.tuning = set).await;
        for (name, value) in [
            ("maxclients", "321"),
            ("repl-backlog-size", "2097152"),
            (
                "client-output-buffer-limit",
                "normal 0 0 0 slave 67108864 33554432 30 pubsub 33554432 8388608 60",
            ),
            ("slowlog-log-slower-than", "-1"),
            ("busy-reply-threshold", "100"),
            ("hash-max-listpack-entries", "7"),
            ("active-defrag-ignore-bytes", "1048576"),
            ("acl-pubsub-default", "allchannels"),
            ("timeout", "300"),
        ] {
            assert_eq!(server.config(name), value, "{name}");
        }
        change(&mut server, session.as_mut(), |settings| {
            settings.tuning = BTreeMap::new()
        })
        .await;
        assert_eq!(
            (
                server.config("timeout"),
                server.config("maxclients"),
                server.config("notify-keyspace-events")
            ),
            ("0".into(), "10000".into(), String::new())
        );
    }
}

#[tokio::test]
async fn every_tuning_of_the_table_survives_a_start_from_the_file() {
    for product in products() {
        let all = tuning(&[
            ("activedefrag", "no"),
            ("activerehashing", "no"),
            ("active-defrag-cycle-max", "30"),
            ("auto-aof-rewrite-min-size", "1mb"),
            ("client-output-buffer-limit", "replica 1mb 1mb 60"),
            ("io-threads", "2"),
            ("notify-keyspace-events", "Kx$"),
            ("list-max-listpack-size", "-5"),
            ("slowlog-log-slower-than", "-1"),
            ("maxclients", "50"),
        ]);
        let (server, mut session) = Server::start_open(&product, |settings| settings.tuning = all).await;
        assert!(!session.apply(&server.settings, soon()).await.unwrap());
        assert_eq!(
            (
                server.config("io-threads"),
                server.config("maxclients"),
                server.config("active-defrag-cycle-max")
            ),
            ("2".into(), "50".into(), "30".into())
        );
    }
}

#[tokio::test]
async fn what_cannot_be_applied_is_refused_before_anything_changes() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        let mut check = async |change: fn(&mut ServerSettings)| {
            let mut settings = server.settings.clone();
            settings.memory_bytes = 64 * 1024 * 1024;
            change(&mut settings);
            let error = session.apply(&settings, soon()).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Invalid, "{error}");
            assert_eq!(server.config("maxmemory"), "0", "{error}");
        };
        check(|settings| settings.tuning = tuning(&[("requirepass", "x")])).await;
        check(|settings| settings.tuning = tuning(&[("activedefrag", "yes")])).await;
        check(|settings| settings.disabled_commands = vec!["nosuch".into()]).await;
        check(|settings| settings.logins[0].rules = "+@all nopass".into()).await;
        check(|settings| settings.logins[0].name = "pilothouse".into()).await;
    }
}

#[tokio::test]
async fn logins_come_change_and_go() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        change(&mut server, session.as_mut(), |settings| {
            settings.logins.push(crate::runner::login("alice", "one", "+get ~*"))
        })
        .await;
        let mut alice = server.client("alice", "one").unwrap();
        change(&mut server, session.as_mut(), |settings| {
            settings.logins[1].password_sha256.push(crate::runner::sha256("two"))
        })
        .await;
        assert!(run(&mut alice, &["GET", "k"]).is_ok(), "a new password cuts nobody off");
        assert!(server.client("alice", "two").is_ok() && server.client("alice", "one").is_ok());
        change(&mut server, session.as_mut(), |settings| {
            settings.logins[1].password_sha256.remove(0);
        })
        .await;
        assert!(server.client("alice", "one").is_err() && server.client("alice", "two").is_ok());
        change(&mut server, session.as_mut(), |settings| {
            settings.logins[1].enabled = false
        })
        .await;
        assert!(run(&mut alice, &["GET", "k"]).is_err() && server.client("alice", "two").is_err());
        change(&mut server, session.as_mut(), |settings| {
            settings.logins[1].enabled = true
        })
        .await;
        let mut alice = server.client("alice", "two").unwrap();
        change(&mut server, session.as_mut(), |settings| settings.logins.truncate(1)).await;
        assert!(run(&mut alice, &["GET", "k"]).is_err() && server.client("alice", "two").is_err());
        change(&mut server, session.as_mut(), |settings| {
            settings.logins[0].password_sha256.clear();
            settings.logins[0].without_password = true;
        })
        .await;
        assert!(server.client("", "").is_ok());
        change(&mut server, session.as_mut(), |settings| settings.logins.clear()).await;
        assert!(session.observe(soon()).await.unwrap().fenced);
    }
}

#[tokio::test]
async fn ports_move_while_it_runs() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        let old = server.settings.ports;
        let new = crate::runner::settings().ports;
        change(&mut server, session.as_mut(), |settings| settings.ports = new).await;
        assert!(server.client("", "secret").is_ok());
        server.settings.ports = old;
        assert!(server.client("", "secret").is_err());
    }
}
