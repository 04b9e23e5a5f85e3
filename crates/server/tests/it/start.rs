//! Starts that fail leave nothing behind, and the next one works.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use pilothouse_test_support::{free_port, wait_for};
use rustix::process::{Pid, Signal, kill_process};

use crate::installation::Installation;
use crate::program::{pilothouse, result};

const PATIENCE: Duration = Duration::from_secs(30);

/// `serve` with its data in `directory`, and the only listener at `port`.
fn serve(directory: &std::path::Path, port: u16) -> std::process::Command {
    let mut command = pilothouse(directory);
    command
        .args(["serve", "--data-dir"])
        .arg(directory.join("data"))
        .env("PILOTHOUSE_SERVER__RUN_AS", "65534:65534")
        .env("PILOTHOUSE_LISTEN__REDIS_ENTERPRISE", format!("127.0.0.1:{port}"))
        .env("PILOTHOUSE_LISTEN__REDIS_CLOUD", "off")
        .env("PILOTHOUSE_LISTEN__METRICS", "off");
    command
}

#[tokio::test]
async fn a_start_whose_port_is_taken_leaves_no_process_behind() {
    let installation = Installation::unstarted();
    let directory = installation.directory.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = serve(directory, port).output().unwrap();
    let (code, out, err) = result(&output);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("listen.redis_enterprise"), "the key is named: {err}");
    assert!(installation.gateways().is_empty(), "no gateway runs");

    drop(taken);
    let mut serving = serve(directory, port).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(serving.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("pilothouse ready"), "{line:?}");
    assert_eq!(installation.gateways().len(), 1);

    // One that fails beside a gateway that served before leaves that one alone.
    serving.kill().unwrap();
    serving.wait().unwrap();
    let gateways = installation.gateways();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(result(&serve(directory, port).output().unwrap()).0, 1);
    assert_eq!(installation.gateways(), gateways);
}

#[tokio::test]
async fn a_start_that_fails_after_the_gateway_ends_the_gateway_it_made() {
    let installation = Installation::unstarted();
    let directory = installation.directory.path();
    let mut serving = serve(directory, free_port()).stdout(Stdio::piped()).spawn().unwrap();
    // Nobody reads the line `pilothouse ready`, so it cannot be printed.
    drop(serving.stdout.take());
    let ended = async || serving.try_wait().unwrap();
    let status = wait_for(PATIENCE, "the start fails", ended).await;
    assert_eq!(status.code(), Some(1));
    assert!(installation.gateways().is_empty(), "no gateway runs");
}

#[tokio::test]
async fn a_signal_during_the_start_ends_it_in_order() {
    let installation = Installation::unstarted();
    let mut serving = serve(installation.directory.path(), free_port())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&serving);
    let started = async || (!installation.gateways().is_empty()).then_some(());
    wait_for(PATIENCE, "the gateway is started", started).await;
    kill_process(pid, Signal::TERM).unwrap();
    let ended = async || serving.try_wait().unwrap();
    let status = wait_for(PATIENCE, "it ends", ended).await;
    assert_eq!(status.code(), Some(0));
}
