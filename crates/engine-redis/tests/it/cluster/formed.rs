//! A cluster is formed, and its servers fail and come back.

use std::time::{Duration, Instant};

use pilothouse_engine::{
    ClusterSettings, ErrorClass, Peer, PeerNode, Reply, ServerSettings, Session, SnapshotState, SyncSource,
};
use pilothouse_model::{Liveness, ServerRole, SlotSet};
use redis::Value;

use super::client::Client;
use crate::runner::{Product, Server, eventually, free_port, login, products, run, soon};

/// A server of a cluster.
pub(crate) struct Member {
    pub(crate) server: Server,
    pub(crate) session: Box<dyn Session>,
    pub(crate) name: String,
}

pub(crate) fn clustered(settings: &mut ServerSettings) {
    settings.ports.bus = free_port();
    settings.cluster = Some(ClusterSettings {
        announce: "127.0.0.1".parse().unwrap(),
    });
}

impl Member {
    /// Starts a server that knows nobody, open to clients.
    pub(crate) async fn start(product: &Product, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let (server, mut session) = Server::start_open(product, |settings| {
            clustered(settings);
            change(settings);
        })
        .await;
        let name = session.cluster(soon()).await.unwrap().node;
        Self { server, session, name }
    }

    pub(crate) fn peer(&self) -> Peer {
        let ports = self.server.settings.ports;
        let encrypted = self.server.settings.encrypt_replication;
        Peer {
            host: "127.0.0.1".into(),
            port: if encrypted { ports.tls } else { ports.plain },
            node: Some(PeerNode {
                name: self.name.clone(),
                bus_port: ports.bus,
            }),
        }
    }

    /// Starts it again after `kill`, without opening it.
    pub(crate) async fn restart(&mut self) {
        self.server.restart().await;
        self.session = self.server.session().await;
        let session = &mut self.session;
        eventually("it has loaded", async || {
            session.probe(soon()).await.unwrap() == Liveness::Ok
        })
        .await;
    }

    pub(crate) async fn open(&mut self) {
        self.session.apply(&self.server.settings, soon()).await.unwrap();
    }

    pub(crate) async fn serves(&mut self) -> bool {
        self.session.cluster(soon()).await.unwrap().serves
    }

    pub(crate) async fn role(&mut self) -> ServerRole {
        self.session.replication(soon()).await.unwrap().role
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.server.settings.ports.plain, "secret")
    }
}

/// Introduces all to all.
pub(crate) async fn introduce(members: &mut [Member]) {
    let peers: Vec<Peer> = members.iter().map(Member::peer).collect();
    for member in members.iter_mut() {
        let others: Vec<Peer> = peers.iter().filter(|peer| **peer != member.peer()).cloned().collect();
        member.session.meet(&others, soon()).await.unwrap();
    }
    let count = members.len();
    for member in members.iter_mut() {
        eventually("all are linked", async || {
            let seen = member.session.cluster(soon()).await.unwrap();
            seen.peers.len() + 1 == count && seen.peers.iter().all(|peer| peer.linked)
        })
        .await;
    }
}

/// A cluster of primaries that serve, each followed by a replica where wanted: primaries first, then replicas in the same order.
pub(crate) async fn form(
    product: &Product,
    primaries: u16,
    replicated: bool,
    change: impl Fn(&mut ServerSettings),
) -> Vec<Member> {
    let mut members = Vec::new();
    for _ in 0..primaries * if replicated { 2 } else { 1 } {
        members.push(Member::start(product, &change).await);
    }
    for (member, range) in members.iter_mut().zip(SlotSet::split_evenly(primaries)) {
        let slots: SlotSet = [range].iter().collect();
        for _ in 0..2 {
            member.session.claim_slots(&slots, soon()).await.unwrap();
        }
    }
    let begun = Instant::now();
    introduce(&mut members).await;
    println!("{} servers know each other: {:?}", members.len(), begun.elapsed());
    let (owners, replicas) = members.split_at_mut(usize::from(primaries));
    for (primary, replica) in owners.iter().zip(replicas.iter_mut()) {
        for _ in 0..2 {
            replica.session.attach(&primary.peer(), soon()).await.unwrap();
        }
    }
    for member in owners.iter_mut().chain(replicas.iter_mut()) {
        eventually("all slots are served", async || {
            let seen = member.session.cluster(soon()).await.unwrap();
            let all = seen.peers.iter().fold(seen.slots, |all, peer| all.with(&peer.slots));
            seen.serves && all.len() == SlotSet::COUNT
        })
        .await;
    }
    println!("all primaries are writable: {:?}", begun.elapsed());
    for replica in replicas {
        eventually("in sync", async || {
            replica.session.replication(soon()).await.unwrap().link_up == Some(true)
        })
        .await;
    }
    println!("all replicas are in sync: {:?}", begun.elapsed());
    members
}

pub(crate) fn text(text: &str) -> Result<Value, String> {
    Ok(Value::BulkString(text.into()))
}

#[tokio::test]
async fn a_cluster_forms_and_leads_its_clients() {
    for product in products() {
        let mut members = form(&product, 3, true, |_| ()).await;
        let mut client = members[0].client();
        for number in 0..100 {
            assert_eq!(client.run(&["SET", &format!("k{number}"), "v"]), Ok(Value::Okay));
        }
        let mut total = 0;
        for member in &mut members[..3] {
            total += run(&mut member.server.management(), &["DBSIZE"])
                .unwrap()
                .parse::<u32>()
                .unwrap();
            let mark = member.session.mark_stream(soon()).await.unwrap();
            assert!(mark > 0);
        }
        assert_eq!(total, 100);

        let expected = [
            (members[0].name.clone(), None, 1),
            (members[1].name.clone(), None, 1),
            (members[4].name.clone(), Some(members[1].name.clone()), 0),
        ];
        let port = members[0].server.settings.ports.plain;
        let replica = &mut members[3].session;
        eventually("a replica sees all of it", async || {
            let seen = replica.cluster(soon()).await.unwrap();
            assert!(seen.slots.is_empty());
            expected.iter().all(|(name, primary, ranges)| {
                let peer = seen.peers.iter().find(|peer| peer.node == *name).unwrap();
                peer.primary == *primary && peer.slots.ranges().len() == *ranges
            })
        })
        .await;
        let seen = replica.cluster(soon()).await.unwrap();
        let primary = seen.peers.iter().find(|peer| peer.node == expected[0].0).unwrap();
        assert_eq!(primary.slots.ranges(), [SlotSet::split_evenly(3)[0]]);
        assert_eq!(primary.port, port);

        // A replica opens its link anew.
        let mark = members[0].session.mark_stream(soon()).await.unwrap();
        members[3].session.relink(soon()).await.unwrap();
        let replica = &mut members[3].session;
        eventually("fed", async || {
            let seen = replica.replication(soon()).await.unwrap();
            seen.link_up == Some(true) && seen.offset >= mark
        })
        .await;

        for member in &mut members[..3] {
            member.session.flush(soon()).await.unwrap();
            member.session.begin_snapshot(soon()).await.unwrap();
            let session = &mut member.session;
            eventually("a snapshot", async || {
                matches!(session.snapshot_state(soon()).await.unwrap(), SnapshotState::Done(_))
            })
            .await;
            let elsewhere = SyncSource {
                peer: member.server.peer(),
                username: String::new(),
                password: None,
                tls: false,
            };
            let refused = session.follow_external(&elsewhere, soon()).await.unwrap_err();
            assert_eq!(refused.class, ErrorClass::Unsupported);
        }
        assert_eq!(client.run(&["GET", "k1"]), Ok(Value::Nil));
        let nameless = Peer {
            node: None,
            ..members[1].peer()
        };
        let unknown = members[0].session.attach(&nameless, soon()).await;
        assert_eq!(unknown.unwrap_err().class, ErrorClass::Invalid);
    }
}

#[tokio::test]
async fn a_replica_takes_over_and_the_old_primary_follows_it_by_itself() {
    for product in products() {
        let mut members = form(&product, 3, true, |_| ()).await;
        let mut client = members[0].client();
        for number in 0..100 {
            client.run(&["SET", &format!("k{number}"), "v"]).unwrap();
        }
        members[0].server.kill();
        let replica = &mut members[3];
        eventually("the link is down", async || {
            replica.session.replication(soon()).await.unwrap().link_up == Some(false)
        })
        .await;
        let begun = Instant::now();
        for _ in 0..2 {
            replica.session.promote(soon()).await.unwrap();
            assert_eq!(replica.role().await, ServerRole::Primary);
        }
        assert_eq!(
            replica.session.cluster(soon()).await.unwrap().slots.ranges(),
            [SlotSet::split_evenly(3)[0]]
        );
        eventually("it serves", async || replica.serves().await).await;
        println!("the replica took over and serves: {:?}", begun.elapsed());
        let name = replica.name.clone();
        let other = &mut members[1].session;
        eventually("the others know", async || {
            let seen = other.cluster(soon()).await.unwrap();
            seen.peers
                .iter()
                .any(|peer| peer.node == name && !peer.slots.is_empty())
        })
        .await;
        println!("another primary knows: {:?}", begun.elapsed());
        let mut client = members[1].client();
        for number in 0..100 {
            assert_eq!(client.run(&["GET", &format!("k{number}")]), text("v"));
        }

        // It comes back as what its file says: a primary, closed to everybody. Then it hears of what happened.
        let old = &mut members[0];
        let begun = Instant::now();
        old.restart().await;
        assert!(old.session.observe(soon()).await.unwrap().fenced);
        assert!(old.server.client("", "secret").is_err() && old.server.client("pilothouse-replica", "x").is_err());
        eventually("it follows", async || old.role().await == ServerRole::Replica).await;
        println!("the old primary follows by itself: {:?}", begun.elapsed());
        eventually("in sync", async || {
            old.session.replication(soon()).await.unwrap().link_up == Some(true)
        })
        .await;
        println!("and is in sync: {:?}", begun.elapsed());
        let peer = members[3].peer();
        let old = &mut members[0];
        old.session.attach(&peer, soon()).await.unwrap();
        let seen = old.session.cluster(soon()).await.unwrap();
        assert!(seen.slots.is_empty());
        assert!(old.server.client("", "secret").is_err(), "nobody opened it");
        old.open().await;
        assert!(old.server.client("", "secret").is_ok());
    }
}

/// Its file says that it owns slots, and its data is gone.
#[tokio::test]
async fn a_primary_that_comes_back_empty_empties_nobody() {
    for product in products() {
        let mut members = form(&product, 1, true, |_| ()).await;
        members[0].client().run(&["SET", "k", "v"]).unwrap();
        let mark = members[0].session.mark_stream(soon()).await.unwrap();
        let replica = &mut members[1].session;
        eventually("fed", async || {
            replica.replication(soon()).await.unwrap().offset >= mark
        })
        .await;
        members[0].server.kill();
        members[0].restart().await;
        assert_eq!(members[0].role().await, ServerRole::Primary);
        let replica = &members[1];
        eventually("a refusal", async || {
            replica.server.log().contains("Unable to AUTH to ")
        })
        .await;
        assert_eq!(run(&mut replica.server.management(), &["DBSIZE"]).unwrap(), "1");

        members[1].session.promote(soon()).await.unwrap();
        let (old, new) = members.split_at_mut(1);
        let old = &mut old[0];
        eventually("it follows", async || old.role().await == ServerRole::Replica).await;
        let peer = new[0].peer();
        eventually("it is told where it is already", async || {
            old.session.attach(&peer, soon()).await.is_ok()
        })
        .await;
        eventually("in sync", async || {
            old.session.replication(soon()).await.unwrap().link_up == Some(true)
        })
        .await;
        assert_eq!(new[0].client().run(&["GET", "k"]), text("v"));
    }
}

/// Whoever runs a command through an API is told where its key is.
#[tokio::test]
async fn a_command_from_an_api_is_led_to_the_key() {
    for product in products() {
        let mut members = form(&product, 2, false, |_| ()).await;
        let words = |words: &[&str]| -> Vec<Vec<u8>> { words.iter().map(|word| word.as_bytes().to_vec()).collect() };
        let mut led = 0;
        for member in &mut members {
            match member
                .session
                .execute(&words(&["SET", "k", "v"]), soon())
                .await
                .unwrap()
            {
                Reply::Error(text) => {
                    assert!(text.starts_with("MOVED "), "{text}");
                    led += 1;
                }
                reply => assert_eq!(reply, Reply::Status("OK".into())),
            }
            let withheld = member
                .session
                .execute(&words(&["CLUSTER", "RESET"]), soon())
                .await
                .unwrap();
            assert!(matches!(withheld, Reply::Error(text) if text.starts_with("NOPERM")));
            let slots = member
                .session
                .execute(&words(&["CLUSTER", "SLOTS"]), soon())
                .await
                .unwrap();
            assert!(matches!(slots, Reply::Array(ranges) if ranges.len() == 2));
        }
        assert_eq!(led, 1);
    }
}

#[tokio::test]
async fn a_server_that_left_is_forgotten_and_one_that_comes_is_met() {
    for product in products() {
        let mut members = form(&product, 2, false, |_| ()).await;
        let stranger = Member::start(&product, |_| ()).await;
        members.push(stranger);
        introduce(&mut members).await;
        let gone = members.pop().unwrap();
        let name = gone.name.clone();
        drop(gone);
        for member in &mut members {
            for _ in 0..2 {
                member
                    .session
                    .forget(std::slice::from_ref(&name), soon())
                    .await
                    .unwrap();
            }
            let seen = member.session.cluster(soon()).await.unwrap();
            assert!(seen.peers.iter().all(|peer| peer.node != name) && seen.serves);
        }
        let claimed = members[0]
            .session
            .claim_slots(&[16_000].into_iter().collect(), soon())
            .await;
        assert_eq!(claimed.unwrap_err().class, ErrorClass::Conflict);
    }
}

/// Whatever the rule of a login says: what clients of a cluster need is there, what changes the cluster is not.
#[tokio::test]
async fn clients_find_their_way_and_change_nothing() {
    for product in products() {
        let members = form(&product, 1, false, |settings| {
            settings.logins.push(login("all", "p", "+@all ~* &*"));
            settings.logins.push(login(
                "sly",
                "p",
                "+@all ~* +cluster +cluster|reset (+@all ~* +cluster|reset)",
            ));
            settings.logins.push(login("less", "p", "-@all +get ~*"));
        })
        .await;
        let name = members[0].name.as_str();
        let asked: &[&[&str]] = &[
            &["CLUSTER", "SLOTS"],
            &["CLUSTER", "SHARDS"],
            &["CLUSTER", "NODES"],
            &["CLUSTER", "INFO"],
            &["CLUSTER", "KEYSLOT", "k"],
            &["CLUSTER", "COUNTKEYSINSLOT", "1"],
            &["CLUSTER", "MYID"],
            &["CLUSTER", "LINKS"],
            &["CLUSTER", "REPLICAS", name],
            &["READONLY"],
            &["READWRITE"],
            &["ASKING"],
        ];
        let withheld: &[&[&str]] = &[
            &["CLUSTER", "RESET", "HARD"],
            &["CLUSTER", "FORGET", name],
            &["CLUSTER", "MEET", "127.0.0.1", "1"],
            &["CLUSTER", "ADDSLOTS", "1"],
            &["CLUSTER", "DELSLOTS", "1"],
            &["CLUSTER", "ADDSLOTSRANGE", "1", "2"],
            &["CLUSTER", "DELSLOTSRANGE", "1", "2"],
            &["CLUSTER", "SETSLOT", "1", "STABLE"],
            &["CLUSTER", "FLUSHSLOTS"],
            &["CLUSTER", "FAILOVER"],
            &["CLUSTER", "REPLICATE", name],
            &["CLUSTER", "BUMPEPOCH"],
            &["CLUSTER", "SET-CONFIG-EPOCH", "9"],
            &["CLUSTER", "SAVECONFIG"],
            &["CLUSTER", "COUNT-FAILURE-REPORTS", name],
            &["CLUSTER", "GETKEYSINSLOT", "1", "9"],
            &["MIGRATE", "127.0.0.1", "1", "k", "0", "1"],
            &["RESTORE-ASKING", "k", "0", "x"],
            &["PSYNC", "?", "-1"],
        ];
        for who in ["all", "sly", "less"] {
            let mut client = members[0].server.client(who, "p").unwrap();
            for call in asked {
                assert!(run(&mut client, call).is_ok(), "{who} {call:?}");
            }
            for call in withheld {
                let refused = run(&mut client, call).unwrap_err();
                assert!(refused.to_lowercase().contains("perm"), "{who} {call:?}: {refused}");
            }
        }
    }
}

/// How long the servers need is their own business; that they get there without being told again is not.
#[tokio::test]
async fn one_introduction_is_enough() {
    for product in products() {
        let mut members = Vec::new();
        for _ in 0..4 {
            members.push(Member::start(&product, |_| ()).await);
        }
        let peers: Vec<Peer> = members[1..].iter().map(Member::peer).collect();
        let begun = Instant::now();
        members[0].session.meet(&peers, soon()).await.unwrap();
        for member in &mut members {
            eventually("all are linked", async || {
                let seen = member.session.cluster(soon()).await.unwrap();
                seen.peers.len() == 3 && seen.peers.iter().all(|peer| peer.linked)
            })
            .await;
        }
        println!("introduced by one: {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
