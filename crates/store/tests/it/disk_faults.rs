//! A disk that is full or fails: what was answered as failed did not happen, and it goes on when the cause is gone.

use pilothouse_model::{Subject, TenantId, Timestamp};
use pilothouse_store::{Setting, Store, StoreError};
use tokio::task::JoinSet;

use crate::storage::{Faults, Tape};
use crate::support::{UID, check_indexes, database, draft, dump, number, plan_held, setting, until, write};

#[tokio::test]
async fn a_full_disk_fails_everything_planned_and_works_again_with_space() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    write(&store, |tx| tx.put(setting("before", 1))).await.unwrap();
    let before = dump(&store.view());
    tape.set_faults(Faults {
        full: true,
        ..Faults::default()
    });
    for _ in 0..3 {
        let mut tasks = JoinSet::new();
        for n in 0..40 {
            let store = store.clone();
            tasks.spawn(async move {
                write(&store, move |tx| {
                    tx.put(setting(&format!("n{n}"), "x".repeat(4000)));
                    tx.allocate_number(UID, 1, Subject::Installation)
                })
                .await
            });
        }
        while let Some(done) = tasks.join_next().await {
            let answer = done.unwrap();
            assert!(matches!(answer, Err(StoreError::NoSpace)), "{answer:?}");
        }
        assert_eq!(dump(&store.view()), before);
    }
    tape.set_faults(Faults::default());
    write(&store, |tx| tx.put(setting("after", 1))).await.unwrap();
    assert_eq!(store.view().count::<Setting>(), 2, "the staged state went back too");
    let view = store.view();
    store.close().await.unwrap();
    assert_eq!(
        dump(&Store::with_backend(Tape::with_data(tape.data())).unwrap().view()),
        dump(&view)
    );
}

#[tokio::test]
async fn what_was_planned_on_a_batch_that_failed_fails_too() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    let mut tasks = JoinSet::new();
    let gate = tape.hold_syncs();
    plan_held(&store, &mut tasks, "in the batch").await;
    until(|| tape.is_sync_waiting()).await;
    plan_held(&store, &mut tasks, "planned on it").await;
    let sync = tape.calls() + 1;
    tape.set_faults(Faults {
        failing_calls: sync..sync + 1,
        failed_sync_loses: true,
        ..Faults::default()
    });
    drop(gate);
    while let Some(done) = tasks.join_next().await {
        assert!(matches!(done.unwrap(), Err(StoreError::Io { .. })));
    }
    assert_eq!(store.view().count::<Setting>(), 0);
    write(&store, |tx| tx.put(setting("after", 1))).await.unwrap();
    assert_eq!(store.view().count::<Setting>(), 1);
}

/// Some transactions, one after the other; returns how often the store said no.
async fn workload(store: &Store) -> usize {
    let mut failed = 0;
    let tenant = TenantId::from_bytes([1; 16]);
    for n in 0..6_u16 {
        let count_before = number(&store.view(), "count");
        let made = database(tenant, &format!("db{n}"), 10_000 + n);
        let subject = Subject::Database(made.id);
        let answer = write(store, |tx| {
            let next = number(tx.view(), "count") + 1;
            tx.put(setting("count", next));
            tx.put(made);
            tx.allocate_number(UID, 1, subject);
            tx.append_event(Timestamp::from_millis(1), draft(subject));
            next
        })
        .await;
        match answer {
            Ok(next) => assert_eq!((next, number(&store.view(), "count")), (count_before + 1, next)),
            Err(StoreError::Io { .. }) => {
                failed += 1;
                assert_eq!(number(&store.view(), "count"), count_before, "it did not happen");
            }
            Err(other) => panic!("{other:?}"),
        }
        check_indexes(&store.view());
    }
    failed
}

/// Fails each call of the workload in turn, alone and with those after it, and looks at what is left.
async fn every_call_fails_once(failing: u64, failed_sync_loses: bool) {
    let mut failed = 0;
    let calls_without_faults = {
        let tape = Tape::default();
        let store = Store::with_backend(tape.clone()).unwrap();
        let before = tape.calls();
        assert_eq!(workload(&store).await, 0);
        tape.calls() - before
    };
    for call in 1..=calls_without_faults {
        let tape = Tape::default();
        let store = Store::with_backend(tape.clone()).unwrap();
        let first = tape.calls() + call;
        tape.set_faults(Faults {
            failing_calls: first..first + failing,
            failed_sync_loses,
            ..Faults::default()
        });
        failed += workload(&store).await;
        tape.set_faults(Faults::default());
        write(&store, |tx| tx.put(setting("after", 1))).await.unwrap();
        let view = store.view();
        store.close().await.unwrap();
        let reopened = Store::with_backend(Tape::with_data(tape.data())).unwrap();
        assert_eq!(
            dump(&reopened.view()),
            dump(&view),
            "call {call} failed, {failing} in all"
        );
    }
    assert!(failed > 0, "no fault was ever felt");
}

#[tokio::test]
async fn any_single_call_may_fail() {
    every_call_fails_once(1, false).await;
    every_call_fails_once(1, true).await;
}

#[tokio::test]
async fn calls_may_fail_while_the_store_looks_what_happened() {
    for failing in [2, 5, 13] {
        every_call_fails_once(failing, false).await;
        every_call_fails_once(failing, true).await;
    }
}

/// Bytes change on disk now and then. A store that was not closed in order is checked page by page: what is damaged is refused, or the
/// state before the last batch counts. One that was is trusted, and refused only if it cannot be read. Neither panics.
#[tokio::test]
async fn a_damaged_file_is_an_error() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    assert_eq!(workload(&store).await, 0);
    let last = store.view().revision();
    let crashed = tape.data();
    store.close().await.unwrap();
    let mut refused = 0;
    for (data, is_checked) in [(tape.data(), false), (crashed, true)] {
        let mut at = 1;
        while at < data.len() {
            let mut damaged = data.clone();
            damaged[at] ^= 0x41;
            match Store::with_backend(Tape::with_data(damaged)) {
                Ok(store) if is_checked => {
                    check_indexes(&store.view());
                    assert!(
                        store.view().revision().0 + 1 >= last.0,
                        "byte {at}: {}",
                        store.view().revision()
                    );
                }
                Ok(_) => {}
                Err(StoreError::Damaged(_)) => refused += 1,
                Err(other) => panic!("byte {at}: {other:?}"),
            }
            at += at / 4 % 9973 + 1;
        }
    }
    assert!(refused > 0);
}
