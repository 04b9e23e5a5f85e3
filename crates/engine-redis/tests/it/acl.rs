//! What logins may do, asked of the server itself.

use pilothouse_engine::{Engine as _, Fence};
use pilothouse_engine_redis::RedisEngine;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::runner::{Server, login, products, run, soon};

/// Calls of every command that tenants never get.
const WITHHELD_CALLS: &[&[&str]] = &[
    &["ACL", "SETUSER", "x"],
    &["ACL", "DELUSER", "x"],
    &["ACL", "LOAD"],
    &["ACL", "SAVE"],
    &["ACL", "LOG"],
    &["ACL", "LIST"],
    &["ACL", "USERS"],
    &["ACL", "GETUSER", "x"],
    &["ACL", "DRYRUN", "x", "get", "k"],
    &["BGREWRITEAOF"],
    &["BGSAVE"],
    &["CLIENT", "KILL", "USER", "pilothouse"],
    &["CLIENT", "NO-EVICT", "on"],
    &["CLIENT", "PAUSE", "1"],
    &["CLIENT", "UNPAUSE"],
    &["CONFIG", "GET", "masterauth"],
    &["CONFIG", "SET", "dir", "/"],
    &["CONFIG", "RESETSTAT"],
    &["CONFIG", "REWRITE"],
    &["DEBUG", "SLEEP", "1"],
    &["FAILOVER"],
    &["LASTSAVE"],
    &["LATENCY", "DOCTOR"],
    &["MEMORY", "DOCTOR"],
    &["MEMORY", "STATS"],
    &["MEMORY", "PURGE"],
    &["MIGRATE", "h", "1", "k", "0", "1"],
    &["MODULE", "LOAD", "x"],
    &["MODULE", "UNLOAD", "x"],
    &["MODULE", "LIST"],
    &["MOVE", "k", "1"],
    &["PSYNC", "?", "-1"],
    &["SYNC"],
    &["READONLY"],
    &["READWRITE"],
    &["REPLCONF", "ack", "1"],
    &["REPLICAOF", "NO", "ONE"],
    &["SLAVEOF", "NO", "ONE"],
    &["ROLE"],
    &["SAVE"],
    &["SCRIPT", "DEBUG", "yes"],
    &["SHUTDOWN"],
    &["SWAPDB", "0", "1"],
];

/// A call and whether it is allowed.
type Verdict = (&'static [&'static str], bool);

/// Whether the server would let `login` make a call.
fn may(management: &mut redis::Connection, login: &str, call: &[&str]) -> bool {
    let command = [&["ACL", "DRYRUN", login][..], call].concat();
    run(management, &command).unwrap_or_else(|error| panic!("{call:?}: {error}")) == "OK"
}

#[tokio::test]
async fn no_rule_gets_around_what_is_withheld() {
    let rules = [
        "+@all ~* &*",
        "allcommands allkeys allchannels",
        "+@admin +@dangerous ~*",
        "+config|get +config|set +acl|setuser +debug +shutdown ~*",
        "+config +acl +module +client +latency +memory ~*",
        "-@all +@all ~*",
        "+get ~a (+@all ~*)",
        "+get ~a (+@all ~*) (allcommands allkeys allchannels)",
        "(+config|get) (+acl +debug ~*) +@all",
        "( +@all ~* &* )",
        "+CONFIG|GET +Acl|SetUser ~*",
        "clearselectors +@all ~*",
        "+replicaof +slaveof +psync +sync +replconf ~*",
    ];
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        for rule in rules {
            product.engine.validate_acl_rule(rule).unwrap();
            server.settings.logins = vec![
                login("tenant", "pw", rule),
                login("default", "secret", rule),
                login("admin", "pw", rule),
            ];
            session.apply(&server.settings, soon()).await.unwrap();
            let mut management = server.management();
            for name in ["tenant", "default", "admin", "pilothouse-command"] {
                for call in WITHHELD_CALLS {
                    let follower = name == "admin" && ["PSYNC", "REPLCONF"].contains(&call[0]);
                    assert_eq!(
                        may(&mut management, name, call),
                        follower,
                        "{name} with {rule:?}: {call:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn rights_are_exactly_those_of_the_rule() {
    let check: &[(&str, &[Verdict])] = &[
        (
            "+@all ~*",
            &[
                (&["SET", "k", "v"], true),
                (&["FLUSHALL"], true),
                (&["KEYS", "*"], true),
                (&["EVAL", "return 1", "0"], true),
                (&["ACL", "WHOAMI"], true),
                (&["CLIENT", "LIST"], true),
                (&["MONITOR"], true),
                (&["INFO"], true),
                (&["SELECT", "0"], true),
            ],
        ),
        (
            "+@read ~*",
            &[
                (&["GET", "k"], true),
                (&["SET", "k", "v"], false),
                (&["FLUSHALL"], false),
            ],
        ),
        (
            "+@all -@dangerous ~*",
            &[
                (&["SET", "k", "v"], true),
                (&["FLUSHALL"], false),
                (&["KEYS", "*"], false),
            ],
        ),
        (
            "+@all ~cache:*",
            &[(&["GET", "cache:1"], true), (&["GET", "other"], false)],
        ),
        (
            "+@all %R~a %W~b",
            &[
                (&["GET", "a"], true),
                (&["SET", "a", "1"], false),
                (&["SET", "b", "1"], true),
                (&["GET", "b"], false),
            ],
        ),
        (
            "+get ~a (+set ~b)",
            &[
                (&["GET", "a"], true),
                (&["SET", "b", "1"], true),
                (&["SET", "a", "1"], false),
                (&["GET", "b"], false),
            ],
        ),
        (
            "+publish &news",
            &[(&["PUBLISH", "news", "x"], true), (&["PUBLISH", "other", "x"], false)],
        ),
        ("+@all ~*", &[(&["PUBLISH", "news", "x"], false)]),
        (
            "+client|getname",
            &[(&["CLIENT", "GETNAME"], true), (&["CLIENT", "LIST"], false)],
        ),
        ("+@all -flushall ~*", &[(&["FLUSHALL"], false), (&["FLUSHDB"], true)]),
    ];
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        for (rule, calls) in check {
            server.settings.logins = vec![login("tenant", "pw", rule)];
            session.apply(&server.settings, soon()).await.unwrap();
            for (call, allowed) in *calls {
                assert_eq!(
                    may(&mut server.management(), "tenant", call),
                    *allowed,
                    "{rule:?}: {call:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn disabled_commands_are_withheld_from_every_login() {
    for product in products() {
        let (server, _session) = Server::start_open(&product, |settings| {
            settings.logins = vec![
                login("a", "pw", "+@all ~*"),
                login("b", "pw", "+keys ~* (+@all ~*)"),
                login("admin", "pw", "+@all ~*"),
            ];
            settings.disabled_commands = vec!["keys".into(), "script|flush".into(), "psync".into()];
        })
        .await;
        let mut management = server.management();
        for name in ["a", "b", "admin", "pilothouse-command"] {
            for call in [&["KEYS", "*"][..], &["SCRIPT", "FLUSH"], &["PSYNC", "?", "-1"]] {
                assert!(!may(&mut management, name, call), "{name} {call:?}");
            }
            assert!(may(&mut management, name, &["GET", "k"]));
        }
    }
}

#[tokio::test]
async fn logins_cannot_reach_our_accounts_or_other_key_spaces() {
    for product in products() {
        let (server, _session) = Server::start_open(&product, |settings| {
            settings.logins = vec![login("tenant@example.com", "pw", "+@all ~* &*")];
        })
        .await;
        let mut client = server.client("tenant%40example.com", "pw").unwrap();
        assert_eq!(run(&mut client, &["ACL", "WHOAMI"]), Ok("tenant@example.com".into()));
        assert_eq!(run(&mut client, &["SELECT", "0"]), Ok("OK".into()));
        assert!(run(&mut client, &["SELECT", "1"]).is_err());
        for command in [
            &["AUTH", "pilothouse", ""][..],
            &["AUTH", "pilothouse-replica", "x"],
            &["ACL", "LIST"],
            &["EVAL", "return redis.call('CONFIG', 'GET', '*')", "0"],
        ] {
            assert!(run(&mut client, command).is_err(), "{command:?}");
        }
    }
}

#[tokio::test]
async fn the_replication_login_can_only_replicate() {
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        server.settings.fence = Fence::Replication;
        session.apply(&server.settings, soon()).await.unwrap();
        let mut management = server.management();
        for call in [&["PSYNC", "?", "-1"][..], &["REPLCONF", "capa", "eof"], &["PING"]] {
            assert!(may(&mut management, "pilothouse-replica", call), "{call:?}");
        }
        for call in [
            &["GET", "k"][..],
            &["CONFIG", "GET", "x"],
            &["FLUSHALL"],
            &["KEYS", "*"],
            &["SUBSCRIBE", "x"],
        ] {
            assert!(!may(&mut management, "pilothouse-replica", call), "{call:?}");
        }
    }
}

/// Words that occur in rules, and some that must not.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "+@all",
        "-@all",
        "+@read",
        "-@dangerous",
        "+@ADMIN",
        "+get",
        "-GET",
        "+config|get",
        "-config|set",
        "+client",
        "+acl|setuser",
        "+@scripting",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "allcommands",
        "nocommands",
        "~*",
        "~a",
        "~a*b",
        "%R~x",
        "%w~y",
        "%RW~z",
        "&*",
        "&ch",
        "sanitize-payload",
        "clearselectors",
        "(",
        ")",
        "(+get",
        "~b)",
        "(~x)",
        "()",
    ];
    let forbidden = [
        "on",
        "off",
        "nopass",
        ">pw",
        "#ab",
        "reset",
        "+nosuch",
        "+@nosuch",
        "~",
        "%",
        "%R",
        "&",
        "+select|0",
        "skip-sanitize-payload",
        "+config|get|x",
    ];
    prop_oneof![
        12 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => proptest::sample::select(forbidden.to_vec()).prop_map(str::to_owned),
        1 => "[-+~&%@|()a-z*]{1,6}",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_accepted_is_accepted_by_the_server_and_opens_nothing_withheld() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        let mut management = server.management();
        let accepted = std::cell::Cell::new(0);
        let rules = proptest::collection::vec(word(), 1..8).prop_map(|words| words.join(" "));
        let mut settings = server.settings.clone();
        let session = std::cell::RefCell::new(&mut session);
        let management = std::cell::RefCell::new(&mut management);
        let settings = std::cell::RefCell::new(&mut settings);
        let check = |rule: String| {
            if RedisEngine::redis().validate_acl_rule(&rule).is_err() {
                return Ok(());
            }
            accepted.set(accepted.get() + 1);
            let words: Vec<&str> = ["ACL", "SETUSER", "scratch", "reset"]
                .into_iter()
                .chain(rule.split_ascii_whitespace())
                .collect();
            let mut management = management.borrow_mut();
            prop_assert_eq!(run(&mut management, &words), Ok("OK".to_owned()), "as it stands");
            let mut settings = settings.borrow_mut();
            settings.logins = vec![login("tenant", "pw", &rule)];
            let applied = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(session.borrow_mut().apply(&settings, soon()))
            });
            prop_assert!(applied.is_ok(), "{:?}", applied);
            for call in [
                &["CONFIG", "GET", "x"][..],
                &["ACL", "SETUSER", "x"],
                &["SHUTDOWN"],
                &["PSYNC", "?", "-1"],
                &["DEBUG", "SLEEP", "0"],
            ] {
                prop_assert!(!may(&mut management, "tenant", call), "{:?}", call);
            }
            Ok(())
        };
        let mut runner = TestRunner::new(Config {
            cases: 4000,
            failure_persistence: None,
            ..Config::default()
        });
        runner.run(&rules, check).unwrap();
        assert!(accepted.get() > 500, "only {} rules were accepted", accepted.get());
    }
}
