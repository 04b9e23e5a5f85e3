//! A control plane that comes back to running databases.

use crate::program::Program;
use crate::summary;

const RUNNING: usize = 100;
const RUNS: usize = 5;

pub(crate) fn run() -> anyhow::Result<()> {
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
    let mut restarts = Vec::new();
    for _ in 0..RUNS {
        restarts.push(program.restart()?);
    }
    summary::line("kill -9, start to ready, 100 databases running", &mut restarts);
    Ok(())
}
