//! The gateway as a program of its own, for its tests and benches. What users run is `pilothouse gateway`, which does the same.

use std::process::ExitCode;

use pilothouse_gateway::{GatewayOptions, run};

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args_os().skip(1);
    let mut data_dir = None;
    let mut take_over = false;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--data-dir") => data_dir = arguments.next(),
            Some("--take-over") => take_over = true,
            _ => data_dir = None,
        }
    }
    let Some(data_dir) = data_dir else {
        tracing::error!("usage: pilothouse-gateway --data-dir DIR [--take-over]");
        return ExitCode::from(2);
    };
    let options = GatewayOptions {
        take_over,
        ..GatewayOptions::new(data_dir)
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}
