//! `pilothouse launch` for tests, which kills itself before the step that its arguments name: `--crash-before STEP`.

use std::process::ExitCode;

use pilothouse_runtime_local::launch_observed;
use rustix::process::{Signal, getpid, kill_process};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--crash-before");
    let crash_before = arguments.nth(1);
    let outcome = launch_observed(&mut |step| {
        if crash_before.as_deref() == Some(&format!("{step:?}")) {
            // To ourselves; it cannot fail and does not return.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    });
    match outcome {
        Ok(never) => match never {},
        Err(_) => ExitCode::FAILURE,
    }
}
