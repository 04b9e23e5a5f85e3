//! HTTP servers as sources.

use std::fs;
use std::net::TcpListener;

use pilothouse_backup::{FailureKind, Progress, check_readable, check_writable, fetch};
use pilothouse_test_support::TestDir;

use crate::servers::{HttpServer, ok, status};
use crate::support::{PLENTY, gzip, noise, url};

#[tokio::test]
async fn downloads_plain_and_compressed_files() {
    let content = noise(300_000, 4);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nREDIS\r\n0\r\n\r\n".to_vec();
    let answers = [
        ("/plain", ok(&content)),
        ("/gzip?token=hush", ok(&gzip(&content))),
        ("/chunked", chunked),
    ];
    let (server, here) = (HttpServer::start(None, answers), TestDir::new());
    for (path, expected, was_gzip) in [
        ("plain", &content[..], false),
        ("gzip?token=hush", &content, true),
        ("chunked", b"REDIS", false),
    ] {
        let (to, progress) = (here.join("to"), Progress::new());
        let location = url(format!("http://{}/{path}", server.address));
        check_readable(&location).await.expect("looks right");
        let fetched = fetch(&location, &to, PLENTY, &progress).await.expect("downloads");
        assert_eq!(
            (fetched.bytes, fetched.was_gzip),
            (expected.len() as u64, was_gzip),
            "{path}"
        );
        assert_eq!(fs::read(&to).expect("reads"), expected, "{path}");
        assert!(path == "chunked" || (progress.fraction() - 1.0).abs() < 1e-9, "{path}");
        fs::remove_file(&to).expect("removes");
    }
}

#[tokio::test]
async fn sends_the_login_to_the_named_host_only() {
    let other = HttpServer::start(None, [("/dump", ok(b"data"))]);
    let location = Box::leak(format!("location: http://{}/dump", other.address).into_boxed_str());
    let server = HttpServer::start(None, [("/dump", status("302 Found", location))]);
    let here = TestDir::new();
    let from = url(format!("http://me:p%3Aw@{}/dump", server.address));
    fetch(&from, &here.join("to"), PLENTY, &Progress::new())
        .await
        .expect("downloads");
    assert!(
        server.requests()[0].contains("authorization: Basic bWU6cDp3\r\n"),
        "{:?}",
        server.requests()
    );
    assert!(
        !other.requests()[0].to_lowercase().contains("authorization"),
        "{:?}",
        other.requests()
    );
}

#[tokio::test]
async fn failures_are_told_apart_and_leave_nothing() {
    let cut = ok(&noise(10_000, 5))[..5_000].to_vec();
    let answers = [
        ("/forbidden", status("403 Forbidden", "x: y")),
        ("/login", status("401 Unauthorized", "www-authenticate: Basic")),
        ("/broken", status("500 Oops", "x: y")),
        ("/round", status("302 Found", "location: /round")),
        ("/file", status("302 Found", "location: file:///etc/passwd")),
        ("/empty", status("204 No Content", "x: y")),
        ("/cut", cut),
        ("/noise", b"hello\r\n\r\n".to_vec()),
        ("/large", ok(&noise(10_000, 6))),
        ("/damaged", ok(&gzip(&noise(10_000, 6))[..5_000])),
    ];
    let (server, here) = (HttpServer::start(None, answers), TestDir::new());
    for (path, most, expected) in [
        ("missing?token=hush", PLENTY, FailureKind::WrongPath),
        ("forbidden", PLENTY, FailureKind::NoPermission),
        ("login", PLENTY, FailureKind::NoPermission),
        ("broken", PLENTY, FailureKind::Unreachable),
        ("round", PLENTY, FailureKind::Unreachable),
        // Asked of the same server, which does not have it; never read from this machine.
        ("file", PLENTY, FailureKind::WrongPath),
        ("empty", PLENTY, FailureKind::Unreachable),
        ("cut", PLENTY, FailureKind::Unreachable),
        ("noise", PLENTY, FailureKind::Unreachable),
        ("large", 1_000, FailureKind::TooLarge),
        ("large", 9_999, FailureKind::TooLarge),
        ("damaged", PLENTY, FailureKind::Corrupted),
    ] {
        let to = here.join("to");
        let from = url(format!("http://me:hush@{}/{path}?token=hush", server.address)
            .replace("?token=hush", if path == "missing" { "?token=hush" } else { "" }));
        let error = fetch(&from, &to, most, &Progress::new()).await.expect_err(path);
        assert_eq!(error.kind(), expected, "{path}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        assert!(!to.exists(), "{path}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_a_download_error() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let (here, from) = (TestDir::new(), url(format!("http://127.0.0.1:{port}/x")));
    let error = fetch(&from, &here.join("to"), PLENTY, &Progress::new())
        .await
        .expect_err("nobody listens");
    assert_eq!(
        (error.kind(), error.import_reason()),
        (FailureKind::Unreachable, "download-error")
    );
}

#[tokio::test]
async fn nothing_is_written_to_http() {
    let error = check_writable(&url("http://127.0.0.1:1/x"))
        .await
        .expect_err("cannot work");
    assert_eq!(
        (error.kind(), error.export_reason()),
        (FailureKind::Unsupported, "general-error")
    );
}
