//! The baseline: the same server binary, started by hand with the configuration that the program would write.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client;
use crate::program::free_port;

pub(crate) struct Bare {
    process: Child,
    port: u16,
}

impl Bare {
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a bare server; returns how long it took until it answered PING.
pub(crate) fn start(directory: &Path) -> anyhow::Result<(Bare, Duration)> {
    launch(directory, &[])
}

/// Starts a bare server that can become part of a cluster; returns its port as well.
pub(crate) fn start_for_cluster(directory: &Path) -> anyhow::Result<(Bare, u16)> {
    let bus = free_port()?.to_string();
    let (server, _) = launch(directory, &["--cluster-enabled", "yes", "--cluster-port", &bus])?;
    let port = server.port;
    Ok((server, port))
}

fn launch(directory: &Path, more: &[&str]) -> anyhow::Result<(Bare, Duration)> {
    let port = free_port()?;
    let begun = Instant::now();
    let process = Command::new(binary()?)
        .args([
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--daemonize",
            "no",
            "--bind",
            "127.0.0.1",
        ])
        .args(more)
        .current_dir(directory)
        .stdout(Stdio::null())
        .spawn()?;
    client::until(port, "PING", "+PONG");
    Ok((Bare { process, port }, begun.elapsed()))
}

fn binary() -> anyhow::Result<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("redis-server"))
        .find(|path| path.exists())
        .context("redis-server is not installed")
}
