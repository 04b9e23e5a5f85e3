//! One server: the fence, signs of life, commands from an API, and every method twice.

use std::time::{Duration, Instant};

use pilothouse_engine::{Engine as _, ErrorClass, Fence, ManagementAccess, Reply, Session};
use pilothouse_model::{FsyncPolicy, Liveness, Persistence, Secret, ServerRole, SnapshotRule};

use crate::runner::{Server, eventually, login, products, run, soon};

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

async fn execute(session: &mut dyn Session, command: &[&str]) -> Reply {
    session.execute(&words(command), soon()).await.unwrap()
}

#[tokio::test]
async fn a_server_starts_closed_and_is_opened_once() {
    for product in products() {
        let server = Server::start(&product, |_| ()).await;
        let mut session = server.session().await;
        assert!(session.observe(soon()).await.unwrap().fenced);
        assert!(server.client("", "secret").is_err());
        assert!(server.client("default", "secret").is_err());

        assert!(session.apply(&server.settings, soon()).await.unwrap());
        assert!(!session.apply(&server.settings, soon()).await.unwrap());
        assert!(
            !server.session().await.apply(&server.settings, soon()).await.unwrap(),
            "nothing differs in a new session"
        );
        assert!(!session.observe(soon()).await.unwrap().fenced);
        let calls = session.load(soon()).await.unwrap().calls;
        assert!(
            !calls.contains_key("config|set"),
            "the file says all that a running server is compared with"
        );
        let mut client = server.client("", "secret").unwrap();
        assert_eq!(run(&mut client, &["SET", "k", "v"]), Ok("OK".into()));
        assert!(server.client("", "wrong").is_err());
    }
}

#[tokio::test]
async fn a_closed_fence_cuts_connections_but_not_ours() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        let mut other_session = server.session().await;
        for by_settings in [false, true] {
            let mut client = server.client("", "secret").unwrap();
            if by_settings {
                let mut closed = server.settings.clone();
                closed.fence = Fence::Closed;
                assert!(session.apply(&closed, soon()).await.unwrap());
                assert!(!session.apply(&closed, soon()).await.unwrap());
            } else {
                session.fence(soon()).await.unwrap();
                session.fence(soon()).await.unwrap();
            }
            assert!(run(&mut client, &["PING"]).is_err());
            assert!(server.client("", "secret").is_err());
            assert!(session.observe(soon()).await.unwrap().fenced);
            assert_eq!(other_session.probe(soon()).await.unwrap(), Liveness::Ok);
            assert!(session.apply(&server.settings, soon()).await.unwrap());
        }
    }
}

#[tokio::test]
async fn every_method_twice_and_after_a_kill() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |settings| {
            settings.persistence = Persistence::AppendOnly {
                fsync: FsyncPolicy::Always,
            };
        })
        .await;
        twice(session.as_mut()).await;
        execute(session.as_mut(), &["SET", "kept", "yes"]).await;

        server.kill();
        assert_eq!(session.probe(soon()).await.unwrap_err().class, ErrorClass::Transient);
        assert_eq!(session.observe(soon()).await.unwrap_err().class, ErrorClass::Transient);
        assert_eq!(
            product
                .engine
                .connect(&server.access(), soon())
                .await
                .err()
                .unwrap()
                .class,
            ErrorClass::Transient
        );

        server.restart().await;
        let mut session = server.session().await;
        assert!(
            session.observe(soon()).await.unwrap().fenced,
            "a restarted server is closed"
        );
        session.apply(&server.settings, soon()).await.unwrap();
        assert_eq!(
            execute(session.as_mut(), &["GET", "kept"]).await,
            Reply::Bulk(b"yes".to_vec())
        );
        twice(session.as_mut()).await;
    }
}

async fn twice(session: &mut dyn Session) {
    for _ in 0..2 {
        assert_eq!(session.probe(soon()).await.unwrap(), Liveness::Ok);
        let facts = session.observe(soon()).await.unwrap();
        assert_eq!(facts.replication.role, ServerRole::Primary);
        assert!(facts.used_memory_bytes > 0 && facts.loading.is_none() && facts.raw.contains_key("maxmemory_policy"));
        assert_eq!(
            session.replication(soon()).await.unwrap().replication_id,
            facts.replication.replication_id
        );
        let load = session.load(soon()).await.unwrap();
        assert!(load.calls["info"] > 0 && load.numbers["connected_clients"] >= 1.0);
        session.promote(soon()).await.unwrap();
        session.pause_writes(5_000, soon()).await.unwrap();
    }
    for _ in 0..2 {
        session.resume_writes(soon()).await.unwrap();
        session.disconnect_clients(soon()).await.unwrap();
        session.begin_snapshot(soon()).await.unwrap();
        session.compact_log(soon()).await.unwrap();
        session.flush(soon()).await.unwrap();
    }
    eventually("a log on disk", async || session.persistent(soon()).await.unwrap()).await;
}

#[tokio::test]
async fn shutdown_keeps_what_persistence_promises() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |settings| {
            settings.persistence = Persistence::Snapshot {
                rules: vec![SnapshotRule {
                    seconds: 3600,
                    writes: 1000,
                }],
            };
        })
        .await;
        execute(session.as_mut(), &["SET", "k", "v"]).await;
        session.shutdown(soon()).await.unwrap();
        server.ended().await;
        assert_eq!(session.shutdown(soon()).await.unwrap_err().class, ErrorClass::Transient);
        server.restart().await;
        let mut session = server.session().await;
        assert_eq!(
            execute(session.as_mut(), &["GET", "k"]).await,
            Reply::Bulk(b"v".to_vec())
        );
    }
}

#[tokio::test]
async fn a_wrong_secret_is_denied() {
    for product in products() {
        let server = Server::start(&product, |_| ()).await;
        let access = ManagementAccess {
            cluster: false,
            secret: Secret::new("wrong"),
            ..server.access()
        };
        let error = product.engine.connect(&access, soon()).await.err().unwrap();
        assert_eq!(error.class, ErrorClass::Denied);
        assert!(!error.message.contains("wrong "), "{error}");
    }
}

#[tokio::test]
async fn a_stopped_server_is_silent_and_its_connection_stays_good() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        server.signal("STOP");
        let before = Instant::now();
        for _ in 0..3 {
            let deadline = Instant::now() + Duration::from_millis(50);
            assert_eq!(session.probe(deadline).await.unwrap(), Liveness::Silent);
        }
        assert!(before.elapsed() < Duration::from_secs(2));
        server.signal("CONT");
        assert_eq!(session.probe(soon()).await.unwrap(), Liveness::Ok);
        // The late reply is not taken for another.
        server.signal("STOP");
        assert_eq!(
            session.probe(Instant::now() + Duration::from_millis(50)).await.unwrap(),
            Liveness::Silent
        );
        server.signal("CONT");
        assert_eq!(session.replication(soon()).await.unwrap().role, ServerRole::Primary);
        assert_eq!(session.probe(soon()).await.unwrap(), Liveness::Ok);
        // A command without a reply in time leaves nothing to build on.
        server.signal("STOP");
        let late = session.replication(Instant::now() + Duration::from_millis(50)).await;
        assert_eq!(late.unwrap_err().class, ErrorClass::Transient);
        server.signal("CONT");
        assert_eq!(session.probe(soon()).await.unwrap_err().class, ErrorClass::Transient);
    }
}

#[tokio::test]
async fn a_long_script_is_busy_and_a_load_is_loading() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |settings| {
            settings.tuning = [("lua-time-limit".to_owned(), "20".to_owned())].into();
            settings.persistence = Persistence::Snapshot {
                rules: vec![SnapshotRule {
                    seconds: 3600,
                    writes: 1000,
                }],
            };
        })
        .await;
        let mut client = server.client("", "secret").unwrap();
        let script = std::thread::spawn(move || run(&mut client, &["EVAL", "while true do end", "0"]));
        eventually("busy", async || session.probe(soon()).await.unwrap() == Liveness::Busy).await;
        assert_eq!(run(&mut server.management(), &["SCRIPT", "KILL"]), Ok("OK".into()));
        assert!(script.join().unwrap().is_err());
        assert_eq!(session.probe(soon()).await.unwrap(), Liveness::Ok);

        for key in 0..500 {
            execute(session.as_mut(), &["SET", &format!("k{key}"), &"v".repeat(100)]).await;
        }
        session.shutdown(soon()).await.unwrap();
        server.ended().await;
        server.respawn("\nkey-load-delay 20000\nloading-process-events-interval-bytes 1024\n");
        let mut session = server.session().await;
        eventually("loading", async || {
            session.probe(soon()).await.unwrap() == Liveness::Loading
        })
        .await;
        let facts = session.observe(soon()).await.unwrap();
        assert!(facts.loading.is_some_and(|share| (0.0..=1.0).contains(&share)) && facts.fenced);
        assert_eq!(session.promote(soon()).await.unwrap_err().class, ErrorClass::Transient);
    }
}

#[tokio::test]
async fn commands_give_the_replies_that_clients_get() {
    for product in products() {
        let (_server, mut session) = Server::start_open(&product, |_| ()).await;
        let session = session.as_mut();
        let bulk = |text: &str| Reply::Bulk(text.into());
        assert_eq!(execute(session, &["PING"]).await, Reply::Status("PONG".into()));
        assert_eq!(
            execute(session, &["SET", "k", "a\r\nb"]).await,
            Reply::Status("OK".into())
        );
        assert_eq!(execute(session, &["GET", "k"]).await, bulk("a\r\nb"));
        assert_eq!(execute(session, &["GET", "nosuch"]).await, Reply::Nil);
        assert_eq!(execute(session, &["STRLEN", "k"]).await, Reply::Integer(4));
        assert_eq!(
            execute(session, &["EVAL", "return {1, {'x', false}, {ok = 'fine'}}", "0"]).await,
            Reply::Array(vec![
                Reply::Integer(1),
                Reply::Array(vec![bulk("x"), Reply::Nil]),
                Reply::Status("fine".into()),
            ])
        );
        assert!(matches!(execute(session, &["INCR", "k"]).await, Reply::Error(text) if text.starts_with("ERR value")));
        assert!(matches!(execute(session, &["NOSUCH", "\u{7f}"]).await, Reply::Error(_)));
        assert!(session.execute(&[], soon()).await.is_err());
        let binary = session
            .execute(&[b"ECHO".to_vec(), vec![0, 255, 13, 10]], soon())
            .await
            .unwrap();
        assert_eq!(binary, Reply::Bulk(vec![0, 255, 13, 10]));
    }
}

#[tokio::test]
async fn commands_from_an_api_get_nothing_that_is_withheld() {
    for product in products() {
        let (_server, mut session) = Server::start_open(&product, |settings| {
            settings.disabled_commands = vec!["flushall".into()];
        })
        .await;
        for command in [
            &["CONFIG", "GET", "masterauth"][..],
            &["config", "set", "dir", "/tmp"],
            &["ACL", "LIST"],
            &["ACL", "SETUSER", "default", "nopass"],
            &["DEBUG", "SLEEP", "1"],
            &["SHUTDOWN", "NOSAVE"],
            &["REPLICAOF", "NO", "ONE"],
            &["SLAVEOF", "NO", "ONE"],
            &["PSYNC", "?", "-1"],
            &["SYNC"],
            &["MODULE", "LIST"],
            &["SWAPDB", "0", "0"],
            &["FLUSHALL"],
            &[
                "EVAL",
                "return redis.call('MIGRATE', '127.0.0.1', '1', 'k', '0', '1')",
                "0",
            ],
            &["EVAL", "return redis.call('SWAPDB', '0', '0')", "0"],
            &["MONITOR"],
            &["SUBSCRIBE", "x"],
            &["multi"],
            &["HELLO", "3"],
            &["AUTH", "default", "secret"],
            &["CLIENT", "REPLY", "OFF"],
            &["SELECT", "1"],
        ] {
            let reply = execute(session.as_mut(), command).await;
            assert!(matches!(&reply, Reply::Error(_)), "{command:?} gave {reply:?}");
        }
        assert_eq!(session.probe(soon()).await.unwrap(), Liveness::Ok);
    }
}

#[tokio::test]
async fn a_blocking_command_ends_at_the_deadline_and_harms_nothing() {
    for product in products() {
        let (_server, mut session) = Server::start_open(&product, |_| ()).await;
        let late = session
            .execute(&words(&["BLPOP", "q", "0"]), Instant::now() + Duration::from_millis(50))
            .await;
        assert_eq!(late.unwrap_err().class, ErrorClass::Transient);
        assert_eq!(session.probe(soon()).await.unwrap(), Liveness::Ok);
    }
}

#[tokio::test]
async fn flush_removes_everything_and_paused_writes_wait() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |settings| {
            settings.logins.push(login("writer", "pw", "+@all ~*"));
        })
        .await;
        let mut client = server.client("writer", "pw").unwrap();
        run(&mut client, &["SET", "k", "v"]).unwrap();
        session.flush(soon()).await.unwrap();
        assert_eq!(run(&mut client, &["DBSIZE"]), Ok("0".into()));

        session.pause_writes(60_000, soon()).await.unwrap();
        let writer = std::thread::spawn(move || run(&mut client, &["SET", "k", "v"]));
        eventually("a write that waits", async || {
            session.observe(soon()).await.unwrap().raw["blocked_clients"] == "1"
        })
        .await;
        session.resume_writes(soon()).await.unwrap();
        assert_eq!(writer.join().unwrap(), Ok("OK".into()));
    }
}

#[tokio::test]
async fn nothing_secret_is_printed_or_readable_by_others() {
    use std::os::unix::fs::PermissionsExt as _;
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        session.apply(&server.settings, soon()).await.unwrap();
        let mode = |name: &str| {
            std::fs::metadata(server.directory.root.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            (mode("redis.conf"), mode("data"), mode("admin.sock")),
            (0o600, 0o700, 0o700)
        );
        let log = server.log();
        assert!(
            !log.contains("management-secret") && !log.contains("replication \"secret\""),
            "{log}"
        );
        let slow = run(&mut server.management(), &["SLOWLOG", "GET", "100"]).unwrap();
        assert!(!slow.contains("replication \\\"secret"), "{slow}");
    }
}
