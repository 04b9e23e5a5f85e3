//! Handlers, connections, and how they end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pilothouse_api::{Limits, ListenerControl};
use pilothouse_test_support::{free_port, wait_until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{exchange, get, limits, listen, read_all, read_until};

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_connection_is_kept_alive() {
    let (listener, _) = listen(None, Limits::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    for body in ["one", "two"] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(read_until(&mut stream, body).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_disturbs_nobody() {
    let (listener, _) = listen(None, Limits::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream
        .write_all(b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = read_until(&mut stream, "refused").await;
    assert!(
        answer.starts_with("HTTP/1.1 500") && answer.contains("x-request-id: "),
        "{answer}"
    );
    stream.write_all(&get("/echo")).await.unwrap();
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_handler_outlives_its_client() {
    let (listener, paths) = listen(None, Limits::default()).await;
    let mut stream = TcpStream::connect(listener.address()).await.unwrap();
    stream.write_all(&get("/wait")).await.unwrap();
    paths.started.notified().await;
    drop(stream);
    // The listener has noticed the end of the connection when it answers the next one and is asked to go.
    assert!(
        exchange(listener.address(), &get("/echo"))
            .await
            .starts_with("HTTP/1.1 200")
    );
    paths.go.notify_one();
    wait_until(LONG, "the handler to end", async || {
        paths.done.load(Ordering::SeqCst) == 1
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_waits_for_requests_and_takes_no_more() {
    let (listener, paths) = listen(None, Limits::default()).await;
    let address = listener.address();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(&get("/wait")).await.unwrap();
    paths.started.notified().await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let client = async {
        assert_eq!(read_all(&mut idle).await, "", "an idle connection is closed");
        wait_until(LONG, "the port to be closed", async || {
            TcpStream::connect(address).await.is_err()
        })
        .await;
        paths.go.notify_one();
        assert!(read_all(&mut waiting).await.ends_with("waited"));
    };
    let (ended, ()) = tokio::join!(listener.shut_down(LONG), client);
    assert!(ended, "everything ended in time");
}

#[tokio::test]
async fn a_shutdown_gives_up_after_its_time() {
    let (listener, paths) = listen(None, Limits::default()).await;
    let mut waiting = TcpStream::connect(listener.address()).await.unwrap();
    waiting.write_all(&get("/wait")).await.unwrap();
    paths.started.notified().await;
    assert!(!listener.shut_down(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_listener_moves_closes_and_opens() {
    let (listener, _) = listen(None, limits()).await;
    let old = listener.address();
    let mut kept = TcpStream::connect(old).await.unwrap();
    let moved = listener.move_to_port(free_port()).await.unwrap();
    assert_eq!(listener.address(), moved);
    assert!(TcpStream::connect(old).await.is_err());
    assert!(exchange(moved, &get("/echo")).await.starts_with("HTTP/1.1 200"));
    kept.write_all(&get("/echo")).await.unwrap();
    assert!(
        read_all(&mut kept).await.starts_with("HTTP/1.1 200"),
        "connections from before are served"
    );

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(listener.move_to_port(taken.local_addr().unwrap().port()).await.is_err());
    assert!(
        exchange(moved, &get("/echo")).await.starts_with("HTTP/1.1 200"),
        "a failed move changes nothing"
    );

    listener.close().await;
    assert!(!listener.is_open() && TcpStream::connect(moved).await.is_err());
    listener.open().await.unwrap();
    assert!(exchange(moved, &get("/echo")).await.starts_with("HTTP/1.1 200"));
}
