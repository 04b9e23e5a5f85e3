//! From the request to the first PONG, beside a bare start of the same server.

use std::time::{Duration, Instant};

use crate::client;
use crate::program::Program;
use crate::{bare, summary};

const RUNS: usize = 20;
const AT_ONCE: usize = 100;

pub(crate) fn run() -> anyhow::Result<()> {
    let program = Program::start()?;
    let mut api = program.api()?;
    let (mut bare_starts, mut single, mut replicated) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let directory = tempfile::tempdir()?;
        bare_starts.push(bare::start(directory.path())?.1);
        let (uid, took) = provision(&program, &mut api, &format!("single-{run}"), false)?;
        single.push(took);
        api.call("DELETE", &format!("/v1/bdbs/{uid}"), None)?;
        let (uid, took) = provision(&program, &mut api, &format!("replicated-{run}"), true)?;
        replicated.push(took);
        api.call("DELETE", &format!("/v1/bdbs/{uid}"), None)?;
    }
    summary::line("bare redis-server: start to PONG", &mut bare_starts);
    summary::line("single database: POST to PONG at the endpoint", &mut single);
    summary::line("replicated database: POST to active (replica in sync)", &mut replicated);
    at_once(&program)
}

fn provision(
    program: &Program,
    api: &mut client::Api,
    name: &str,
    replicated: bool,
) -> anyhow::Result<(u64, Duration)> {
    let begun = Instant::now();
    let (uid, port) = program.create(api, name, replicated)?;
    client::until(port, "PING", "+PONG");
    let took = begun.elapsed();
    api.wait_status(uid, "active")?;
    Ok((uid, if replicated { begun.elapsed() } else { took }))
}

fn at_once(program: &Program) -> anyhow::Result<()> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let created: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut api = program.api()?;
                    let (_, port) = program.create(&mut api, &format!("many-{number}"), false)?;
                    client::until(port, "PING", "+PONG");
                    Ok(())
                })
            })
            .collect();
        created
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread of the bench panics"))
    })?;
    summary::number(
        "100 single databases at once: all answer after",
        begun.elapsed().as_secs_f64(),
        "s",
    );
    Ok(())
}
