//! FTP servers as targets and sources.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use pilothouse_backup::{FailureKind, Progress, check_writable, fetch, prune, store};
use pilothouse_model::DatabaseId;
use pilothouse_test_support::{TestDir, wait_until};

use crate::servers::{FtpServer, Manners};
use crate::support::{DAY, NOW, PLENTY, days_ago, file_name, files, gunzip, noise, orders, source, url};

struct Place {
    here: TestDir,
    there: TestDir,
    server: FtpServer,
}

fn place(manners: Manners) -> Place {
    let (here, there) = (TestDir::new(), TestDir::new());
    fs::create_dir(there.join("a dir")).expect("makes");
    let server = FtpServer::start(there.path().to_owned(), manners, None);
    Place { here, there, server }
}

#[tokio::test]
async fn a_backup_comes_back_as_it_was() {
    for manners in [Manners::Good, Manners::Old] {
        let Place { here, there, server } = place(manners);
        let location = url(server.url("a%20dir"));
        check_writable(&location).await.expect("is writable");
        assert_eq!(
            files(&there.join("a dir")),
            [] as [&str; 0],
            "the probe was left behind"
        );
        let (content, name) = (noise(1_000_000, 7), file_name(DatabaseId::new(), NOW));
        let stored = store(&location, &name, &source(here.path(), &content), &Progress::new())
            .await
            .expect("stores");
        assert_eq!(files(&there.join("a dir")), [name.as_str()]);
        let file = fs::read(there.join("a dir").join(name.as_str())).expect("reads");
        assert_eq!(
            (file.len() as u64, gunzip(&file)),
            (stored.stored_bytes, content.clone())
        );
        let from = url(server.url(&format!("a%20dir/{name}")));
        let fetched = fetch(&from, &here.join("to"), PLENTY, &Progress::new())
            .await
            .expect("fetches");
        assert_eq!((fetched.bytes, fetched.was_gzip), (content.len() as u64, true));
        assert_eq!(fs::read(here.join("to")).expect("reads"), content);
    }
}

#[tokio::test]
async fn retention_touches_old_files_of_exactly_that_database() {
    for manners in [Manners::Good, Manners::Old] {
        let Place { here, there, server } = place(manners);
        let (mine, theirs) = (DatabaseId::new(), DatabaseId::new());
        let (location, from) = (url(server.url("a%20dir")), source(here.path(), b"data"));
        let keep = Duration::from_millis(7 * DAY.unsigned_abs());
        let empty = prune(&location, mine, &orders(), keep, NOW)
            .await
            .expect("an empty directory");
        assert_eq!((empty.removed.len(), empty.kept), (0, 0));
        for (database, age) in [(mine, 1), (mine, 8), (theirs, 9)] {
            store(&location, &file_name(database, days_ago(age)), &from, &Progress::new())
                .await
                .expect("stores");
        }
        let pruned = prune(&location, mine, &orders(), keep, NOW).await.expect("prunes");
        assert_eq!(
            (pruned.removed, pruned.kept),
            (vec![file_name(mine, days_ago(8)).to_string()], 1)
        );
        assert_eq!(files(&there.join("a dir")).len(), 2);
    }
}

#[tokio::test]
async fn failed_uploads_are_told_apart_and_leave_nothing() {
    for (manners, expected) in [
        (Manners::ReadOnly, FailureKind::NoPermission),
        (Manners::Full, FailureKind::NoSpace),
        (Manners::Breaking, FailureKind::Unreachable),
    ] {
        let Place { here, there, server } = place(manners);
        let from = source(here.path(), &noise(5_000_000, 8));
        let name = file_name(DatabaseId::new(), NOW);
        let error = store(&url(server.url("")), &name, &from, &Progress::new())
            .await
            .expect_err("must fail");
        assert_eq!(error.kind(), expected, "{error:?}");
        wait_until(Duration::from_secs(20), "the draft is removed", async || {
            files(there.path()) == ["a dir"]
        })
        .await;
    }
}

#[tokio::test]
async fn other_failures_are_told_apart_too() {
    let Place { here, there, server } = place(Manners::Good);
    fs::write(there.join("dump"), noise(10_000, 9)).expect("writes");
    let breaking = FtpServer::start(there.path().to_owned(), Manners::Breaking, None);
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let wrong_password = server.url("").replace("p%3Aw", "hush");
    for (target, expected) in [
        (server.url("missing"), FailureKind::WrongPath),
        (wrong_password.clone(), FailureKind::NoPermission),
        (format!("ftp://{}/", server.address), FailureKind::NoPermission),
        (format!("ftp://{closed}/"), FailureKind::Unreachable),
        (format!("ftps://me:hush@{}/", server.address), FailureKind::Unreachable),
    ] {
        let error = check_writable(&url(&*target)).await.expect_err(&target);
        assert_eq!(error.kind(), expected, "{target}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
    for (from, most, expected) in [
        (server.url("missing"), PLENTY, FailureKind::WrongPath),
        (server.url(""), PLENTY, FailureKind::WrongPath),
        (server.url("a%20dir/"), PLENTY, FailureKind::WrongPath),
        (server.url("dump"), 100, FailureKind::TooLarge),
        (server.url("dump"), 9_999, FailureKind::TooLarge),
        (format!("{wrong_password}dump"), PLENTY, FailureKind::NoPermission),
        (breaking.url("dump"), PLENTY, FailureKind::Unreachable),
    ] {
        let to = here.join("to");
        let error = fetch(&url(&*from), &to, most, &Progress::new()).await.expect_err(&from);
        assert_eq!(error.kind(), expected, "{from}: {error:?}");
        assert!(!to.exists());
    }
}

#[tokio::test]
async fn a_password_is_never_sent_in_clear_to_a_protected_target() {
    let Place { server, .. } = place(Manners::Good);
    let error = check_writable(&url(format!("ftps://me:hush@{}/", server.address))).await;
    error.expect_err("the server knows no TLS");
    assert_eq!(
        server
            .commands()
            .iter()
            .filter(|verb| *verb == "PASS" || *verb == "USER")
            .count(),
        0
    );
}
