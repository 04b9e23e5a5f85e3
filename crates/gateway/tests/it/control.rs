//! The control socket: who may steer, and what happens to those who say something wrong.

use std::time::Duration;

use bytes::BytesMut;
use pilothouse_gateway_protocol::frame::{self, FRAME_LIMIT, FrameReader};
use pilothouse_gateway_protocol::{
    Backend, Change, FromGateway, Gateway, GatewayClient, GatewayError, PROTOCOL_VERSION, RouteState, ToGateway,
};
use pilothouse_model::DatabaseId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::support::*;

/// A control plane that says what the test wants.
struct Raw {
    reader: FrameReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Raw {
    async fn connect(gateway: &TestGateway) -> Self {
        eventually("the control socket exists", async || {
            UnixStream::connect(&gateway.paths.socket).await.is_ok()
        })
        .await;
        let (reader, writer) = UnixStream::connect(&gateway.paths.socket).await.unwrap().into_split();
        Self {
            reader: FrameReader::new(reader, FRAME_LIMIT),
            writer,
        }
    }

    async fn greeted(gateway: &TestGateway) -> Self {
        let mut raw = Self::connect(gateway).await;
        let answer = raw.ask(hello(PROTOCOL_VERSION, &gateway.id)).await;
        assert!(
            matches!(&answer, FromGateway::Welcome(peer) if peer.pid == gateway.pid()),
            "{answer:?}"
        );
        raw
    }

    async fn say(&mut self, message: ToGateway) {
        let mut out = BytesMut::new();
        frame::encode(&message, &mut out).unwrap();
        self.writer.write_all(&out).await.unwrap();
    }

    async fn hear(&mut self) -> Option<FromGateway> {
        timeout(PATIENCE, self.reader.next())
            .await
            .expect("it answers")
            .unwrap()
    }

    async fn ask(&mut self, message: ToGateway) -> FromGateway {
        self.say(message).await;
        self.hear().await.expect("an answer, not a close")
    }
}

fn hello(version: u32, id: &str) -> ToGateway {
    ToGateway::Hello {
        version,
        data_dir_id: id.into(),
    }
}

fn delta(revision: u64, change: Change) -> ToGateway {
    ToGateway::Delta { revision, change }
}

#[tokio::test]
async fn only_the_control_plane_of_the_same_data_directory_is_heard() {
    let gateway = TestGateway::start();
    let stranger = GatewayClient::start(gateway.paths.socket.clone(), "another".into(), Vec::new());
    let error = stranger.remove(DatabaseId::new()).await.unwrap_err();
    assert!(matches!(error, GatewayError::Refused(_)), "{error}");
    stranger.shutdown().await;

    for greeting in [
        hello(PROTOCOL_VERSION + 1, &gateway.id),
        hello(PROTOCOL_VERSION, ""),
        ToGateway::Load { request: 1 },
    ] {
        let mut raw = Raw::connect(&gateway).await;
        let answer = raw.ask(greeting).await;
        assert!(matches!(answer, FromGateway::Refused { .. }), "{answer:?}");
        assert_eq!(raw.hear().await, None);
    }
    assert_eq!(gateway.client().load().await.unwrap(), []);
}

#[tokio::test]
async fn a_missing_revision_asks_for_the_table() {
    let gateway = TestGateway::start();
    let server = Echo::start("hello").await;
    let mut raw = Raw::greeted(&gateway).await;
    let route = |state| route(DatabaseId::new(), free_endpoint(), state);
    let open = || RouteState::Open(Backend::Tcp(server.address));
    let (one, two, three) = (route(open()), route(RouteState::Held), route(open()));

    assert_eq!(
        raw.ask(delta(1, Change::Set(one.clone()))).await,
        FromGateway::TableWanted { have: 0 },
        "no table yet"
    );
    let table = ToGateway::Table {
        revision: 5,
        routes: vec![one.clone(), two.clone()],
    };
    let applied = FromGateway::TableApplied {
        revision: 5,
        failures: Vec::new(),
    };
    assert_eq!(raw.ask(table).await, applied);
    assert_eq!(
        raw.ask(delta(5, Change::Remove { database: one.database })).await,
        FromGateway::Applied { revision: 5 }
    );
    expect(&mut connect(one.endpoint).await, "hello").await;

    assert_eq!(
        raw.ask(delta(7, Change::Set(three.clone()))).await,
        FromGateway::TableWanted { have: 5 }
    );
    raw.say(delta(6, Change::Set(three.clone()))).await;
    raw.say(delta(8, Change::Set(three.clone()))).await;
    let FromGateway::Load { request: 9, endpoints } = raw.ask(ToGateway::Load { request: 9 }).await else {
        panic!("deltas after a gap are not answered");
    };
    assert_eq!(endpoints.len(), 2, "and not applied");

    let table = ToGateway::Table {
        revision: 8,
        routes: vec![three.clone()],
    };
    let applied = FromGateway::TableApplied {
        revision: 8,
        failures: Vec::new(),
    };
    assert_eq!(raw.ask(table).await, applied);
    assert_eq!(
        raw.ask(delta(9, Change::Set(one.clone()))).await,
        FromGateway::Applied { revision: 9 }
    );
    expect(&mut connect(three.endpoint).await, "hello").await;
    expect(&mut connect(one.endpoint).await, "hello").await;
    std::net::TcpListener::bind(address(two.endpoint)).expect("what the table does not name is removed");
}

#[tokio::test]
async fn databases_may_exchange_endpoints_in_one_table() {
    let gateway = TestGateway::start();
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let mut raw = Raw::greeted(&gateway).await;
    let mut routes = vec![
        route(
            DatabaseId::new(),
            free_endpoint(),
            RouteState::Open(Backend::Tcp(one.address)),
        ),
        route(
            DatabaseId::new(),
            free_endpoint(),
            RouteState::Open(Backend::Tcp(two.address)),
        ),
    ];
    let (first, second) = (routes[0].endpoint, routes[1].endpoint);
    for (revision, greetings) in [(1, ["one", "two"]), (2, ["two", "one"])] {
        let table = ToGateway::Table {
            revision,
            routes: routes.clone(),
        };
        let failures = Vec::new();
        assert_eq!(raw.ask(table).await, FromGateway::TableApplied { revision, failures });
        expect(&mut connect(first).await, greetings[0]).await;
        expect(&mut connect(second).await, greetings[1]).await;
        (routes[0].endpoint, routes[1].endpoint) = (second, first);
    }
}

#[tokio::test]
async fn the_newest_control_plane_steers() {
    let gateway = TestGateway::start();
    let mut old = Raw::greeted(&gateway).await;
    let mut new = Raw::greeted(&gateway).await;
    assert_eq!(old.hear().await, None);
    let load = new.ask(ToGateway::Load { request: 1 }).await;
    assert!(matches!(load, FromGateway::Load { request: 1, .. }));
}

#[tokio::test]
async fn malformed_and_oversized_frames_are_answered_by_a_close() {
    let gateway = TestGateway::start();
    let server = Echo::start("hello").await;
    let client = gateway.client();
    let route = open_route(&client, server.address).await;
    let mut stream = connect(route.endpoint).await;
    expect(&mut stream, "hello").await;
    client.shutdown().await;

    let framed = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let bad = [
        vec![0xff; 64],
        framed(b""),
        framed(b"{}"),
        framed(b"null"),
        framed(b"{\"hello\":{\"version\":-1,\"data_dir_id\":7}}"),
        framed(b"{\"hello\":{\"version\":99999999999999999999,\"data_dir_id\":\"\"}}"),
        framed(b"\xc3\x28"),
        framed(deep.as_bytes()),
        framed(&[b' '; 5000]),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0, 0, 0, 40, b'{'],
    ];
    for (index, bytes) in bad.iter().enumerate() {
        for greeted in [false, true] {
            let mut raw = if greeted {
                Raw::greeted(&gateway).await
            } else {
                Raw::connect(&gateway).await
            };
            // The gateway may close before it has read everything.
            let _ = raw.writer.write_all(bytes).await;
            let _ = raw.writer.shutdown().await;
            let heard = timeout(PATIENCE, raw.reader.next::<FromGateway>())
                .await
                .expect("it closes");
            assert!(
                !matches!(heard, Ok(Some(_))),
                "input {index}, greeted {greeted}: {heard:?}"
            );
        }
    }
    let mut raw = Raw::connect(&gateway).await;
    raw.writer.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert_eq!(
        raw.hear().await,
        None,
        "an announced length is judged before anything else arrives"
    );

    echo(&mut stream, "connections do not notice").await;
    assert_eq!(
        Raw::greeted(&gateway).await.ask(ToGateway::Load { request: 3 }).await,
        FromGateway::Load {
            request: 3,
            endpoints: vec![pilothouse_gateway_protocol::EndpointLoad {
                database: Some(route.database),
                connections: 1,
                accepted: 1,
                refused: 0,
                bytes_in: 25,
                bytes_out: 30,
            }],
        }
    );
}

#[tokio::test]
async fn peers_that_say_nothing_keep_nobody_out() {
    let gateway = TestGateway::start();
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(Raw::connect(&gateway).await);
    }
    let client = gateway.client();
    client.reserve(DatabaseId::new(), free_endpoint()).await.unwrap();
    let mut rest = [0; 1];
    for mut raw in silent {
        let (mut reader, _) = (raw.reader.into_inner(), &mut raw.writer);
        let read = timeout(PATIENCE, reader.read(&mut rest))
            .await
            .expect("a silent peer is closed");
        assert_eq!(read.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_stopped_control_plane_leaves_its_table_in_force() {
    let gateway = TestGateway::start();
    let server = Echo::start("hello").await;
    let client = gateway.client();
    let route = open_route(&client, server.address).await;
    assert_eq!(client.peer().map(|peer| peer.pid), Some(gateway.pid()));
    client.synced().await.unwrap();
    client.shutdown().await;
    assert!(matches!(client.load().await, Err(GatewayError::Unreachable(_))));
    expect(&mut connect(route.endpoint).await, "hello").await;

    let next = gateway.client_with(vec![route.clone()]);
    let mut stream = connect(route.endpoint).await;
    expect(&mut stream, "hello").await;
    next.synced().await.unwrap();
    echo(&mut stream, "a new control plane with the same table breaks nothing").await;
}

#[tokio::test]
async fn calls_to_a_gateway_that_stays_away_end() {
    let directory = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(50);
    let socket = directory.path().join("nobody.sock");
    let client = GatewayClient::start_with_patience(socket, "id".into(), Vec::new(), patience);
    let (database, endpoint) = (DatabaseId::new(), free_endpoint());
    assert!(matches!(
        client.reserve(database, endpoint).await,
        Err(GatewayError::Unreachable(_))
    ));
    assert!(matches!(client.load().await, Err(GatewayError::Unreachable(_))));
    assert!(matches!(client.synced().await, Err(GatewayError::Unreachable(_))));
    assert!(client.peer().is_none());
}
