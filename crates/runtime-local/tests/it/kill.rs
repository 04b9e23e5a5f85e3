//! Killing servers and what they leave behind.

use std::fs;
use std::time::{Duration, Instant};

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{LaunchRequest, Runtime, RuntimeError};
use rustix::process::Signal;

use crate::support::{
    Fixture, assert_locked, eventually, lives, next, pong, redis, shell, signal, sleeper, soon, stop,
};

/// Leaves a child behind whose number stands in `child`.
const FORKS: &str = "sleep 1000 & echo $! > child; exec sleep 1000";
/// The child also leaves the session.
const FORKS_AWAY: &str = "setsid sleep 1000 & echo $! > child; exec sleep 1000";

async fn child_of(runtime: &impl Runtime, server: ServerId) -> u32 {
    let path = runtime.directory(server).join("child");
    eventually("a child", || fs::read_to_string(&path).ok()?.trim().parse().ok()).await
}

#[tokio::test]
async fn a_child_holds_the_directory_until_it_is_gone() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let mut exits = runtime.take_exits().unwrap();
    let server = ServerId::new();
    let running = runtime.launch(shell(server, FORKS)).await.unwrap();
    let child = child_of(&runtime, server).await;
    signal(running.pid, Signal::KILL);
    assert_eq!(next(&mut exits).await.how, "signal 9");
    assert_eq!(runtime.state(server), ProcessState::Leftover);
    assert_locked(runtime.launch(sleeper(server)).await);
    assert!(matches!(runtime.erase(server).await, Err(RuntimeError::Locked)));
    assert!(matches!(runtime.clear_data(server).await, Err(RuntimeError::Locked)));
    let hurry = Instant::now() + Duration::from_millis(20);
    assert!(matches!(
        runtime.wait_released(server, hurry).await,
        Err(RuntimeError::Timeout { .. })
    ));

    // A successor sees the same, kills it, and may start again.
    drop(runtime);
    let runtime = fixture.runtime();
    assert_eq!(runtime.adopt(server).await.unwrap(), (ProcessState::Leftover, None));
    assert!(lives(child));
    stop(&runtime, server).await;
    assert!(!lives(child));
    runtime.launch(sleeper(server)).await.unwrap();
}

#[tokio::test]
async fn waiting_ends_as_soon_as_the_child_does() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let mut exits = runtime.take_exits().unwrap();
    let server = ServerId::new();
    let running = runtime.launch(shell(server, FORKS)).await.unwrap();
    let child = child_of(&runtime, server).await;
    signal(running.pid, Signal::KILL);
    next(&mut exits).await;
    let (waited, ()) = tokio::join!(runtime.wait_released(server, soon()), async {
        signal(child, Signal::KILL);
    });
    waited.unwrap();
    assert_eq!(runtime.state(server), ProcessState::Absent);
}

#[tokio::test]
async fn the_state_follows_a_child_without_being_asked() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let mut exits = runtime.take_exits().unwrap();
    let server = ServerId::new();
    let running = runtime.launch(shell(server, FORKS)).await.unwrap();
    let child = child_of(&runtime, server).await;
    signal(running.pid, Signal::KILL);
    next(&mut exits).await;
    // The same for one that was found, not started.
    let other = fixture.runtime();
    assert_eq!(other.adopt(server).await.unwrap(), (ProcessState::Leftover, None));
    signal(child, Signal::KILL);
    for runtime in [&runtime, &other] {
        eventually("an absent server", || {
            (runtime.state(server) == ProcessState::Absent).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_kill_reaches_the_whole_session_and_those_who_left_it() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    for script in [FORKS, FORKS_AWAY] {
        let server = ServerId::new();
        let running = runtime.launch(shell(server, script)).await.unwrap();
        let child = child_of(&runtime, server).await;
        let bystander = ServerId::new();
        let other = runtime.launch(sleeper(bystander)).await.unwrap();
        let begun = Instant::now();
        runtime.kill(server, soon()).await.unwrap();
        println!("kill: {:?}", begun.elapsed());
        assert!(!lives(running.pid));
        runtime.wait_released(server, soon()).await.unwrap();
        println!("kill and release: {:?}", begun.elapsed());
        eventually("the end of the child", || (!lives(child)).then_some(())).await;
        assert!(lives(other.pid), "another server is not touched");
        runtime.kill(server, soon()).await.unwrap();
    }
}

#[tokio::test]
async fn a_child_without_the_lock_is_killed_with_its_session() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    // Closes every descriptor from 3 on, as careful programs do before they start others.
    let script =
        "(for n in 3 4 5 6 7 8 9; do eval \"exec $n>&-\"; done; exec sleep 1000) & echo $! > child; exec sleep 1000";
    let running = runtime.launch(shell(server, script)).await.unwrap();
    let child = child_of(&runtime, server).await;
    eventually("the child to become sleep", || {
        (fs::read_to_string(format!("/proc/{child}/comm")).ok()?.trim() == "sleep").then_some(())
    })
    .await;
    // Start times are told in steps of 10 ms: the child must have begun in an earlier one than the kill.
    let started = crate::support::start_time(child);
    eventually("a later tick", || {
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        (seconds * 100.0 > started as f64 + 2.0).then_some(())
    })
    .await;
    runtime.kill(server, soon()).await.unwrap();
    assert!(!lives(running.pid));
    eventually("the end of the child", || (!lives(child)).then_some(())).await;
}

#[tokio::test]
async fn a_stopped_server_is_recognised_and_killed() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    let running = runtime.launch(redis(server)).await.unwrap();
    pong(&runtime.directory(server)).await;
    assert!(!runtime.activity(server).unwrap().stopped);
    signal(running.pid, Signal::STOP);
    eventually("a stop", || runtime.activity(server).unwrap().stopped.then_some(())).await;
    stop(&runtime, server).await;
    assert!(runtime.activity(server).is_none());
}

#[tokio::test]
async fn processor_time_tells_work_from_silence() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let (works, sleeps) = (ServerId::new(), ServerId::new());
    runtime.launch(shell(works, "while :; do :; done")).await.unwrap();
    runtime.launch(sleeper(sleeps)).await.unwrap();
    eventually("work", || {
        let used = runtime.activity(works)?.cpu_time;
        (used > Duration::from_millis(50)).then_some(())
    })
    .await;
    assert!(runtime.activity(sleeps).unwrap().cpu_time < Duration::from_millis(50));
}

#[tokio::test]
async fn killing_what_does_not_run_is_success() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    runtime.kill(server, soon()).await.unwrap();
    runtime.wait_released(server, soon()).await.unwrap();
    runtime
        .launch(LaunchRequest {
            incarnation: 9,
            ..sleeper(server)
        })
        .await
        .unwrap();
    stop(&runtime, server).await;
    runtime.kill(server, soon()).await.unwrap();
}
