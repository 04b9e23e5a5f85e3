//! Reads with a thousand databases in the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::program::Program;
use crate::{records, summary};

const DATABASES: u64 = 1000;
const SAMPLES: u64 = 5000;
const LISTS: usize = 50;
const CONNECTIONS: u64 = 64;
const THROUGHPUT_FOR: Duration = Duration::from_secs(5);

pub(crate) fn run() -> anyhow::Result<()> {
    let mut program = Program::start()?;
    records::fill(&mut program, DATABASES)?;
    let mut api = program.api()?;
    let mut one = Vec::new();
    for number in 0..SAMPLES {
        let path = format!("/v1/bdbs/{}", 1 + number % DATABASES);
        let begun = Instant::now();
        let (status, _) = api.raw("GET", &path, None)?;
        one.push(begun.elapsed());
        anyhow::ensure!(status == 200, "{path} answers {status}");
    }
    summary::line("GET of one database, one kept connection", &mut one);
    let mut list = Vec::new();
    for _ in 0..LISTS {
        let begun = Instant::now();
        let (_, body) = api.raw("GET", "/v1/bdbs", None)?;
        list.push(begun.elapsed());
        let listed: Vec<serde::de::IgnoredAny> = serde_json::from_slice(&body)?;
        anyhow::ensure!(listed.len() as u64 == DATABASES, "a list of {}", listed.len());
    }
    summary::line("list of all databases", &mut list);
    throughput(&program, DATABASES)
}

fn throughput(program: &Program, count: u64) -> anyhow::Result<()> {
    let answered = AtomicU64::new(0);
    let until = Instant::now() + THROUGHPUT_FOR;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let answered = &answered;
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut api = program.api()?;
                    let path = format!("/v1/bdbs/{}", 1 + number % count);
                    while Instant::now() < until {
                        api.raw("GET", &path, None)?;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread of the bench panics"))
    })?;
    let rate = answered.load(Ordering::Relaxed) as f64 / THROUGHPUT_FOR.as_secs_f64();
    summary::number("reads over TLS, 64 kept connections, client included", rate, "/s");
    Ok(())
}
