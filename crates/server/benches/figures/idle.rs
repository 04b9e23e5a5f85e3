//! What a hundred replicated databases cost while nothing happens.

use std::time::{Duration, Instant};

use crate::program::Program;
use crate::summary;

const DATABASES: usize = 100;
const WATCHED_FOR: Duration = Duration::from_secs(20);
/// Clock ticks of /proc: 100 a second on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn run() -> anyhow::Result<()> {
    let program = Program::start()?;
    let mut api = program.api()?;
    let empty = resident(program.pid());
    let mut made = Vec::new();
    for number in 0..DATABASES {
        made.push(program.create(&mut api, &format!("db-{number}"), true)?.0);
    }
    for uid in made {
        api.wait_status(uid, "active")?;
    }
    let gateway: Vec<u32> = program.children().into_iter().filter(|pid| is_gateway(*pid)).collect();
    let used = || ticks(program.pid()) + gateway.iter().map(|pid| ticks(*pid)).sum::<u64>();
    let (before, begun) = (used(), Instant::now());
    #[expect(clippy::disallowed_methods, reason = "the time that passes is what is measured")]
    std::thread::sleep(WATCHED_FOR);
    let share = (used() - before) as f64 / TICKS_PER_SECOND / begun.elapsed().as_secs_f64();
    summary::number(
        "processor use of control plane and gateway, idle",
        share * 100.0,
        "% of one core",
    );
    let grown = resident(program.pid()).saturating_sub(empty) as f64 / 1024.0 / DATABASES as f64;
    summary::number(
        "resident memory of the control plane per running database",
        grown,
        "KiB",
    );
    Ok(())
}

fn is_gateway(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("\0gateway\0"))
}

/// User and system time of a process, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
        .sum()
}

/// Resident memory, bytes.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * 4096
}
