//! A cluster whose servers and clients speak TLS.

use pilothouse_engine::TlsFiles;
use pilothouse_model::{ServerRole, SlotSet};

use super::formed::{Member, form};
use super::moving::{hand_over, two};
use crate::runner::{eventually, products, run, soon};
use crate::tls::Authority;

/// Every server knows every other under its present port, replicas follow, slots are served.
async fn settled(members: &mut [Member]) {
    let ports: Vec<u16> = members.iter().map(|member| member.peer().port).collect();
    for member in members.iter_mut() {
        eventually("they know each other's ports", async || {
            let seen = member.session.cluster(soon()).await.unwrap();
            seen.serves && seen.peers.iter().all(|peer| peer.linked && ports.contains(&peer.port))
        })
        .await;
        let session = &mut member.session;
        eventually("replicas follow", async || {
            session.replication(soon()).await.unwrap().link_up != Some(false)
        })
        .await;
    }
}

#[tokio::test]
async fn a_cluster_switches_to_tls_and_back_while_it_runs() {
    let authority = Authority::new();
    for product in products() {
        let mut members = form(&product, 2, true, |_| ()).await;
        let mut client = members[0].client();
        for number in 0..500 {
            client.run(&["SET", &format!("k{number}"), "v"]).unwrap();
        }
        for member in &mut members {
            let files = authority.files(&member.server.directory.root, "1");
            member.server.settings.tls = Some(TlsFiles {
                client_certificates: true,
                ..files
            });
            member.server.settings.encrypt_replication = true;
            assert!(member.session.apply(&member.server.settings, soon()).await.unwrap());
        }
        let begun = std::time::Instant::now();
        settled(&mut members).await;
        println!("switched to TLS: {:?}", begun.elapsed());
        for member in &mut members {
            assert!(!member.session.apply(&member.server.settings, soon()).await.unwrap());
            assert!(member.server.client("", "secret").is_err(), "the plain port is closed");
        }

        let slots: Vec<u16> = (0..1000).collect();
        let (source, target) = two(&mut members);
        hand_over(source, target, &slots).await;
        let seen = target.session.cluster(soon()).await.unwrap().slots;
        assert_eq!(seen.common(&slots.into_iter().collect::<SlotSet>()).len(), 1000);
        let count = |member: &Member| -> u32 {
            let keys = run(&mut member.server.management(), &["DBSIZE"]).unwrap();
            keys.parse().unwrap()
        };
        assert_eq!(count(&members[0]) + count(&members[1]), 500);

        // It comes back from its files alone.
        members[0].server.kill();
        members[2].session.promote(soon()).await.unwrap();
        let old = &mut members[0];
        old.restart().await;
        eventually("it follows", async || {
            let seen = old.session.replication(soon()).await.unwrap();
            seen.role == ServerRole::Replica && seen.link_up == Some(true)
        })
        .await;
        old.open().await;

        for member in &mut members {
            member.server.settings.tls = None;
            member.server.settings.encrypt_replication = false;
            assert!(member.session.apply(&member.server.settings, soon()).await.unwrap());
        }
        settled(&mut members).await;
        let mut client = members[2].client();
        for number in 0..500 {
            client.run(&["GET", &format!("k{number}")]).unwrap();
        }
    }
}
