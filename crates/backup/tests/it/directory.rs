//! Directories as targets and files as sources.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_backup::{
    BackupError, FailureKind, FileAccess, FileAccount, OpenedLocation, Progress, check_readable, check_writable, fetch,
    prune, store,
};
use pilothouse_model::DatabaseId;
use pilothouse_test_support::{TestDir, wait_until};

use crate::support::{DAY, NOW, PLENTY, days_ago, directory, file_name, files, gunzip, gzip, noise, orders, source};

fn kind<T: std::fmt::Debug>(result: Result<T, BackupError>) -> FailureKind {
    result.expect_err("must fail").kind()
}

#[tokio::test]
async fn a_backup_comes_back_as_it_was() {
    let (here, there) = (TestDir::new(), TestDir::new());
    for (round, length) in [0, 1, 2, 3, 1_000_000].into_iter().enumerate() {
        let content = noise(length, 1);
        let name = file_name(DatabaseId::new(), days_ago(i64::try_from(round).expect("small")));
        let progress = Progress::new();
        let stored = store(
            &directory(there.path()),
            &name,
            &source(here.path(), &content),
            &progress,
        )
        .await
        .expect("stores");
        let file = there.join(name.as_str());
        assert_eq!(stored.plain_bytes, content.len() as u64);
        assert_eq!(stored.stored_bytes, fs::metadata(&file).expect("exists").len());
        assert_eq!(progress.done_bytes(), stored.plain_bytes);
        assert_eq!(fs::metadata(&file).expect("exists").permissions().mode() & 0o777, 0o600);
        assert_eq!(gunzip(&fs::read(&file).expect("reads")), content);

        let back = here.join(format!("back-{round}"));
        let fetched = fetch(&directory(&file), &back, PLENTY, &Progress::new())
            .await
            .expect("fetches");
        assert_eq!((fetched.bytes, fetched.was_gzip), (stored.plain_bytes, true));
        assert_eq!(fs::read(&back).expect("reads"), content);
    }
    assert!(
        files(there.path()).iter().all(|name| name.ends_with(".rdb.gz")),
        "{:?}",
        files(there.path())
    );
}

#[tokio::test]
async fn plain_files_are_read_too() {
    let here = TestDir::new();
    for content in [&b""[..], b"R", b"\x1f", b"REDIS0011..."] {
        let (from, to) = (source(here.path(), content), here.join("to"));
        let fetched = fetch(&directory(&from), &to, PLENTY, &Progress::new())
            .await
            .expect("fetches");
        assert_eq!((fetched.bytes, fetched.was_gzip), (content.len() as u64, false));
        assert_eq!(fs::read(&to).expect("reads"), content);
        fs::remove_file(&to).expect("removes");
    }
}

#[tokio::test]
async fn a_target_is_tried_before_it_is_accepted() {
    let there = TestDir::new();
    check_writable(&directory(there.path())).await.expect("is writable");
    assert_eq!(files(there.path()), [] as [&str; 0], "the probe was left behind");
    let file = source(there.path(), b"x");
    for (path, expected) in [
        (there.join("missing"), FailureKind::WrongPath),
        (file.clone(), FailureKind::WrongPath),
        (file.join("below"), FailureKind::WrongPath),
        ("relative".into(), FailureKind::WrongPath),
        // Refuses new files to everybody, root included.
        ("/sys".into(), FailureKind::NoPermission),
    ] {
        let error = check_writable(&directory(&path)).await.expect_err("must fail");
        assert_eq!(error.kind(), expected, "{path:?}: {error}");
    }
    assert_eq!(
        check_writable(&directory(Path::new("/sys")))
            .await
            .expect_err("fails")
            .export_reason(),
        "no-permission"
    );
}

#[tokio::test]
async fn what_is_no_plain_file_is_not_read() {
    let here = TestDir::new();
    let pipe = here.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("makes a pipe");
    for path in [
        here.path(),
        Path::new("/dev/zero"),
        &pipe,
        &here.join("missing"),
        Path::new("relative"),
    ] {
        let to = here.join("to");
        assert_eq!(
            kind(fetch(&directory(path), &to, PLENTY, &Progress::new()).await),
            FailureKind::WrongPath,
            "{path:?}"
        );
        assert_eq!(
            kind(check_readable(&directory(path)).await),
            FailureKind::WrongPath,
            "{path:?}"
        );
        assert!(!to.exists());
    }
    check_readable(&directory(&source(here.path(), b"x")))
        .await
        .expect("is readable");
}

#[tokio::test]
async fn damaged_and_oversized_files_leave_nothing_behind() {
    let here = TestDir::new();
    let whole = gzip(&noise(100_000, 2));
    let mut flipped = whole.clone();
    flipped[5_000] ^= 1;
    let nothing_for_ever = gzip(b"").repeat(10_000);
    let bomb = gzip(&vec![0; 50_000_000]);
    assert!(bomb.len() < 60_000, "must pass the bound on what comes in");
    for (what, content, most, expected) in [
        ("cut", &whole[..whole.len() - 9], PLENTY, FailureKind::Corrupted),
        ("header only", &whole[..5], PLENTY, FailureKind::Corrupted),
        ("flipped", &flipped, PLENTY, FailureKind::Corrupted),
        (
            "something appended",
            &[&whole, &b"more"[..]].concat(),
            PLENTY,
            FailureKind::Corrupted,
        ),
        ("too large", &whole, 99_999, FailureKind::TooLarge),
        ("plain and too large", &noise(1000, 3), 999, FailureKind::TooLarge),
        ("bomb", &bomb, 1_000_000, FailureKind::TooLarge),
        ("nothing for ever", &nothing_for_ever, 1000, FailureKind::TooLarge),
    ] {
        let (from, to) = (source(here.path(), content), here.join("to"));
        assert_eq!(
            kind(fetch(&directory(&from), &to, most, &Progress::new()).await),
            expected,
            "{what}"
        );
        assert!(!to.exists(), "{what}");
    }
    let (from, to) = (source(here.path(), &whole), here.join("to"));
    fetch(&directory(&from), &to, 100_000, &Progress::new())
        .await
        .expect("exactly as large as allowed");
    let again = fetch(&directory(&from), &to, 100_000, &Progress::new()).await;
    assert_eq!(kind(again), FailureKind::Other, "what exists is not overwritten");
    assert_eq!(fs::metadata(&to).expect("is still there").len(), 100_000);
}

#[tokio::test]
async fn a_file_of_another_database_is_never_replaced() {
    let (here, there) = (TestDir::new(), TestDir::new());
    let (mine, theirs) = (DatabaseId::new(), DatabaseId::new());
    let location = directory(there.path());
    for round in [1, 2] {
        let from = source(here.path(), &noise(1000, round));
        store(&location, &file_name(mine, NOW), &from, &Progress::new())
            .await
            .expect("a retry replaces its own");
    }
    let before = fs::read(there.join(file_name(mine, NOW).as_str())).expect("reads");
    let result = store(
        &location,
        &file_name(theirs, NOW),
        &source(here.path(), b"x"),
        &Progress::new(),
    )
    .await;
    assert_eq!(kind(result), FailureKind::WrongPath);
    assert_eq!(
        fs::read(there.join(file_name(mine, NOW).as_str())).expect("reads"),
        before
    );
    assert_eq!(files(there.path()).len(), 1);
}

#[tokio::test]
async fn a_draft_that_is_a_link_is_not_followed() {
    let (here, there) = (TestDir::new(), TestDir::new());
    let name = file_name(DatabaseId::new(), NOW);
    fs::write(here.join("precious"), b"precious").expect("writes");
    symlink(here.join("precious"), there.join(format!(".{name}.part"))).expect("links");
    store(
        &directory(there.path()),
        &name,
        &source(here.path(), b"x"),
        &Progress::new(),
    )
    .await
    .expect("stores");
    assert_eq!(fs::read(here.join("precious")).expect("reads"), b"precious");
    assert_eq!(files(there.path()), [name.as_str()]);
}

#[tokio::test]
async fn retention_touches_old_files_of_exactly_that_database() {
    let (here, there) = (TestDir::new(), TestDir::new());
    let (mine, theirs) = (DatabaseId::new(), DatabaseId::new());
    let (location, from) = (directory(there.path()), source(here.path(), b"data"));
    for age in [1, 8, 9] {
        store(&location, &file_name(mine, days_ago(age)), &from, &Progress::new())
            .await
            .expect("stores");
    }
    for age in [30, 31] {
        store(&location, &file_name(theirs, days_ago(age)), &from, &Progress::new())
            .await
            .expect("stores");
    }
    // A draft that a killed run left, and things that only look like backups.
    let old = file_name(mine, days_ago(50)).to_string();
    fs::copy(
        there.join(file_name(mine, days_ago(9)).as_str()),
        there.join(format!(".{old}.part")),
    )
    .expect("copies");
    let unmarked = file_name(mine, days_ago(51)).to_string();
    fs::write(there.join(&unmarked), gzip(b"data")).expect("writes");
    let link = file_name(mine, days_ago(52)).to_string();
    symlink(there.join(file_name(mine, days_ago(1)).as_str()), there.join(&link)).expect("links");
    fs::write(there.join("orders.rdb.gz"), b"x").expect("writes");

    let keep = Duration::from_millis(7 * DAY.unsigned_abs());
    let mut pruned = prune(&location, mine, &orders(), keep, NOW).await.expect("prunes");
    pruned.removed.sort();
    let removed = [file_name(mine, days_ago(8)), file_name(mine, days_ago(9))].map(|name| name.to_string());
    let mut expected = vec![format!(".{old}.part"), removed[0].clone(), removed[1].clone()];
    expected.sort();
    assert_eq!((pruned.removed, pruned.kept), (expected.clone(), 1));
    let left = files(there.path());
    assert!(expected.iter().all(|gone| !left.contains(gone)));
    assert_eq!(left.len(), 6, "{left:?}");

    // However old: the newest stays.
    let none = prune(&location, theirs, &orders(), Duration::ZERO, NOW)
        .await
        .expect("prunes");
    assert_eq!(
        (none.removed, none.kept),
        (vec![file_name(theirs, days_ago(31)).to_string()], 1)
    );
}

#[tokio::test]
async fn a_transfer_can_be_stopped_and_leaves_nothing() {
    let (here, there) = (TestDir::new(), TestDir::new());
    let (location, name) = (directory(there.path()), file_name(DatabaseId::new(), NOW));
    let progress = Progress::new();
    progress.cancel();
    let result = store(&location, &name, &source(here.path(), b"x"), &progress).await;
    assert_eq!(kind(result), FailureKind::Cancelled);
    assert_eq!(files(there.path()), [] as [&str; 0]);

    // Nobody waits any more: the same. The source has no blocks, and far more zeros than fit into the time of a test.
    let endless = here.join("endless");
    File::create(&endless)
        .and_then(|file| file.set_len(1 << 40))
        .expect("makes a hole");
    let progress = Progress::new();
    let waiting = tokio::time::timeout(Duration::from_millis(100), store(&location, &name, &endless, &progress)).await;
    assert!(waiting.is_err(), "{waiting:?}");
    wait_until(Duration::from_secs(20), "the draft is removed", async || {
        files(there.path()).is_empty()
    })
    .await;
    assert!(progress.done_bytes() > 0 && progress.fraction() < 0.5);
}

#[tokio::test]
async fn only_what_is_open_to_transfers_is_used() {
    let (root, outside) = (TestDir::new(), TestDir::new());
    for (name, target) in [
        ("in", None),
        ("closed", None),
        ("out", Some(outside.path())),
        ("back", Some(root.path())),
    ] {
        match target {
            None => fs::create_dir(root.join(name)).expect("makes"),
            Some(target) => symlink(target, root.join(name)).expect("links"),
        }
    }
    for place in ["in/dump.rdb", "closed/dump.rdb", "out/dump.rdb"] {
        fs::write(root.join(place), b"REDIS0011").expect("writes");
    }
    let access = Arc::new(FileAccess {
        root: Some(root.path().to_owned()),
        closed: vec![root.join("closed")],
        account: None,
    });
    let at = |place: &str| OpenedLocation::Directory {
        path: root.join(place),
        access: Arc::clone(&access),
    };
    for open in ["in", "back/in", "closed/../in"] {
        check_writable(&at(open)).await.expect(open);
        check_readable(&at(&format!("{open}/../in/dump.rdb")))
            .await
            .expect(open);
    }
    for refused in ["out", "closed", "back/closed", "in/../closed", "in/../.."] {
        assert_eq!(
            kind(check_writable(&at(refused)).await),
            FailureKind::NoPermission,
            "{refused}"
        );
    }
    for refused in ["out/dump.rdb", "closed/dump.rdb", "back/closed/dump.rdb"] {
        assert_eq!(
            kind(check_readable(&at(refused)).await),
            FailureKind::NoPermission,
            "{refused}"
        );
    }
    assert_eq!(kind(check_writable(&at("missing")).await), FailureKind::WrongPath);
}

#[tokio::test]
async fn files_are_touched_with_the_rights_of_the_account() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can take the rights of another account.
        return;
    }
    let nobody = FileAccount {
        uid: 65_534,
        gid: 65_534,
    };
    let access = Arc::new(FileAccess {
        account: Some(nobody),
        ..FileAccess::default()
    });
    let (mine, open) = (TestDir::new(), TestDir::new());
    for (directory, mode) in [(&mine, 0o755), (&open, 0o777)] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).expect("sets");
    }
    let at = |path: &Path| OpenedLocation::Directory {
        path: path.to_owned(),
        access: Arc::clone(&access),
    };
    assert_eq!(kind(check_writable(&at(mine.path())).await), FailureKind::NoPermission);
    let secret = mine.join("secret.rdb");
    fs::write(&secret, b"REDIS0011").expect("writes");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("sets");
    assert_eq!(kind(check_readable(&at(&secret)).await), FailureKind::NoPermission);

    // The dataset itself is ours and closed to the account.
    let name = file_name(DatabaseId::new(), NOW);
    store(&at(open.path()), &name, &secret, &Progress::new())
        .await
        .expect("stores");
    let stored = open.join(name.as_str());
    assert_eq!(fs::metadata(&stored).expect("exists").uid(), nobody.uid);
    let back = mine.join("back.rdb");
    fetch(&at(&stored), &back, PLENTY, &Progress::new())
        .await
        .expect("fetches");
    assert_eq!(fs::read(&back).expect("reads"), b"REDIS0011");
    assert!(
        rustix::process::geteuid().is_root(),
        "the other threads keep their rights"
    );
}
