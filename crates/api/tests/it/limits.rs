//! Clients that send too much, too slowly, or nonsense.

use std::time::Duration;

use pilothouse_api::{Limits, ListenerControl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{exchange, get, limits, listen, read_all, read_until};

fn post(body: &str) -> Vec<u8> {
    format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn long_bodies_are_refused_however_they_are_sent() {
    let (listener, _) = listen(None, limits()).await;
    assert!(
        exchange(listener.address(), &post(&"x".repeat(1000)))
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        exchange(listener.address(), &post(&"x".repeat(1001)))
            .await
            .starts_with("HTTP/1.1 413")
    );
    let announced = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n";
    let answer = exchange(listener.address(), announced).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let chunked = format!("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    assert!(
        exchange(listener.address(), chunked.as_bytes())
            .await
            .starts_with("HTTP/1.1 413")
    );
}

#[tokio::test]
async fn a_refused_request_costs_the_connection_only_where_its_body_is_not_read() {
    let (listener, _) = listen(None, limits()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    for path in ["/echo?a=%zz", "/echo"] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nrefused");
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "refused").await;
    }
    let answer = exchange(listener.address(), &post(&"x".repeat(1001))).await;
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn slow_bodies_are_given_up() {
    let (listener, _) = listen(None, limits()).await;
    let half = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf";
    assert!(exchange(listener.address(), half).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let (listener, _) = listen(None, limits()).await;
    for sent in [&b"GET / HTT"[..], b""] {
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_and_the_next_client_served() {
    let (listener, _) = listen(None, limits()).await;
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(200_000));
    let many_lines = format!("GET / HTTP/1.1\r\n{}\r\n", "X-Line: y\r\n".repeat(1000));
    for (sent, status) in [
        (&b"\x16\x03\x01\x02\x00\r\n\r\n"[..], "400"),
        (b"GET\r\n\r\n", "400"),
        (b"GET / HTTP/9.9\r\n\r\n", "400"),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", "400"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
        (long_line.as_bytes(), "431"),
        (many_lines.as_bytes(), "431"),
    ] {
        let answer = exchange(listener.address(), sent).await;
        let what = String::from_utf8_lossy(&sent[..sent.len().min(30)]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what:?}: {answer}");
        assert!(
            answer.ends_with("\r\n\r\nrefused"),
            "in the words of the dialect: {what:?}: {answer}"
        );
    }
    let bad_query = exchange(listener.address(), &get("/echo?a=%zz")).await;
    assert!(bad_query.starts_with("HTTP/1.1 400"), "{bad_query}");
    assert!(
        exchange(listener.address(), &get("/echo"))
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room() {
    let (listener, _) = listen(
        None,
        Limits {
            connections: 1,
            ..Limits::default()
        },
    )
    .await;
    let mut first = TcpStream::connect(listener.address()).await.unwrap();
    first
        .write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
        .await
        .unwrap();
    read_until(&mut first, "\r\n\r\n1").await;
    let mut second = TcpStream::connect(listener.address()).await.unwrap();
    second.write_all(&get("/echo")).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err(), "there was no room for it yet");
    drop(first);
    assert!(read_all(&mut second).await.starts_with("HTTP/1.1 200"));
    listener.set_connection_limit(2);
    let _third = TcpStream::connect(listener.address()).await.unwrap();
    assert!(
        exchange(listener.address(), &get("/echo"))
            .await
            .starts_with("HTTP/1.1 200")
    );
}

/// Sends a head and then body without end, or as much as is taken of `bytes`, and only then reads what came back.
async fn send_all_then_read(address: std::net::SocketAddr, head: &str, piece: &[u8], bytes: usize) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut sent = 0;
    while sent < bytes {
        stream.write_all(piece).await.expect("whoever sends is not cut off");
        sent += piece.len();
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends in time").expect("it is not reset");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_sends_too_much_can_read_why_it_was_refused() {
    let (listener, _) = listen(None, limits()).await;
    for bytes in [200_000, 5_000_000] {
        let piece = vec![b'x'; 10_000];
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n");
        let answer = send_all_then_read(listener.address(), &head, &piece, bytes).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{bytes}: {answer}");
        assert!(answer.ends_with("refused"), "in the words of the dialect: {answer}");

        let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
        let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = send_all_then_read(listener.address(), head, chunk.as_bytes(), bytes).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{bytes} in chunks: {answer}");
    }
    let line = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(3_000_000));
    let answer = send_all_then_read(listener.address(), &line, b"", 0).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "a long head: {answer}");
}

#[tokio::test]
async fn who_never_stops_sending_is_cut_off_after_the_answer() {
    let bounded = Limits {
        discarded_bytes: 1 << 20,
        discard_timeout: Duration::from_secs(60),
        ..limits()
    };
    let timed = Limits {
        discarded_bytes: usize::MAX,
        discard_timeout: Duration::from_millis(300),
        ..limits()
    };
    for limits in [bounded, timed] {
        let (listener, _) = listen(None, limits).await;
        let stream = TcpStream::connect(listener.address()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
        let sending = async {
            writer.write_all(head).await.unwrap();
            while writer.write_all(chunk.as_bytes()).await.is_ok() {}
        };
        let reading = async {
            let mut answer = [0; 12];
            reader.read_exact(&mut answer).await.expect("an answer comes");
            answer
        };
        let both = async { tokio::join!(sending, reading) };
        let ((), answer) = tokio::time::timeout(Duration::from_secs(10), both)
            .await
            .expect("it is cut off in time");
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}
