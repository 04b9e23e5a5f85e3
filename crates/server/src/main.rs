//! `pilothouse`

use std::process::ExitCode;

fn main() -> ExitCode {
    pilothouse_server::program::run()
}
