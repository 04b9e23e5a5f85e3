//! Loss of power: at every sync point, with every write since the last one dropped, torn or kept.
//!
//! One run of a concurrent workload is recorded. For each interval between two syncs, disks are made as a loss of power in it could leave
//! them: what was synced, with a choice of what was written since, in any order, some of it torn. Each is opened and judged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use pilothouse_model::{Database, Operation, Subject, TenantId, Timestamp};
use pilothouse_store::{Setting, Store, View, WireId};
use tokio::task::JoinSet;

use crate::storage::{Done, Tape, write_at};
use crate::support::{UID, check_indexes, database, draft, number, operation, setting, write};

/// A small generator of choices; the same seed gives the same disks.
struct Choices(u64);

impl Choices {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % below
    }
}

/// A transaction that was answered: its place in the order of transactions, and where the tape stood then.
struct Answered {
    place: u64,
    tape_position: usize,
}

/// What the transaction with that place writes: it can be told afterwards whether all of it is there.
async fn transaction(store: &Store, tape: &Tape) -> Answered {
    let place = write(store, |tx| {
        let place = number(tx.view(), "place") + 1;
        tx.put(setting("place", place));
        tx.put(setting(&format!("written by {place}"), place));
        let made = database(TenantId::from_bytes([1; 16]), &format!("db{place}"), 10_000);
        let subject = Subject::Database(made.id);
        tx.put(operation(made.tenant, subject));
        tx.put(made);
        assert_eq!(tx.allocate_number(UID, 1, subject), place);
        tx.append_event(Timestamp::from_millis(i64::try_from(place).unwrap()), draft(subject));
        if place.is_multiple_of(3) {
            tx.delete::<Setting>(&format!("written by {}", place - 2));
        }
        place
    });
    let place = place.await.unwrap();
    Answered {
        place,
        tape_position: tape.position(),
    }
}

/// Checks that the view is exactly what transactions `1..=place` made, and returns that place.
fn whole_transactions(view: &View) -> u64 {
    let last = number(view, "place");
    assert_eq!(view.revision().0, last);
    let deleted = |place: u64| place % 3 == 1 && place + 2 <= last;
    let expected: BTreeSet<u64> = (1..=last).filter(|place| !deleted(*place)).collect();
    let settings = view.all::<Setting>().filter(|setting| setting.key != "place");
    let found: BTreeSet<u64> = settings.map(|setting| setting.value.as_u64().unwrap()).collect();
    assert_eq!(found, expected);
    let count = usize::try_from(last).unwrap();
    assert_eq!(
        (view.count::<Database>(), view.count::<Operation>(), view.events().len()),
        (count, count, count)
    );
    assert!(
        view.wire_ids(UID)
            .map(|(id, _)| id.clone())
            .eq((1..=last).map(WireId::Number))
    );
    check_indexes(view);
    last
}

/// What a disk may hold when the power goes with `pending` not synced yet.
fn disk(synced: &[u8], pending: &[Done], choose: &mut dyn FnMut() -> usize) -> Vec<u8> {
    let mut data = synced.to_vec();
    for done in pending {
        match (done, choose()) {
            (Done::Sync, _) | (_, 0) => {}
            (Done::SetLen(length), _) => data.resize(usize::try_from(*length).unwrap(), 0),
            (Done::Write(offset, bytes), 1) => write_at(&mut data, *offset, bytes),
            // Torn: only the first or only the last sectors of it.
            (Done::Write(offset, bytes), 2) => write_at(&mut data, *offset, &bytes[..bytes.len() / 1024 * 512]),
            (Done::Write(offset, bytes), _) => {
                let skipped = bytes.len() / 1024 * 512;
                write_at(&mut data, *offset + skipped as u64, &bytes[skipped..]);
            }
        }
    }
    data
}

async fn record() -> (Vec<Done>, Vec<Answered>) {
    let tape = Tape::default();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let store = Store::with_backend(tape.clone()).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (store, tape, answers) = (store.clone(), tape.clone(), Arc::clone(&answers));
        tasks.spawn(async move {
            for _ in 0..8 {
                let answered = transaction(&store, &tape).await;
                answers.lock().unwrap().push(answered);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    store.close().await.unwrap();
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    (tape.done(), answers)
}

#[tokio::test]
async fn what_was_answered_survives_at_every_sync_point_and_nothing_is_there_in_half() {
    let (tape, answers) = record().await;
    let mut synced = Vec::new();
    let mut disks = 0;
    let syncs = tape
        .iter()
        .enumerate()
        .filter(|(_, done)| matches!(done, Done::Sync))
        .map(|(at, _)| at);
    let mut start = 0;
    for end in syncs.chain([tape.len()]) {
        let pending = &tape[start..end];
        // Answers that were given before the sync at `end` came through rest on syncs before it.
        let answered = answers.iter().filter(|answer| answer.tape_position <= end);
        let answered = answered.map(|answer| answer.place).max().unwrap_or(0);
        let mut judge = |data: Vec<u8>, what: &str| {
            let store = Store::with_backend(Tape::with_data(data))
                .unwrap_or_else(|error| panic!("{what} before the sync at {end}: {error}"));
            let last = whole_transactions(&store.view());
            assert!(
                last >= answered,
                "{what} before the sync at {end}: {answered} was answered, {last} is there"
            );
            disks += 1;
        };
        judge(disk(&synced, pending, &mut || 0), "nothing written");
        judge(disk(&synced, pending, &mut || 1), "everything written");
        for last in 1..pending.len() {
            let mut left = last;
            let mut prefix = || {
                let write = usize::from(left > 0);
                left = left.saturating_sub(1);
                write
            };
            judge(disk(&synced, pending, &mut prefix), "a prefix written");
        }
        for seed in 1..=4 {
            let mut choices = Choices(seed * 0x9E37_79B9 + end as u64);
            judge(disk(&synced, pending, &mut || choices.next(4)), "torn writes");
            judge(disk(&synced, pending, &mut || choices.next(2)), "some writes");
        }
        synced = disk(&synced, pending, &mut || 1);
        start = end;
    }
    assert!(answers.len() == 32 && disks > 200, "{disks} disks");
}

#[tokio::test]
async fn after_a_loss_of_power_work_goes_on_above_everything_that_was_answered() {
    let tape = Tape::default();
    let store = Store::with_backend(tape.clone()).unwrap();
    let mut place = 0;
    for _ in 0..5 {
        place = transaction(&store, &tape).await.place;
    }
    // The file as it is while the store is open: never closed in order.
    let crashed = Tape::with_data(tape.data());
    let store = Store::with_backend(crashed.clone()).unwrap();
    assert_eq!(whole_transactions(&store.view()), place);
    assert_eq!(transaction(&store, &crashed).await.place, place + 1);
    whole_transactions(&store.view());
}
