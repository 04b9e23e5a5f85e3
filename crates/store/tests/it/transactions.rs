//! What a transaction promises while nothing fails.

use std::convert::Infallible;
use std::time::Duration;

use pilothouse_model::{Database, Document, Subject, TenantId, Timestamp};
use pilothouse_store::{Options, Revision, Setting, Store, StoreError, TransactError, Transaction, Urgency};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::storage::Tape;
use crate::support::{
    DEADLINE, check_indexes, database, document, draft, dump, number, operation, plan_held, setting, until, write,
};

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("state.redb")).unwrap()
}

#[tokio::test]
async fn what_was_answered_is_in_the_view_and_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut revisions = store.revisions();
    let tenant = TenantId::new();
    let made = database(tenant, "orders", 12_000);
    let (id, subject) = (made.id, Subject::Database(made.id));
    let before = store.view();
    write(&store, |tx| {
        tx.put(made.clone());
        tx.put(operation(tenant, subject));
        tx.append_event(Timestamp::from_millis(5), draft(subject));
        assert_eq!(
            tx.view().databases_named(None, "orders").count(),
            1,
            "own writes are seen"
        );
    })
    .await
    .unwrap();
    let view = store.view();
    assert_eq!(view.get::<Database>(&id).map(|stored| &*stored.record), Some(&made));
    assert_eq!(
        (before.count::<Database>(), view.count::<Database>()),
        (0, 1),
        "a view never changes"
    );
    assert_eq!(*revisions.borrow_and_update(), Revision(1));
    check_indexes(&view);
    store.close().await.unwrap();
    let reopened = open(&folder);
    assert_eq!(dump(&reopened.view()), dump(&view));
    check_indexes(&reopened.view());
}

#[tokio::test]
async fn a_rejected_or_panicking_closure_changes_nothing() {
    let store = Store::with_backend(Tape::default()).unwrap();
    let rejected = store
        .transact(Urgency::Normal, |tx| {
            tx.put(setting("a", 1));
            Err::<(), _>("no")
        })
        .await;
    assert!(matches!(rejected, Err(TransactError::Rejected("no"))));
    let clone = store.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        write(&clone, |tx| {
            tx.put(setting("a", 2));
            panic!("a fault in the planner");
        })
        .await
    });
    assert!(tasks.join_next().await.unwrap().is_err());
    assert_eq!(store.view().revision(), Revision(0));
    write(&store, |tx| tx.put(setting("b", 3))).await.unwrap();
    assert_eq!(store.view().count::<Setting>(), 1);
}

#[tokio::test]
async fn concurrent_transactions_take_effect_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                let mine = write(&store, |tx| {
                    let next = number(tx.view(), "count") + 1;
                    tx.put(setting("count", next));
                    next
                });
                let mine = mine.await.unwrap();
                assert!(
                    number(&store.view(), "count") >= mine,
                    "the answer came before the view"
                );
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(number(&store.view(), "count"), 640);
    assert_eq!(store.view().revision(), Revision(640));
    drop(store);
    assert_eq!(number(&open(&folder).view(), "count"), 640);
}

#[tokio::test]
async fn what_is_not_on_disk_is_seen_by_planners_only() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    let gate = tape.hold_syncs();
    let mut tasks = JoinSet::new();
    plan_held(&store, &mut tasks, "first").await;
    let reader = store.clone();
    let (seen, was_seen) = tokio::sync::oneshot::channel();
    let mut readers = JoinSet::new();
    readers.spawn(async move {
        let plan = move |tx: &mut Transaction<'_>| {
            let count = number(tx.view(), "first");
            let _ = seen.send(count);
            if count == 1 { Err("taken") } else { Ok(()) }
        };
        reader.transact(Urgency::Normal, plan).await
    });
    assert_eq!(
        timeout(DEADLINE, was_seen).await.unwrap().unwrap(),
        1,
        "the planner sees what is planned"
    );
    assert_eq!(store.view().count::<Setting>(), 0, "a reader does not");
    let early = timeout(Duration::from_millis(50), readers.join_next()).await;
    assert!(
        early.is_err(),
        "an answer that rests on what is not durable waits: {early:?}"
    );
    drop(gate);
    tasks.join_next().await.unwrap().unwrap().unwrap();
    let rejected = readers.join_next().await.unwrap().unwrap();
    assert!(matches!(rejected, Err(TransactError::Rejected("taken"))));
    assert_eq!(store.view().count::<Setting>(), 1);
}

#[tokio::test]
async fn a_dropped_future_leaves_a_whole_transaction() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    let gate = tape.hold_syncs();
    let mut tasks = JoinSet::new();
    plan_held(&store, &mut tasks, "dropped").await;
    tasks.shutdown().await;
    drop(gate);
    write(&store, |_| ()).await.unwrap();
    assert_eq!(number(&store.view(), "dropped"), 1);
    let data = {
        store.close().await.unwrap();
        tape.data()
    };
    assert_eq!(
        number(&Store::with_backend(Tape::with_data(data)).unwrap().view(), "dropped"),
        1
    );
}

#[tokio::test]
async fn an_urgent_transaction_waits_for_two_batches_at_most() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    let gate = tape.hold_syncs();
    let mut tasks = JoinSet::new();
    for n in 0..1000 {
        let store = store.clone();
        tasks.spawn(async move { write(&store, move |tx| tx.put(setting(&format!("n{n}"), n))).await });
    }
    until(|| tape.is_sync_waiting()).await;
    let urgent = store.transact(Urgency::Failover, |tx| {
        tx.put(setting("urgent", 1));
        Ok::<_, Infallible>(())
    });
    let mut urgent = std::pin::pin!(urgent);
    assert!(
        timeout(Duration::from_millis(20), &mut urgent).await.is_err(),
        "the disk is held"
    );
    gate.let_through(2);
    timeout(DEADLINE, urgent).await.expect("two syncs must do").unwrap();
    assert!(store.view().count::<Setting>() < 500, "most of the others still wait");
    drop(gate);
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(store.view().count::<Setting>(), 1001);
}

#[tokio::test]
async fn what_no_back_end_could_take_is_refused_whole() {
    let store = Store::with_backend(Tape::default()).unwrap();
    let large = "x".repeat(512 * 1024);
    let refused = write(&store, |tx| {
        tx.put(setting("small", 1));
        tx.put(setting("large", large));
    });
    assert!(matches!(refused.await, Err(StoreError::TooLarge { .. })));
    let refused = write(&store, |tx| tx.put(document(Subject::Installation, "big", 64 * 1024)));
    assert!(matches!(refused.await, Err(StoreError::TooLarge { max: 65_536, .. })));
    let refused = write(&store, |tx| (0..101).for_each(|n| tx.put(setting(&n.to_string(), n))));
    assert!(matches!(
        refused.await,
        Err(StoreError::TooManyRows { rows: 101, max: 100 })
    ));
    assert_eq!(store.view().count::<Setting>() + store.view().count::<Document>(), 0);
    write(&store, |tx| (0..100).for_each(|n| tx.put(setting(&n.to_string(), n))))
        .await
        .unwrap();
    assert_eq!(store.view().count::<Setting>(), 100);
}

#[tokio::test]
async fn writes_that_cancel_out_write_nothing() {
    let store = Store::with_backend(Tape::default()).unwrap();
    write(&store, |tx| {
        tx.put(setting("a", 1));
        tx.delete::<Setting>(&"a".to_owned());
        tx.delete::<Setting>(&"never there".to_owned());
    })
    .await
    .unwrap();
    assert_eq!(store.view().revision(), Revision(0));
}

#[tokio::test]
async fn closing_writes_what_is_planned_and_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert!(matches!(
        Store::open(&folder.path().join("state.redb")),
        Err(StoreError::InUse)
    ));
    let clone = store.clone();
    let mut tasks = JoinSet::new();
    plan_held(&store, &mut tasks, "last").await;
    store.close().await.unwrap();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    assert!(matches!(
        write(&clone, |tx| tx.put(setting("late", 1))).await,
        Err(StoreError::Closed)
    ));
    let reopened = open(&folder);
    assert_eq!(
        (number(&reopened.view(), "last"), number(&reopened.view(), "late")),
        (1, 0)
    );
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let mode = std::fs::metadata(folder.path().join("state.redb"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn old_events_go_and_new_ones_keep_their_order() {
    let tape = Tape::default();
    let store = Store::with_backend_and(tape.clone(), Options { events_max: 100 }).unwrap();
    for n in 0..1000 {
        write(&store, |tx| {
            tx.append_event(Timestamp::from_millis(n), draft(Subject::Installation))
        })
        .await
        .unwrap();
    }
    let view = store.view();
    assert!((100..=164).contains(&view.events().len()), "{}", view.events().len());
    let times: Vec<_> = view.events().map(|event| event.at).collect();
    assert!(times.is_sorted());
    assert_eq!(view.events().next_back().unwrap().at, Timestamp::from_millis(999));
    store.close().await.unwrap();
    let reopened = Store::with_backend(Tape::with_data(tape.data())).unwrap();
    assert_eq!(dump(&reopened.view()), dump(&view));
}
