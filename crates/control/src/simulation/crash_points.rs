//! The process is lost at every crash point of every operation in turn; each time a new control plane must reach the goal.

use super::harness::{Harness, Wanted};
use super::in_runtime;
use crate::fault;
use pilothouse_model::DatabaseId;

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
            if harness.find(id).is_some_and(|record| record.deleted_at.is_none()) {
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
