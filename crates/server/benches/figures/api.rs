//! Reads with a thousand databases in the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::program::Program;
use crate::summary;

const DATABASES: usize = 1000;
const SAMPLES: usize = 5000;
const CONNECTIONS: usize = 64;
const THROUGHPUT_FOR: Duration = Duration::from_secs(5);

pub(crate) fn run() -> anyhow::Result<()> {
    let program = Program::start()?;
    let mut api = program.api()?;
    let count = std::env::var("PILOTHOUSE_BENCH_DATABASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(DATABASES);
    let begun = Instant::now();
    for number in 0..count {
        program.create(&mut api, &format!("db-{number}"), false)?;
    }
    summary::number(
        "databases made one after the other",
        count as f64 / begun.elapsed().as_secs_f64(),
        "/s",
    );
    let mut one = Vec::new();
    for number in 0..SAMPLES {
        let path = format!("/v1/bdbs/{}", 1 + number % count);
        let begun = Instant::now();
        let (status, _) = api.raw("GET", &path, None)?;
        one.push(begun.elapsed());
        anyhow::ensure!(status == 200, "{path} answers {status}");
    }
    summary::line("GET of one database, one kept connection", &mut one);
    let mut list = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        let (_, body) = api.raw("GET", "/v1/bdbs", None)?;
        list.push(begun.elapsed());
        anyhow::ensure!(body.len() > count * 100, "a short list");
    }
    summary::line("list of all databases", &mut list);
    throughput(&program, count)
}

fn throughput(program: &Program, count: usize) -> anyhow::Result<()> {
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
