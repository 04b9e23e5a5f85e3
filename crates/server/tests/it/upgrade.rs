//! The program is replaced by another build and the control plane started again: the gateway follows, and nobody notices.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilothouse_gateway_protocol::build_of;
use pilothouse_test_support::wait_for;
use serde_json::json;

use crate::installation::{Installation, call_on};
use crate::program::PROGRAM;

const PATIENCE: Duration = Duration::from_secs(60);

/// A copy of the program that counts as another build of the same version.
fn other_build(directory: &Path) -> PathBuf {
    let other = directory.join("other-build");
    let mut program = fs::read(PROGRAM).expect("it was built");
    let build = build_of(Path::new(PROGRAM)).expect("it can be read");
    // One without a build id is told by its time of change, and a copy has another one.
    if !build.contains('-') {
        let digits: Vec<u8> = (0..build.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&build[at..at + 2], 16).expect("hexadecimal digits"))
            .collect();
        let at = program
            .windows(digits.len())
            .position(|bytes| bytes == digits)
            .expect("the build id stands in the file");
        program[at] ^= 0xff;
    }
    fs::copy(PROGRAM, &other).expect("there is room");
    fs::write(&other, program).expect("there is room");
    assert_ne!(build_of(&other).expect("it can be read"), build);
    other
}

/// The build that the only gateway runs.
async fn gateway_build(installation: &Installation) -> String {
    let one = async || match installation.gateways()[..] {
        [pid] => build_of(format!("/proc/{pid}/exe").as_ref()).ok(),
        _ => None,
    };
    wait_for(PATIENCE, "one gateway runs", one).await
}

#[tokio::test]
async fn an_upgrade_replaces_the_gateway_and_breaks_no_connection() {
    let mut installation = Installation::new().await;
    let database = installation.create("kept", &json!({})).await;
    let connection = database.connect();
    assert_eq!(call_on(&connection, &["SET", "key", "value"]), "OK");
    let builds = [PathBuf::from(PROGRAM), other_build(installation.directory.path())];
    let first = installation.gateways();

    installation.kill();
    installation.start();
    assert_eq!(installation.gateways(), first, "the same program leaves it alone");

    // There and back: a successor of a successor finds room as well.
    for round in 0..3 {
        let program = &builds[(round + 1) % 2];
        installation.kill();
        installation.program.clone_from(program);
        installation.start();
        assert_eq!(gateway_build(&installation).await, build_of(program).unwrap());
        assert_eq!(call_on(&connection, &["GET", "key"]), "value", "the connection lives");
        assert_eq!(database.call(&["GET", "key"]), "value", "the endpoint accepts");
    }
    let log = installation.log();
    assert_eq!(log.matches("the gateway was replaced").count(), 3, "{log}");

    // The control plane watches the last successor: it comes back when it is killed.
    let gateway = installation.gateways();
    let pid = rustix::process::Pid::from_raw(i32::try_from(gateway[0]).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let back = async || (installation.gateways().len() == 1 && installation.gateways() != gateway).then_some(());
    wait_for(PATIENCE, "another gateway runs", back).await;
    let accepts = async || {
        let stream = std::net::TcpStream::connect(database.address()).ok()?;
        (call_on(&stream, &["GET", "key"]) == "value").then_some(())
    };
    wait_for(PATIENCE, "the endpoint is back", accepts).await;
}

#[tokio::test]
async fn a_gateway_that_does_not_hand_over_goes_on_and_that_is_told() {
    let mut installation = Installation::new().await;
    let database = installation.create("kept", &json!({})).await;
    let connection = database.connect();
    assert_eq!(call_on(&connection, &["SET", "key", "value"]), "OK");
    let first = installation.gateways();
    let socket = installation.directory.join("data/gateway/handover.sock");
    fs::remove_file(&socket).unwrap();
    let deaf = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(65534), Some(65534)).ok();

    installation.kill();
    installation.program = other_build(installation.directory.path());
    // Whoever asks for a handover is hung up on.
    let hang_up = std::thread::spawn(move || drop(deaf.accept().unwrap()));
    installation.start();
    hang_up.join().unwrap();

    let log = installation.log();
    assert!(log.contains("the gateway could not be replaced"), "{log}");
    assert!(log.contains("did not hand over"), "the reason is told: {log}");
    assert_eq!(installation.gateways(), first, "the old one serves");
    assert_eq!(call_on(&connection, &["GET", "key"]), "value", "the connection lives");
    assert_eq!(database.call(&["SET", "key", "other"]), "OK", "the endpoint accepts");
    let more = installation.create("more", &json!({})).await;
    assert_eq!(more.call(&["PING"]), "PONG", "it is still steered");
}
