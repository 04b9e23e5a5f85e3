//! Two servers.

use std::time::{Duration, Instant};

use pilothouse_engine::{Fence, Peer, ServerSettings, Session, SyncSource};
use pilothouse_model::{FsyncPolicy, Persistence, Secret, ServerRole};

use crate::runner::{Product, Server, eventually, login, products, run, soon};

async fn in_sync(replica: &mut dyn Session) -> bool {
    replica.replication(soon()).await.unwrap().link_up == Some(true)
}

async fn set_fence(server: &mut Server, session: &mut dyn Session, fence: Fence) {
    server.settings.fence = fence;
    session.apply(&server.settings, soon()).await.unwrap();
}

/// An open primary with one key, and a replica in sync with it.
async fn pair(product: &Product) -> [(Server, Box<dyn Session>); 2] {
    let (primary, mut primary_session) = Server::start_open(product, |_| ()).await;
    run(&mut primary.management(), &["SET", "k", "v"]).unwrap();
    let (replica, mut replica_session) = Server::start_open(product, |_| ()).await;
    replica_session.attach(&primary.peer(), soon()).await.unwrap();
    eventually("sync", async || in_sync(replica_session.as_mut()).await).await;
    eventually("online", async || {
        primary_session.replication(soon()).await.unwrap().online_replicas == 1
    })
    .await;
    [(primary, primary_session), (replica, replica_session)]
}

#[tokio::test]
async fn attach_syncs_fast_and_promote_keeps_the_data() {
    for product in products() {
        let (primary, mut primary_session) = Server::start_open(&product, |_| ()).await;
        run(&mut primary.management(), &["SET", "k", "v"]).unwrap();
        let (replica, mut replica_session) = Server::start_open(&product, |_| ()).await;
        let begun = Instant::now();
        replica_session.attach(&primary.peer(), soon()).await.unwrap();
        eventually("sync", async || in_sync(replica_session.as_mut()).await).await;
        eventually("online", async || {
            primary_session.replication(soon()).await.unwrap().online_replicas == 1
        })
        .await;
        println!("attach to in sync, seen from both sides: {:?}", begun.elapsed());

        replica_session.attach(&primary.peer(), soon()).await.unwrap();
        assert!(
            in_sync(replica_session.as_mut()).await,
            "attaching again breaks nothing"
        );
        let facts = replica_session.replication(soon()).await.unwrap();
        assert_eq!(facts.role, ServerRole::Replica);
        assert_eq!(
            facts.source.as_deref(),
            Some(format!("127.0.0.1:{}", primary.settings.ports.plain).as_str())
        );
        assert!(!facts.syncing && facts.link_silence.is_some());
        let of_primary = primary_session.replication(soon()).await.unwrap();
        assert_eq!(facts.replication_id, of_primary.replication_id);
        run(&mut primary.management(), &["SET", "k2", "v"]).unwrap();
        eventually("the same offset", async || {
            primary_session.replication(soon()).await.unwrap().offset
                == replica_session.replication(soon()).await.unwrap().offset
        })
        .await;

        for _ in 0..2 {
            replica_session.promote(soon()).await.unwrap();
            let promoted = replica_session.replication(soon()).await.unwrap();
            assert_eq!(promoted.role, ServerRole::Primary);
            assert_eq!(promoted.previous_replication_id, of_primary.replication_id);
            assert_ne!(promoted.replication_id, of_primary.replication_id);
        }
        assert_eq!(
            run(&mut replica.client("", "secret").unwrap(), &["GET", "k2"]),
            Ok("v".into())
        );
    }
}

/// A link that is up is not yet a stream: see the mark, and hasten it.
#[tokio::test]
async fn a_mark_shows_that_a_replica_is_fed_and_changes_nothing() {
    for product in products() {
        let [(primary, mut primary_session), (_replica, mut replica_session)] = pair(&product).await;
        let before = run(&mut primary.management(), &["DBSIZE"]).unwrap();
        let mark = primary_session.mark_stream(soon()).await.unwrap();
        let begun = Instant::now();
        replica_session.relink(soon()).await.unwrap();
        eventually("fed", async || {
            let seen = replica_session.replication(soon()).await.unwrap();
            seen.link_up == Some(true) && seen.offset >= mark
        })
        .await;
        println!("made anew and fed: {:?}", begun.elapsed());
        let next = primary_session.mark_stream(soon()).await.unwrap();
        assert!(
            next > mark,
            "each mark is a place of its own in the stream: {next}, {mark}"
        );
        eventually("the next mark", async || {
            replica_session.replication(soon()).await.unwrap().offset >= next
        })
        .await;
        assert_eq!(run(&mut primary.management(), &["DBSIZE"]).unwrap(), before);
        assert!(
            replica_session.mark_stream(soon()).await.is_ok(),
            "a replica adds nothing, and says where it is"
        );
    }
}

#[tokio::test]
async fn a_closed_primary_feeds_nobody_and_replication_alone_serves_no_client() {
    for product in products() {
        let mut primary = Server::start(&product, |_| ()).await;
        let mut primary_session = primary.session().await;
        run(&mut primary.management(), &["SET", "k", "v"]).unwrap();
        set_fence(&mut primary, primary_session.as_mut(), Fence::Closed).await;
        let (replica, mut replica_session) = Server::start_open(&product, |_| ()).await;
        run(&mut replica.management(), &["SET", "own", "v"]).unwrap();
        replica_session.attach(&primary.peer(), soon()).await.unwrap();
        eventually("a refusal", async || replica.log().contains("Unable to AUTH to ")).await;
        assert!(!in_sync(replica_session.as_mut()).await);
        assert_eq!(
            run(&mut replica.management(), &["GET", "own"]),
            Ok("v".into()),
            "its own data is still there"
        );

        set_fence(&mut primary, primary_session.as_mut(), Fence::Replication).await;
        assert!(primary_session.observe(soon()).await.unwrap().fenced && primary.client("", "secret").is_err());
        eventually("sync", async || in_sync(replica_session.as_mut()).await).await;
        assert_eq!(run(&mut replica.management(), &["GET", "k"]), Ok("v".into()));

        set_fence(&mut primary, primary_session.as_mut(), Fence::Closed).await;
        eventually("a cut link", async || !in_sync(replica_session.as_mut()).await).await;
    }
}

#[tokio::test]
async fn a_primary_that_comes_back_empty_never_empties_its_replica() {
    for product in products() {
        let [(mut primary, _), (replica, mut replica_session)] = pair(&product).await;
        primary.kill();
        primary.restart().await;
        let refused = "Unable to AUTH to ";
        eventually("the replica is refused", async || replica.log().contains(refused)).await;
        assert_eq!(run(&mut replica.management(), &["GET", "k"]), Ok("v".into()));
        assert!(!in_sync(replica_session.as_mut()).await);
        assert!(primary.session().await.observe(soon()).await.unwrap().fenced);
    }
}

#[tokio::test]
async fn a_restarted_replica_follows_nobody_by_itself() {
    for product in products() {
        let [(primary, _), (mut replica, _)] = pair(&product).await;
        replica.kill();
        replica.restart().await;
        let mut session = replica.session().await;
        let facts = session.observe(soon()).await.unwrap();
        assert_eq!((facts.replication.role, facts.fenced), (ServerRole::Primary, true));
        // Its own account is in its file, so it can be attached before anything is applied.
        session.attach(&primary.peer(), soon()).await.unwrap();
        eventually("sync", async || in_sync(session.as_mut()).await).await;
    }
}

#[tokio::test]
async fn a_replica_that_was_away_catches_up_from_the_backlog() {
    for product in products() {
        let log = Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        };
        let (primary, mut primary_session) = Server::start_open(&product, |_| ()).await;
        let (mut replica, mut session) = Server::start_open(&product, |settings| settings.persistence = log).await;
        session.attach(&primary.peer(), soon()).await.unwrap();
        eventually("sync", async || in_sync(session.as_mut()).await).await;
        set_fence(&mut replica, session.as_mut(), Fence::Open).await;
        // Cut from the primary's side.
        primary_session.fence(soon()).await.unwrap();
        eventually("a cut link", async || !in_sync(session.as_mut()).await).await;
        run(&mut primary.management(), &["SET", "k", "v"]).unwrap();
        primary_session.apply(&primary.settings, soon()).await.unwrap();
        eventually("sync", async || in_sync(session.as_mut()).await).await;
        let load = primary_session.load(soon()).await.unwrap();
        assert_eq!((load.numbers["sync_full"], load.numbers["sync_partial_ok"]), (1.0, 1.0));
        assert_eq!(run(&mut replica.management(), &["GET", "k"]), Ok("v".into()));
    }
}

#[tokio::test]
async fn disconnecting_clients_leaves_replicas_and_administration() {
    for product in products() {
        let [(primary, mut session), (_replica, mut replica_session)] = pair(&product).await;
        let mut client = primary.client("", "secret").unwrap();
        for _ in 0..2 {
            session.disconnect_clients(soon()).await.unwrap();
        }
        assert!(run(&mut client, &["PING"]).is_err());
        assert!(primary.client("", "secret").is_ok());
        assert_eq!(session.replication(soon()).await.unwrap().online_replicas, 1);
        assert!(in_sync(replica_session.as_mut()).await);
        assert_eq!(session.load(soon()).await.unwrap().numbers["sync_full"], 1.0);
    }
}

#[tokio::test]
async fn the_smallest_replicated_memory_still_takes_writes() {
    for product in products() {
        let small = |settings: &mut ServerSettings| settings.memory_bytes = 3 * 1024 * 1024;
        let (primary, mut session) = Server::start_open(&product, small).await;
        let (_replica, mut replica_session) = Server::start_open(&product, small).await;
        replica_session.attach(&primary.peer(), soon()).await.unwrap();
        eventually("online", async || {
            session.replication(soon()).await.unwrap().online_replicas == 1
        })
        .await;
        let mut client = primary.client("", "secret").unwrap();
        for write in 0..2000 {
            let written = run(&mut client, &["SET", &format!("k{}", write % 100), &"v".repeat(1000)]);
            assert_eq!(written, Ok("OK".into()), "write {write}");
        }
    }
}

#[tokio::test]
async fn a_replica_refuses_to_be_emptied() {
    for product in products() {
        let [_primary, (_replica, mut session)] = pair(&product).await;
        let error = session.flush(soon()).await.unwrap_err();
        assert_eq!(error.class, pilothouse_engine::ErrorClass::Conflict, "{error}");
    }
}

#[tokio::test]
async fn a_database_elsewhere_is_followed_with_its_own_account() {
    for product in products() {
        let (source, _source_session) = Server::start_open(&product, |settings| {
            settings.logins.push(login("admin", "adm in/€", "+@all ~* &*"));
            settings.replication_secret = Secret::new("of another database");
        })
        .await;
        run(&mut source.management(), &["SET", "k", "v"]).unwrap();
        let (primary, mut session) = Server::start_open(&product, |_| ()).await;
        let elsewhere = SyncSource {
            peer: source.peer(),
            username: "admin".into(),
            password: Some(Secret::new("adm in/€")),
            tls: false,
        };
        session.follow_external(&elsewhere, soon()).await.unwrap();
        eventually("sync", async || in_sync(session.as_mut()).await).await;
        session.follow_external(&elsewhere, soon()).await.unwrap();
        assert!(in_sync(session.as_mut()).await);
        assert_eq!(run(&mut primary.management(), &["GET", "k"]), Ok("v".into()));

        assert!(
            !session.apply(&primary.settings, soon()).await.unwrap(),
            "its account there is left alone"
        );
        assert_eq!(primary.config("masteruser"), "admin");

        // Siblings follow our primary meanwhile, and later it becomes a sibling's replica.
        let (sibling, mut sibling_session) = Server::start_open(&product, |_| ()).await;
        sibling_session.attach(&primary.peer(), soon()).await.unwrap();
        eventually("sync", async || in_sync(sibling_session.as_mut()).await).await;
        let fresh = primary.session().await.attach(&sibling.peer(), soon()).await;
        assert_eq!(fresh.unwrap_err().class, pilothouse_engine::ErrorClass::Conflict);
        sibling_session.promote(soon()).await.unwrap();
        session.promote(soon()).await.unwrap();
        assert!(session.apply(&primary.settings, soon()).await.unwrap());
        session.attach(&sibling.peer(), soon()).await.unwrap();
        eventually("sync", async || in_sync(session.as_mut()).await).await;
    }
}

#[tokio::test]
async fn a_source_without_a_user_name_is_followed_with_its_password() {
    for product in products() {
        let (source, _source_session) = Server::start_open(&product, |_| ()).await;
        // As a database of somebody else would be: its one login may do everything.
        run(
            &mut source.management(),
            &["ACL", "SETUSER", "default", "reset", "on", ">p w", "~*", "&*", "+@all"],
        )
        .unwrap();
        let (primary, mut session) = Server::start_open(&product, |_| ()).await;
        let elsewhere = SyncSource {
            peer: source.peer(),
            username: String::new(),
            password: Some(Secret::new("p w")),
            tls: false,
        };
        session.follow_external(&elsewhere, soon()).await.unwrap();
        eventually("sync", async || in_sync(session.as_mut()).await).await;
        session.apply(&primary.settings, soon()).await.unwrap();
        assert_eq!(primary.config("masteruser"), "");
    }
}

#[tokio::test]
async fn nobody_at_the_other_end_is_a_link_that_is_down() {
    for product in products() {
        let (_replica, mut session) = Server::start_open(&product, |_| ()).await;
        let nobody = Peer {
            node: None,
            host: "127.0.0.1".into(),
            port: crate::runner::settings().ports.plain,
        };
        for _ in 0..2 {
            session.attach(&nobody, soon()).await.unwrap();
            assert_eq!(session.replication(soon()).await.unwrap().link_up, Some(false));
        }
        let begun = Instant::now();
        session.promote(soon()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
