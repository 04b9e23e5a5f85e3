//! Faults at random, from a seed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::harness::{Harness, Wanted};
use pilothouse_model::DatabaseId;

/// One fault at a time, each survived before the next: no write that a replica had is lost.
pub(super) async fn single_faults(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut harness = Harness::new().await;
    let wanted = Wanted {
        replicas: 1,
        persistent: random.random_bool(0.5),
    };
    let id = harness.create(wanted).await;
    harness.settle(id).await;
    for round in 0..12 {
        for _ in 0..random.random_range(0..5) {
            harness.world.write(id);
        }
        let (primary, replica) = harness.servers(id);
        let fault = random.random_range(0..7);
        tracing::info!(seed, round, fault, %primary, %replica, "a fault");
        match fault {
            0 => harness.world.kill(primary),
            1 => harness.world.kill(replica),
            2 => harness.hang(primary),
            3 => harness.hang(replica),
            4 => {
                harness.world.kill(primary);
                harness.world.lose_disk(primary);
            }
            5 => {
                harness.control_lost().await;
                harness.world.kill(primary);
                harness.control_back().await;
            }
            _ => {
                harness.world.kill(primary);
                let point = random.random_range(0..40);
                harness.crashing_pass(id, point).await;
            }
        }
        harness.settle(id).await;
        let kept = harness.world.read(id).expect("readable");
        let acknowledged = harness.world.lock().acknowledged.get(&id).cloned().unwrap_or_default();
        for write in acknowledged.iter().filter(|write| write.replicated) {
            assert!(
                kept.contains(&write.write),
                "seed {seed}, round {round}: write {} is lost",
                write.write
            );
        }
        // What was lost without a replica is lost for good: it is not asked for again.
        let replicated = acknowledged
            .into_iter()
            .filter(|write| kept.contains(&write.write))
            .collect();
        harness.world.lock().acknowledged.insert(id, replicated);
    }
    harness.delete(id).await;
    harness.assert_nothing_left();
}

/// Everything at once: never two primaries, and once the faults stop everything is as wanted and can be removed without a trace.
pub(super) async fn chaos(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut harness = Harness::new().await;
    let mut databases: Vec<DatabaseId> = Vec::new();
    for _ in 0..150 {
        if databases.len() < 3 {
            let wanted = Wanted {
                replicas: random.random_range(0..2),
                persistent: random.random_bool(0.5),
            };
            databases.push(harness.create(wanted).await);
        }
        let at = random.random_range(0..databases.len());
        let id = databases[at];
        disturb(&mut harness, &mut random, id).await;
        if random.random_bool(0.02) {
            harness.delete(id).await;
            databases.swap_remove(at);
            continue;
        }
        if random.random_bool(0.2) {
            let point = random.random_range(0..30);
            harness.crashing_pass(id, point).await;
        } else {
            harness.pass(id).await;
        }
        for id in &databases {
            harness.check(*id);
        }
    }
    for id in databases {
        // Losing every copy of persisted data is not healed by itself, and must not be.
        harness.calm(id);
        harness.passes(id, 50).await;
        let record = harness.record(id);
        if !record.needs_recovery && record.creation_error.is_none() {
            harness.settle(id).await;
        }
        harness.delete(id).await;
    }
    harness.assert_nothing_left();
}

async fn disturb(harness: &mut Harness, random: &mut StdRng, id: DatabaseId) {
    let record = harness.record(id);
    let servers: Vec<_> = record.layout.servers().map(|server| server.id).collect();
    if servers.is_empty() {
        return;
    }
    let server = servers[random.random_range(0..servers.len())];
    match random.random_range(0..14) {
        0 => harness.world.kill(server),
        1 => harness.hang(server),
        2 => servers.iter().for_each(|server| harness.world.kill(*server)),
        3 => harness.world.stall(server, true),
        4 => harness.world.stall(server, false),
        5 => {
            harness.world.kill(server);
            harness.world.lose_disk(server);
        }
        6 => {
            harness.control_lost().await;
            harness.control_back().await;
        }
        7 => harness.update(id, |spec| spec.replicas = 1 - spec.replicas).await,
        8 => harness.update(id, |spec| spec.memory_bytes += 1 << 20).await,
        9 => harness.world.lock().launch_failures.push("simulated".to_owned()),
        _ => {
            harness.world.write(id);
        }
    }
}
