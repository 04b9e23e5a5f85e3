//! `pilothouse db`: commands over the local socket, and how their results are shown.

mod show;

use std::io::{self, BufRead, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::cli::{Create, Db, DbCommand, Output, Target, Update, Wait};
use crate::local::LocalClient;
use crate::local::wire::{AcceptedView, CreateRequest, DatabaseView, EventView, LogView, OperationView, UpdateRequest};
use crate::output;

/// How often an operation is asked after; on a socket of this machine that costs nothing.
const POLL: Duration = Duration::from_millis(50);

/// Carries a command out.
pub async fn run(client: &LocalClient, db: Db) -> anyhow::Result<()> {
    let form = db.output;
    match db.command {
        DbCommand::List { all } => list(client, all, form).await,
        DbCommand::Show { target, password } => show_one(client, &target, password, form).await,
        DbCommand::Password { target } => password(client, &target, form).await,
        DbCommand::Create(create) => self::create(client, create, form).await,
        DbCommand::Update(update) => self::update(client, update, form).await,
        DbCommand::Delete { target, yes, wait } => {
            confirm(&target, yes, "delete", "All its data will be gone.")?;
            let accepted = client.delete(&path(&target, "")).await?;
            finish(client, accepted, &wait, form).await
        }
        DbCommand::Flush { target, yes, wait } => {
            confirm(&target, yes, "flush", "All its data will be gone, the database stays.")?;
            act(client, &target, "/flush", &wait, form).await
        }
        DbCommand::Failover { target, wait } => act(client, &target, "/failover", &wait, form).await,
        DbCommand::Connect { target, arguments } => connect(client, &target, &arguments).await,
        DbCommand::Logs { target, lines } => logs(client, &target, lines, form).await,
        DbCommand::Events { database, lines } => events(client, database.as_deref(), lines, form).await,
    }
}

async fn list(client: &LocalClient, all: bool, form: Output) -> anyhow::Result<()> {
    let databases: Vec<DatabaseView> = client
        .get(if all { "/databases?all=true" } else { "/databases" })
        .await?;
    match form {
        Output::Json => output::json(&databases)?,
        Output::Table => show::list(&databases).print()?,
    }
    Ok(())
}

async fn show_one(client: &LocalClient, target: &Target, password: bool, form: Output) -> anyhow::Result<()> {
    let database = get(client, &target.database, password).await?;
    match form {
        Output::Json => output::json(&database)?,
        Output::Table => output::lines(show::one(&database))?,
    }
    Ok(())
}

/// The bare password; an empty line for a database without one.
async fn password(client: &LocalClient, target: &Target, form: Output) -> anyhow::Result<()> {
    let password = get(client, &target.database, true).await?.password.unwrap_or_default();
    match form {
        Output::Json => output::json(&password),
        Output::Table => output::lines([password]),
    }
    .map_err(anyhow::Error::from)
}

async fn create(client: &LocalClient, create: Create, form: Output) -> anyhow::Result<()> {
    let sources = create.access.source_allow().map_err(anyhow::Error::msg)?;
    let password = match &create.password_file {
        Some(file) => Some(first_line(file)?),
        None => create.password.clone(),
    };
    let request = CreateRequest {
        name: create.name,
        engine: create.engine.map(word),
        memory_bytes: create.memory,
        replicas: create.replicas,
        persistence: create.persistence.map(word),
        eviction: create.eviction.map(word),
        port: create.port,
        password,
        source_allow: sources.unwrap_or_default(),
        max_connections: create.access.max_connections.unwrap_or(0),
    };
    let accepted = client.post("/databases", &request).await?;
    finish(client, accepted, &create.wait, form).await
}

async fn update(client: &LocalClient, update: Update, form: Output) -> anyhow::Result<()> {
    let request = UpdateRequest {
        memory_bytes: update.memory,
        replicas: update.replicas,
        persistence: update.persistence.map(word),
        eviction: update.eviction.map(word),
        source_allow: update.access.source_allow().map_err(anyhow::Error::msg)?,
        max_connections: update.access.max_connections,
    };
    let accepted = client.patch(&path(&update.target, ""), &request).await?;
    finish(client, accepted, &update.wait, form).await
}

async fn act(client: &LocalClient, target: &Target, action: &str, wait: &Wait, form: Output) -> anyhow::Result<()> {
    let accepted = client.post(&path(target, action), &serde_json::json!({})).await?;
    finish(client, accepted, wait, form).await
}

/// Waits when that was asked for, then shows what came of it.
async fn finish(client: &LocalClient, accepted: AcceptedView, wait: &Wait, form: Output) -> anyhow::Result<()> {
    let Some(id) = &accepted.operation else {
        output::note("nothing had to be done");
        return Ok(());
    };
    let mut operation: OperationView = client.get(&format!("/operations/{id}")).await?;
    if wait.wait {
        operation = wait_for(client, operation, wait.timeout).await?;
    }
    if let Some(failure) = &operation.failure {
        bail!("{} failed: {}", operation.kind, failure.message);
    }
    let made = operation.kind == "create-database" && operation.done;
    match form {
        Output::Json if made => output::json(&get(client, &accepted.database, false).await?)?,
        Output::Json => output::json(&operation)?,
        Output::Table if made => output::lines(show::one(&get(client, &accepted.database, false).await?))?,
        Output::Table if operation.done => output::lines([format!("{} done", operation.kind)])?,
        Output::Table => output::lines([format!("{} accepted, operation {}", operation.kind, operation.id)])?,
    }
    Ok(())
}

async fn wait_for(
    client: &LocalClient,
    mut operation: OperationView,
    timeout: Duration,
) -> anyhow::Result<OperationView> {
    let deadline = Instant::now() + timeout;
    let mut progress = output::Progress::default();
    let mut timer = tokio::time::interval(POLL);
    while !operation.done {
        if Instant::now() >= deadline {
            progress.end();
            bail!(
                "{} is not done after {} s; it goes on ({})",
                operation.kind,
                timeout.as_secs(),
                operation.step
            );
        }
        if !operation.step.is_empty() {
            progress.show(&format!("{:>3} %  {}", operation.progress, operation.step));
        }
        timer.tick().await;
        operation = client.get(&format!("/operations/{}", operation.id)).await?;
    }
    progress.end();
    Ok(operation)
}

/// Becomes `redis-cli`. The password goes through the environment, which only we and root can read.
async fn connect(client: &LocalClient, target: &Target, arguments: &[String]) -> anyhow::Result<()> {
    let database = get(client, &target.database, true).await?;
    let (address, port) = database.endpoint.rsplit_once(':').context("the endpoint has no port")?;
    let program = if database.engine == "valkey" {
        "valkey-cli"
    } else {
        "redis-cli"
    };
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    for program in [program, "redis-cli", "valkey-cli"] {
        let mut command = std::process::Command::new(program);
        command.args(["-h", address.trim_matches(['[', ']']), "-p", port]);
        if let Some(password) = database.password.as_ref().filter(|password| !password.is_empty()) {
            command.env("REDISCLI_AUTH", password);
        }
        if database.tls {
            // The certificate is made by ourselves, and the endpoint is one of this machine.
            command.args(["--tls", "--insecure"]);
        }
        error = command.args(arguments).exec();
    }
    Err(error).with_context(|| format!("cannot run {program}; install the package redis-tools"))
}

async fn logs(client: &LocalClient, target: &Target, lines: usize, form: Output) -> anyhow::Result<()> {
    let logs: Vec<LogView> = client.get(&path(target, &format!("/logs?lines={lines}"))).await?;
    match form {
        Output::Json => output::json(&logs)?,
        Output::Table => output::lines(show::logs(&logs))?,
    }
    Ok(())
}

async fn events(client: &LocalClient, database: Option<&str>, lines: usize, form: Output) -> anyhow::Result<()> {
    let of = database.map_or_else(String::new, |database| format!("/databases/{}", escape(database)));
    let events: Vec<EventView> = client.get(&format!("{of}/events?lines={lines}")).await?;
    match form {
        Output::Json => output::json(&events)?,
        Output::Table => show::events(&events).print()?,
    }
    Ok(())
}

async fn get(client: &LocalClient, database: &str, password: bool) -> anyhow::Result<DatabaseView> {
    let query = if password { "?password=true" } else { "" };
    Ok(client.get(&format!("/databases/{}{query}", escape(database))).await?)
}

fn path(target: &Target, rest: &str) -> String {
    format!("/databases/{}{rest}", escape(&target.database))
}

/// A name as one segment of a path.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn word<T: ValueEnum>(value: T) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let mut line = String::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().read_line(&mut line)
    } else {
        std::fs::File::open(file).and_then(|file| io::BufReader::new(file).read_line(&mut line))
    };
    read.with_context(|| format!("cannot read the password from {}", file.display()))?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("the first line of {} is empty", file.display());
    }
    Ok(password.to_owned())
}

/// Asks on a terminal; elsewhere `--yes` must say it.
fn confirm(target: &Target, yes: bool, verb: &str, consequence: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!("to {verb} a database without being asked, say --yes");
    }
    output::note(&format!(
        "{verb} {}? {consequence} Type its name to go on:",
        target.database
    ));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() != target.database {
        bail!("not confirmed; nothing was changed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{EvictionWord, PersistenceWord};

    #[test]
    fn names_are_one_segment() {
        assert_eq!(escape("orders-1"), "orders-1");
        assert_eq!(escape("a/../b?c=%"), "a%2F%2E%2E%2Fb%3Fc%3D%25");
        assert_eq!(escape("ä b"), "%C3%A4%20b");
    }

    #[test]
    fn words_are_those_of_the_socket() {
        assert_eq!(word(EvictionWord::AllkeysLru), "allkeys-lru");
        assert_eq!(word(PersistenceWord::AofAlways), "aof-always");
    }

    #[test]
    fn a_password_is_the_first_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3 cret\r\nmore\n").unwrap();
        assert_eq!(first_line(file.path()).unwrap(), "s3 cret");
        std::fs::write(file.path(), "\n").unwrap();
        assert!(first_line(file.path()).is_err());
    }
}
