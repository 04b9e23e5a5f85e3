//! Many connections, and peers that do not do their part.

use std::time::Duration;

use pilothouse_gateway_protocol::Gateway;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::*;

/// Resident memory of a process, KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time of a process, clock ticks.
fn processor_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn a_server_that_never_reads_delays_nobody_else() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Echo::start("").await;
    let stuck = open_route(&client, deaf.local_addr().unwrap()).await;
    let healthy = open_route(&client, server.address).await;
    let before = resident(gateway.pid());

    let mut writers = JoinSet::new();
    for _ in 0..20 {
        writers.spawn(async move {
            let mut stream = connect(stuck.endpoint).await;
            let chunk = vec![b'x'; 1 << 20];
            // Never finishes: the buffers on the way are smaller than what is written.
            for _ in 0..64 {
                stream.write_all(&chunk).await.unwrap();
            }
        });
    }
    let mut last = 0;
    eventually("the writers are stuck", async || {
        tokio::time::sleep(A_WHILE).await;
        let loads = client.load().await.unwrap();
        let load = loads.iter().find(|load| load.database == Some(stuck.database)).unwrap();
        load.connections == 20 && load.bytes_in == std::mem::replace(&mut last, load.bytes_in)
    })
    .await;
    let idle = processor_time(gateway.pid());
    let mut stream = connect(healthy.endpoint).await;
    for round in 0..100 {
        echo(&mut stream, &round.to_string()).await;
    }
    tokio::time::sleep(A_WHILE).await;
    assert!(
        processor_time(gateway.pid()) - idle < 10,
        "stuck connections are not polled"
    );
    let grown = resident(gateway.pid()) - before;
    assert!(grown < 16 * 1024, "{grown} KiB for 20 stuck connections");
    assert!(writers.try_join_next().is_none(), "no writer got through");
}

#[tokio::test]
async fn thousands_of_idle_connections_cost_little() {
    const COUNT: u64 = 2000;
    let gateway = TestGateway::start();
    let client = gateway.client();
    let server = Echo::start("").await;
    let route = open_route(&client, server.address).await;
    let before = resident(gateway.pid());
    let mut streams = Vec::new();
    for _ in 0..COUNT {
        streams.push(connect(route.endpoint).await);
    }
    for stream in &mut streams {
        echo(stream, "ping").await;
    }
    assert_eq!(connections(&client, route.database).await, COUNT);
    let each = (resident(gateway.pid()) - before) * 1024 / COUNT;
    assert!(each < 8 * 1024, "{each} bytes for an idle connection");

    let idle = processor_time(gateway.pid());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        processor_time(gateway.pid()) - idle <= 1,
        "idle connections take no processor time"
    );

    let began = Instant::now();
    drop(streams);
    eventually("all are gone", async || connections(&client, route.database).await == 0).await;
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_its_server_only() {
    let gateway = TestGateway::start();
    let client = gateway.client();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route = open_route(&client, listener.local_addr().unwrap()).await;
    let _deaf = connect(route.endpoint).await;
    let (mut server, _) = listener.accept().await.unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let flood = async {
        for _ in 0..64 {
            server.write_all(&chunk).await.unwrap();
        }
    };
    assert!(
        timeout(Duration::from_secs(1), flood).await.is_err(),
        "the server is slowed down"
    );
    let mut other = connect(route.endpoint).await;
    let (mut second, _) = listener.accept().await.unwrap();
    second.write_all(b"answer").await.unwrap();
    expect(&mut other, "answer").await;
    client.remove(route.database).await.unwrap();
    let rest = server.write_all(&chunk).await;
    assert!(rest.is_err(), "a removed endpoint closes both sides");
}
