//! Throughput of the gateway beside a direct connection and beside HAProxy in TCP mode, all in one run.
//!
//! `cargo bench -p pilothouse-gateway`, with redis-server, redis-benchmark and haproxy installed. `PILOTHOUSE_BENCH_RUNS` sets the
//! number of runs (default 5), `PILOTHOUSE_BENCH_REQUESTS` the requests of one run without pipelining (default 200000; with
//! pipelining five times as many). Runs of the paths alternate, so that a disturbance of the machine meets all of them.

#![expect(clippy::print_stdout, reason = "a bench shows its result")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_gateway_protocol::{Backend, Gateway, GatewayClient, GatewayPaths, Route, RouteState};
use pilothouse_model::{DatabaseId, Endpoint};

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let runs = setting("PILOTHOUSE_BENCH_RUNS", 5);
    let requests = setting("PILOTHOUSE_BENCH_REQUESTS", 200_000);
    let server = free_port();
    let server_socket = directory.path().join("redis.sock");
    let _redis = start_redis(directory.path(), server, &server_socket);
    let proxy = free_port();
    let _haproxy = start_haproxy(directory.path(), proxy, server);
    let (over_tcp, over_unix) = (free_port(), free_port());
    let _gateway = start_gateway(
        directory.path(),
        &[
            (over_tcp, Backend::Tcp(server)),
            (over_unix, Backend::Unix(server_socket)),
        ],
    );
    let paths = [
        ("direct", server),
        ("haproxy", proxy),
        ("gateway", over_tcp),
        ("gateway, unix socket to the server", over_unix),
    ];
    for (_, address) in paths {
        wait_until_accepting(address);
    }

    measure_changes(&directory.path().join("changes"));
    for (title, pipeline, requests) in [("-c 50", 1, requests), ("-c 50 -P 16", 16, 5 * requests)] {
        let mut figures: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
        for _ in 0..runs {
            for (index, (_, address)) in paths.iter().enumerate() {
                for (command, rate) in benchmark(*address, pipeline, requests) {
                    figures.entry((index, command)).or_default().push(rate);
                }
            }
        }
        println!(
            "\nredis-benchmark -t set,get {title}, requests per second, median of {runs} runs (lowest to highest)"
        );
        println!("| path | SET | GET | of direct | of haproxy |\n|---|---|---|---|---|");
        let median = |index: usize, command: &'static str, figures: &BTreeMap<(usize, &str), Vec<f64>>| {
            let mut rates = figures[&(index, command)].clone();
            rates.sort_by(f64::total_cmp);
            (rates[rates.len() / 2], rates[0], rates[rates.len() - 1])
        };
        for (index, (name, _)) in paths.iter().enumerate() {
            let [set, get] = ["SET", "GET"].map(|command| median(index, command, &figures));
            let mean_of = |other: usize| {
                let ratio = |own: f64, command| own / median(other, command, &figures).0;
                f64::midpoint(ratio(set.0, "SET"), ratio(get.0, "GET")) * 100.0
            };
            let show = |(median, low, high): (f64, f64, f64)| format!("{median:.0} ({low:.0} to {high:.0})");
            println!(
                "| {name} | {} | {} | {:.0} % | {:.0} % |",
                show(set),
                show(get),
                mean_of(0),
                mean_of(1)
            );
        }
    }
}

/// How long the control plane waits for a change of one route, with few and with many routes in the table.
fn measure_changes(directory: &Path) {
    const CHANGES: usize = 5_000;
    std::fs::create_dir(directory).expect("a directory");
    let _gateway = start_gateway(directory, &[]);
    println!("\nset of one route until acknowledged, microseconds, {CHANGES} changes");
    println!("| routes in the table | median | 99th of 100 | slowest |\n|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for count in [1_u16, 10_000] {
        let routes = (0..count).map(|number| {
            let [high, low] = number.to_be_bytes();
            route(SocketAddr::from(([127, 99, high, low], 7000)), RouteState::Held)
        });
        let mut routes: Vec<Route> = routes.collect();
        let mut times = runtime.block_on(async {
            let client = GatewayClient::start(GatewayPaths::new(directory).socket, "bench".into(), routes.clone());
            client.synced().await.expect("the table is applied");
            let mut times = Vec::with_capacity(CHANGES);
            for change in 0..CHANGES {
                let port = u16::try_from(change).expect("few changes");
                routes[0].state = RouteState::Open(Backend::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
                let began = Instant::now();
                client.set(routes[0].clone()).await.expect("the route is set");
                times.push(began.elapsed().as_micros());
            }
            client.shutdown().await;
            times
        });
        times.sort_unstable();
        println!(
            "| {count} | {} | {} | {} |",
            times[CHANGES / 2],
            times[CHANGES * 99 / 100],
            times[CHANGES - 1]
        );
    }
}

/// One run; gives the rate of each command.
fn benchmark(address: SocketAddr, pipeline: u32, requests: u64) -> Vec<(&'static str, f64)> {
    let output = Command::new("redis-benchmark")
        .args(["-t", "set,get", "-c", "50", "--csv", "-h", &address.ip().to_string()])
        .args([
            "-p",
            &address.port().to_string(),
            "-P",
            &pipeline.to_string(),
            "-n",
            &requests.to_string(),
        ])
        .output()
        .expect("redis-benchmark is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = |command: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("\"{command}\"")));
        let rate = line
            .and_then(|line| line.split(',').nth(1))
            .map(|rate| rate.trim_matches('"'));
        rate.and_then(|rate| rate.parse().ok())
            .unwrap_or_else(|| panic!("no rate of {command} in {text}"))
    };
    vec![("SET", rate("SET")), ("GET", rate("GET"))]
}

fn start_redis(directory: &Path, address: SocketAddr, socket: &Path) -> Process {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            &address.port().to_string(),
            "--bind",
            &address.ip().to_string(),
        ])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory)
        .arg("--unixsocket")
        .arg(socket);
    Process::start(&mut command)
}

fn start_haproxy(directory: &Path, listen: SocketAddr, server: SocketAddr) -> Process {
    let configuration = format!(
        "global\n  nbthread 2\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
         listen redis\n  bind {listen}\n  server one {server}\n"
    );
    let path = directory.join("haproxy.cfg");
    std::fs::write(&path, configuration).expect("the configuration is written");
    Process::start(Command::new("haproxy").arg("-db").arg("-f").arg(path))
}

fn start_gateway(directory: &Path, routes: &[(SocketAddr, Backend)]) -> Process {
    std::fs::write(directory.join("id"), "bench").expect("the id is written");
    let process = Process::start(
        Command::new(env!("CARGO_BIN_EXE_pilothouse-gateway"))
            .arg("--data-dir")
            .arg(directory),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = GatewayClient::start(GatewayPaths::new(directory).socket, "bench".into(), Vec::new());
        for (address, backend) in routes {
            client
                .set(route(*address, RouteState::Open(backend.clone())))
                .await
                .expect("the route is set");
        }
        client.shutdown().await;
    });
    process
}

fn route(address: SocketAddr, state: RouteState) -> Route {
    Route {
        database: DatabaseId::new(),
        endpoint: Endpoint {
            address: address.ip(),
            port: address.port(),
        },
        state,
        source_allow: Vec::new(),
        max_connections: 0,
    }
}

/// A process of ours, killed in the end.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

fn wait_until_accepting(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err() {
        assert!(Instant::now() < deadline, "{address} does not accept");
        std::thread::yield_now();
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}
