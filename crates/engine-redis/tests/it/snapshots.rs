//! Snapshots for backups, and what the files on disk hold after persistence was changed.

use std::fs;

use pilothouse_engine::{ErrorClass, Session, SnapshotState};
use pilothouse_model::{FsyncPolicy, Persistence, SnapshotRule};

use crate::runner::{Server, eventually, products, run, soon};

async fn snapshot(session: &mut dyn Session) -> SnapshotState {
    session.begin_snapshot(soon()).await.unwrap();
    let mut state = SnapshotState::Running;
    eventually("the end of the snapshot", async || {
        state = session.snapshot_state(soon()).await.unwrap();
        state != SnapshotState::Running
    })
    .await;
    state
}

fn fill(server: &Server) {
    let mut management = server.management();
    run(
        &mut management,
        &[
            "EVAL",
            "for i = 1, 2000 do redis.call('SET', 'k' .. i, string.rep('x', 1000)) end",
            "0",
        ],
    )
    .unwrap();
}

fn keys(server: &Server) -> String {
    run(&mut server.management(), &["DBSIZE"]).unwrap()
}

#[tokio::test]
async fn a_snapshot_holds_what_was_there_when_it_began() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        assert_eq!(
            session.snapshot_state(soon()).await.unwrap_err().class,
            ErrorClass::Conflict
        );
        fill(&server);
        for _ in 0..2 {
            let SnapshotState::Done(path) = snapshot(session.as_mut()).await else {
                panic!("no snapshot: {}", server.log());
            };
            let file = fs::read(server.directory.data().join(path)).unwrap();
            assert!(file.starts_with(b"REDIS") && file.len() > 2000 * 20);
        }
        // Another session, as after a restart of the control plane, sees the last one.
        assert!(matches!(
            server.session().await.snapshot_state(soon()).await.unwrap(),
            SnapshotState::Done(_)
        ));
    }
}

#[tokio::test]
async fn a_snapshot_asked_for_during_another_child_still_comes() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |settings| {
            settings.persistence = Persistence::AppendOnly {
                fsync: FsyncPolicy::EverySecond,
            };
        })
        .await;
        fill(&server);
        run(
            &mut server.management(),
            &["CONFIG", "SET", "rdb-key-save-delay", "100"],
        )
        .unwrap();
        session.compact_log(soon()).await.unwrap();
        session.begin_snapshot(soon()).await.unwrap();
        assert_eq!(session.snapshot_state(soon()).await.unwrap(), SnapshotState::Running);
        session.begin_snapshot(soon()).await.unwrap();
        assert!(matches!(snapshot(session.as_mut()).await, SnapshotState::Done(_)));
    }
}

#[tokio::test]
async fn a_snapshot_asked_for_during_a_stream_to_a_replica_still_comes() {
    for product in products() {
        let (primary, mut session) = Server::start_open(&product, |_| ()).await;
        let (_replica, mut follower) = Server::start_open(&product, |_| ()).await;
        fill(&primary);
        run(
            &mut primary.management(),
            &["CONFIG", "SET", "rdb-key-save-delay", "200"],
        )
        .unwrap();
        follower.attach(&primary.peer(), soon()).await.unwrap();
        eventually("a stream", async || {
            session.observe(soon()).await.unwrap().raw["rdb_bgsave_in_progress"] == "1"
        })
        .await;
        assert!(!primary.directory.data().join("dump.rdb").exists());
        assert!(matches!(snapshot(session.as_mut()).await, SnapshotState::Done(_)));
        assert!(primary.directory.data().join("dump.rdb").exists());
    }
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_failed() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        fill(&server);
        // A directory stands where the file would be put, also for the superuser.
        fs::create_dir(server.directory.data().join("dump.rdb")).unwrap();
        assert!(matches!(snapshot(session.as_mut()).await, SnapshotState::Failed(_)));
        fs::remove_dir(server.directory.data().join("dump.rdb")).unwrap();
        assert!(matches!(snapshot(session.as_mut()).await, SnapshotState::Done(_)));
    }
}

#[tokio::test]
async fn a_snapshot_that_is_cut_short_failed() {
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        fill(&server);
        let mut management = server.management();
        run(&mut management, &["CONFIG", "SET", "rdb-key-save-delay", "1000"]).unwrap();
        // The server's clock has whole seconds: what it counts as its last save at the start must lie before.
        eventually("the next second", async || {
            let raw = session.observe(soon()).await.unwrap().raw;
            raw["server_time_usec"].parse::<u64>().unwrap() / 1_000_000 > raw["rdb_last_save_time"].parse().unwrap()
        })
        .await;
        session.begin_snapshot(soon()).await.unwrap();
        assert_eq!(session.snapshot_state(soon()).await.unwrap(), SnapshotState::Running);
        session.flush(soon()).await.unwrap();
        let mut state = SnapshotState::Running;
        eventually("the end", async || {
            state = session.snapshot_state(soon()).await.unwrap();
            state != SnapshotState::Running
        })
        .await;
        assert!(matches!(state, SnapshotState::Failed(_)), "{state:?}");
        assert!(matches!(snapshot(session.as_mut()).await, SnapshotState::Done(_)));
    }
}

#[tokio::test]
async fn after_persistent_a_kill_loses_nothing_whatever_persistence_was_before() {
    let snapshots = || Persistence::Snapshot {
        rules: vec![SnapshotRule {
            seconds: 3600,
            writes: 1_000_000,
        }],
    };
    let log = || Persistence::AppendOnly {
        fsync: FsyncPolicy::Always,
    };
    for product in products() {
        for (from, to) in [
            (Persistence::Disabled, log()),
            (Persistence::Disabled, snapshots()),
            (snapshots(), log()),
            (log(), snapshots()),
        ] {
            let (mut server, mut session) =
                Server::start_open(&product, |settings| settings.persistence = from.clone()).await;
            fill(&server);
            server.settings.persistence = to.clone();
            session.apply(&server.settings, soon()).await.unwrap();
            eventually("files", async || session.persistent(soon()).await.unwrap()).await;
            server.kill();
            server.restart().await;
            let mut session = server.session().await;
            eventually("loaded", async || {
                session.observe(soon()).await.unwrap().loading.is_none()
            })
            .await;
            assert_eq!(keys(&server), "2000", "{from:?} to {to:?}");
            eventually("files", async || session.persistent(soon()).await.unwrap()).await;
        }
    }
}

#[tokio::test]
async fn nothing_to_keep_is_persistent() {
    for product in products() {
        let (_server, mut session) = Server::start_open(&product, |_| ()).await;
        assert!(session.persistent(soon()).await.unwrap());
        session.compact_log(soon()).await.unwrap();
    }
}
