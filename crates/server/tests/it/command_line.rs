//! Help, completion, exit codes of everything that needs no control plane.

use crate::program::{pilothouse, result};

#[track_caller]
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let output = pilothouse(directory.path())
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the program can be started");
    assert_eq!(
        std::fs::read_dir(directory.path()).expect("it is still there").count(),
        0,
        "{arguments:?} left something behind"
    );
    result(&output)
}

#[test]
fn help_teaches_with_examples() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["doctor", "--help"],
        &["db", "--help"],
        &["db", "create", "--help"],
    ] {
        let (code, out, _) = run(arguments, &[]);
        assert_eq!(code, 0);
        assert!(out.contains("Examples:"), "{arguments:?}:\n{out}");
        assert!(!out.contains("launch"), "{arguments:?} shows what is ours");
    }
    assert!(run(&["--help"], &[]).1.contains("  3  the data directory is in use"));
}

#[test]
fn every_shell_gets_a_completion() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completion", shell], &[]);
        assert!(
            code == 0 && out.contains("pilothouse") && out.contains("failover"),
            "{shell}"
        );
    }
}

#[test]
fn a_wrong_command_line_or_configuration_is_2() {
    for arguments in [
        &["db", "create", "x", "--memory", "much"][..],
        &["db", "create", "x"],
        &["sevre"],
        &["serve", "--log", "a=b=c"],
    ] {
        let (code, _, err) = run(arguments, &[]);
        assert_eq!(code, 2, "{arguments:?}: {err}");
    }
    let (code, _, err) = run(
        &["serve"],
        &[("PILOTHOUSE_SERVER__LOGS", "x"), ("PILOTHOUSE_LISTEN__GLOBO", "x")],
    );
    assert_eq!(code, 2);
    assert!(
        err.contains("PILOTHOUSE_SERVER__LOGS") && err.contains("PILOTHOUSE_LISTEN__GLOBO: listen.globo"),
        "{err}"
    );
    let (code, _, err) = run(&["db", "list", "--config", "missing.toml"], &[]);
    assert_eq!(code, 2);
    assert!(err.contains("missing.toml: cannot be read"), "{err}");
}

#[test]
fn no_control_plane_is_4() {
    for arguments in [
        &["db", "list"][..],
        &["db", "show", "x"],
        &["seed", "globo"],
        &["db", "delete", "x", "--yes"],
    ] {
        let (code, _, err) = run(arguments, &[]);
        assert_eq!(code, 4, "{arguments:?}: {err}");
        assert!(err.contains("pilothouse serve"), "{err}");
    }
}

#[test]
fn a_delete_must_be_meant() {
    let (code, _, err) = run(&["db", "delete", "x"], &[]);
    assert_eq!(code, 1);
    assert!(err.contains("--yes"), "{err}");
}

#[test]
fn a_gateway_without_a_control_plane_is_refused() {
    let (code, _, err) = run(&["gateway", "--data-dir", "nowhere"], &[]);
    assert_eq!(code, 1, "{err}");
}

#[test]
fn doctor_tells_what_is_installed_and_what_to_do_and_leaves_nothing_behind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, out, err) = run(&["doctor", "-o", "json"], &[("PILOTHOUSE_LISTEN__METRICS", &address)]);
    assert_eq!(code, 1, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let redis = checks
        .iter()
        .find(|check| check["subject"] == "engine" && check["verdict"] == "ok")
        .unwrap();
    assert!(redis["finding"].as_str().unwrap().contains("redis-server"), "{redis}");
    let about_the_taken = |check: &&serde_json::Value| {
        check["subject"] == "listeners" && check["finding"].as_str().is_some_and(|text| text.contains(&address))
    };
    let listener = checks.iter().find(about_the_taken).unwrap();
    assert_eq!(listener["verdict"], "problem");
    assert!(
        listener["remedy"].as_str().unwrap().contains("listen.metrics"),
        "{listener}"
    );
}

#[test]
fn an_address_of_another_machine_is_refused_before_anything_is_made() {
    // 203.0.113.0/24 is for documentation: no machine has it.
    let (code, _, err) = run(&["serve", "--advertise-address", "203.0.113.9"], &[]);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("server.advertise_address") && err.contains("203.0.113.9"),
        "{err}"
    );
    let (_, out, _) = run(&["doctor"], &[("PILOTHOUSE_SERVER__ADVERTISE_ADDRESS", "203.0.113.9")]);
    assert!(out.contains("is no address of this machine"), "{out}");
}
