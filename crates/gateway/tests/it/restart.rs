//! Gateways that die, stop, and start where another one is or was.

use std::fs::Permissions;
use std::net::TcpListener as PlainTcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;

use pilothouse_gateway_protocol::{Backend, Gateway, GatewayClient, GatewayPaths, Route, RouteState};
use pilothouse_model::DatabaseId;

use crate::support::*;

/// Waits until the disk copy knows `route`.
async fn saved(gateway: &TestGateway, route: &Route) {
    let expected = serde_json::to_value(route).unwrap();
    eventually("the route is on disk", async || {
        let text = std::fs::read_to_string(&gateway.paths.table).unwrap_or_default();
        let copy: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        copy["routes"]
            .as_array()
            .is_some_and(|routes| routes.contains(&expected))
    })
    .await;
}

#[tokio::test]
async fn a_killed_gateway_gets_the_table_again() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let (one, two) = (Echo::start("one").await, Echo::start("two").await);
    let kept = open_route(&client, one.address).await;
    gateway.kill();
    eventually("the client knows", async || client.peer().is_none()).await;

    let added = route(
        DatabaseId::new(),
        free_endpoint(),
        RouteState::Open(Backend::Tcp(two.address)),
    );
    let (set, load) = (client.set(added.clone()), client.load());
    let restart = async { gateway.start_again() };
    let (set, load, ()) = tokio::join!(set, load, restart);
    set.expect("a call waits for the gateway's return");
    assert_eq!(load.expect("a load waits too").len(), 2);
    expect(&mut connect(kept.endpoint).await, "one").await;
    expect(&mut connect(added.endpoint).await, "two").await;
}

#[tokio::test]
async fn without_a_control_plane_the_disk_copy_is_served() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let mut route = open_route(&client, server.address).await;
    let removed = open_route(&client, server.address).await;
    client.remove(removed.database).await.unwrap();
    route.max_connections = 1;
    client.set(route.clone()).await.unwrap();
    client.shutdown().await;
    saved(&gateway, &route).await;
    gateway.kill();
    gateway.start_again();
    eventually("the endpoint is back", async || {
        tokio::net::TcpStream::connect(address(route.endpoint)).await.is_ok()
    })
    .await;
    PlainTcpListener::bind(address(removed.endpoint)).expect("what was removed stays removed");
    let client = gateway.client_with(vec![route.clone()]);
    client.synced().await.unwrap();
    eventually("the limit is back", async || {
        connections(&client, route.database).await == 0
    })
    .await;
    let mut first = connect(route.endpoint).await;
    expect(&mut first, "hello").await;
    expect_close(&mut connect(route.endpoint).await).await;
}

#[tokio::test]
async fn a_disk_copy_of_another_data_directory_is_not_served() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let route = open_route(&client, server.address).await;
    client.shutdown().await;
    saved(&gateway, &route).await;
    gateway.kill();
    gateway.id = "another".into();
    std::fs::write(&gateway.paths.id, "another\n").unwrap();
    gateway.start_again();
    assert_eq!(gateway.client().load().await.unwrap(), []);
    PlainTcpListener::bind(address(route.endpoint)).expect("nothing is bound");
}

#[tokio::test]
async fn sigterm_ends_it_in_order() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let route = open_route(&client, server.address).await;
    let mut stream = connect(route.endpoint).await;
    expect(&mut stream, "hello").await;
    client.shutdown().await;
    let status = gateway.terminate();
    assert_eq!(status.code(), Some(0));
    expect_close(&mut stream).await;
    saved(&gateway, &route).await;
    assert!(!gateway.paths.socket.exists() && !gateway.paths.handover.exists());
}

#[tokio::test]
async fn a_port_that_is_taken_meanwhile_is_bound_when_it_is_free() {
    let mut gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("hello").await;
    let (lost, other) = (
        open_route(&client, server.address).await,
        open_route(&client, server.address).await,
    );
    gateway.kill();
    let squatter = PlainTcpListener::bind(address(lost.endpoint)).unwrap();
    gateway.start_again();
    eventually("the failure is known", async || client.unbound().len() == 1).await;
    assert_eq!(client.unbound()[0].database, lost.database);
    expect(&mut connect(other.endpoint).await, "hello").await;
    drop(squatter);
    eventually("it is bound", async || {
        tokio::net::TcpStream::connect(address(lost.endpoint)).await.is_ok()
    })
    .await;
    expect(&mut connect(lost.endpoint).await, "hello").await;
}

#[tokio::test]
async fn a_second_gateway_does_not_start() {
    let gateway = TestGateway::start();
    gateway.client().synced().await.unwrap();
    let (status, text) = ended(spawn(gateway.directory.path(), &[])).await;
    assert_eq!(status.code(), Some(3));
    assert!(text.contains(&format!("process {}", gateway.pid())), "{text}");
}

#[tokio::test]
async fn an_unprivileged_account_needs_nothing_but_its_directory() {
    // As root this uses the account that owns nothing; otherwise our own account is unprivileged already.
    const NOBODY: u32 = 65_534;
    let is_root = rustix::process::geteuid().is_root();
    let directory = tempfile::tempdir().unwrap();
    let (program, data_dir) = (directory.path().join("gateway"), directory.path().join("data"));
    std::fs::copy(env!("CARGO_BIN_EXE_pilothouse-gateway"), &program).unwrap();
    let paths = GatewayPaths::new(&data_dir);
    std::fs::create_dir_all(&paths.directory).unwrap();
    std::fs::write(&paths.id, "id").unwrap();
    let mut command = command(program.to_str().unwrap());
    if is_root {
        chown(&paths.directory, Some(NOBODY), Some(NOBODY)).unwrap();
        for (path, mode) in [
            (directory.path(), 0o711),
            (&data_dir, 0o711),
            (&paths.id, 0o644),
            (&program, 0o755),
        ] {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut process = command.arg("--data-dir").arg(&data_dir).spawn().unwrap();
    let client = GatewayClient::start_with_patience(paths.socket.clone(), "id".into(), Vec::new(), PATIENCE);
    let server = Echo::start("hello").await;
    let route = open_route(&client, server.address).await;
    expect(&mut connect(route.endpoint).await, "hello").await;
    eventually("the disk copy is written", async || paths.table.exists()).await;
    let mode = std::fs::metadata(&paths.table).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn without_an_id_it_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let (status, text) = ended(spawn(directory.path(), &[])).await;
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("does not hold the id"), "{text}");
    std::fs::write(directory.path().join("id"), " \n").unwrap();
    let (status, _) = ended(spawn(directory.path(), &[])).await;
    assert_eq!(status.code(), Some(1));
}
