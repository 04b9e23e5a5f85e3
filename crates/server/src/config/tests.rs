//! Tables over the whole way from text to [`Configuration`].

use std::time::Duration;

use super::*;

fn with(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> Result<Configuration, ConfigErrors> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pilothouse.toml");
    std::fs::write(&path, file).unwrap();
    load(&Sources {
        file: Some(path),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        flags: flags
            .iter()
            .map(|(flag, key, value)| (*flag, *key, (*value).into()))
            .collect(),
        working_dir: "/srv".into(),
    })
}

/// Asserts that the input is refused, and that the text of the refusal holds every one of `words`.
#[track_caller]
fn refused(file: &str, environment: &[(&str, &str)], words: &[&str]) {
    let error = with(file, environment, &[])
        .expect_err("the input is wrong")
        .to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in:\n{error}");
    }
}

#[test]
fn nothing_at_all_runs_on_loopback() {
    let configuration = load(&Sources {
        working_dir: "/srv".into(),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(configuration.server.data_dir, PathBuf::from("/srv/pilothouse-data"));
    assert!(
        configuration
            .listen
            .addresses()
            .iter()
            .all(|(_, address)| address.ip().is_loopback())
    );
    assert_eq!(configuration.listen.redis_enterprise_http, None);
    assert_eq!(configuration.listen.trove.len(), 2);
    assert_eq!(configuration.server.run_as, RunAs::Name("pilothouse".into()));
    assert_eq!(configuration.health.busy_timeout, Duration::from_secs(5));
    assert_eq!(configuration.redis_enterprise.bootstrap, Bootstrap::Loopback);
    assert!(configuration.admin.password.is_none());
    assert!(configuration.placement.single_host_replicas);
}

#[test]
fn later_layers_win() {
    let file = "[server]\ndata_dir = '/file'\nlog = 'debug'\n[health]\nmissed_probes = 7";
    let environment = [
        ("PILOTHOUSE_SERVER__DATA_DIR", "/environment"),
        ("PILOTHOUSE_HEALTH__PROBE_INTERVAL_MS", "500"),
    ];
    let configuration = with(file, &environment, &[("--data-dir", "server.data_dir", "/flag")]).unwrap();
    assert_eq!(configuration.server.data_dir, PathBuf::from("/flag"));
    assert_eq!(configuration.server.log, "debug");
    assert_eq!(configuration.health.missed_probes, 7);
    assert_eq!(configuration.health.probe_interval, Duration::from_millis(500));
    let configuration = with(file, &environment, &[]).unwrap();
    assert_eq!(configuration.server.data_dir, PathBuf::from("/environment"));
}

#[test]
fn the_environment_needs_no_quotes() {
    let environment = [
        ("PILOTHOUSE_ADMIN__PASSWORD", "0123"),
        ("PILOTHOUSE_REDIS_ENTERPRISE__TENANTS", "default, other"),
        ("PILOTHOUSE_LISTEN__METRICS", "off"),
        ("PILOTHOUSE_PLACEMENT__SINGLE_HOST_REPLICAS", "false"),
        ("PILOTHOUSE_TLS__METRICS__CERT", "metrics.pem"),
        ("PILOTHOUSE_TLS__METRICS__KEY", "/etc/metrics.key"),
        ("PILOTHOUSE_SERVICE_HOST", "10.0.0.1"),
        ("PILOTHOUSE_PORT_9443_TCP", "tcp://10.0.0.1:9443"),
        ("PILOTHOUSE_CONFIG", "elsewhere"),
        ("PATH", "/bin"),
    ];
    let configuration = with("", &environment, &[]).unwrap();
    assert_eq!(
        configuration.admin.password.as_ref().map(|password| password.expose()),
        Some("0123")
    );
    let tenants = configuration.redis_enterprise.tenants.as_ref();
    assert_eq!(tenants.map(Vec::len), Some(2));
    assert_eq!(configuration.listen.metrics, None);
    assert!(!configuration.placement.single_host_replicas);
    let pair = configuration.tls.metrics.clone().unwrap();
    assert_eq!(
        (pair.cert, pair.key),
        ("/srv/metrics.pem".into(), "/etc/metrics.key".into())
    );
}

#[test]
fn a_list_of_one_needs_no_brackets() {
    assert!(
        with("[listen]\ntrove = 'off'", &[], &[])
            .unwrap()
            .listen
            .trove
            .is_empty()
    );
    assert_eq!(
        with("[engines]\nsearch_path = 'bin'", &[], &[])
            .unwrap()
            .engines
            .search_path,
        [PathBuf::from("/srv/bin")]
    );
}

#[test]
fn unknown_keys_are_refused_with_what_is_known() {
    refused(
        "[server]\ndata_dri = 'x'",
        &[],
        &["pilothouse.toml", "server.data_dri is unknown", "data_dir"],
    );
    refused("[sevrer]\n", &[], &["sevrer is unknown", "server"]);
    refused(
        "[tls.trvoe]\ncert = 'x'",
        &[],
        &["tls.trvoe is unknown", "kvrocks_controller"],
    );
    refused(
        "[[redis_cloud.accounts]]\nacess_key = 'x'",
        &[],
        &["redis_cloud.accounts[0]", "acess_key", "access_key"],
    );
    refused(
        "",
        &[("PILOTHOUSE_SERVER__LOGS", "x")],
        &["PILOTHOUSE_SERVER__LOGS", "server.logs is unknown", "log"],
    );
    refused(
        "",
        &[("PILOTHOUSE_SEVRER__LOG", "x")],
        &["PILOTHOUSE_SEVRER__LOG", "unknown"],
    );
    refused("", &[("PILOTHOUSE_SERVER_LOG", "x")], &["PILOTHOUSE_SERVER__LOG"]);
    refused(
        "",
        &[("PILOTHOUSE_REDIS_CLOUD_CAPACITY_STEP_GB", "x")],
        &["PILOTHOUSE_REDIS_CLOUD__CAPACITY_STEP_GB"],
    );
}

#[test]
fn wrong_values_are_refused_with_key_and_what_is_allowed() {
    for (file, words) in [
        ("[server]\nlog = 5", ["server.log", "text"]),
        ("[server]\nlog = 'a=b=c'", ["server.log", "debug"]),
        (
            "[server]\nadvertise_address = 'localhost'",
            ["server.advertise_address", "IP address"],
        ),
        (
            "[server]\nadvertise_address = '0.0.0.0'",
            ["server.advertise_address", "IP address"],
        ),
        ("[server]\nrun_as = 'root'", ["server.run_as", "other than root"]),
        ("[server]\nrun_as = '0:0'", ["server.run_as", "UID:GID"]),
        ("[server]\ndata_dir = ''", ["server.data_dir", "empty"]),
        ("server = 5", ["server", "section"]),
        ("[admin]\nuser = ''", ["admin.user", "255"]),
        ("[listen]\nglobo = 'localhost:1'", ["listen.globo", "off"]),
        (
            "[listen]\nglobo = '127.0.0.1:9443'",
            ["listen.globo", "listen.redis_enterprise"],
        ),
        ("[listen]\ntrove = ['off', '127.0.0.1:1']", ["listen.trove", "off"]),
        (
            "[listen]\nkvrocks_controller = '0.0.0.0:9379'",
            ["listen.kvrocks_controller", "token"],
        ),
        (
            "[trove]\nauth = ['none']\n[listen]\ntrove = '0.0.0.0:8779'",
            ["listen.trove", "none"],
        ),
        ("[trove]\nauth = []", ["trove.auth", "empty"]),
        ("[trove]\nauth = ['kerberos']", ["trove.auth", "http_basic"]),
        ("[trove]\nauth = ['static']", ["trove.auth", "[[trove.tokens]]"]),
        (
            "[endpoints]\nport_range = '19999-10000'",
            ["endpoints.port_range", "FIRST-LAST"],
        ),
        (
            "[endpoints]\nserver_port_range = '19999-20001'",
            ["endpoints.server_port_range", "overlaps"],
        ),
        (
            "[endpoints]\naddress_pool = '127.77.0.0/40'",
            ["endpoints.address_pool", "ADDRESS/PREFIX"],
        ),
        ("[engines]\nwarm = -1", ["engines.warm", "0 to 64"]),
        ("[health]\nmissed_probes = 0", ["health.missed_probes", "1 to"]),
        (
            "[health]\nprobe_deadline_ms = 301",
            ["health.probe_deadline_ms", "probe_interval_ms"],
        ),
        ("[health]\nbusy_timeout = '5'", ["health.busy_timeout", "3s"]),
        ("[health]\nbusy_timeout = '5ms'", ["health.busy_timeout", "at least"]),
        (
            "[placement]\nsingle_host_replicas = 'yes'",
            ["placement.single_host_replicas", "true or false"],
        ),
        (
            "[redis_enterprise]\nbootstrap = 'closed'",
            ["redis_enterprise.bootstrap", "loopback"],
        ),
        (
            "[redis_enterprise]\ntenants = ['-a']",
            ["redis_enterprise.tenants", "letter"],
        ),
        (
            "[redis_cloud]\npending_subscriptions = 99999",
            ["redis_cloud.pending_subscriptions", "1 to 1000"],
        ),
        (
            "[[redis_cloud.accounts]]\naccess_key = 'a'",
            ["redis_cloud.accounts[0].secret_key", "missing"],
        ),
        (
            "[kvrocks_controller]\ncompat = 'v2'",
            ["kvrocks_controller.compat", "v0"],
        ),
        ("[globo]\ncreate_wait = 60", ["globo.create_wait", "text"]),
        (
            "[[globo.infras]]\nname = 'i'\nplan = 'p'",
            ["globo.infras[0].plan", "[[globo.plans]]"],
        ),
        (
            "[[backup.s3]]\nbucket = 'b'\nendpoint = 'host'",
            ["backup.s3[0].endpoint", "https://"],
        ),
        (
            "[[backup.s3]]\nbucket = 'b/c'\nendpoint = 'https://host'\naccess_key = 'a'\nsecret_key = 's'",
            ["backup.s3[0].bucket", "must not contain"],
        ),
        (
            "[[backup.s3]]\nbucket = 'b'\nendpoint = 'http://127.0.0.1:9'\naccess_key = 'a'\nsecret_key = 's'\npath_style = false",
            ["backup.s3[0].bucket", "before its host"],
        ),
        (
            "[[backup.s3]]\nbucket = 'b'\nendpoint = 'https://host'\nsecret_key = 's'",
            ["backup.s3[0].access_key", "missing"],
        ),
        ("[tls.globo]\ncert = 'x'", ["tls.globo.key", "missing"]),
        ("[tls]\nglobo = 'x'", ["tls.globo", "section"]),
    ] {
        refused(file, &[], &words);
    }
    refused(
        "",
        &[("PILOTHOUSE_HEALTH__MISSED_PROBES", "three")],
        &["PILOTHOUSE_HEALTH__MISSED_PROBES", "whole number"],
    );
    refused(
        "",
        &[("PILOTHOUSE_LISTEN__GLOBO", "1")],
        &["PILOTHOUSE_LISTEN__GLOBO: listen.globo"],
    );
}

#[test]
fn keys_without_effect_are_refused_where_they_are_set() {
    for (file, key) in [
        ("[engines]\nwarm = 2", "engines.warm"),
        ("[endpoints]\naddress_pool = '127.77.0.0/16'", "endpoints.address_pool"),
        ("[listen]\ntrove = '127.0.0.1:8779'", "listen.trove"),
        ("[listen]\nglobo = '127.0.0.1:8000'", "listen.globo"),
        ("[tls.globo]\ncert = 'c'\nkey = 'k'", "tls.globo.cert"),
    ] {
        refused(file, &[], &["pilothouse.toml", key, "this version"]);
    }
    refused(
        "",
        &[("PILOTHOUSE_ENGINES__WARM", "1")],
        &["PILOTHOUSE_ENGINES__WARM: engines.warm"],
    );
    for harmless in [
        "[engines]\nwarm = 0",
        "[backup]\ns3 = []",
        "[[backup.s3]]\nbucket = 'b'\nendpoint = 'https://host'\naccess_key = 'a'\nsecret_key = 's'",
        "[[redis_cloud.accounts]]\naccess_key = 'a'\nsecret_key = 's'",
        "[[redis_cloud.plans]]\nname = '250MB'\nmemory = '250mb'",
        "[listen]\ntrove = 'off'\nglobo = 'off'\nredis_cloud = 'off'\nkvrocks_controller = 'off'",
    ] {
        assert!(with(harmless, &[], &[]).is_ok(), "{harmless}");
    }
}

#[test]
fn every_problem_is_shown_at_once() {
    refused(
        "[health]\nmissed_probes = 0\n[endpoints]\nport_range = 'x'",
        &[("PILOTHOUSE_REDIS_ENTERPRISE__BOOTSTRAP", "x")],
        &[
            "health.missed_probes",
            "endpoints.port_range",
            "redis_enterprise.bootstrap",
        ],
    );
}

#[test]
fn secrets_are_not_shown() {
    for (file, environment) in [
        ("[admin]\npassword = hunter22", vec![]),
        ("[admin]\npassword = 424242", vec![]),
        ("[[trove.tokens]]\ntoken = 424242", vec![]),
        ("[[redis_cloud.accounts]]\nsecret_key = 'hunter22'\nextra = 1", vec![]),
        (
            "",
            vec![("PILOTHOUSE_REDIS_CLOUD__ACCOUNTS", "[{ secret_key = 424242 }]")],
        ),
        (
            "",
            vec![("PILOTHOUSE_REDIS_CLOUD__ACCOUNTS", "[{ secret_key = hunter22 }")],
        ),
    ] {
        let error = with(file, &environment, &[]).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("hunter22") && !shown.contains("424242"), "{shown}");
        }
    }
    let configuration = with("[admin]\npassword = 'hunter22'", &[], &[]).unwrap();
    assert!(!format!("{configuration:?}").contains("hunter22"));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let error = load(&Sources {
        file: Some("/nowhere/pilothouse.toml".into()),
        ..Sources::default()
    });
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("/nowhere/pilothouse.toml: cannot be read")
    );
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/configuration.md");
    for key in layers::known_keys() {
        assert!(
            page.contains(&format!("`{key}`")),
            "docs/configuration.md does not name `{key}`"
        );
    }
}
