//! Who may connect to a database, set by `pilothouse db` and kept by the gateway.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use pilothouse_test_support::wait_for;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::installation::Installation;
use crate::program::{pilothouse, result};

const PATIENCE: Duration = Duration::from_secs(30);

/// `pilothouse db` on an installation.
fn db(installation: &Installation, arguments: &[&str]) -> (i32, String, String) {
    let output = pilothouse(installation.directory.path())
        .arg("db")
        .args(arguments)
        .env("PILOTHOUSE_SERVER__DATA_DIR", installation.directory.join("data"))
        .output();
    result(&output.expect("the program can be started"))
}

fn show(installation: &Installation) -> Value {
    let (code, out, err) = db(installation, &["show", "walled", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON was asked for")
}

/// A connection from an address of this machine's own network.
async fn connect_from(last: u8, endpoint: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket
        .bind((Ipv4Addr::new(127, 0, 0, last), 0).into())
        .expect("all of 127.0.0.0/8 is ours");
    let stream = socket.connect(endpoint).await.expect("the endpoint accepts");
    let stream = stream.into_std().expect("it is a socket");
    stream.set_nonblocking(false).expect("it is a socket");
    stream
}

/// Whether the server at the other end answers. One that does not let us in closes.
fn answers(stream: &mut TcpStream) -> bool {
    let mut line = String::new();
    let asked = stream.write_all(b"PING\r\n");
    asked.is_ok() && BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("-NOAUTH")
}

#[tokio::test]
async fn listed_addresses_get_in_and_no_others() {
    let installation = Installation::new().await;
    let (code, out, err) = db(
        &installation,
        &[
            "create",
            "walled",
            "--memory",
            "100mb",
            "--source",
            "127.0.0.2",
            "--wait",
        ],
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("127.0.0.2/32"), "{out}");
    let shown = show(&installation);
    assert_eq!(
        (&shown["source_allow"], &shown["max_connections"]),
        (&json!(["127.0.0.2/32"]), &json!(0))
    );
    let endpoint: SocketAddr = shown["endpoint"].as_str().unwrap().parse().unwrap();
    let mut second = connect_from(2, endpoint).await;
    assert!(answers(&mut second), "it is listed");
    assert!(!answers(&mut connect_from(1, endpoint).await), "it is not listed");

    // Another list: who is no longer on it is cut off, who is stays.
    let (code, _, err) = db(
        &installation,
        &[
            "update",
            "walled",
            "--source",
            "127.0.0.3",
            "--source",
            "127.0.0.8/29",
            "--wait",
        ],
    );
    assert_eq!(code, 0, "{err}");
    assert!(!answers(&mut second), "it was open and is not listed any more");
    let mut third = connect_from(3, endpoint).await;
    assert!(answers(&mut third) && answers(&mut connect_from(15, endpoint).await));
    assert!(!answers(&mut connect_from(2, endpoint).await) && !answers(&mut connect_from(16, endpoint).await));

    let (code, _, err) = db(
        &installation,
        &[
            "update",
            "walled",
            "--source",
            "any",
            "--max-connections",
            "2",
            "--wait",
        ],
    );
    assert_eq!(code, 0, "{err}");
    let shown = show(&installation);
    assert_eq!(
        (&shown["source_allow"], &shown["max_connections"]),
        (&json!([]), &json!(2))
    );
    assert!(answers(&mut third), "it stayed");
    let lets_one_in = async || {
        let mut other = connect_from(1, endpoint).await;
        answers(&mut other).then_some(other)
    };
    let mut other = wait_for(PATIENCE, "the gateway has seen the others go", lets_one_in).await;
    assert!(
        !answers(&mut connect_from(1, endpoint).await),
        "the third is one too many"
    );
    assert!(answers(&mut third) && answers(&mut other));
}

#[tokio::test]
async fn bad_lists_are_refused_and_change_nothing() {
    let installation = Installation::new().await;
    let (code, _, err) = db(&installation, &["create", "walled", "--memory", "100mb", "--wait"]);
    assert_eq!(code, 0, "{err}");
    let before = show(&installation);
    for (sources, word) in [
        (&["127.0.0.1/33"][..], "\"127.0.0.1/33\" is not an address range"),
        (&["localhost"], "ADDRESS/PREFIX"),
        (&["any", "127.0.0.1"], "stands alone"),
    ] {
        let mut arguments = vec!["update", "walled"];
        arguments.extend(sources.iter().flat_map(|source| ["--source", *source]));
        let (code, _, err) = db(&installation, &arguments);
        assert!(matches!(code, 1 | 2) && err.contains(word), "{sources:?}: {code} {err}");
    }
    let (code, _, err) = db(&installation, &["update", "walled"]);
    assert_eq!(code, 2, "nothing to change: {err}");
    assert_eq!(show(&installation), before);
}
