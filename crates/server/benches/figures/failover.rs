//! From the loss of a primary to the first acknowledged write at the same address.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::Database;
use crate::program::{self, Program};
use crate::summary;

/// How long a client waits for one reply before it counts the connection as lost.
const REPLY_WITHIN: Duration = Duration::from_secs(3);

pub(crate) fn run() -> anyhow::Result<()> {
    let runs = program::failovers();
    let program = Program::start()?;
    let mut api = program.api()?;
    let (uid, port) = program.create(&mut api, "failing", true)?;
    api.wait_status(uid, "active")?;
    let mut killed = Vec::new();
    for _ in 0..runs {
        killed.push(lose_primary(&program, port, "-KILL")?);
    }
    summary::line("SIGKILL of the primary to the first acknowledged write", &mut killed);
    let mut stopped = Vec::new();
    for _ in 0..runs / 5 {
        stopped.push(lose_primary(&program, port, "-STOP")?);
    }
    summary::line("SIGSTOP of the primary to the first acknowledged write", &mut stopped);
    Ok(())
}

fn lose_primary(program: &Program, port: u16, signal: &str) -> anyhow::Result<Duration> {
    let primary = ready(program, port)?;
    let mut database = Database::connect(port, REPLY_WITHIN)?;
    let writing_until = Instant::now() + Duration::from_millis(50);
    let mut number = 0_u64;
    while Instant::now() < writing_until {
        number += 1;
        database.ask(&format!("SET key:{number} {number}"))?;
    }
    Command::new("kill").args([signal, &primary.to_string()]).status()?;
    let lost = Instant::now();
    loop {
        let answered = database.ask("SET after 1");
        if answered.is_ok_and(|line| line == "+OK") {
            return Ok(lost.elapsed());
        }
        if let Ok(again) = Database::connect(port, REPLY_WITHIN) {
            database = again;
        }
    }
}

/// Waits until a failover would work; returns the primary's process id.
fn ready(program: &Program, port: u16) -> anyhow::Result<u32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        let waited = Database::connect(port, REPLY_WITHIN).and_then(|mut database| {
            database.ask("SET before 1")?;
            database.ask("WAIT 1 100")
        });
        if !waited.is_ok_and(|line| line == ":1") {
            continue;
        }
        let shown = program.show("failing")?;
        let servers = shown["servers"].as_array().cloned().unwrap_or_default();
        let in_sync = shown["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|condition| condition["kind"] != "degraded");
        let replica = servers
            .iter()
            .any(|server| server["role"] == "replica" && server["state"] == "ok");
        let primary = servers
            .iter()
            .find(|server| server["role"] == "primary")
            .and_then(|server| server["pid"].as_u64());
        if let (true, true, Some(pid)) = (in_sync, replica, primary) {
            return Ok(u32::try_from(pid)?);
        }
    }
    anyhow::bail!("the database does not get back to full strength")
}
