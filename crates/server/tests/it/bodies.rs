//! Bodies that are too long: whoever sends one can read why it was refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pilothouse_test_support::free_port;
use serde_json::Value;

use crate::installation::{AUTHORIZATION, Installation};

/// Sends everything before it reads, as simple clients do.
fn post(port: u16, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    )
    .expect("it reads");
    for piece in body.as_bytes().chunks(10_000) {
        stream.write_all(piece).expect("whoever sends is not cut off");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is not reset");
    answer
}

#[tokio::test]
async fn long_bodies_are_refused_readably_by_every_listener() {
    let metrics = free_port();
    let installation = Installation::with(vec![("LISTEN__METRICS", format!("127.0.0.1:{metrics}"))]).await;
    for (bytes, status) in [(200_000, "400"), (5_000_000, "413")] {
        let answer = post(installation.port, "/v1/bdbs", &"x".repeat(bytes));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let told: Value = serde_json::from_str(body).unwrap();
        assert!(told["error_code"].is_string(), "in the shape of this API: {body}");
    }
    let answer = post(metrics, "/metrics", &"x".repeat(5_000_000));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = post(metrics, "/metrics", &"x".repeat(200_000));
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn a_body_without_end_is_answered_and_cut_off() {
    let installation = Installation::new().await;
    let mut reader = TcpStream::connect(("127.0.0.1", installation.port)).unwrap();
    let mut writer = reader.try_clone().unwrap();
    let head = "POST /v1/bdbs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let sending = std::thread::spawn(move || {
        let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
        writer.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        writer.write_all(head.as_bytes()).unwrap();
        loop {
            if let Err(error) = writer.write_all(chunk.as_bytes()) {
                return error.kind();
            }
        }
    });
    let mut status = [0; 12];
    reader.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    let ended = sending.join().unwrap();
    assert!(
        !matches!(ended, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        "it is cut off, not left waiting: {ended:?}"
    );
}

#[tokio::test]
async fn bodies_that_say_that_they_are_no_json_are_refused() {
    let installation = Installation::new().await;
    let ask = |content_type: &str, body: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", installation.port)).unwrap();
        write!(
            stream,
            "POST /v1/bdbs HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\ncontent-length: {}\r\n{content_type}\
             connection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, told) = answer.split_once("\r\n\r\n").unwrap();
        let told: Value = serde_json::from_str(told).unwrap();
        (
            answer[9..12].to_owned(),
            told["error_code"].as_str().unwrap().to_owned(),
        )
    };
    // Valid JSON, and a database that cannot be: whoever is let in gets to know that.
    let body = r#"{"memory_size": 1}"#;
    for refused in [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
    ] {
        let answer = ask(&format!("Content-Type: {refused}\r\n"), body);
        assert_eq!(
            answer,
            ("415".to_owned(), "unsupported_media_type".to_owned()),
            "{refused}"
        );
    }
    for accepted in [
        "",
        "Content-Type: Application/JSON; charset=UTF-8\r\n",
        "Content-Type: application/merge-patch+json\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let (status, code) = ask(accepted, body);
        assert!(
            status != "415" && status.starts_with('4'),
            "{accepted}: {status} {code}"
        );
    }
    let form = ask(
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "name=x&memory_size=1",
    );
    assert_eq!(form.0, "415", "a real form is none");
}
