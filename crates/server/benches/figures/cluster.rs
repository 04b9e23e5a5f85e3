//! Clusters: until they answer, until a lost primary's slots take writes again, and until slots have moved; beside `redis-cli --cluster` on
//! servers of the same binary.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::bare::{self, Bare};
use crate::client::{Api, Database};
use crate::program::{self, Program};
use crate::summary;

/// Clusters that are made.
const CREATIONS: usize = 5;
/// Slots that `redis-cli` moves.
const SLOTS: u32 = 4096;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() -> anyhow::Result<()> {
    let runs = program::failovers();
    let program = Program::start()?;
    let mut api = program.api()?;
    let mut created = Vec::new();
    for run in 0..CREATIONS {
        let begun = Instant::now();
        let uid = create(&mut api, &format!("made-{run}"), 3)?;
        settled(&mut api, uid)?;
        created.push(begun.elapsed());
        api.call("DELETE", &format!("/v1/bdbs/{uid}"), None)?;
    }
    summary::line("3 primaries and 3 replicas, POST to active", &mut created);
    let (mut taken, _servers) = by_hand(6, &["--cluster-replicas", "1"])?;
    summary::line(
        "the same with redis-cli --cluster create",
        std::slice::from_mut(&mut taken),
    );

    let uid = create(&mut api, "failing", 3)?;
    settled(&mut api, uid)?;
    let mut lost = Vec::new();
    for run in 0..runs {
        lost.push(lose_primary(&mut api, uid, run)?);
    }
    summary::line("SIGKILL of a primary to the first write to its slots", &mut lost);

    let uid = create(&mut api, "growing", 2)?;
    settled(&mut api, uid)?;
    let begun = Instant::now();
    let wanted = json!({"shards_count": 4});
    api.call("PUT", &format!("/v1/bdbs/{uid}"), Some(&wanted))?;
    while slots_of_smallest(&mut api, uid)? == 0 {}
    let moving = Instant::now();
    settled(&mut api, uid)?;
    summary::number("2 to 4 shards, new servers and all", begun.elapsed().as_secs_f64(), "s");
    summary::number(
        "of these, slots moved a second",
        8192.0 / moving.elapsed().as_secs_f64(),
        "slots/s",
    );
    let (_, servers) = by_hand(3, &[])?;
    let seconds = reshard_by_hand(&servers)?.as_secs_f64();
    summary::number("redis-cli --cluster reshard", f64::from(SLOTS) / seconds, "slots/s");
    Ok(())
}

fn create(api: &mut Api, name: &str, shards: u64) -> anyhow::Result<u64> {
    let wanted = json!({
        "name": name, "memory_size": shards * (64 << 20), "replication": true, "sharding": true, "oss_cluster": true,
        "shards_count": shards, "proxy_policy": "all-master-shards",
    });
    let (status, body) = api.call("POST", "/v1/bdbs", Some(&wanted))?;
    anyhow::ensure!(status == 200, "creation refused: {body}");
    body["uid"].as_u64().context("no uid")
}

/// Waits until it is active and nothing is done for it.
fn settled(api: &mut Api, uid: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let (_, shown) = api.call("GET", &format!("/v1/bdbs/{uid}"), None)?;
        if shown["status"] == "active" && shown.get("action_uid").is_none() {
            return Ok(());
        }
    }
    anyhow::bail!("cluster {uid} does not settle")
}

fn shards(api: &mut Api, uid: u64) -> anyhow::Result<Vec<Value>> {
    let path = format!("/v1/bdbs/{uid}/shards?extra_info_keys=process_id,tcp_port");
    let (_, shown) = api.call("GET", &path, None)?;
    Ok(shown.as_array().cloned().unwrap_or_default())
}

/// Slots of the primary that has fewest.
fn slots_of_smallest(api: &mut Api, uid: u64) -> anyhow::Result<u32> {
    let owned = shards(api, uid)?.into_iter().filter(|shard| shard["role"] == "master");
    let counts = owned.map(|shard| {
        let ranges = shard["assigned_slots"].as_str().unwrap_or_default().to_owned();
        let bounds = ranges.split(',').filter_map(|range| range.split_once('-'));
        let sizes = bounds.filter_map(|(first, last)| Some(last.parse::<u32>().ok()? + 1 - first.parse::<u32>().ok()?));
        sizes.sum()
    });
    Ok(counts.min().unwrap_or(0))
}

fn info(shard: &Value, key: &str) -> Option<u64> {
    shard["redis_info"][key].as_u64()
}

/// Kills the primary of some shard; returns how long it took until its replica took a write to its slots.
fn lose_primary(api: &mut Api, uid: u64, run: usize) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let (primary, replica) = loop {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "the cluster does not get back to full strength"
        );
        let all = shards(api, uid)?;
        let replicas: Vec<&Value> = all.iter().filter(|shard| shard["role"] == "slave").collect();
        let in_sync = replicas
            .iter()
            .all(|shard| shard["sync"]["status"] == "idle" && shard["detailed_status"] == "ok");
        let primaries: Vec<&Value> = all.iter().filter(|shard| shard["role"] == "master").collect();
        let Some(primary) = primaries.get(run % primaries.len().max(1)).filter(|_| in_sync) else {
            continue;
        };
        let of_it = |replica: &&&Value| replica["assigned_slots"] == primary["assigned_slots"];
        if let Some(replica) = replicas.iter().find(of_it) {
            break ((*primary).clone(), (*replica).clone());
        }
    };
    let port = |shard: &Value| u16::try_from(info(shard, "tcp_port").unwrap_or(0)).unwrap_or(0);
    let mut client = Database::connect(port(&primary), PATIENCE)?;
    let mut number = 0_u32;
    let key = loop {
        number += 1;
        let key = format!("key:{number}");
        if client.ask(&format!("SET {key} 1"))? == "+OK" {
            break key;
        }
    };
    let mut next = Database::connect(port(&replica), PATIENCE)?;
    let pid = info(&primary, "process_id").context("no process id")?;
    Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
    let lost = Instant::now();
    while next.ask(&format!("SET {key} {run}"))? != "+OK" {
        anyhow::ensure!(lost.elapsed() < PATIENCE, "nobody takes over");
    }
    Ok(lost.elapsed())
}

/// Servers started by hand and made a cluster by `redis-cli`; how long the latter took until every server answers for its slots.
fn by_hand(count: usize, more: &[&str]) -> anyhow::Result<(Duration, Vec<(Bare, tempfile::TempDir)>)> {
    let mut servers = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..count {
        let directory = tempfile::tempdir()?;
        let (server, port) = bare::start_for_cluster(directory.path())?;
        addresses.push(format!("127.0.0.1:{port}"));
        servers.push((server, directory));
    }
    let begun = Instant::now();
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(more)
        .arg("--cluster-yes")
        .output()?;
    anyhow::ensure!(
        made.status.success(),
        "redis-cli: {}",
        String::from_utf8_lossy(&made.stdout)
    );
    Ok((begun.elapsed(), servers))
}

fn reshard_by_hand(servers: &[(Bare, tempfile::TempDir)]) -> anyhow::Result<Duration> {
    let port = |at: usize| {
        servers
            .get(at)
            .map(|(server, _)| server.port())
            .context("no such server")
    };
    let name = |at: usize| -> anyhow::Result<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &port(at)?.to_string(), "CLUSTER", "MYID"])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let begun = Instant::now();
    let moved = Command::new("redis-cli")
        .args(["--cluster", "reshard", &format!("127.0.0.1:{}", port(0)?)])
        .args(["--cluster-from", &name(0)?, "--cluster-to", &name(1)?])
        .args(["--cluster-slots", &SLOTS.to_string(), "--cluster-yes"])
        .output()?;
    anyhow::ensure!(
        moved.status.success(),
        "redis-cli: {}",
        String::from_utf8_lossy(&moved.stdout)
    );
    Ok(begun.elapsed())
}
