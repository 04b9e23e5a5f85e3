//! Buckets.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_backup::{
    FailureKind, OpenedLocation, Progress, S3Bucket, check_readable, check_writable, fetch, prune, store,
};
use pilothouse_model::{BucketName, DatabaseId, ObjectPath, Secret};
use pilothouse_test_support::TestDir;

use crate::s3_server::{BUCKET, Fault, S3Server};
use crate::support::{NOW, PLENTY, TENANT, days_ago, file_name, gunzip, noise, orders, source};

/// More than two parts hold.
const LARGE: usize = 20 << 20;

fn at(server: &S3Server, path: &str) -> OpenedLocation {
    let (endpoint, name) = (
        format!("http://{}", server.address),
        BucketName::parse(BUCKET).expect("a name"),
    );
    let bucket = S3Bucket::new(&endpoint, "us-east-1", &name, false, "the-key", &Secret::new("hush"));
    OpenedLocation::S3 {
        bucket: Arc::new(bucket.expect("an endpoint")),
        path: ObjectPath::parse(path).expect("a path"),
    }
}

#[tokio::test]
async fn backups_are_written_and_read_whole() {
    let (server, here) = (S3Server::start(), TestDir::new());
    for (path, length) in [("", 300_000), ("a b/ü&", 300_000), ("large", LARGE)] {
        let (place, content) = (at(&server, path), noise(length, 1));
        check_writable(&place).await.expect("works");
        let (name, progress) = (file_name(DatabaseId::new(), NOW), Progress::new());
        let file = source(here.path(), &content);
        let stored = store(&place, &name, &file, &progress).await.expect("stores");
        assert_eq!(stored.plain_bytes, length as u64);
        let key = format!("{path}/{name}").trim_start_matches('/').to_owned();
        assert_eq!(server.keys(), [key.as_str()]);
        let object = server.stored().objects[&key].clone();
        assert_eq!(stored.stored_bytes, object.len() as u64);
        assert!(gunzip(&object) == content);
        assert!(server.stored().uploads.is_empty());

        let (from, to) = (at(&server, &key), here.join("to"));
        check_readable(&from).await.expect("looks right");
        let fetched = fetch(&from, &to, PLENTY, &Progress::new()).await.expect("downloads");
        assert_eq!(fetched.tenant, Some(TENANT));
        assert!(fetched.was_gzip && fs::read(&to).expect("reads") == content);
        fs::remove_file(&to).expect("removes");
        let error = fetch(&from, &to, 1000, &Progress::new()).await.expect_err("too large");
        assert_eq!(error.kind(), FailureKind::TooLarge);
        server.stored().objects.clear();
    }
    let error = check_readable(&at(&server, ""))
        .await
        .expect_err("a bucket is no object");
    assert_eq!(error.kind(), FailureKind::WrongPath);
}

#[tokio::test]
async fn retention_removes_what_is_of_this_database_only() {
    let (server, here) = (S3Server::start(), TestDir::new());
    let (ours, theirs, place) = (DatabaseId::new(), DatabaseId::new(), at(&server, "daily"));
    let file = source(here.path(), b"data");
    for days in [1, 5, 9, 20] {
        let name = file_name(ours, days_ago(days));
        store(&place, &name, &file, &Progress::new()).await.expect("stores");
    }
    let of_other = file_name(theirs, days_ago(30));
    store(&place, &of_other, &file, &Progress::new()).await.expect("stores");
    let deeper = format!("daily/deeper/{}", file_name(ours, days_ago(40)));
    let foreign = format!("daily/{}", file_name(ours, days_ago(50)));
    server.stored().objects.insert(deeper.clone(), b"x".to_vec());
    server.stored().objects.insert(foreign.clone(), Vec::new());

    let keep = Duration::from_hours(7 * 24);
    let pruned = prune(&place, ours, &orders(), keep, NOW).await.expect("prunes");
    assert_eq!((pruned.removed.len(), pruned.kept), (2, 2));
    let left = server.keys();
    assert_eq!(left.len(), 5, "{left:?}");
    for kept in [deeper, foreign, format!("daily/{of_other}")] {
        assert!(left.contains(&kept), "{kept}");
    }
}

#[tokio::test]
async fn a_backup_of_another_database_is_never_replaced() {
    let (server, here) = (S3Server::start(), TestDir::new());
    let (file, place) = (source(here.path(), b"data"), at(&server, ""));
    let theirs = file_name(DatabaseId::new(), NOW);
    store(&place, &theirs, &file, &Progress::new()).await.expect("stores");
    store(&place, &theirs, &file, &Progress::new())
        .await
        .expect("stores again");
    let before = server.stored().objects.clone();
    let error = store(&place, &file_name(DatabaseId::new(), NOW), &file, &Progress::new())
        .await
        .expect_err("it is somebody else's");
    assert_eq!(error.kind(), FailureKind::WrongPath);
    assert_eq!(server.stored().objects, before);
}

#[tokio::test]
async fn a_busy_service_is_asked_again() {
    let (server, here) = (S3Server::start(), TestDir::new());
    let content = noise(LARGE, 2);
    let (file, place, name) = (
        source(here.path(), &content),
        at(&server, ""),
        file_name(DatabaseId::new(), NOW),
    );
    let mut left = vec![Fault::Refuse(503, "SlowDown"), Fault::HangUp];
    server.fail(move |request| if request.ends_with(" 2") { left.pop() } else { None });
    store(&place, &name, &file, &Progress::new()).await.expect("stores");
    assert!(gunzip(&server.stored().objects[name.as_str()]) == content);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_failure() {
    let (server, here) = (S3Server::start(), TestDir::new());
    let (file, place, name) = (
        source(here.path(), &noise(LARGE, 3)),
        at(&server, ""),
        file_name(DatabaseId::new(), NOW),
    );
    let mut posts = 0;
    server.fail(move |request| {
        posts += usize::from(request.starts_with("POST"));
        (request.starts_with("POST") && posts == 2).then_some(Fault::SwallowAnswer)
    });
    store(&place, &name, &file, &Progress::new()).await.expect("is there");
    assert_eq!(server.keys(), [name.as_str()]);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_no_backup() {
    let (server, here) = (S3Server::start(), TestDir::new());
    let (file, place, name) = (
        source(here.path(), &noise(LARGE, 4)),
        at(&server, ""),
        file_name(DatabaseId::new(), NOW),
    );
    // The service is gone from the second part on, and cannot be told to forget the first.
    let mut gone = false;
    server.fail(move |request| {
        gone |= request.ends_with(" 2");
        gone.then_some(Fault::HangUp)
    });
    let error = store(&place, &name, &file, &Progress::new())
        .await
        .expect_err("it is gone");
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error:?}");
    assert_eq!((server.keys().len(), server.stored().uploads.len()), (0, 1));

    // It refuses to complete, after it said that all is well.
    let mut posts = 0;
    server.fail(move |request| {
        posts += usize::from(request.starts_with("POST"));
        (request.starts_with("POST") && posts > 1).then_some(Fault::Refuse(200, "InternalError"))
    });
    let error = store(&place, &name, &file, &Progress::new())
        .await
        .expect_err("not completed");
    assert!(error.to_string().contains("InternalError"), "{error}");
    assert_eq!(
        (server.keys().len(), server.stored().uploads.len()),
        (0, 0),
        "earlier parts are gone too"
    );

    server.recover();
    let progress = Progress::new();
    progress.cancel();
    let error = store(&place, &name, &file, &progress).await.expect_err("cancelled");
    assert_eq!(error.kind(), FailureKind::Cancelled);
    assert_eq!((server.keys().len(), server.stored().uploads.len()), (0, 0));
}

#[tokio::test]
async fn failures_are_told_apart_and_say_no_secret() {
    let (server, here) = (S3Server::start(), TestDir::new());
    let (file, place, name) = (
        source(here.path(), b"data"),
        at(&server, "a"),
        file_name(DatabaseId::new(), NOW),
    );
    for (fault, kind) in [
        (Fault::Refuse(404, "NoSuchBucket"), FailureKind::WrongPath),
        (Fault::Refuse(403, "SignatureDoesNotMatch"), FailureKind::NoPermission),
        (Fault::Refuse(301, "PermanentRedirect"), FailureKind::WrongPath),
        (Fault::Refuse(507, "XMinioStorageFull"), FailureKind::NoSpace),
        (Fault::HangUp, FailureKind::Unreachable),
    ] {
        server.fail(move |_| Some(fault));
        let to = here.join("to");
        for error in [
            check_writable(&place).await.expect_err("fails"),
            store(&place, &name, &file, &Progress::new()).await.expect_err("fails"),
            fetch(&place, &to, PLENTY, &Progress::new()).await.expect_err("fails"),
        ] {
            assert_eq!(error.kind(), kind, "{error:?}");
            let told = format!("{error:?}");
            assert!(!told.contains("hush") && !told.contains("Signature="), "{told}");
            assert!(error.to_string().contains("s3://backups/a"), "{error}");
        }
        assert!(!to.exists());
    }
    server.recover();
    let error = fetch(&place, &here.join("to"), PLENTY, &Progress::new())
        .await
        .expect_err("nothing there");
    assert_eq!(
        (error.kind(), error.import_reason()),
        (FailureKind::WrongPath, "download-error")
    );
}
