//! The baseline: the same server binary, started by hand with the configuration that the program would write.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client;
use crate::program::free_port;

pub(crate) struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a bare server; returns how long it took until it answered PING.
pub(crate) fn start(directory: &Path) -> anyhow::Result<(Bare, Duration)> {
    let port = free_port()?;
    let begun = Instant::now();
    let child = Command::new(binary()?)
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
        .current_dir(directory)
        .stdout(Stdio::null())
        .spawn()?;
    client::until(port, "PING", "+PONG");
    Ok((Bare(child), begun.elapsed()))
}

fn binary() -> anyhow::Result<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("redis-server"))
        .find(|path| path.exists())
        .context("redis-server is not installed")
}
