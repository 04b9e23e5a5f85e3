//! Makes a running server follow its settings, sending only what differs.
//!
//! Closing comes before and opening after everything else, so that no client sees a server half changed that it may not see at all.

use std::collections::HashMap;

use pilothouse_engine::{Deadline, EngineError, ErrorClass, Fence, Reply, ServerSettings};
use pilothouse_model::{Persistence, Secret};

use crate::backup::{self, Snapshot};
use crate::client::{Client, Command, check_all, texts_of};
use crate::config::{self, Wanted};
use crate::error;
use crate::tuning::MAX_CLIENTS;
use crate::users::{self, AccountList, AccountMemory, Accounts, REPLICATION_LOGIN};

/// What a session remembers between calls.
#[derive(Default)]
pub(crate) struct Applied {
    accounts: AccountMemory,
    /// The certificate files that the server was told to read.
    tls_fingerprint: Option<String>,
    /// What a replica must present; needed when it stops following somebody else's database.
    pub(crate) replication_secret: Option<Secret>,
    /// The snapshot that was begun when snapshots were turned on: until it is whole, the files do not hold what was promised.
    pub(crate) first_snapshot: Option<Snapshot>,
    /// The host refused the default number of clients; asked once.
    default_clients_refused: bool,
}

/// Directives that are read together when one of them changes, and again when a file does.
const TLS_FILES: [&str; 3] = ["tls-cert-file", "tls-key-file", "tls-ca-cert-file"];

/// Applies settings. True when something differed. A second call in a row costs one round trip.
pub(crate) async fn apply(
    client: &mut Client,
    applied: &mut Applied,
    settings: &ServerSettings,
    deadline: Deadline,
) -> Result<bool, EngineError> {
    users::check(settings)?;
    let accounts = Accounts::from_settings(settings)?;
    let mut wanted = config::live(settings)?;
    let link = config::link(
        &settings.replication_secret,
        settings.encrypt_replication && settings.tls.is_some(),
    );
    let (current, list) = ask(client, &wanted, &link, deadline).await?;
    if !current.follows_stranger() {
        wanted.extend(link);
    } else if settings.tls.is_none() {
        // The link to the stranger may need them until it is cut.
        wanted.retain(|want| !TLS_FILES.contains(&want.name));
    }
    applied.replication_secret = Some(settings.replication_secret.clone());
    let opening = settings.fence == Fence::Open;
    let mut changed = false;
    if !opening {
        changed |= users::apply(client, &mut applied.accounts, &accounts, &list, deadline).await?;
    }
    changed |= configure(client, applied, settings, &wanted, &current, deadline).await?;
    if opening {
        changed |= users::apply(client, &mut applied.accounts, &accounts, &list, deadline).await?;
    }
    Ok(changed)
}

/// The values that a server has now.
struct Current(HashMap<String, String>);

impl Current {
    /// Whether it follows a database that is not ours: then the account it uses there is not ours to change.
    fn follows_stranger(&self) -> bool {
        let value = |name| self.0.get(name).map(String::as_str).unwrap_or_default();
        !value("replicaof").is_empty() && value("masteruser") != REPLICATION_LOGIN
    }
}

async fn ask(
    client: &mut Client,
    wanted: &[Wanted],
    link: &[Wanted],
    deadline: Deadline,
) -> Result<(Current, AccountList), EngineError> {
    let names = wanted.iter().chain(link).map(|wanted| wanted.name).chain(["replicaof"]);
    let get = Command::new(["CONFIG", "GET"]).with(names);
    let replies = client.exchange(&[get, AccountList::command()], deadline).await?;
    let [values, list] = replies.as_slice() else {
        return Err(error::unexpected("CONFIG GET"));
    };
    Ok((Current(pairs(values)?), AccountList::from_reply(list)?))
}

/// The reply to `CONFIG GET` as a map.
pub(crate) fn pairs(reply: &Reply) -> Result<HashMap<String, String>, EngineError> {
    let texts = texts_of(reply, "CONFIG GET")?;
    Ok(texts
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect())
}

/// Sets what differs: all of it in one command, which the server carries out as a whole or not at all.
async fn configure(
    client: &mut Client,
    applied: &mut Applied,
    settings: &ServerSettings,
    wanted: &[Wanted],
    current: &Current,
    deadline: Deadline,
) -> Result<bool, EngineError> {
    let mut different = Vec::new();
    for want in wanted {
        match current.0.get(want.name) {
            Some(value) if want.equals(value) => {}
            Some(_) => different.push(want),
            None if want.explicit => return Err(unknown_directive(want.name)),
            None => {}
        }
    }
    // Set by itself, because only there a refusal may be no error.
    let clients = different
        .iter()
        .position(|want| want.name == MAX_CLIENTS)
        .map(|index| different.remove(index));
    let fingerprint = settings.tls.as_ref().map(|tls| tls.fingerprint.clone());
    let files_moved = different.iter().any(|want| TLS_FILES.contains(&want.name));
    let read_again = fingerprint.is_some() && fingerprint != applied.tls_fingerprint;
    // A session that has just begun does not know what the server has read: it has it read again, and nothing is known to differ.
    let mut changed = !different.is_empty() || (read_again && applied.tls_fingerprint.is_some());
    if files_moved || read_again {
        different.retain(|want| !TLS_FILES.contains(&want.name));
        // First, because ports open with what is there by then.
        different.splice(0..0, wanted.iter().filter(|want| TLS_FILES.contains(&want.name)));
    }
    if turns_snapshots_on(settings, &different, current) {
        applied.first_snapshot = Some(backup::begin(client, deadline).await?);
    }
    if !different.is_empty() {
        let set = different.iter().fold(Command::new(["CONFIG", "SET"]), |command, want| {
            command.with([want.name, &want.value])
        });
        check_all(&client.exchange(&[set], deadline).await?)?;
    }
    applied.tls_fingerprint = fingerprint;
    if let Some(want) = clients {
        changed |= set_clients(client, applied, want, deadline).await?;
    }
    Ok(changed)
}

/// The default number of clients may be more than the host allows; then the server keeps what it found possible at its start.
async fn set_clients(
    client: &mut Client,
    applied: &mut Applied,
    want: &Wanted,
    deadline: Deadline,
) -> Result<bool, EngineError> {
    if !want.explicit && applied.default_clients_refused {
        return Ok(false);
    }
    let replies = client
        .exchange(&[Command::new(["CONFIG", "SET", want.name, &want.value])], deadline)
        .await?;
    match check_all(&replies) {
        Ok(()) => Ok(true),
        Err(_) if !want.explicit => {
            applied.default_clients_refused = true;
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

/// A server that begins to keep snapshots, or stops logging its writes in favour of them, has none of what it holds now.
fn turns_snapshots_on(settings: &ServerSettings, different: &[&Wanted], current: &Current) -> bool {
    let was = |name, value| {
        different.iter().any(|want| want.name == name) && current.0.get(name).is_some_and(|was| was == value)
    };
    matches!(settings.persistence, Persistence::Snapshot { .. }) && (was("appendonly", "yes") || was("save", ""))
}

fn unknown_directive(name: &str) -> EngineError {
    EngineError::new(
        ErrorClass::Unsupported,
        format!("this version of the server does not know the setting {name}"),
    )
}
