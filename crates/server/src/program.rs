//! From the command line to the part of the program that was asked for, and from its result to an exit code.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use pilothouse_gateway::{GatewayOptions, GatewayRunError};
use pilothouse_model::Secret;
use pilothouse_runtime_local::LocalRuntime;

use crate::cli::{Cli, Command, Db, Doctor, Gateway, Output, Place, RedisCloud, Seed, SeedDialect, Serve, exit};
use crate::config::{self, ConfigErrors, Configuration, Sources};
use crate::data_dir::{DataDir, DataDirError, Layout};
use crate::local::wire::AcceptedView;
use crate::local::{ClientError, LocalClient};
use crate::{accounts, db, doctor, logging, output, serve, wiring};

/// Runs the program; `main` does nothing else.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::note(&format!("pilothouse: {error:#}"));
            ExitCode::from(code_of(&error))
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Serve(arguments) => serve(&arguments),
        Command::Doctor(arguments) => doctor(&arguments),
        Command::Seed(arguments) => seed(&arguments),
        Command::Db(arguments) => database(arguments),
        Command::RedisCloud(arguments) => redis_cloud(arguments),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "pilothouse", &mut std::io::stdout());
            Ok(exit::OK)
        }
        Command::Gateway(arguments) => gateway(&arguments),
        // Comes back only when the server could not be started.
        Command::Launch { .. } => match pilothouse_runtime_local::launch()? {},
    }
}

fn gateway(arguments: &Gateway) -> anyhow::Result<u8> {
    logging::start(&arguments.log);
    let options = GatewayOptions {
        take_over: arguments.take_over,
        ..GatewayOptions::new(&arguments.data_dir)
    };
    pilothouse_gateway::run(options)?;
    Ok(exit::OK)
}

fn serve(arguments: &Serve) -> anyhow::Result<u8> {
    let configuration = configure(&arguments.place, arguments.flags())?;
    logging::start(&configuration.server.log);
    let address = configuration.server.advertise_address;
    anyhow::ensure!(
        wiring::is_own_address(address),
        "server.advertise_address is {address}, which is no address of this machine (ip -brief address lists them)"
    );
    let data_dir = DataDir::open(&configuration.server.data_dir, &configuration.server.run_as)?;
    let admin = data_dir.admin_password(configuration.admin.password.as_ref())?;
    if admin.new {
        tell_password(
            &configuration.admin.user,
            &admin.secret,
            &data_dir.layout().admin_password,
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime
        .context("cannot start the scheduler")?
        .block_on(serve::run(configuration, data_dir, admin.secret))?;
    Ok(exit::OK)
}

/// Shows a new password to a person, and only its place to a log.
fn tell_password(user: &str, password: &Secret, file: &Path) {
    if std::io::stderr().is_terminal() {
        output::note(&format!(
            "superuser {user}, password {} (kept in {})",
            password.expose(),
            file.display()
        ));
    } else {
        tracing::info!(user, file = %file.display(), "a password for the superuser was made");
    }
}

fn doctor(arguments: &Doctor) -> anyhow::Result<u8> {
    let configuration = configure(&arguments.place, arguments.place.flags())?;
    let report = runtime()?.block_on(examine(&configuration))?;
    match arguments.output {
        Output::Json => output::json(&report)?,
        Output::Table => output::lines(report.lines())?,
    }
    Ok(if report.verdict() == doctor::Verdict::Problem {
        exit::FAILED
    } else {
        exit::OK
    })
}

/// The runtime wants a directory of its own, and the data directory is not ours to touch: it gets one for the moment.
async fn examine(configuration: &Configuration) -> anyhow::Result<doctor::Report> {
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let runtime = LocalRuntime::new(wiring::local_options(configuration, scratch.path(), "doctor", None))?;
    let report = doctor::examine(configuration, &runtime, &wiring::engines()).await;
    runtime.shutdown().await;
    Ok(report)
}

fn database(arguments: Db) -> anyhow::Result<u8> {
    let client = client(&arguments.place)?;
    runtime()?.block_on(db::run(&client, arguments))?;
    Ok(exit::OK)
}

fn redis_cloud(arguments: RedisCloud) -> anyhow::Result<u8> {
    let client = client(&arguments.place)?;
    runtime()?.block_on(accounts::run(&client, arguments.command, arguments.output))?;
    Ok(exit::OK)
}

fn seed(arguments: &Seed) -> anyhow::Result<u8> {
    let SeedDialect::Globo = arguments.dialect;
    let client = client(&arguments.place)?;
    let _: AcceptedView = runtime()?.block_on(client.post("/seed/globo", &serde_json::json!({})))?;
    Ok(exit::OK)
}

fn client(place: &Place) -> anyhow::Result<LocalClient> {
    let configuration = configure(place, place.flags())?;
    Ok(LocalClient::new(
        &Layout::new(&configuration.server.data_dir).control_socket,
    ))
}

fn configure(place: &Place, flags: Vec<(&'static str, &'static str, String)>) -> anyhow::Result<Configuration> {
    let sources = Sources::of_process(place.config.clone(), flags).context("cannot tell the working directory")?;
    Ok(config::load(&sources)?)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the scheduler")
}

/// The exit code of a failure, by what failed.
fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigErrors>() {
        return exit::USAGE;
    }
    if let Some(DataDirError::Locked { .. }) = error.downcast_ref() {
        return exit::LOCKED;
    }
    if let Some(error) = error.downcast_ref::<GatewayRunError>() {
        return error.exit_code();
    }
    match error.downcast_ref() {
        Some(ClientError::NotRunning { .. }) => exit::NOT_RUNNING,
        Some(ClientError::Refused(_) | ClientError::Denied { .. }) => exit::REFUSED,
        _ => exit::FAILED,
    }
}
