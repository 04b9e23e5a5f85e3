//! What Prometheus reads.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pilothouse_test_support::{free_port, wait_for};
use serde_json::json;

use crate::installation::{Installation, call_on};
use crate::program::{pilothouse, result};

const PATIENCE: Duration = Duration::from_secs(30);

/// Head and body of an answer.
fn ask(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head.to_owned(), body.to_owned())
}

fn page(port: u16) -> String {
    let (head, body) = ask(port, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    body
}

/// The number of a sample, written as it stands on the page.
fn number(page: &str, sample: &str) -> Option<f64> {
    let rest = page
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    rest.map(|number| number.parse().expect("a number"))
}

/// Every sample stands below help and type of its family, and no family comes twice.
fn check_format(page: &str) {
    let (mut seen, mut family, mut kind) = (HashSet::new(), "", "");
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap_or_default();
            assert!(seen.insert(family), "{family} comes twice");
        } else if let Some(told) = line.strip_prefix("# TYPE ") {
            kind = told.strip_prefix(family).expect("the type of the family").trim();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let suffix = name
                .strip_prefix(family)
                .unwrap_or_else(|| panic!("{line} below {family}"));
            let allowed: &[&str] = if kind == "histogram" {
                &["_bucket", "_sum", "_count"]
            } else {
                &[""]
            };
            assert!(allowed.contains(&suffix), "{line}");
            let value = line.rsplit(' ').next().unwrap_or_default();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_page_tells_what_happened() {
    let port = free_port();
    let installation = Installation::with(vec![("LISTEN__METRICS", format!("127.0.0.1:{port}"))]).await;
    let database = installation.create("counted", &json!({ "replication": true })).await;
    let connection = database.connect();
    assert_eq!(call_on(&connection, &["PING"]), "PONG");
    let read = page(port);
    check_format(&read);
    for (sample, expected) in [
        ("pilothouse_databases{engine=\"redis\",state=\"active\"}", 1.0),
        ("pilothouse_databases{engine=\"redis\",state=\"unavailable\"}", 0.0),
        (
            "pilothouse_servers{engine=\"redis\",role=\"primary\",state=\"ok\"}",
            1.0,
        ),
        (
            "pilothouse_servers{engine=\"redis\",role=\"replica\",state=\"ok\"}",
            1.0,
        ),
        (
            "pilothouse_operations_total{kind=\"create-database\",result=\"succeeded\"}",
            1.0,
        ),
        ("pilothouse_failover_duration_seconds_count", 0.0),
        ("pilothouse_gateway_up", 1.0),
    ] {
        assert_eq!(number(&read, sample), Some(expected), "{sample} in\n{read}");
    }
    let of_it = |page: &str, family: &str| {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("{family}{{")) && line.contains("name=\"counted\""));
        let value = line.and_then(|line| line.rsplit(' ').next()).expect("it is there");
        value.parse::<u64>().expect("a number")
    };
    assert_eq!(of_it(&read, "pilothouse_endpoint_connections"), 1);
    assert_eq!(of_it(&read, "pilothouse_endpoint_received_bytes_total"), 14);
    assert_eq!(of_it(&read, "pilothouse_endpoint_sent_bytes_total"), 7);
    let build = format!(
        "pilothouse_build_info{{version=\"{}\",build=\"",
        env!("CARGO_PKG_VERSION")
    );
    assert!(read.contains(&build), "{read}");
    for counted in ["pilothouse_pass", "pilothouse_commit"] {
        assert!(
            number(&read, &format!("{counted}_duration_seconds_count")) > Some(0.0),
            "{counted}"
        );
    }
    let good = "pilothouse_api_request_duration_seconds_count{listener=\"redis_enterprise_http\",status=\"2xx\"}";
    assert!(number(&read, good) > Some(2.0));

    let failover = pilothouse(installation.directory.path())
        .args(["db", "failover", "counted", "--wait"])
        .env("PILOTHOUSE_SERVER__DATA_DIR", installation.directory.join("data"))
        .output()
        .unwrap();
    assert_eq!(result(&failover).0, 0, "{:?}", result(&failover));
    let counted = async || {
        let read = page(port);
        let sample = "pilothouse_operations_total{kind=\"failover\",result=\"succeeded\"}";
        (number(&read, sample) == Some(1.0)).then_some(read)
    };
    let read = wait_for(PATIENCE, "the failover is counted", counted).await;
    assert_eq!(number(&read, "pilothouse_failover_duration_seconds_count"), Some(1.0));
    assert!(number(&read, "pilothouse_failover_duration_seconds_sum") > Some(0.0));
    assert_eq!(
        number(&page(port), "pilothouse_failover_duration_seconds_count"),
        Some(1.0),
        "counted once"
    );
}

#[tokio::test]
async fn there_is_one_page_and_one_method() {
    let port = free_port();
    let _installation = Installation::with(vec![("LISTEN__METRICS", format!("127.0.0.1:{port}"))]).await;
    let (head, _) = ask(port, "POST /metrics");
    assert!(
        head.starts_with("HTTP/1.1 405") && head.contains("allow: GET"),
        "{head}"
    );
    for path in ["/", "/metrics/", "/metric", "/../metrics"] {
        let (head, _) = ask(port, &format!("GET {path}"));
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    let (head, _) = ask(port, "GET /metrics?x=1");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}
