//! Id maps: numbers are never given out twice, ids belong to one subject.

use pilothouse_model::{DatabaseId, ServerId, Subject};
use pilothouse_store::{Store, TransactError, Urgency, WireId};

use crate::storage::Tape;
use crate::support::{UID, write};

fn subject() -> Subject {
    Subject::Database(DatabaseId::new())
}

#[tokio::test]
async fn numbers_are_not_reused_whatever_was_deleted_and_reopened() {
    let tape = Tape::default();
    let mut store = Store::with_backend(tape.clone()).unwrap();
    let mut given = Vec::new();
    for round in 0..5 {
        for _ in 0..3 {
            let subject = subject();
            let number = write(&store, |tx| tx.allocate_number(UID, 1, subject)).await.unwrap();
            assert_eq!(
                write(&store, |tx| tx.allocate_number(UID, 1, subject)).await.unwrap(),
                number,
                "it stays"
            );
            assert_eq!(store.view().subject_of(UID, &WireId::Number(number)), Some(subject));
            assert_eq!(store.view().wire_number(UID, &subject), Some(number));
            given.push(number);
            if round % 2 == 0 {
                write(&store, |tx| tx.release_wire_ids(&subject)).await.unwrap();
                assert_eq!(store.view().wire_id(UID, &subject), None);
            }
        }
        store.close().await.unwrap();
        store = Store::with_backend(tape.clone()).unwrap();
    }
    assert_eq!(given, (1..=15).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_number_of_a_rejected_transaction_was_never_given() {
    let store = Store::with_backend(Tape::default()).unwrap();
    let refused = store.transact(Urgency::Normal, |tx| {
        Err::<(), _>(tx.allocate_number(UID, 5, subject()))
    });
    assert!(matches!(refused.await, Err(TransactError::Rejected(5))));
    assert_eq!(
        write(&store, |tx| tx.allocate_number(UID, 5, subject())).await.unwrap(),
        5
    );
}

#[tokio::test]
async fn an_assigned_number_raises_the_counter() {
    let store = Store::with_backend(Tape::default()).unwrap();
    let (mine, other) = (subject(), subject());
    write(&store, |tx| tx.assign(UID, mine, WireId::Number(7)))
        .await
        .unwrap()
        .unwrap();
    write(&store, |tx| tx.assign(UID, mine, WireId::Number(7)))
        .await
        .unwrap()
        .unwrap();
    let taken = write(&store, |tx| tx.assign(UID, other, WireId::Number(7)))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (taken.by, taken.to_string().as_str()),
        (mine, "7 is taken in redis-enterprise/uid")
    );
    assert_eq!(write(&store, |tx| tx.allocate_number(UID, 1, other)).await.unwrap(), 8);
    let huge = subject();
    write(&store, |tx| tx.assign(UID, huge, WireId::Number(u64::MAX)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        write(&store, |tx| tx.allocate_number(UID, 1, subject())).await.unwrap(),
        9
    );
}

#[tokio::test]
async fn texts_move_and_schemes_do_not_mix() {
    let store = Store::with_backend(Tape::default()).unwrap();
    let server = Subject::Server(ServerId::new());
    let database = subject();
    let text = |text: &str| WireId::from(text);
    write(&store, |tx| {
        tx.assign("kvrocks/name", database, text("a")).unwrap();
        tx.assign("kvrocks/node", server, text("a")).unwrap();
        tx.allocate_number(UID, 1, database);
    })
    .await
    .unwrap();
    write(&store, |tx| tx.assign("kvrocks/name", database, text("b")))
        .await
        .unwrap()
        .unwrap();
    let view = store.view();
    assert_eq!(view.subject_of("kvrocks/name", &text("a")), None);
    assert_eq!(view.subject_of("kvrocks/name", &text("b")), Some(database));
    assert_eq!(view.subject_of("kvrocks/node", &text("a")), Some(server));
    write(&store, |tx| tx.release_wire_ids(&database)).await.unwrap();
    let view = store.view();
    assert_eq!(view.wire_ids("kvrocks/name").count() + view.wire_ids(UID).count(), 0);
    assert_eq!(
        view.wire_ids("kvrocks/node").collect::<Vec<_>>(),
        [(&text("a"), server)]
    );
    write(&store, |tx| tx.assign("kvrocks/name", subject(), text("b")))
        .await
        .unwrap()
        .unwrap();
}
