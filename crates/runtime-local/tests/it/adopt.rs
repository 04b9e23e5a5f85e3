//! Finding servers again, and leaving strangers alone.

use std::time::Instant;

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{LaunchRequest, Running, Runtime, RuntimeError};
use rustix::process::Signal;

use crate::support::{
    Fixture, assert_locked, boot_id, eventually, lives, lock, next, orphan, pong, redis, signal, sleeper, soon,
    start_time, stop, write_record,
};

#[tokio::test]
async fn a_successor_adopts_what_runs() {
    let fixture = Fixture::new();
    let (server, never) = (ServerId::new(), ServerId::new());
    let first = fixture.runtime();
    let running = first
        .launch(LaunchRequest {
            incarnation: 41,
            ..redis(server)
        })
        .await
        .unwrap();
    pong(&first.directory(server)).await;
    first.shutdown().await;
    drop(first);

    let second = fixture.runtime();
    let mut exits = second.take_exits().unwrap();
    assert_eq!(second.state(server), ProcessState::Unknown);
    let begun = Instant::now();
    let adopted = second.adopt(server).await.unwrap();
    println!("adoption: {:?}", begun.elapsed());
    assert_eq!(adopted, (ProcessState::Running { pid: running.pid }, Some(running)));
    assert_eq!(second.adopt(server).await.unwrap(), adopted);
    assert_eq!(second.adopt(never).await.unwrap(), (ProcessState::Absent, None));
    assert_eq!(
        second
            .launch(LaunchRequest {
                incarnation: 41,
                ..redis(server)
            })
            .await
            .unwrap(),
        running
    );

    signal(running.pid, Signal::KILL);
    let exit = next(&mut exits).await;
    assert_eq!((exit.server, exit.pid, exit.incarnation), (server, running.pid, 41));
    eventually("an absent server", || {
        (second.state(server) == ProcessState::Absent).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_launch_adopts_before_it_starts() {
    let fixture = Fixture::new();
    let server = ServerId::new();
    let first = fixture.runtime();
    let running = first.launch(sleeper(server)).await.unwrap();
    drop(first);
    let second = fixture.runtime();
    assert_locked(
        second
            .launch(LaunchRequest {
                incarnation: 2,
                ..sleeper(server)
            })
            .await,
    );
    let third = fixture.runtime();
    assert_eq!(third.launch(sleeper(server)).await.unwrap(), running);
}

#[tokio::test]
async fn the_end_of_somebody_elses_child_is_unknown() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let mut exits = runtime.take_exits().unwrap();
    let server = ServerId::new();
    runtime.write_file(server, "made".into(), Vec::new()).await.unwrap();
    let directory = runtime.directory(server);
    let pid = orphan(&directory, Some(lock(&directory)));
    write_record(&directory, pid, start_time(pid), &boot_id());
    let adopted = runtime.adopt(server).await.unwrap();
    assert_eq!(
        adopted,
        (ProcessState::Running { pid }, Some(Running { pid, incarnation: 7 }))
    );
    assert!(runtime.activity(server).is_some());
    stop(&runtime, server).await;
    assert_eq!(next(&mut exits).await.how, "unknown");
    assert!(!lives(pid));
    assert!(runtime.activity(server).is_none());
}

#[tokio::test]
async fn a_stranger_with_the_recorded_number_is_never_signalled() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let check = async |name: &str, start_offset: u64, boot: &str, write: bool| {
        let server = ServerId::new();
        runtime.write_file(server, "made".into(), Vec::new()).await.unwrap();
        let directory = runtime.directory(server);
        // The stranger fits the record more or less; somebody else has the lock.
        let stranger = orphan(fixture.path(), None);
        let holder = orphan(&directory, Some(lock(&directory)));
        if write {
            write_record(&directory, stranger, start_time(stranger) + start_offset, boot);
        } else {
            std::fs::write(directory.join("process.json"), "{\"pid\":").unwrap();
        }
        assert_eq!(
            runtime.adopt(server).await.unwrap(),
            (ProcessState::Leftover, None),
            "{name}"
        );
        assert_locked(runtime.launch(sleeper(server)).await);
        assert!(
            matches!(runtime.erase(server).await, Err(RuntimeError::Locked)),
            "{name}"
        );
        runtime.kill(server, soon()).await.unwrap();
        runtime.wait_released(server, soon()).await.unwrap();
        assert!(!lives(holder), "{name}: whoever holds the lock belongs to the server");
        assert!(lives(stranger), "{name}: the stranger does not");
        assert_eq!(
            runtime.adopt(server).await.unwrap(),
            (ProcessState::Absent, None),
            "{name}"
        );
        signal(stranger, Signal::KILL);
    };
    check("another boot", 0, "00000000-0000-0000-0000-000000000000", true).await;
    check("another start time", 1, &boot_id(), true).await;
    check("no lock", 0, &boot_id(), true).await;
    check("a broken record", 0, "", false).await;
}

#[tokio::test]
async fn a_record_without_a_holder_means_absent() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    runtime.write_file(server, "made".into(), Vec::new()).await.unwrap();
    let directory = runtime.directory(server);
    let stranger = orphan(fixture.path(), None);
    write_record(&directory, stranger, start_time(stranger), &boot_id());
    assert_eq!(runtime.adopt(server).await.unwrap(), (ProcessState::Absent, None));
    runtime.kill(server, soon()).await.unwrap();
    assert!(lives(stranger));
    runtime.launch(sleeper(server)).await.unwrap();
    assert!(lives(stranger));
}
