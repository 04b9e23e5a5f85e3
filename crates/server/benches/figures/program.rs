//! The program under measurement: started on free ports with a directory of its own, removed with everything it made.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::client::Api;

/// `admin@bench:bench-password`.
const AUTHORIZATION: &str = "Basic YWRtaW5AYmVuY2g6YmVuY2gtcGFzc3dvcmQ=";

/// How often a failover is repeated.
pub(crate) fn failovers() -> usize {
    let asked = std::env::var("PILOTHOUSE_BENCH_RUNS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(100)
}

pub(crate) struct Program {
    serve: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Program {
    /// Starts it in a new directory and bootstraps it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("pilothouse-bench").tempdir()?;
        make_traversable(directory.path())?;
        let port = free_port()?;
        let serve = serve(directory.path(), port)?;
        let program = Self { serve, directory, port };
        let cluster = json!({
            "action": "create_cluster",
            "cluster": {"name": "bench.local"},
            "credentials": {"username": "admin@bench", "password": "bench-password"},
        });
        program
            .api()?
            .call("POST", "/v1/bootstrap/create_cluster", Some(&cluster))?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(15) {
            if program.api()?.call("GET", "/v1/cluster", None)?.0 == 200 {
                return Ok(program);
            }
        }
        anyhow::bail!("the bootstrap does not end")
    }

    pub(crate) fn api(&self) -> anyhow::Result<Api> {
        Api::connect(self.port, AUTHORIZATION)
    }

    /// Makes a database; returns uid and port.
    pub(crate) fn create(&self, api: &mut Api, name: &str, replicated: bool) -> anyhow::Result<(u64, u16)> {
        let wanted = json!({"name": name, "memory_size": 64 << 20, "replication": replicated});
        let (status, body) = api.call("POST", "/v1/bdbs", Some(&wanted))?;
        anyhow::ensure!(status == 200, "creation refused: {body}");
        let number = |key: &str| body[key].as_u64().with_context(|| format!("no {key} in {body}"));
        Ok((number("uid")?, u16::try_from(number("port")?)?))
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.serve.id()
    }

    /// Kills the control plane and starts it again; returns how long it took from the start of the process until it is ready.
    pub(crate) fn restart(&mut self) -> anyhow::Result<Duration> {
        self.stop()?;
        let begun = Instant::now();
        self.serve = serve(self.directory.path(), self.port)?;
        Ok(begun.elapsed())
    }

    /// Kills the control plane.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.serve.kill()?;
        self.serve.wait()?;
        Ok(())
    }

    /// The program's own view of a database.
    pub(crate) fn show(&self, name: &str) -> anyhow::Result<Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_pilothouse"))
            .args(["db", "show", name, "-o", "json", "--data-dir"])
            .arg(self.data_dir())
            .output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Process ids of everything that lives in the data directory: servers and gateway.
    pub(crate) fn children(&self) -> Vec<u32> {
        let pattern = self.data_dir().to_string_lossy().into_owned();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
            .filter(|pid| *pid != self.serve.id())
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&pattern))
            })
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.serve.kill();
        let _ = self.serve.wait();
        for pid in self.children() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Starts `pilothouse serve` and waits for its ready line.
fn serve(directory: &Path, port: u16) -> anyhow::Result<Child> {
    let config = directory.join("pilothouse.toml");
    let data = directory.join("data");
    std::fs::write(
        &config,
        format!(
            "[server]\ndata_dir = {data:?}\nlog = \"warn\"\n[listen]\nredis_enterprise = \"127.0.0.1:{port}\"\nredis_cloud = \"off\"\nkvrocks_controller = \"off\"\ntrove = \"off\"\nglobo = \"off\"\nmetrics = \"off\"\n"
        ),
    )?;
    let mut child = Command::new(env!("CARGO_BIN_EXE_pilothouse"))
        .arg("serve")
        .arg("--config")
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    anyhow::ensure!(line.starts_with("pilothouse ready"), "it did not get ready: {line:?}");
    Ok(child)
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The account that servers run under must get through.
fn make_traversable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .context("cannot open the directory for traversal")
}
