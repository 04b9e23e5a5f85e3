//! Directories, files and logs of servers.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{LaunchRequest, Runtime, RuntimeError};
use pilothouse_runtime_local::{LocalOptions, LocalRuntime, LogLimits};

use crate::support::{Fixture, account, eventually, shell, sleeper, stop};

#[tokio::test]
async fn a_foreign_directory_is_refused_and_left_alone() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    let path = runtime.directory(server);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("precious"), "data").unwrap();
    let foreign = |error: RuntimeError| assert!(matches!(error, RuntimeError::Foreign { .. }), "{error:?}");
    foreign(runtime.launch(sleeper(server)).await.unwrap_err());
    foreign(runtime.erase(server).await.unwrap_err());
    foreign(runtime.clear_data(server).await.unwrap_err());
    foreign(runtime.adopt(server).await.unwrap_err());
    foreign(runtime.write_file(server, "x".into(), Vec::new()).await.unwrap_err());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    assert_eq!(runtime.list().await.unwrap(), [server]);

    // Ours, but of another data directory: a disk that was copied or mounted in the wrong place.
    let server = ServerId::new();
    runtime.write_file(server, "x".into(), Vec::new()).await.unwrap();
    let other = LocalRuntime::new(LocalOptions {
        mark: "data-directory-2".into(),
        ..fixture.options()
    })
    .unwrap();
    foreign(other.erase(server).await.unwrap_err());
}

#[tokio::test]
async fn an_erased_server_is_gone_at_once_and_its_files_soon() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    runtime.launch(sleeper(server)).await.unwrap();
    assert!(matches!(runtime.erase(server).await, Err(RuntimeError::Locked)));
    stop(&runtime, server).await;
    runtime.erase(server).await.unwrap();
    assert!(!runtime.directory(server).exists());
    assert_eq!(runtime.list().await.unwrap(), []);
    assert_eq!(runtime.state(server), ProcessState::Absent);
    runtime.erase(server).await.unwrap();
    let trash = fixture.path().join("pilothouse/trash");
    let empty = || (fs::read_dir(&trash).unwrap().count() == 0).then_some(());
    eventually("an empty trash", empty).await;
    // What a killed control plane did not get to.
    runtime.shutdown().await;
    fs::create_dir_all(trash.join("old/deep")).unwrap();
    fs::write(trash.join("old/deep/file"), "x").unwrap();
    let _successor = fixture.runtime();
    eventually("an empty trash", empty).await;
}

#[tokio::test]
async fn data_is_cleared_only_of_a_server_that_does_not_run() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    runtime.clear_data(server).await.unwrap();
    runtime
        .write_file(server, "data/dump.rdb".into(), b"12345".to_vec())
        .await
        .unwrap();
    assert_eq!(runtime.data_bytes(server).await.unwrap(), 5);
    assert_eq!(runtime.data_files(server).await.unwrap()[0].name, "dump.rdb");
    assert!(runtime.disk_usage().await[&server] >= 5);
    runtime.launch(sleeper(server)).await.unwrap();
    assert!(matches!(runtime.clear_data(server).await, Err(RuntimeError::Locked)));
    stop(&runtime, server).await;
    runtime.clear_data(server).await.unwrap();
    runtime.clear_data(server).await.unwrap();
    assert_eq!(runtime.data_bytes(server).await.unwrap(), 0);
    assert_eq!(runtime.data_bytes(ServerId::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn files_belong_to_the_servers_account() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    let from = fixture.path().join("import.rdb");
    fs::write(&from, "REDIS").unwrap();
    runtime
        .place_file(server, from.clone(), "data/dump.rdb".into())
        .await
        .unwrap();
    runtime
        .write_file(server, "tls/key.pem".into(), b"key".to_vec())
        .await
        .unwrap();
    assert!(!from.exists());
    let owner = account().map_or(rustix::process::geteuid().as_raw(), |account| account.uid);
    for (name, mode) in [
        ("data", 0o700),
        ("data/dump.rdb", 0o600),
        ("tls", 0o700),
        ("tls/key.pem", 0o600),
        ("mark", 0o600),
    ] {
        let facts = fs::metadata(runtime.directory(server).join(name)).unwrap();
        assert_eq!(
            (facts.uid(), facts.permissions().mode() & 0o7777),
            (owner, mode),
            "{name}"
        );
    }
    assert!(
        runtime
            .write_file(server, "../escape".into(), Vec::new())
            .await
            .is_err()
    );
    assert!(!fixture.path().join("pilothouse/servers/escape").exists());
}

#[tokio::test]
async fn logs_are_captured_appended_and_rotated() {
    let fixture = Fixture::new();
    let logs = LogLimits {
        bytes: 64 * 1024,
        keep: 2,
        every: Duration::from_millis(10),
    };
    let runtime = LocalRuntime::new(LocalOptions {
        logs,
        ..fixture.options()
    })
    .unwrap();
    let mut exits = runtime.take_exits().unwrap();
    let server = ServerId::new();
    assert_eq!(runtime.log_tail(server, 5).await.unwrap(), Vec::<String>::new());
    runtime.launch(shell(server, "echo one; echo two >&2")).await.unwrap();
    crate::support::next(&mut exits).await;
    runtime
        .launch(LaunchRequest {
            incarnation: 2,
            ..shell(server, "echo three")
        })
        .await
        .unwrap();
    crate::support::next(&mut exits).await;
    assert_eq!(runtime.log_tail(server, 5).await.unwrap(), ["one", "two", "three"]);

    let chatty = "i=0; while :; do i=$((i+1)); echo line $i of many that fill the log of this server; done";
    runtime
        .launch(LaunchRequest {
            incarnation: 3,
            ..shell(server, chatty)
        })
        .await
        .unwrap();
    let log = runtime.directory(server).join("server.log");
    eventually("two rotations", || log.with_extension("log.2").exists().then_some(())).await;
    stop(&runtime, server).await;
    // The kill may have cut the very last line.
    let mut tail = runtime.log_tail(server, 4).await.unwrap();
    tail.truncate(3);
    let numbers: Vec<u64> = tail
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!((numbers[1], numbers[2]), (numbers[0] + 1, numbers[0] + 2), "{tail:?}");
}
