//! The gateway as a program of its own, for its tests and benches. What users run is `pilothouse gateway`, which does the same.

use std::process::ExitCode;
use std::time::Duration;

use pilothouse_gateway::{GatewayOptions, run};

const USAGE: &str =
    "usage: pilothouse-gateway --data-dir DIR [--take-over] [--hold MILLISECONDS] [--held-connections COUNT]";

fn main() -> ExitCode {
    let logger = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // A log that cannot be written is no reason to end.
    logger.log_internal_errors(false).init();
    let Some(options) = options(std::env::args().skip(1)) else {
        tracing::error!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<GatewayOptions> {
    let (first, data_dir) = (arguments.next()?, arguments.next()?);
    let mut options = (first == "--data-dir").then(|| GatewayOptions::new(data_dir))?;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--take-over" => options.take_over = true,
            "--hold" => options.hold = Duration::from_millis(arguments.next()?.parse().ok()?),
            "--held-connections" => options.held_connections = arguments.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(options)
}
