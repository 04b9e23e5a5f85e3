//! The process is lost at every crash point of every operation in turn; each time a new control plane must reach the goal.

use super::harness::{Harness, Wanted};
use super::in_runtime;
use crate::fault;
use pilothouse_model::{Database, DatabaseId};

/// More points than any operation has.
const POINTS_MAX: u64 = 200;

/// Runs `prepare`, then passes; the one that reaches crash point `n` is lost there, for every `n` until the operation ends before it.
fn crash_everywhere(prepare: impl AsyncFn(&mut Harness) -> DatabaseId, goal: impl Fn(&Harness, DatabaseId) -> bool) {
    for point in 0..POINTS_MAX {
        let reached = in_runtime(async {
            let mut harness = Harness::new().await;
            let id = prepare(&mut harness).await;
            fault::arm(Some(point));
            let mut reached = false;
            for _ in 0..100 {
                if goal(&harness, id) {
                    break;
                }
                reached |= harness.armed_pass(id).await;
                harness.check(id);
            }
            fault::arm(None);
            let lives = |record: &Database| record.deleted_at.is_none() && record.creation_error.is_none();
            if harness.find(id).is_some_and(|record| lives(&record)) {
                harness.settle(id).await;
            }
            if harness.find(id).is_some() {
                harness.delete(id).await;
            }
            harness.assert_nothing_left();
            reached
        });
        if !reached {
            return;
        }
    }
    panic!("more than {POINTS_MAX} crash points: the operation does not end");
}

fn settled(harness: &Harness, id: DatabaseId) -> bool {
    harness
        .find(id)
        .is_some_and(|record| record.settled_generation == record.generation && record.operation.is_none())
}

#[test]
fn create() {
    crash_everywhere(
        async |harness| {
            harness
                .create(Wanted {
                    replicas: 1,
                    persistent: true,
                })
                .await
        },
        settled,
    );
}

/// Its primary was named and has files when the creation is given up; whoever comes after the loss finds them erased.
#[test]
fn creation_that_is_given_up() {
    crash_everywhere(
        async |harness| {
            let id = harness
                .create(Wanted {
                    replicas: 1,
                    persistent: true,
                })
                .await;
            let lineage = |harness: &Harness| harness.record(id).layout.shards[0].lineage.clone();
            while lineage(harness).primary.is_none() {
                harness.pass(id).await;
            }
            let primary = lineage(harness).primary.expect("it was named");
            harness.world.kill(primary);
            while !lineage(harness).restartable {
                harness.pass(id).await;
            }
            assert!(!harness.record(id).was_active);
            for _ in 0..3 {
                crate::health::count_failed_start(harness.control(), primary, "it does not start");
            }
            harness.world.kill(primary);
            id
        },
        |harness, id| {
            assert!(
                !harness.record(id).needs_recovery,
                "nothing was lost that anybody ever had"
            );
            harness.record(id).creation_error.is_some() || settled(harness, id)
        },
    );
}

#[test]
fn failover() {
    crash_everywhere(
        async |harness| {
            let id = harness
                .create(Wanted {
                    replicas: 1,
                    persistent: false,
                })
                .await;
            harness.settle(id).await;
            harness.world.write(id);
            let (primary, _) = harness.servers(id);
            harness.world.kill(primary);
            id
        },
        |harness, id| {
            settled(harness, id)
                && harness
                    .record(id)
                    .layout
                    .shards
                    .iter()
                    .all(|shard| !shard.lineage.synced.is_empty() && shard.lineage.epoch > 1)
        },
    );
}

#[test]
fn update() {
    crash_everywhere(
        async |harness| {
            let id = harness
                .create(Wanted {
                    replicas: 0,
                    persistent: true,
                })
                .await;
            harness.settle(id).await;
            harness.update(id, |spec| spec.replicas = 1).await;
            id
        },
        settled,
    );
}

#[test]
fn delete() {
    crash_everywhere(
        async |harness| {
            let id = harness
                .create(Wanted {
                    replicas: 1,
                    persistent: true,
                })
                .await;
            harness.settle(id).await;
            let caller = harness.caller();
            let options = crate::RequestOptions::PROCESSED;
            harness
                .control()
                .delete_database(&caller, id, options)
                .await
                .expect("asked for");
            id
        },
        |harness, id| harness.find(id).is_none(),
    );
}
