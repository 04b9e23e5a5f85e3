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
