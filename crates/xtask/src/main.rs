//! Chores of the project. `cargo run -p xtask -- tidy` checks what the compiler cannot: who imports whom, that siblings have the same
//! files, that files and functions stay readable. The same checks are tests of this crate.

mod tidy;

use std::process::ExitCode;

#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a chore reports to whoever runs it"
)]
fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {
            let complaints = tidy::all();
            complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
            println!("{} complaints", complaints.len());
            if complaints.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Some("ratchet") => {
            print!("{}", tidy::size::ratchet());
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("cargo run -p xtask -- tidy|ratchet");
            ExitCode::FAILURE
        }
    }
}
