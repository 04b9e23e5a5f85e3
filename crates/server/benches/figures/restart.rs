//! A control plane that comes back to running and to recorded databases.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::client::Api;
use crate::program::Program;
use crate::{records, summary};

const RUNNING: usize = 100;
const RECORDED: u64 = 10_000;
const RUNS: usize = 5;
const ADOPTION_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run() -> anyhow::Result<()> {
    recorded()?;
    running()
}

fn recorded() -> anyhow::Result<()> {
    let mut program = Program::start()?;
    records::fill(&mut program, RECORDED)?;
    let mut restarts = Vec::new();
    for _ in 0..RUNS {
        restarts.push(program.restart()?);
    }
    summary::line("kill -9, start to ready, 10,000 databases recorded", &mut restarts);
    Ok(())
}

fn running() -> anyhow::Result<()> {
    let mut program = Program::start()?;
    let mut api = program.api()?;
    let mut made = Vec::new();
    for number in 0..RUNNING {
        made.push(program.create(&mut api, &format!("db-{number}"), false)?.0);
    }
    for uid in made {
        api.wait_status(uid, "active")?;
    }
    drop(api);
    let (mut restarts, mut adoptions) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let ready = program.restart()?;
        let begun = Instant::now();
        let mut api = program.api()?;
        while answering(&mut api)? < RUNNING {
            anyhow::ensure!(begun.elapsed() < ADOPTION_PATIENCE, "some servers were not adopted");
        }
        restarts.push(ready);
        adoptions.push(ready + begun.elapsed());
    }
    summary::line("kill -9, start to ready, 100 databases running", &mut restarts);
    summary::line("the same to each server adopted and answering", &mut adoptions);
    Ok(())
}

/// How many servers the program says it watches and that answer it.
fn answering(api: &mut Api) -> anyhow::Result<usize> {
    let (_, shards) = api.call("GET", "/v1/shards", None)?;
    let shards = shards.as_array().context("a list of shards")?;
    Ok(shards.iter().filter(|shard| shard["detailed_status"] == "ok").count())
}
