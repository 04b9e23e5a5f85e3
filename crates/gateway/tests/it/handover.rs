//! Upgrades: a successor takes over and no connection breaks.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as PlainUnixStream;

use pilothouse_gateway_protocol::{Backend, Gateway, RouteState};
use pilothouse_model::DatabaseId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::*;

#[tokio::test]
async fn connections_outlive_the_process() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let open = open_route(&client, server.address).await;
    let waiting = route(DatabaseId::new(), free_endpoint(), RouteState::Held);
    client.set(waiting.clone()).await.unwrap();
    let (mut stream, mut held) = (connect(open.endpoint).await, connect(waiting.endpoint).await);
    expect(&mut stream, "hello").await;
    held.write_all(b"early").await.unwrap();
    eventually("it is held", async || connections(&client, waiting.database).await == 1).await;

    for _ in 0..3 {
        let predecessor = gateway.take_over();
        let pid = predecessor.id();
        let (status, text) = ended(predecessor).await;
        assert_eq!(status.code(), Some(0), "{text}");
        echo(&mut stream, "still here").await;
        expect(&mut connect(open.endpoint).await, "hello").await;
        let successor = client.successor_of(pid).await.unwrap();
        assert_eq!(successor.pid, gateway.pid());
        let program = format!("/proc/{}/exe", successor.pid);
        let build = pilothouse_gateway_protocol::build_of(program.as_ref()).unwrap();
        assert!(
            successor.program.ends_with(&build),
            "it says what it runs: {successor:?}"
        );
        assert_eq!(connections(&client, waiting.database).await, 1);
    }
    let (status, text) = ended(spawn(gateway.directory.path(), &[])).await;
    assert_eq!(status.code(), Some(3), "the successor has the lock");
    assert!(text.contains(&format!("process {}", gateway.pid())), "{text}");

    let load = client.load().await.unwrap();
    let load = load.iter().find(|load| load.database == Some(open.database)).unwrap();
    assert_eq!((load.accepted, load.bytes_in), (4, 30), "counters go on");

    let opened = route(
        waiting.database,
        waiting.endpoint,
        RouteState::Open(Backend::Tcp(server.address)),
    );
    client.set(opened).await.unwrap();
    expect(&mut held, "helloearly").await;
    let switched = route(open.database, open.endpoint, RouteState::Held);
    client.set(switched).await.unwrap();
    expect_close(&mut stream).await;
}

#[tokio::test]
async fn hundreds_of_connections_and_endpoints_change_hands() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("").await;
    let mut streams = Vec::new();
    for _ in 0..250 {
        let route = open_route(&client, server.address).await;
        streams.push(connect(route.endpoint).await);
        streams.push(connect(route.endpoint).await);
    }
    for stream in &mut streams {
        echo(stream, "before").await;
    }
    let (status, text) = ended(gateway.take_over()).await;
    assert_eq!(status.code(), Some(0), "{text}");
    for stream in &mut streams {
        echo(stream, "after").await;
    }
}

#[tokio::test]
async fn bytes_under_way_arrive_once_and_in_order() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    // A server that reads nothing until it is told to, so that every buffer on the way is full at the handover.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = open_route(&client, listener.local_addr().unwrap()).await;
    let (mut reader, mut writer) = connect(route.endpoint).await.into_split();
    let (mut server, _) = listener.accept().await.unwrap();
    let sent: Vec<u8> = (0..20_000_000_u32).map(|number| (number / 251 % 256) as u8).collect();
    let expected = sent.clone();
    let mut sender = tokio::task::JoinSet::new();
    sender.spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let load = async || client.load().await.unwrap()[0].bytes_in;
    let mut before = 0;
    eventually("all buffers are full", async || {
        tokio::time::sleep(A_WHILE).await;
        let now = load().await;
        now > 0 && now == std::mem::replace(&mut before, now)
    })
    .await;
    let (status, text) = ended(gateway.take_over()).await;
    assert_eq!(status.code(), Some(0), "{text}");
    let mut read = Vec::new();
    timeout(PATIENCE, server.read_to_end(&mut read))
        .await
        .expect("the end arrives")
        .unwrap();
    assert!(read == expected, "{} bytes arrived", read.len());
    server.write_all(b"bye").await.unwrap();
    drop(server);
    let mut answer = String::new();
    timeout(PATIENCE, reader.read_to_string(&mut answer))
        .await
        .expect("the answer arrives")
        .unwrap();
    assert_eq!(answer, "bye");
}

#[tokio::test]
async fn clients_at_work_do_not_notice_a_row_of_handovers() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("").await;
    let route = open_route(&client, server.address).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..20 {
        let stopped = stopped.clone();
        workers.spawn(async move {
            let mut stream = connect(route.endpoint).await;
            let mut rounds = 0;
            while !*stopped.borrow() {
                echo(&mut stream, &format!("{worker}: {rounds}")).await;
                rounds += 1;
            }
            rounds
        });
    }
    for _ in 0..5 {
        let predecessor = gateway.take_over();
        let pid = predecessor.id();
        let (status, text) = ended(predecessor).await;
        assert_eq!(status.code(), Some(0), "{text}");
        // One that cannot be asked yet would not hand over: the next would find the lock taken.
        client.successor_of(pid).await.unwrap();
    }
    stop.send(true).unwrap();
    while let Some(rounds) = workers.join_next().await {
        assert!(rounds.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_successor_that_fails_half_way_changes_nothing() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let route = open_route(&client, server.address).await;
    let mut stream = connect(route.endpoint).await;
    expect(&mut stream, "hello").await;

    for greeting in [
        format!(r#"{{"Hello":{{"version":1,"data_dir_id":"{}"}}}}"#, gateway.id),
        r#"{"Hello":{"version":1,"data_dir_id":"another"}}"#.to_owned(),
        format!(r#"{{"Hello":{{"version":2,"data_dir_id":"{}"}}}}"#, gateway.id),
        "nonsense".to_owned(),
    ] {
        let mut successor = PlainUnixStream::connect(&gateway.paths.handover).unwrap();
        let length = u32::try_from(greeting.len()).unwrap().to_be_bytes();
        successor
            .write_all(&[&length, &[0; 4], greeting.as_bytes()].concat())
            .unwrap();
        // It has the descriptors of the first message now, or a refusal, or nothing.
        let _ = successor.read(&mut [0; 8]);
        drop(successor);
        echo(&mut stream, "still here").await;
        expect(&mut connect(route.endpoint).await, "hello").await;
    }
    assert_eq!(
        client.peer().map(|peer| peer.pid),
        Some(gateway.pid()),
        "the control plane was not cut off"
    );
}

#[tokio::test]
async fn without_a_predecessor_a_successor_just_starts() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let route = open_route(&client, server.address).await;
    gateway.kill();
    let dead = gateway.take_over();
    drop(dead);
    eventually("the client has found it", async || {
        client.peer().is_some_and(|peer| peer.pid == gateway.pid())
    })
    .await;
    client.synced().await.unwrap();
    expect(&mut connect(route.endpoint).await, "hello").await;
}
