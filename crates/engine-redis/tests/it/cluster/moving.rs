//! Slots change hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, ErrorClass, Fence};
use pilothouse_model::{FsyncPolicy, Persistence, ServerRole, SlotSet};
use redis::Value;

use super::client::Client;
use super::formed::{Member, form, text};
use crate::runner::{eventually, products, run, soon};

/// The steps of a handover, in their order.
const STEPS: usize = 5;

async fn step(number: usize, source: &mut Member, target: &mut Member, slots: &[u16]) -> Result<(), EngineError> {
    match number {
        0 => target.session.import_slots(slots, &source.name, soon()).await,
        1 => source.session.export_slots(slots, &target.name, soon()).await,
        2 => {
            let until = Instant::now() + Duration::from_secs(30);
            let left = source.session.move_keys(slots, &target.peer(), until, until).await?;
            assert!(!left, "nobody stopped it");
            Ok(())
        }
        3 => target.session.assign_slots(slots, &target.name, soon()).await,
        _ => source.session.assign_slots(slots, &target.name, soon()).await,
    }
}

/// All steps.
pub(super) async fn hand_over(source: &mut Member, target: &mut Member, slots: &[u16]) {
    for number in 0..STEPS {
        step(number, source, target, slots).await.unwrap();
    }
}

/// The member at two places of the list.
pub(super) fn two(members: &mut [Member]) -> (&mut Member, &mut Member) {
    let [one, two, ..] = members else {
        panic!("there are two");
    };
    (one, two)
}

fn slot_of(client: &mut Client, key: &str) -> u16 {
    match client.run(&["CLUSTER", "KEYSLOT", key]).unwrap() {
        Value::Int(slot) => u16::try_from(slot).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn keys_of(member: &Member) -> u64 {
    run(&mut member.server.management(), &["DBSIZE"])
        .unwrap()
        .parse()
        .unwrap()
}

/// Counts up in many keys until it is told to stop; gives the sum of what it was told.
fn writer(mut client: Client, stop: Arc<AtomicBool>, keys: usize) -> (Vec<i64>, u64) {
    let mut counts = vec![0; keys];
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = number % keys;
        // No two neighbours in the same slot.
        number += 7919;
        match client.run(&["INCR", &format!("k{key}")]) {
            Ok(Value::Int(count)) => counts[key] = count,
            other => panic!("{other:?}"),
        }
    }
    (counts, client.asked)
}

#[tokio::test]
async fn slots_move_under_writes_without_loss() {
    const KEYS: usize = 2000;
    for product in products() {
        let mut members = form(&product, 2, true, |_| ()).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (client, told) = (members[0].client(), Arc::clone(&stop));
        let writing = tokio::task::spawn_blocking(move || writer(client, told, KEYS));
        let (source, target) = two(&mut members);
        eventually("there is something to move", async || keys_of(source) > KEYS as u64 / 3).await;
        let begun = Instant::now();
        let slots: Vec<u16> = (0..4096).collect();
        for some in slots.chunks(512) {
            hand_over(source, target, some).await;
            hand_over(target, source, &some[..64]).await;
            hand_over(source, target, &some[..64]).await;
        }
        println!("5,120 slots moved under writes: {:?}", begun.elapsed());
        stop.store(true, Ordering::Relaxed);
        let (counts, asked) = writing.await.unwrap();
        println!(
            "writes: {}, led on for one command: {asked}",
            counts.iter().sum::<i64>()
        );
        let mut client = members[0].client();
        for (key, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            assert_eq!(
                client.run(&["GET", &format!("k{key}")]),
                text(&count.to_string()),
                "k{key}"
            );
        }
        let written = counts.iter().filter(|count| **count > 0).count();
        assert_eq!(
            keys_of(&members[0]) + keys_of(&members[1]),
            written as u64,
            "no key is on both sides"
        );

        // Its replica followed.
        let moved: SlotSet = slots.into_iter().collect();
        let name = members[1].name.clone();
        for member in &mut members {
            eventually("everybody knows", async || {
                let seen = member.session.cluster(soon()).await.unwrap();
                let of_target = seen.peers.iter().find(|peer| peer.node == name).map(|peer| &peer.slots);
                assert!(seen.migrating.is_empty() && seen.importing.is_empty());
                moved.without(of_target.unwrap_or(&seen.slots)).is_empty()
            })
            .await;
        }
        let [mark, keys] = [
            members[1].session.mark_stream(soon()).await.unwrap(),
            keys_of(&members[1]),
        ];
        eventually("fed", async || {
            members[3].session.replication(soon()).await.unwrap().offset >= mark
        })
        .await;
        assert_eq!(keys_of(&members[3]), keys);
    }
}

/// A crash of either side after any of the steps, and everything again from the first step.
#[tokio::test]
async fn a_crash_anywhere_on_the_way_loses_nothing() {
    for product in products() {
        let mut members = form(&product, 2, false, |settings| {
            settings.persistence = Persistence::AppendOnly {
                fsync: FsyncPolicy::Always,
            };
        })
        .await;
        let mut client = members[0].client();
        for key in 0..2000 {
            client.run(&["SET", &format!("k{key}"), "v"]).unwrap();
        }
        for (round, victim) in (0..STEPS * 2).map(|number| (number / 2, number % 2)) {
            let first = u16::try_from((round * 2 + victim) * 500).unwrap();
            let slots: Vec<u16> = (first..first + 500).collect();
            let (source, target) = two(&mut members);
            for number in 0..=round {
                step(number, source, target, &slots).await.unwrap();
                if number < 2 {
                    continue;
                }
                // Done again, for good measure.
                step(number, source, target, &slots).await.unwrap();
            }
            members[victim].server.kill();
            members[victim].restart().await;
            members[victim].open().await;
            for member in &mut members {
                eventually("it serves", async || member.serves().await).await;
            }
            let (source, target) = two(&mut members);
            hand_over(source, target, &slots).await;
            let moved: SlotSet = slots.iter().copied().collect();
            eventually("the source knows", async || {
                let seen = source.session.cluster(soon()).await.unwrap();
                seen.migrating.is_empty() && moved.without(&seen.peers[0].slots).is_empty()
            })
            .await;
            let seen = target.session.cluster(soon()).await.unwrap();
            assert!(
                seen.importing.is_empty() && moved.without(&seen.slots).is_empty(),
                "{seen:?}"
            );
            let mut client = members[0].client();
            for key in 0..2000 {
                assert_eq!(
                    client.run(&["GET", &format!("k{key}")]),
                    text("v"),
                    "step {round}, victim {victim}"
                );
            }
        }
        assert_eq!(keys_of(&members[0]) + keys_of(&members[1]), 2000);
    }
}

#[tokio::test]
async fn steps_out_of_order_are_refused_and_change_nothing() {
    for product in products() {
        let mut members = form(&product, 2, false, |_| ()).await;
        let mut client = members[0].client();
        let tag = (0..100)
            .map(|number| format!("{{{number}}}"))
            .find(|tag| slot_of(&mut client, tag) < 8000)
            .unwrap();
        let slot = [slot_of(&mut client, &tag)];
        client.run(&["SET", &tag, "v"]).unwrap();
        let (source, target) = two(&mut members);
        for number in [2, 3] {
            let refused = step(number, source, target, &slot).await.unwrap_err();
            assert_eq!(refused.class, ErrorClass::Conflict, "step {number}: {refused}");
        }
        let refused = step(4, source, target, &slot).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Conflict, "{refused}");
        let nobody = source.session.export_slots(&slot, "0000", soon()).await.unwrap_err();
        assert_eq!(nobody.class, ErrorClass::Transient, "{nobody}");
        let wrong = target.session.export_slots(&slot, &source.name.clone(), soon()).await;
        wrong.unwrap();
        let wrong = source
            .session
            .export_slots(&[16_000], "0000", soon())
            .await
            .unwrap_err();
        assert_eq!(wrong.class, ErrorClass::Conflict, "{wrong}");
        assert_eq!(client.run(&["GET", &tag]), text("v"));
        hand_over(source, target, &slot).await;
        assert_eq!(client.run(&["GET", &tag]), text("v"));
    }
}

#[tokio::test]
async fn keys_of_every_size_move_and_what_expired_is_no_error() {
    for product in products() {
        let mut members = form(&product, 2, false, |_| ()).await;
        let mut client = members[0].client();
        let slot = [slot_of(&mut client, "{a}")];
        client.run(&["SET", "{a}large", &"v".repeat(40 * 1024 * 1024)]).unwrap();
        for number in 0..300 {
            let life = if number % 2 == 0 { "1" } else { "600000" };
            client
                .run(&["SET", &format!("{{a}}{number}"), "v", "PX", life])
                .unwrap();
            client.run(&["SADD", "{a}set", &format!("{number}")]).unwrap();
        }
        let binary = "{a}\r\n\u{1}";
        client.run(&["SET", binary, "v"]).unwrap();
        let (mut source, mut target) = two(&mut members);
        if !source.session.cluster(soon()).await.unwrap().slots.contains(slot[0]) {
            (source, target) = (target, source);
        }
        step(0, source, target, &slot).await.unwrap();
        step(1, source, target, &slot).await.unwrap();
        let now = Instant::now();
        assert!(
            source
                .session
                .move_keys(&slot, &target.peer(), now, soon())
                .await
                .unwrap(),
            "it had no time"
        );
        hand_over(source, target, &slot).await;
        assert_eq!(client.run(&["STRLEN", "{a}large"]), Ok(Value::Int(40 * 1024 * 1024)));
        assert_eq!(client.run(&["SCARD", "{a}set"]), Ok(Value::Int(300)));
        assert_eq!(client.run(&["GET", "{a}1"]), text("v"));
        assert_eq!(client.run(&["GET", binary]), text("v"));
        assert_eq!(client.run(&["GET", "{a}0"]), Ok(Value::Nil));
    }
}

#[tokio::test]
async fn a_target_that_cannot_take_keys_is_named_and_nothing_is_lost() {
    for product in products() {
        let mut members = form(&product, 2, false, |_| ()).await;
        let mut client = members[0].client();
        let slot = [slot_of(&mut client, "{a}")];
        let keys: Vec<String> = (0..200).map(|number| format!("{{a}}{number}")).collect();
        for key in &keys {
            client.run(&["SET", key, &"v".repeat(20_000)]).unwrap();
        }
        let (mut source, mut target) = two(&mut members);
        if !source.session.cluster(soon()).await.unwrap().slots.contains(slot[0]) {
            (source, target) = (target, source);
        }
        step(0, source, target, &slot).await.unwrap();
        step(1, source, target, &slot).await.unwrap();
        let fails = async |source: &mut Member, target: &Member, class: ErrorClass| {
            let begun = Instant::now();
            source.session = source.server.session().await;
            let refused = source
                .session
                .move_keys(&slot, &target.peer(), soon(), soon())
                .await
                .unwrap_err();
            assert_eq!(refused.class, class, "{refused}");
            assert!(!refused.message.contains("secret"), "{refused}");
            println!("{refused}, after {:?}", begun.elapsed());
            assert!(begun.elapsed() < Duration::from_secs(3), "the source was held up");
        };

        target.session.fence(soon()).await.unwrap();
        fails(source, target, ErrorClass::Conflict).await;
        target.server.settings.fence = Fence::Replication;
        target.server.settings.memory_bytes = 5 * 1024 * 1024;
        target.open().await;
        fails(source, target, ErrorClass::NoSpace).await;
        target.server.settings.memory_bytes = 0;
        target.open().await;
        target.server.signal("STOP");
        fails(source, target, ErrorClass::Transient).await;
        target.server.signal("CONT");

        // It is good enough that servers may reach it.
        hand_over(source, target, &slot).await;
        target.server.settings.fence = Fence::Open;
        target.open().await;
        // The fence cut its connection.
        let mut client = members[0].client();
        for key in &keys {
            assert_eq!(client.run(&["STRLEN", key]), Ok(Value::Int(20_000)), "{key}");
        }
    }
}

/// Tenants may watch what a server is told; how servers log in at each other is not among it.
#[tokio::test]
async fn who_watches_a_server_sees_no_secret() {
    use std::io::{Read as _, Write as _};
    for product in products() {
        let mut members = form(&product, 2, false, |settings| {
            settings.tuning.insert("slowlog-log-slower-than".into(), "0".into());
        })
        .await;
        let mut client = members[0].client();
        let slot = [slot_of(&mut client, "{a}")];
        client.run(&["SET", "{a}", "v"]).unwrap();
        let (mut source, mut target) = two(&mut members);
        if !source.session.cluster(soon()).await.unwrap().slots.contains(slot[0]) {
            (source, target) = (target, source);
        }
        let watch = |member: &Member| {
            let port = member.server.settings.ports.plain;
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"AUTH secret\r\nMONITOR\r\n").unwrap();
            let mut replies = [0; 10];
            stream.read_exact(&mut replies).unwrap();
            assert_eq!(&replies, b"+OK\r\n+OK\r\n");
            stream
        };
        let watching = [watch(source), watch(target)];
        hand_over(source, target, &slot).await;
        let mut seen = String::new();
        for (mut stream, member) in watching.into_iter().zip([source, target]) {
            run(&mut member.server.client("", "secret").unwrap(), &["ECHO", "the end"]).unwrap();
            let mut bytes = [0; 65_536];
            while !seen.ends_with("\"the end\"\r\n") {
                let count = stream.read(&mut bytes).unwrap();
                assert!(count > 0);
                seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            let mut client = member.server.client("", "secret").unwrap();
            seen.push_str(&run(&mut client, &["SLOWLOG", "GET", "1000"]).unwrap());
            seen.push_str(&member.server.log());
        }
        assert!(
            seen.to_lowercase().contains("\"restore-asking\""),
            "something was seen: {seen}"
        );
        let secret = "replication \\\"secret\\\"";
        assert!(
            !seen.contains(secret) && !seen.contains("replication \"secret\""),
            "{seen}"
        );
    }
}

/// A replica takes over for either side in the middle of a move, and everything again with the new one.
#[tokio::test]
async fn a_move_goes_on_with_the_replica_that_took_over() {
    for product in products() {
        for victim in [0, 1] {
            let mut members = form(&product, 2, true, |_| ()).await;
            let mut client = members[0].client();
            for key in 0..3000 {
                client.run(&["SET", &format!("k{key}"), "v"]).unwrap();
            }
            let slots: Vec<u16> = (0..3000).collect();
            let (source, target) = two(&mut members);
            step(0, source, target, &slots).await.unwrap();
            step(1, source, target, &slots).await.unwrap();
            let before = keys_of(source);
            while before - keys_of(source) < 50 {
                let until = Instant::now() + Duration::from_millis(5);
                let peer = target.peer();
                let left = source.session.move_keys(&slots, &peer, until, soon()).await;
                assert!(left.unwrap(), "some are left");
            }
            let mark = members[victim].session.mark_stream(soon()).await.unwrap();
            let replica = &mut members[victim + 2].session;
            eventually("fed", async || {
                replica.replication(soon()).await.unwrap().offset >= mark
            })
            .await;

            members[victim].server.kill();
            members[victim + 2].session.promote(soon()).await.unwrap();
            members.swap(victim, victim + 2);
            let name = members[victim].name.clone();
            let other = &mut members[1 - victim];
            eventually("the other side knows", async || {
                let seen = other.session.cluster(soon()).await.unwrap();
                seen.peers
                    .iter()
                    .any(|peer| peer.node == name && peer.primary.is_none() && !peer.slots.is_empty())
            })
            .await;
            let (source, target) = two(&mut members);
            hand_over(source, target, &slots).await;

            // The one that was killed comes back from the middle of the move.
            let primary = members[victim].peer();
            let late = &mut members[victim + 2];
            late.restart().await;
            eventually("it follows", async || {
                late.session = late.server.session().await;
                late.session.attach(&primary, soon()).await.is_ok()
            })
            .await;
            assert_eq!(late.role().await, ServerRole::Replica);
            late.open().await;
            assert!(late.session.cluster(soon()).await.unwrap().slots.is_empty());
            let mut client = members[0].client();
            for key in 0..3000 {
                assert_eq!(
                    client.run(&["GET", &format!("k{key}")]),
                    text("v"),
                    "victim {victim}, k{key}"
                );
            }
            assert_eq!(keys_of(&members[0]) + keys_of(&members[1]), 3000);
        }
    }
}
