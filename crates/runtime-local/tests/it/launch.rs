//! Starting servers.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pilothouse_model::{ProcessState, ServerId};
use pilothouse_runtime::{LaunchRequest, Limits, Runtime, RuntimeError};
use pilothouse_runtime_local::{LocalOptions, LocalRuntime};
use tokio::task::JoinSet;

use crate::support::{
    Fixture, account, assert_locked, eventually, is_root, launcher, lives, next, pong, redis, request, shell, signal,
    sleeper, stop,
};

#[tokio::test]
async fn a_server_starts_once_and_is_its_own_session() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    assert_eq!(runtime.state(server), ProcessState::Unknown);
    let running = runtime.launch(redis(server)).await.unwrap();
    pong(&runtime.directory(server)).await;
    assert_eq!(runtime.state(server), ProcessState::Running { pid: running.pid });
    assert_eq!(
        runtime.launch(redis(server)).await.unwrap(),
        running,
        "the same start asked for twice"
    );
    assert_locked(
        runtime
            .launch(LaunchRequest {
                incarnation: 2,
                ..redis(server)
            })
            .await,
    );

    let stat = fs::read_to_string(format!("/proc/{}/stat", running.pid)).unwrap();
    assert_eq!(crate::support::field(&stat, 6).unwrap(), running.pid.to_string());
    let wanted = account().map_or(rustix::process::geteuid().as_raw(), |account| account.uid);
    assert_eq!(fs::metadata(format!("/proc/{}", running.pid)).unwrap().uid(), wanted);
    for (name, mode) in [
        ("", 0o700),
        ("redis.conf", 0o600),
        ("data", 0o700),
        ("lock", 0o600),
        ("process.json", 0o600),
    ] {
        let facts = fs::metadata(runtime.directory(server).join(name)).unwrap();
        assert_eq!(
            (facts.uid(), facts.permissions().mode() & 0o7777),
            (wanted, mode),
            "{name}"
        );
    }
    stop(&runtime, server).await;
}

#[tokio::test]
async fn a_server_inherits_nothing_but_its_lock() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let server = ServerId::new();
    // A descriptor that some library of ours left open for children.
    let leak = rustix::io::dup(std::io::stderr().as_fd()).unwrap();
    let environment = vec![("MINE".to_owned(), "yes".to_owned())];
    let limits = Limits {
        open_files: 77,
        ..Limits::default()
    };
    let running = runtime
        .launch(LaunchRequest {
            environment,
            limits,
            ..sleeper(server)
        })
        .await
        .unwrap();
    drop(leak);
    let directory = runtime.directory(server);
    let targets = || -> Vec<_> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", running.pid)).unwrap().flatten();
        descriptors
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .collect()
    };
    // The dynamic loader has libraries open for a moment.
    eventually("no descriptor but these", || {
        let targets = targets();
        let count = |path: &Path| targets.iter().filter(|target| *target == path).count();
        let (log, lock) = (count(&directory.join("server.log")), count(&directory.join("lock")));
        ((targets.len(), count(Path::new("/dev/null")), log, lock) == (4, 1, 2, 1)).then_some(())
    })
    .await;
    let environ = fs::read_to_string(format!("/proc/{}/environ", running.pid)).unwrap();
    let mut names: Vec<_> = environ
        .split('\0')
        .filter_map(|pair| Some(pair.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "MINE", "PATH"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid)).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(files.contains(" 77 "), "{files}");
}

#[tokio::test(flavor = "multi_thread")]
async fn launches_at_once_give_one_process() {
    let fixture = Fixture::new();
    let runtimes = [Arc::new(fixture.runtime()), Arc::new(fixture.runtime())];
    let server = ServerId::new();
    runtimes[0].write_file(server, "made".into(), Vec::new()).await.unwrap();
    let mut launches = JoinSet::new();
    for number in 0..16_usize {
        let runtime = Arc::clone(&runtimes[number % 2]);
        launches.spawn(async move { runtime.launch(sleeper(server)).await });
    }
    let outcomes = launches.join_all().await;
    let mut pids: Vec<u32> = outcomes.iter().flatten().map(|running| running.pid).collect();
    pids.dedup();
    assert_eq!(pids.len(), 1, "{outcomes:?}");
    let only_locked = |outcome: &Result<_, _>| matches!(outcome, Ok(_) | Err(RuntimeError::Locked));
    assert!(outcomes.iter().all(only_locked), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_servers_start_at_once() {
    const SERVERS: usize = 100;
    let fixture = Fixture::new();
    let runtime = Arc::new(fixture.runtime());
    let mut one_by_one = Vec::new();
    for _ in 0..10 {
        let (server, begun) = (ServerId::new(), Instant::now());
        runtime.launch(sleeper(server)).await.unwrap();
        println!("one launch: {:?}", begun.elapsed());
        one_by_one.push(server);
    }
    let begun = Instant::now();
    let mut launches = JoinSet::new();
    for _ in 0..SERVERS {
        let runtime = Arc::clone(&runtime);
        launches.spawn(async move {
            let server = ServerId::new();
            runtime.launch(sleeper(server)).await.unwrap();
            server
        });
    }
    let servers = launches.join_all().await;
    println!("{SERVERS} launches at once: {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut kills = JoinSet::new();
    for server in servers {
        let runtime = Arc::clone(&runtime);
        kills.spawn(async move {
            stop(&runtime, server).await;
            runtime.erase(server).await.unwrap();
        });
    }
    kills.join_all().await;
    println!("{SERVERS} killed and erased at once: {:?}", begun.elapsed());
    assert_eq!(runtime.list().await.unwrap(), one_by_one);
}

#[tokio::test]
async fn a_program_that_cannot_run_is_told_and_leaves_no_process() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let not_executable = fixture.path().join("not_executable");
    fs::write(&not_executable, "").unwrap();
    fs::set_permissions(&not_executable, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, words) in [
        ("/no/such/server".to_owned(), "No such file"),
        ("relative".to_owned(), "absolute"),
        (not_executable.display().to_string(), "Permission denied"),
        ("/usr/bin".to_owned(), "not a file"),
    ] {
        let server = ServerId::new();
        let error = runtime.launch(request(server, &program, &[])).await.unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Program { reason, .. } if reason.contains(words)),
            "{program}: {error:?}"
        );
        assert_eq!(runtime.adopt(server).await.unwrap(), (ProcessState::Absent, None));
        runtime.launch(sleeper(server)).await.unwrap();
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let fixture = Fixture::new();
    let file = fixture.path().join("file");
    fs::write(&file, "").unwrap();
    let error = LocalRuntime::new(LocalOptions {
        data_dir: file.join("below"),
        ..fixture.options()
    })
    .unwrap_err();
    assert!(error.to_string().contains("file/below"), "{error}");

    let runtime = fixture.runtime();
    let server = ServerId::new();
    runtime.write_file(server, "data".into(), Vec::new()).await.unwrap();
    let error = runtime.launch(redis(server)).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Io { path, .. } if path.ends_with("data")),
        "{error:?}"
    );
    assert_eq!(runtime.adopt(server).await.unwrap(), (ProcessState::Absent, None));

    if is_root() {
        let blocked = fixture.path().join("blocked");
        fs::create_dir(&blocked).unwrap();
        fs::set_permissions(&blocked, fs::Permissions::from_mode(0o700)).unwrap();
        let error = LocalRuntime::new(LocalOptions {
            data_dir: blocked.join("below"),
            ..fixture.options()
        })
        .unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Io { path, .. } if *path == blocked),
            "{error:?}"
        );
        assert!(error.to_string().contains("nobody"), "{error}");
    } else {
        println!("skipped: only root runs servers as another account");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    let fixture = Fixture::new();
    let small = fixture.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = is_root()
        && std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "none"])
            .arg(&small)
            .status()
            .is_ok_and(|status| status.success());
    if !mounted {
        println!("skipped: no right to mount a small file system");
        return;
    }
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _mounted = Mounted(small.clone());
    fs::set_permissions(&small, fs::Permissions::from_mode(0o755)).unwrap();
    let runtime = LocalRuntime::new(LocalOptions {
        data_dir: small.join("pilothouse"),
        ..fixture.options()
    })
    .unwrap();
    let server = ServerId::new();
    let big = LaunchRequest {
        files: vec![("big".into(), "x".repeat(1 << 20))],
        ..sleeper(server)
    };
    let error = runtime.launch(big).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NoSpace { .. }), "{error:?}");
    // Nothing of the file stays, and it works again when less is asked for.
    let running = runtime.launch(sleeper(server)).await.unwrap();
    signal(running.pid, rustix::process::Signal::KILL);
    stop(&runtime, server).await;
    runtime.erase(server).await.unwrap();
    assert_eq!(runtime.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_launcher_killed_at_any_step_leaves_nothing_that_runs() {
    let fixture = Fixture::new();
    let mut steps = [
        "Request",
        "Descriptors",
        "Session",
        "Limits",
        "Account",
        "Directory",
        "Lock",
        "Log",
        "Record",
    ]
    .to_vec();
    steps.push("Program");
    for step in steps {
        let server = ServerId::new();
        let options = LocalOptions {
            launcher: launcher(&["--crash-before", step]),
            ..fixture.options()
        };
        let runtime = LocalRuntime::new(options).unwrap();
        let error = runtime.launch(sleeper(server)).await.unwrap_err();
        assert!(
            matches!(&error, RuntimeError::EndedAtOnce { how, .. } if how == "signal 9"),
            "{step}: {error:?}"
        );
        // A successor of the control plane finds nothing and starts it.
        drop(runtime);
        let runtime = fixture.runtime();
        assert_eq!(
            runtime.adopt(server).await.unwrap(),
            (ProcessState::Absent, None),
            "{step}"
        );
        let running = runtime.launch(sleeper(server)).await.unwrap();
        assert!(lives(running.pid));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_between_a_start_and_its_launcher() {
    let fixture = Fixture::new();
    let server = ServerId::new();
    let options = LocalOptions {
        launcher: launcher(&["--stop-before", "Session"]),
        ..fixture.options()
    };
    let first = Arc::new(LocalRuntime::new(options).unwrap());
    let begun = {
        let first = Arc::clone(&first);
        JoinSet::from_iter([async move { first.launch(sleeper(server)).await }])
    };
    let pid_file = first.directory(server).join("lock");
    let launcher = eventually("a stopped launcher", || stopped_holder_of(&pid_file)).await;

    // Another control plane on the same data, as after a crash: the launcher holds the lock although it has not said who it is.
    let second = fixture.runtime();
    assert_eq!(second.adopt(server).await.unwrap(), (ProcessState::Leftover, None));
    assert_locked(second.launch(sleeper(server)).await);
    assert!(matches!(second.erase(server).await, Err(RuntimeError::Locked)));

    signal(launcher, rustix::process::Signal::CONT);
    let running = begun.join_all().await.remove(0).unwrap();
    assert_eq!(running.pid, launcher);
    assert_eq!(
        second.adopt(server).await.unwrap(),
        (ProcessState::Running { pid: launcher }, Some(running))
    );
}

/// The process in state T that has the file open.
fn stopped_holder_of(path: &Path) -> Option<u32> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let stopped = crate::support::field(&stat, 3)? == "T";
        let holds = stopped && fs::read_link(entry.path().join("fd/0")).ok()? == path;
        holds.then(|| entry.file_name().to_str()?.parse().ok())?
    })
}

#[tokio::test]
async fn the_end_of_a_server_tells_how() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let mut exits = runtime.take_exits().unwrap();
    assert!(runtime.take_exits().is_none());
    let server = ServerId::new();
    let running = runtime.launch(shell(server, "exit 3")).await.unwrap();
    let exit = next(&mut exits).await;
    assert_eq!(
        (exit.server, exit.pid, exit.incarnation, exit.how.as_str()),
        (server, running.pid, 1, "exit code 3")
    );
    assert_eq!(runtime.state(server), ProcessState::Absent);

    let running = runtime
        .launch(LaunchRequest {
            incarnation: 2,
            ..sleeper(server)
        })
        .await
        .unwrap();
    let killed = Instant::now();
    signal(running.pid, rustix::process::Signal::KILL);
    let exit = next(&mut exits).await;
    println!("SIGKILL to exit notification: {:?}", killed.elapsed());
    assert_eq!(
        (exit.pid, exit.incarnation, exit.how.as_str()),
        (running.pid, 2, "signal 9")
    );
    // Collected: no zombie stays.
    assert!(!Path::new(&format!("/proc/{}", running.pid)).exists());
}
