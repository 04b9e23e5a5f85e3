//! A server that lies: no panic, no endless wait, an error from every method.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use pilothouse_engine::{Engine as _, EngineError, ManagementAccess, Peer, Session, SyncSource};
use pilothouse_engine_redis::RedisEngine;
use pilothouse_model::{Liveness, Secret};

use crate::runner::{settings, soon};

/// Accepts one connection, answers the login, then answers whatever comes with `bytes`, and closes when `close` says so.
async fn lying_server(bytes: Vec<u8>, close: bool) -> (tempfile::TempDir, Box<dyn Session>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 65536];
        let mut answer = b"+OK\r\n".to_vec();
        while stream.read(&mut request).is_ok_and(|length| length > 0) {
            if stream.write_all(&answer).is_err() || (close && answer == bytes) {
                return;
            }
            answer.clone_from(&bytes);
        }
    });
    let access = ManagementAccess {
        cluster: false,
        socket,
        secret: Secret::new("s"),
    };
    let session = RedisEngine::redis().connect(&access, soon()).await.unwrap();
    (directory, session)
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

/// Every method that reads more than a status, by number.
async fn call(session: &mut dyn Session, method: usize) -> Option<Result<(), EngineError>> {
    Some(match method {
        0 => session.observe(deadline()).await.map(drop),
        1 => session.replication(deadline()).await.map(drop),
        2 => session.load(deadline()).await.map(drop),
        3 => session.apply(&settings(), deadline()).await.map(drop),
        4 => session.fence(deadline()).await,
        5 => session.attach(&peer(), deadline()).await,
        6 => session.follow_external(&source(), deadline()).await,
        7 => session.disconnect_clients(deadline()).await,
        8 => session.begin_snapshot(deadline()).await,
        9 => session.snapshot_state(deadline()).await.map(drop),
        10 => session.persistent(deadline()).await.map(drop),
        11 => session.compact_log(deadline()).await,
        _ => return None,
    })
}

fn peer() -> Peer {
    Peer {
        node: None,
        host: "127.0.0.1".into(),
        port: 1,
    }
}

fn source() -> SyncSource {
    SyncSource {
        peer: peer(),
        username: "u".into(),
        password: None,
        tls: false,
    }
}

#[tokio::test]
async fn lies_are_errors_everywhere() {
    let lies: [&[u8]; 13] = [
        b"hello\r\n",
        b"\r\n",
        b"$9223372036854775807\r\n",
        b"*2147483647\r\n",
        b"$-7\r\n",
        b":notanumber\r\n",
        b"*1\r\n*1\r\n*1\r\n$3\r\nabc\r\n",
        b"$5\r\nab\r\n",
        b"$3\r\nabcdef\r\n",
        b"+PONG\r\n:1\r\n$3\r\nabc\r\n",
        b">2\r\n+x\r\n+y\r\n",
        b"-ERR \xff\xfe\r\n",
        b"",
    ];
    for lie in lies {
        for close in [false, true] {
            for method in 0.. {
                let (_directory, mut session) = lying_server(lie.to_vec(), close).await;
                let begun = Instant::now();
                let Some(result) = call(session.as_mut(), method).await else {
                    break;
                };
                let lie = String::from_utf8_lossy(lie);
                assert!(result.is_err(), "method {method} believed {lie:?}");
                assert!(
                    begun.elapsed() < Duration::from_secs(3),
                    "method {method} waited for {lie:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_endless_reply_is_cut_off() {
    let endless = [b"$90000000\r\n".as_slice(), &[b'x'; 200_000]].concat();
    let (_directory, mut session) = lying_server(endless, false).await;
    assert!(session.replication(deadline()).await.is_err());
    let (_directory, mut session) = lying_server(vec![b'+'; 200_000], false).await;
    assert!(session.replication(deadline()).await.is_err());
    let (_directory, mut session) = lying_server(b"*1\r\n".repeat(10_000), false).await;
    assert!(session.replication(deadline()).await.is_err());
}

#[tokio::test]
async fn any_well_formed_reply_to_a_probe_is_a_sign_of_life() {
    for (reply, expected) in [
        ("+PONG\r\n", Liveness::Ok),
        ("-LOADING loading\r\n", Liveness::Loading),
        ("-BUSY busy\r\n", Liveness::Busy),
        ("-MASTERDOWN Link with MASTER is down\r\n", Liveness::Ok),
        ("-MISCONF cannot save\r\n", Liveness::Ok),
        ("-NOAUTH Authentication required.\r\n", Liveness::Ok),
    ] {
        let (_directory, mut session) = lying_server(reply.as_bytes().to_vec(), false).await;
        for _ in 0..3 {
            assert_eq!(session.probe(deadline()).await.unwrap(), expected, "{reply:?}");
        }
    }
    let (_directory, mut session) = lying_server(b"nonsense\r\n".to_vec(), false).await;
    assert!(session.probe(deadline()).await.is_err());
    let (_directory, mut session) = lying_server(Vec::new(), true).await;
    assert!(session.probe(deadline()).await.is_err());
}

#[tokio::test]
async fn nobody_at_the_socket_is_transient() {
    let directory = tempfile::tempdir().unwrap();
    let access = ManagementAccess {
        cluster: false,
        socket: directory.path().join("admin.sock"),
        secret: Secret::new("s"),
    };
    let error = RedisEngine::redis().connect(&access, deadline()).await.err().unwrap();
    assert_eq!(error.class, pilothouse_engine::ErrorClass::Transient);
}
