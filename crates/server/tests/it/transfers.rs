//! Export, import and scheduled backups through the Redis Enterprise API, with real servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilothouse_test_support::wait_for;
use serde_json::{Value, json};

use crate::installation::{Database, Installation, only_file};

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: usize = 20_000;

fn kinds() -> Vec<Value> {
    let snapshots = json!({ "data_persistence": "snapshot", "snapshot_policy": [{ "secs": 3600, "writes": 1 }] });
    let with_replica = |kind: &Value| {
        let mut kind = kind.clone();
        kind["replication"] = true.into();
        kind
    };
    let single = [json!({}), json!({ "data_persistence": "aof" }), snapshots];
    single.iter().cloned().chain(single.iter().map(with_replica)).collect()
}

impl Installation {
    /// A folder that transfers may use: they have the rights of servers.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir(&path).expect("it can be made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        path
    }

    fn begin(&self, database: Database, what: &str, path: &Path) {
        let place = json!({ "type": "mount_point", "path": path });
        let body = match what {
            "export" => json!({ "export_location": place }),
            _ => json!({ "dataset_import_sources": [place] }),
        };
        let (status, answer) = self.ask("POST", &format!("/v1/bdbs/{}/actions/{what}", database.uid), &body);
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits for the end; `Err` with the reason when it failed.
    async fn end(&self, database: Database, what: &str) -> Result<(), String> {
        let status = format!("{what}_status");
        wait_for(PATIENCE, &format!("the {what} ends"), async || {
            let shown = self.show(database.uid);
            let reason = shown[format!("{what}_failure_reason")].as_str().unwrap_or_default();
            match shown[&status].as_str() {
                _ if shown["status"] != "active" => None,
                Some("succeeded") => Some(Ok(())),
                Some("failed") => Some(Err(reason.to_owned())),
                _ => None,
            }
        })
        .await
    }

    async fn transfer(&self, database: Database, what: &str, path: &Path) -> Result<(), String> {
        self.begin(database, what, path);
        self.end(database, what).await
    }

    /// A file with [`KEYS`] keys, and how many servers there are then.
    async fn exported(&self, bytes: usize) -> (PathBuf, usize) {
        let source = self.create("source", &json!({})).await;
        source.fill("new", KEYS, bytes);
        let folder = self.folder("exported");
        self.transfer(source, "export", &folder).await.expect("exported");
        (only_file(&folder), self.servers())
    }
}

#[tokio::test]
async fn every_kind_of_database_is_exported_and_imported() {
    let installation = Installation::new().await;
    let kinds = kinds();
    for (number, kind) in kinds.iter().enumerate() {
        let source = installation.create(&format!("from-{number}"), kind).await;
        source.fill("new", 1000, 100);
        let folder = installation.folder(&format!("folder-{number}"));
        installation
            .transfer(source, "export", &folder)
            .await
            .expect("exported");
        let other = &kinds[(number + 4) % kinds.len()];
        let target = installation.create(&format!("to-{number}"), other).await;
        target.fill("old", 10, 10);
        installation
            .transfer(target, "import", &only_file(&folder))
            .await
            .unwrap_or_else(|why| panic!("{kind} into {other}: {why}"));
        assert_eq!(target.keys(), "1000", "{kind} into {other}");
        assert!(target.call(&["GET", "new777"]).ends_with("v777"));
        assert_eq!(target.call(&["SET", "after", "1"]), "OK");
        let servers = installation.servers();
        installation.delete(target).await;
        installation.delete(source).await;
        assert!(installation.servers() < servers);
    }
    assert_eq!((installation.servers(), installation.scratch_files()), (0, 0));
}

#[tokio::test]
async fn a_transfer_that_fails_says_why_and_damages_nothing() {
    let installation = Installation::new().await;
    let (file, servers) = installation.exported(7000).await;
    let target = installation.create("target", &json!({ "replication": true })).await;
    target.fill("old", 10, 10);
    let folder = file.parent().expect("a folder").to_owned();
    let named = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).expect("written");
        path
    };
    let whole = fs::read(&file).expect("readable");
    // The limit of a replicated database is that of both its servers.
    let limit = (100 << 20) / 2;
    for (path, reason) in [
        (named("foreign.rdb", b"not a dataset"), "file-corrupted"),
        (
            named("damaged.rdb", &[b"REDIS0010".as_slice(), &[b'x'; 1000]].concat()),
            "file-corrupted",
        ),
        (named("cut.rdb.gz", &whole[..whole.len() / 2]), "file-corrupted"),
        (folder.join("missing.rdb"), "download-error"),
        (file.clone(), "file-larger-than-mem-limit"),
    ] {
        let why = installation
            .transfer(target, "import", &path)
            .await
            .expect_err("it must fail");
        assert!(why.starts_with(reason), "{}: {why}", path.display());
        if reason == "file-larger-than-mem-limit" {
            let numbers: Vec<u64> = why.split(':').skip(1).filter_map(|word| word.parse().ok()).collect();
            assert!(
                matches!(numbers[..], [expected, stated] if expected > limit && stated == limit),
                "{why}"
            );
        }
        assert_eq!(target.keys(), "10", "{}", path.display());
    }
    for (path, reason) in [
        ("missing", "wrong-file-path"),
        ("exported/damaged.rdb", "wrong-file-path"),
    ] {
        let path = installation.directory.join(path);
        let why = installation.transfer(target, "export", &path).await;
        assert_eq!(why, Err(reason.to_owned()));
    }
    let why = installation.transfer(target, "export", Path::new("/sys/kernel")).await;
    assert_eq!(why, Err("no-permission".to_owned()));
    assert_eq!(target.call(&["SET", "after", "1"]), "OK");
    assert_eq!((installation.servers(), installation.scratch_files()), (servers + 2, 0));
}

#[tokio::test]
async fn transfers_outlive_the_control_plane() {
    let mut installation = Installation::new().await;
    let (file, servers) = installation.exported(1000).await;
    let folder = installation.folder("again");
    for (round, progress) in [0.0, 30.0, 60.0, 70.0].into_iter().enumerate() {
        let kind = json!({ "replication": true, "data_persistence": if round % 2 == 0 { "aof" } else { "disabled" } });
        let target = installation.create(&format!("target-{round}"), &kind).await;
        target.fill("old", 10, 10);
        installation.begin(target, "import", &file);
        reach(&installation, target, "import", progress).await;
        installation.kill();
        installation.start();
        assert_eq!(installation.end(target, "import").await, Ok(()), "killed at {progress}");
        assert_eq!(target.keys(), KEYS.to_string(), "killed at {progress}");

        installation.begin(target, "export", &folder);
        reach(&installation, target, "export", progress).await;
        installation.kill();
        installation.start();
        assert_eq!(installation.end(target, "export").await, Ok(()), "killed at {progress}");
        fs::remove_file(only_file(&folder)).expect("it is there once, and whole");
        installation.delete(target).await;
        assert_eq!((installation.servers(), installation.scratch_files()), (servers, 0));
    }
}

/// Waits until a transfer has come that far, or has ended.
async fn reach(installation: &Installation, database: Database, what: &str, progress: f64) {
    wait_for(PATIENCE, &format!("the {what} comes to {progress}"), async || {
        let shown = installation.show(database.uid);
        let ended = matches!(shown[format!("{what}_status")].as_str(), Some("succeeded" | "failed"));
        let now = shown[format!("{what}_progress")].as_f64().unwrap_or_default();
        (ended || now >= progress).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_import_outlives_the_primary() {
    let installation = Installation::new().await;
    let (file, servers) = installation.exported(1000).await;
    // Each keeps its data when it loses its primary, should the import be done before that.
    for kind in [json!({ "replication": true }), json!({ "data_persistence": "aof" })] {
        let target = installation.create("target", &kind).await;
        target.fill("old", 10, 10);
        let process = target.call(&[
            "EVAL",
            "return redis.call('INFO', 'server'):match('process_id:(%d+)')",
            "0",
        ]);
        let process = process.parse().ok().and_then(rustix::process::Pid::from_raw);
        installation.begin(target, "import", &file);
        reach(&installation, target, "import", 70.0).await;
        rustix::process::kill_process(process.expect("a process"), rustix::process::Signal::KILL).expect("it is ours");
        assert_eq!(installation.end(target, "import").await, Ok(()));
        wait_for(PATIENCE, "the data are there", async || {
            (target.keys() == KEYS.to_string()).then_some(())
        })
        .await;
        installation.delete(target).await;
        assert_eq!((installation.servers(), installation.scratch_files()), (servers, 0));
    }
}

#[tokio::test]
async fn backups_are_made_on_schedule() {
    let installation = Installation::new().await;
    let folder = installation.folder("backups");
    let schedule = json!({
        "backup": true, "backup_interval": 2, "backup_interval_offset": 0, "backup_history": 1,
        "backup_location": { "type": "mount_point", "path": folder },
    });
    let database = installation.create("kept", &schedule).await;
    database.fill("key", 10, 10);
    let count = || fs::read_dir(&folder).expect("readable").count();
    wait_for(PATIENCE, "a second backup", async || (count() >= 2).then_some(())).await;
    assert_eq!(installation.show(database.uid)["backup_failure_reason"], "");
    // A place that is gone is a failure, and the next backup comes all the same.
    let away = installation.directory.join("away");
    fs::rename(&folder, &away).expect("renamed");
    wait_for(PATIENCE, "a failure", async || {
        let shown = installation.show(database.uid);
        (shown["backup_status"] == "failed").then(|| assert_eq!(shown["backup_failure_reason"], "wrong-file-path"))
    })
    .await;
    fs::rename(&away, &folder).expect("renamed back");
    let before = count();
    wait_for(PATIENCE, "another backup", async || (count() > before).then_some(())).await;
}
