//! A gateway that ends or hangs is replaced, and that is told.

use std::time::Duration;

use pilothouse_test_support::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::installation::{Database, Installation, call_on};
use crate::program::{pilothouse, result};

const PATIENCE: Duration = Duration::from_secs(30);

/// Signals the only gateway; gives its number.
fn signal(installation: &Installation, signal: Signal) -> u32 {
    let [pid] = installation.gateways()[..] else {
        panic!("one gateway runs");
    };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(process, signal).expect("it is ours");
    pid
}

async fn comes_back(installation: &Installation, database: Database, before: u32) {
    let back = async || matches!(installation.gateways()[..], [pid] if pid != before).then_some(());
    wait_for(PATIENCE, "another gateway runs", back).await;
    let accepts = async || {
        let stream = std::net::TcpStream::connect(database.address()).ok()?;
        (call_on(&stream, &["GET", "key"]) == "value").then_some(())
    };
    wait_for(PATIENCE, "the endpoint is back", accepts).await;
}

/// Waits until the events of the installation name one of this kind.
async fn told(installation: &Installation, kind: &str) {
    let listed = async || run(installation, &["db", "events"]).contains(kind).then_some(());
    wait_for(PATIENCE, kind, listed).await;
}

/// What a command says about the installation.
fn run(installation: &Installation, arguments: &[&str]) -> String {
    let mut command = pilothouse(installation.directory.path());
    command
        .args(arguments)
        .arg("--data-dir")
        .arg(installation.directory.join("data"));
    result(&command.output().expect("the program can be started")).1
}

fn doctor(installation: &Installation) -> String {
    run(installation, &["doctor"])
}

#[tokio::test]
async fn a_killed_gateway_comes_back_and_leaves_an_event() {
    let installation = Installation::new().await;
    let database = installation.create("kept", &json!({})).await;
    assert_eq!(database.call(&["SET", "key", "value"]), "OK");
    let before = signal(&installation, Signal::KILL);
    comes_back(&installation, database, before).await;
    told(&installation, "gateway-ended").await;
}

#[tokio::test]
async fn a_gateway_that_hangs_is_replaced_and_leaves_an_event() {
    let mut installation = Installation::new().await;
    let database = installation.create("kept", &json!({})).await;
    assert_eq!(database.call(&["SET", "key", "value"]), "OK");
    let before = signal(&installation, Signal::STOP);
    comes_back(&installation, database, before).await;
    told(&installation, "gateway-hung").await;
    assert!(doctor(&installation).contains("it answers"));

    // With nobody who replaces it, the doctor says it.
    installation.kill();
    let stopped = signal(&installation, Signal::STOP);
    let found = doctor(&installation);
    assert!(found.contains(&format!("process {stopped} does not answer")), "{found}");
    installation.start();
    comes_back(&installation, database, stopped).await;
}

#[tokio::test]
async fn ports_of_servers_are_not_given_to_databases() {
    let installation = Installation::with(vec![("ENDPOINTS__SERVER_PORT_RANGE", "41000-41999".to_owned())]).await;
    let wanted = json!({ "name": "x", "memory_size": 100 << 20, "port": 41_500 });
    let (status, answer) = installation.ask("POST", "/v1/bdbs", &wanted);
    assert_eq!(
        (status, &answer["error_code"]),
        (406, &json!("port_unavailable")),
        "{answer}"
    );
    assert!(
        answer["description"].as_str().unwrap().contains("server_port_range"),
        "{answer}"
    );
}
