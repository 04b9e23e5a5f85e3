//! Ports, binaries and facts of this machine.

use std::net::TcpListener;

use pilothouse_runtime::Runtime;

use crate::support::Fixture;

#[tokio::test]
async fn ports_are_free_and_differ() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let first = runtime.free_ports(&[], false).await.unwrap();
    let second = runtime.free_ports(&[first.plain, first.tls], true).await.unwrap();
    let mut ports = [first.plain, first.tls, second.plain, second.tls];
    for port in ports {
        assert!((20_000..=29_999).contains(&port));
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
    ports.sort_unstable();
    assert!(ports.windows(2).all(|pair| pair[0] < pair[1]), "{ports:?}");
}

#[tokio::test]
async fn the_installed_redis_says_its_version() {
    let fixture = Fixture::new();
    let answers = fixture.runtime().ask_binaries("redis-server", &["--version"]).await;
    assert!(
        answers
            .iter()
            .any(|(path, text)| path.is_absolute() && text.contains("Redis server v=")),
        "{answers:?}"
    );
    assert_eq!(fixture.runtime().ask_binaries("no-such-server", &[]).await, []);
}

#[tokio::test]
async fn the_host_is_described() {
    let fixture = Fixture::new();
    let runtime = fixture.runtime();
    let facts = runtime.host_facts().await;
    assert_eq!(facts.data_dir, fixture.path().join("pilothouse"));
    assert!(facts.cores > 0 && facts.memory_bytes > 0 && facts.storage_bytes > 0);
    println!("limits unavailable: {:?}", facts.limits_unavailable);
    let load = runtime.machine_load();
    assert!(load.memory_available_bytes > 0 && load.storage_available_bytes > 0);
}
