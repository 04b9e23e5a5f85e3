//! The figures of the whole program, measured from outside, beside a bare server of the same binary in the same run.
//!
//! `cargo bench -p pilothouse-server --bench figures -- [provisioning] [failover] [cluster] [api] [restart] [idle]`; nothing named runs all.
//! `PILOTHOUSE_BENCH_RUNS` changes how often a failover is repeated (100). What is printed goes into `docs/benchmarks.md`.

mod api;
mod bare;
mod client;
mod cluster;
mod failover;
mod idle;
mod program;
mod provisioning;
mod records;
mod restart;
mod summary;

use std::process::ExitCode;

type Section = (&'static str, fn() -> anyhow::Result<()>);

const SECTIONS: [Section; 6] = [
    ("provisioning", provisioning::run),
    ("failover", failover::run),
    ("cluster", cluster::run),
    ("api", api::run),
    ("restart", restart::run),
    ("idle", idle::run),
];

#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a bench reports to whoever runs it"
)]
fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for (name, run) in SECTIONS {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == name) {
            continue;
        }
        println!("\n## {name}");
        if let Err(error) = run() {
            eprintln!("{name}: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
