//! What a route does to connections.

use std::net::{IpAddr, TcpListener as PlainTcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use pilothouse_gateway_protocol::{Backend, Gateway, GatewayError, RouteState};
use pilothouse_model::{Cidr, DatabaseId, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::support::*;

#[tokio::test]
async fn a_redis_server_answers_over_tcp_and_unix_sockets() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = free_endpoint();
    let socket = gateway.directory.path().join("redis.sock");
    let mut redis = Command::new("redis-server")
        .args([
            "--port",
            &server.port.to_string(),
            "--bind",
            &server.address.to_string(),
            "--save",
            "",
        ])
        .arg("--unixsocket")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for backend in [Backend::Tcp(address(server)), Backend::Unix(socket)] {
        // The server may still be starting: then the connections wait for it.
        let route = route(DatabaseId::new(), free_endpoint(), RouteState::Open(backend));
        client.set(route.clone()).await.unwrap();
        let mut stream = connect(route.endpoint).await;
        stream.write_all(b"SET key value\r\nGET key\r\n").await.unwrap();
        expect(&mut stream, "+OK\r\n$5\r\nvalue\r\n").await;
        let load = client.load().await.unwrap();
        let load = load.iter().find(|load| load.database == Some(route.database)).unwrap();
        assert_eq!((load.connections, load.accepted, load.refused), (1, 1, 0));
        assert_eq!((load.bytes_in, load.bytes_out), (24, 16));
    }
    redis.kill().unwrap();
    redis.wait().unwrap();
}

#[tokio::test]
async fn held_connections_are_carried_as_soon_as_there_is_a_primary() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("").await;
    let (database, endpoint) = (DatabaseId::new(), free_endpoint());
    client.reserve(database, endpoint).await.unwrap();
    let mut stream = connect(endpoint).await;
    stream.write_all(b"early").await.unwrap();
    expect_silence(&mut stream).await;
    client
        .set(route(
            database,
            endpoint,
            RouteState::Open(Backend::Tcp(server.address)),
        ))
        .await
        .unwrap();
    expect(&mut stream, "early").await;
    echo(&mut stream, "late").await;
}

#[tokio::test]
async fn waiting_has_limits() {
    let gateway = TestGateway::start_with(&["--hold", "800", "--held-connections", "2"]);
    let client = gateway.client();
    let (database, endpoint) = (DatabaseId::new(), free_endpoint());
    client.reserve(database, endpoint).await.unwrap();
    let began = Instant::now();
    let (mut one, mut two) = (connect(endpoint).await, connect(endpoint).await);
    eventually("both are held", async || connections(&client, database).await == 2).await;
    expect_close(&mut connect(endpoint).await).await;
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "the third is closed at once"
    );
    expect_close(&mut one).await;
    expect_close(&mut two).await;
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "the others only when their time is over"
    );

    let nobody = Backend::Tcp(address(free_endpoint()));
    client
        .set(route(database, endpoint, RouteState::Open(nobody)))
        .await
        .unwrap();
    let began = Instant::now();
    expect_close(&mut connect(endpoint).await).await;
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "a primary that refuses is waited for as long"
    );
    eventually("nothing is left", async || connections(&client, database).await == 0).await;
}

#[tokio::test]
async fn a_switch_closes_connections_to_the_old_primary() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let mut route = open_route(&client, one.address).await;
    let mut old = connect(route.endpoint).await;
    expect(&mut old, "one").await;

    client.set(route.clone()).await.unwrap();
    echo(&mut old, "the same route again changes nothing").await;

    route.state = RouteState::Open(Backend::Tcp(two.address));
    client.set(route.clone()).await.unwrap();
    expect_close(&mut old).await;
    let mut new = connect(route.endpoint).await;
    expect(&mut new, "two").await;

    route.state = RouteState::Held;
    client.set(route.clone()).await.unwrap();
    expect_close(&mut new).await;
    let mut held = connect(route.endpoint).await;
    expect_silence(&mut held).await;

    route.state = RouteState::Closed;
    client.set(route.clone()).await.unwrap();
    expect_close(&mut held).await;
    expect_close(&mut connect(route.endpoint).await).await;
}

#[tokio::test]
async fn a_primary_that_refuses_is_waited_for() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = free_endpoint();
    let route = open_route(&client, address(server)).await;
    let mut stream = connect(route.endpoint).await;
    expect_silence(&mut stream).await;
    let _server = Echo::start_at(TcpListener::bind(address(server)).await.unwrap(), "here");
    expect(&mut stream, "here").await;
}

#[tokio::test]
async fn what_a_client_sent_before_it_gave_up_reaches_no_primary() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("").await;
    let (database, endpoint) = (DatabaseId::new(), free_endpoint());
    client.reserve(database, endpoint).await.unwrap();
    let mut stream = connect(endpoint).await;
    stream.write_all(b"SET key stale\r\n").await.unwrap();
    eventually("the connection is held", async || {
        connections(&client, database).await == 1
    })
    .await;
    drop(stream);
    eventually("the held connection is gone", async || {
        connections(&client, database).await == 0
    })
    .await;
    client
        .set(route(
            database,
            endpoint,
            RouteState::Open(Backend::Tcp(server.address)),
        ))
        .await
        .unwrap();
    echo(&mut connect(endpoint).await, "next").await;
    assert_eq!(server.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("").await;
    let route = open_route(&client, server.address).await;
    let (mut reader, mut writer) = connect(route.endpoint).await.into_split();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let expected = sent.clone();
    let mut sender = tokio::task::JoinSet::new();
    sender.spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut read = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut read))
        .await
        .expect("the end arrives")
        .unwrap();
    assert!(read == expected, "{} bytes came back", read.len());
    eventually("the connection is over", async || {
        connections(&client, route.database).await == 0
    })
    .await;
}

#[tokio::test]
async fn source_lists_hold_for_new_and_present_connections() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let ranges = |texts: &[&str]| -> Vec<Cidr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    // The last one listens for both families, where IPv4 clients have mapped addresses.
    let v4 = (free_endpoint(), "127.0.0.0/8", "10.0.0.0/8");
    let v6 = (free_endpoint_at("::1".parse().unwrap()), "::1", "fd00::/8");
    let mapped = (free_endpoint_at("::".parse().unwrap()), "127.0.0.1/32", "::/0");
    for (endpoint, including, excluding) in [v4, v6, mapped] {
        let target = if endpoint.address.is_unspecified() {
            Endpoint {
                address: IpAddr::from([127, 0, 0, 1]),
                ..endpoint
            }
        } else {
            endpoint
        };
        let mut route = route(
            DatabaseId::new(),
            endpoint,
            RouteState::Open(Backend::Tcp(server.address)),
        );
        route.source_allow = ranges(&["192.0.2.0/24", including]);
        client.set(route.clone()).await.unwrap();
        let mut stream = connect(target).await;
        expect(&mut stream, "hello").await;

        route.source_allow = ranges(&["192.0.2.0/24", excluding]);
        client.set(route.clone()).await.unwrap();
        expect_close(&mut stream).await;
        expect_close(&mut connect(target).await).await;
        let load = client.load().await.unwrap();
        let load = load.iter().find(|load| load.database == Some(route.database)).unwrap();
        assert_eq!((load.accepted, load.refused), (1, 1), "{endpoint}");

        route.source_allow.clear();
        client.set(route.clone()).await.unwrap();
        expect(&mut connect(target).await, "hello").await;
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let mut route = open_route(&client, server.address).await;
    route.max_connections = 2;
    client.set(route.clone()).await.unwrap();
    let (mut one, mut two) = (connect(route.endpoint).await, connect(route.endpoint).await);
    expect(&mut one, "hello").await;
    expect(&mut two, "hello").await;
    expect_close(&mut connect(route.endpoint).await).await;
    drop(one);
    eventually("a place is free", async || {
        connections(&client, route.database).await == 1
    })
    .await;
    expect(&mut connect(route.endpoint).await, "hello").await;
}

#[tokio::test]
async fn a_removed_endpoint_is_closed_and_its_port_is_free() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let route = open_route(&client, server.address).await;
    let mut stream = connect(route.endpoint).await;
    expect(&mut stream, "hello").await;
    for _ in 0..2 {
        client.remove(route.database).await.unwrap();
        let listener = PlainTcpListener::bind(address(route.endpoint)).expect("the port is free at once");
        drop(listener);
    }
    expect_close(&mut stream).await;
    assert!(client.load().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_bound_is_an_error_and_leaves_nothing() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let taken = free_endpoint();
    let _listener = PlainTcpListener::bind(address(taken)).unwrap();
    let is_bind_error = |error: GatewayError, endpoint: Endpoint| {
        assert!(
            matches!(&error, GatewayError::Bind { address: at, .. } if *at == address(endpoint)),
            "{error}"
        );
    };

    let reserved = DatabaseId::new();
    is_bind_error(client.reserve(reserved, taken).await.unwrap_err(), taken);
    is_bind_error(
        client.set(route(reserved, taken, RouteState::Held)).await.unwrap_err(),
        taken,
    );
    assert!(client.load().await.unwrap().is_empty());

    let present = open_route(&client, server.address).await;
    client.reserve(present.database, present.endpoint).await.unwrap();
    is_bind_error(client.reserve(present.database, taken).await.unwrap_err(), taken);
    is_bind_error(
        client.reserve(DatabaseId::new(), present.endpoint).await.unwrap_err(),
        present.endpoint,
    );
    let mut moved = present.clone();
    moved.endpoint = taken;
    is_bind_error(client.set(moved.clone()).await.unwrap_err(), taken);
    let mut stream = connect(present.endpoint).await;
    expect(&mut stream, "hello").await;

    moved.endpoint = free_endpoint();
    client.set(moved.clone()).await.unwrap();
    echo(&mut stream, "a connection outlives the move").await;
    expect(&mut connect(moved.endpoint).await, "hello").await;
    PlainTcpListener::bind(address(present.endpoint)).expect("the old port is free");
}
