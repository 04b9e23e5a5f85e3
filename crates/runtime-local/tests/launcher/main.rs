//! `pilothouse launch` for tests, which signals itself before the step that its arguments name: `--crash-before STEP` kills it,
//! `--stop-before STEP` stops it until somebody continues it.

use std::process::ExitCode;

use pilothouse_runtime_local::launch_observed;
use rustix::process::{Signal, getpid, kill_process};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let wanted = |option: &str| {
        let place = arguments.iter().position(|argument| argument == option)?;
        arguments.get(place + 1).cloned()
    };
    let (crash, stop) = (wanted("--crash-before"), wanted("--stop-before"));
    let outcome = launch_observed(&mut |step| {
        let name = Some(format!("{step:?}"));
        for (option, signal) in [(&crash, Signal::KILL), (&stop, Signal::STOP)] {
            if *option == name {
                // To ourselves, which cannot be refused.
                let _ = kill_process(getpid(), signal);
            }
        }
    });
    match outcome {
        Ok(never) => match never {},
        Err(_) => ExitCode::FAILURE,
    }
}
