//! The simulation: planner and reconcile loop in a world of faults, driven by a seed.
//!
//! Everything real but engine, runtime, gateway and clock, which are one simulated world. Passes are run one by one, so a seed replays.
//! `PILOTHOUSE_SIM_SEED=n` replays one seed, `PILOTHOUSE_SIM_RUNS=n` runs that many.

mod crash_points;
mod harness;
mod lanes;
mod random;
mod transfers;

use harness::{Harness, Wanted};

/// The seeds of this run: a small fixed number, or what the environment asks for.
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("PILOTHOUSE_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("PILOTHOUSE_SIM_RUNS").unwrap_or(40)).collect(),
    }
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    // `RUST_LOG=debug` shows what was decided on the way to a failure.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

#[test]
fn a_replicated_database_becomes_active_and_is_removed() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness
            .create(Wanted {
                replicas: 1,
                persistent: false,
            })
            .await;
        harness.settle(id).await;
        assert!(
            harness.world.write(id).is_some(),
            "active means that a client can write"
        );
        harness.delete(id).await;
        harness.assert_nothing_left();
    });
}

#[test]
fn the_replica_takes_over_with_every_write_that_it_received() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness
            .create(Wanted {
                replicas: 1,
                persistent: false,
            })
            .await;
        harness.settle(id).await;
        for _ in 0..10 {
            harness.world.write(id).expect("acknowledged");
        }
        let (primary, replica) = harness.servers(id);
        harness.world.stall(replica, true);
        for _ in 0..10 {
            harness.world.write(id).expect("acknowledged");
        }
        harness.world.stall(replica, false);
        harness.world.kill(primary);
        harness.settle(id).await;
        assert_eq!(
            harness.world.read(id).expect("readable").len(),
            20,
            "what had reached the replica's machine is kept"
        );
        assert_eq!(harness.servers(id), (replica, primary));
    });
}

#[test]
fn a_primary_that_comes_back_empty_never_empties_its_replica() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness
            .create(Wanted {
                replicas: 1,
                persistent: true,
            })
            .await;
        harness.settle(id).await;
        for _ in 0..5 {
            harness.world.write(id).expect("acknowledged");
        }
        let (primary, _) = harness.servers(id);
        // Nobody watches while it dies and loses its files.
        harness.control_lost().await;
        harness.world.kill(primary);
        harness.world.lose_disk(primary);
        harness.control_back().await;
        harness.settle(id).await;
        assert_eq!(harness.world.read(id).expect("readable").len(), 5);
    });
}

#[test]
fn a_single_database_that_lost_its_files_waits_for_somebody_to_choose() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness
            .create(Wanted {
                replicas: 0,
                persistent: true,
            })
            .await;
        harness.settle(id).await;
        harness.world.write(id).expect("acknowledged");
        let primary = harness.servers(id).0;
        harness.world.kill(primary);
        harness.world.lose_disk(primary);
        harness.passes(id, 20).await;
        assert!(harness.record(id).needs_recovery);
        assert!(
            harness.world.write(id).is_none(),
            "an empty server must not take its place"
        );
    });
}

#[test]
fn a_hung_primary_without_replica_is_left_alone() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness
            .create(Wanted {
                replicas: 0,
                persistent: false,
            })
            .await;
        harness.settle(id).await;
        let primary = harness.servers(id).0;
        let pid = harness.pid(primary);
        harness.hang(primary);
        harness.passes(id, 20).await;
        assert_eq!(harness.pid(primary), pid);
    });
}

#[test]
fn a_hung_primary_with_a_replica_is_killed_before_the_replica_takes_over() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness
            .create(Wanted {
                replicas: 1,
                persistent: false,
            })
            .await;
        harness.settle(id).await;
        let (primary, replica) = harness.servers(id);
        let pid = harness.pid(primary);
        harness.hang(primary);
        harness.settle(id).await;
        assert_eq!(harness.servers(id).0, replica);
        assert_ne!(harness.pid(primary), pid);
    });
}

#[test]
fn one_fault_at_a_time_loses_no_write_that_a_replica_had() {
    for seed in seeds() {
        println!("seed {seed}");
        in_runtime(random::single_faults(seed));
    }
}

#[test]
fn whatever_happens_there_are_never_two_primaries_and_the_end_is_reached() {
    for seed in seeds() {
        println!("seed {seed}");
        in_runtime(random::chaos(seed));
    }
}
