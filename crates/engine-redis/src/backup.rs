//! Snapshots of the dataset, and the log of writes.
//!
//! A server counts the snapshots that it began to write to its file (`rdb_saves`); the streams to replicas do not count, though they
//! look the same otherwise (`rdb_bgsave_in_progress`). A snapshot of ours is the one with the number that the count reached with it, and
//! it is whole when the server has finished one (`rdb_last_save_time`) since it was asked: a snapshot that a `FLUSHALL` cuts short is not
//! reported as failed by the server.

use std::path::PathBuf;

use pilothouse_engine::{Deadline, EngineError, ErrorClass, Reply, SnapshotState};

use crate::client::{Client, Command};
use crate::config::SNAPSHOT_FILE;
use crate::error;
use crate::info::Info;
use crate::live::pairs;

/// The snapshot that this session asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// The server was busy with a stream to a replica and will be asked again.
    Waiting,
    /// It is the one with this number.
    Numbered {
        /// What the server's count reached with it.
        number: u64,
        /// The server's clock when it was asked for, seconds.
        asked_at: u64,
    },
}

/// Begins a snapshot, or makes the one that is being written ours.
pub(crate) async fn begin(client: &mut Client, deadline: Deadline) -> Result<Snapshot, EngineError> {
    let asked = ask(client, Some(Command::new(["BGSAVE", "SCHEDULE"])), deadline).await?;
    let number = |number| Snapshot::Numbered {
        number,
        asked_at: asked.before.clock,
    };
    match asked.refused {
        // Started, or scheduled until another child of the server ends; then it is the next one.
        None => Ok(number(asked.before.saves + 1)),
        Some(text) if text.contains("already in progress") => Ok(if asked.before.streaming {
            Snapshot::Waiting
        } else {
            // It may have begun between our two questions.
            number(asked.after.saves)
        }),
        Some(text) => Err(error::from_server(&text)),
    }
}

/// How far it is. `None`: this session began none, so the last one is meant.
pub(crate) async fn state(
    client: &mut Client,
    begun: Option<Snapshot>,
    deadline: Deadline,
) -> Result<(SnapshotState, Option<Snapshot>), EngineError> {
    if begun == Some(Snapshot::Waiting) {
        return Ok((SnapshotState::Running, Some(begin(client, deadline).await?)));
    }
    let now = ask(client, None, deadline).await?.after;
    let (number, asked_at) = match begun {
        Some(Snapshot::Numbered { number, asked_at }) => (number, asked_at),
        _ if now.saves == 0 => {
            let message = "no snapshot was begun since the server started";
            return Err(EngineError::new(ErrorClass::Conflict, message));
        }
        _ => (now.saves, 0),
    };
    Ok((judge(&now, number, asked_at), begun))
}

/// What `INFO` says of snapshots.
#[derive(Debug, Default, PartialEq)]
struct Persistence {
    /// Snapshots begun since the start.
    saves: u64,
    /// A child is writing a snapshot, to the file or to replicas.
    child: bool,
    /// It writes to replicas.
    streaming: bool,
    /// The last one that ended, ended well.
    last_ok: bool,
    /// When the last one that ended well did, by the server's clock, seconds.
    last_end: u64,
    /// The server's clock, seconds.
    clock: u64,
}

fn judge(now: &Persistence, number: u64, asked_at: u64) -> SnapshotState {
    if now.saves < number || (now.saves == number && now.child && !now.streaming) {
        SnapshotState::Running
    } else if now.last_end >= asked_at && (now.saves > number || now.last_ok) {
        // Files are replaced in one step, so what stands there is whole, ours or a later one.
        SnapshotState::Done(PathBuf::from(SNAPSHOT_FILE))
    } else if now.last_ok {
        SnapshotState::Failed("the snapshot was cut short, for instance because all data was removed meanwhile".into())
    } else {
        SnapshotState::Failed("the server could not write the snapshot; its log says why".into())
    }
}

struct Asked {
    before: Persistence,
    refused: Option<String>,
    after: Persistence,
}

async fn ask(client: &mut Client, command: Option<Command>, deadline: Deadline) -> Result<Asked, EngineError> {
    let info = || Command::new(["INFO", "server", "persistence", "replication"]);
    let between = command.is_some();
    let commands: Vec<Command> = std::iter::once(info())
        .chain(command)
        .chain(between.then(info))
        .collect();
    let replies = client.exchange(&commands, deadline).await?;
    let read = |reply: Option<&Reply>| match reply {
        Some(reply) => Info::from_reply(reply).map(|info| persistence(&info)),
        None => Err(error::unexpected("INFO")),
    };
    Ok(Asked {
        before: read(replies.first())?,
        refused: match replies.get(1) {
            Some(Reply::Error(text)) if between => Some(text.clone()),
            _ => None,
        },
        after: read(replies.last())?,
    })
}

fn persistence(info: &Info) -> Persistence {
    let child = info.flag("rdb_bgsave_in_progress");
    Persistence {
        saves: info.number("rdb_saves").unwrap_or_default(),
        child,
        // A replica waits for the end of the stream in this state; with a file it would be `send_bulk` or wait as well, but our servers
        // never synchronise over a file.
        streaming: child
            && info
                .iter()
                .any(|(_, value)| value.contains("state=wait_bgsave") || value.contains("state=send_bulk")),
        last_ok: info.get("rdb_last_bgsave_status") == Some("ok"),
        last_end: info.number("rdb_last_save_time").unwrap_or_default(),
        clock: info.number::<u64>("server_time_usec").unwrap_or_default() / 1_000_000,
    }
}

/// Whether the files on disk hold what the persistence in force promises; begins what is missing.
///
/// Cautious: while a log or a snapshot is being written for other reasons the answer is `false` too, unless this session knows better.
pub(crate) async fn persistent(
    client: &mut Client,
    first: &mut Option<Snapshot>,
    deadline: Deadline,
) -> Result<bool, EngineError> {
    let commands = [
        Command::new(["CONFIG", "GET", "appendonly", "save"]),
        Command::new(["INFO", "persistence"]),
    ];
    let replies = client.exchange(&commands, deadline).await?;
    let [values, info] = replies.as_slice() else {
        return Err(error::unexpected("CONFIG GET"));
    };
    let values = pairs(values)?;
    let has = |name: &str, nothing: &str| values.get(name).is_some_and(|value| value != nothing);
    if has("appendonly", "no") {
        let info = Info::from_reply(info)?;
        let under_way = info.flag("aof_rewrite_in_progress") || info.flag("aof_rewrite_scheduled");
        let good = info.get("aof_last_bgrewrite_status") == Some("ok");
        if !good && !under_way {
            compact_log(client, deadline).await?;
        }
        return Ok(good && !under_way);
    }
    if !has("save", "") {
        return Ok(true);
    }
    let known = match *first {
        Some(snapshot) => snapshot,
        None => match ask(client, None, deadline).await?.after {
            now if now.saves > 0 && (now.last_ok || now.child) => Snapshot::Numbered {
                number: now.saves,
                asked_at: 0,
            },
            _ => begin(client, deadline).await?,
        },
    };
    let (state, known) = state(client, Some(known), deadline).await?;
    *first = match state {
        SnapshotState::Failed(_) => Some(begin(client, deadline).await?),
        _ => known,
    };
    Ok(matches!(state, SnapshotState::Done(_)))
}

/// Begins to rewrite the log of writes. Success when there is none, and when that is under way.
pub(crate) async fn compact_log(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    let reply = client.call(&Command::new(["INFO", "persistence"]), deadline).await?;
    if !Info::from_reply(&reply)?.flag("aof_enabled") {
        return Ok(());
    }
    match client
        .exchange(&[Command::new(["BGREWRITEAOF"])], deadline)
        .await?
        .first()
    {
        Some(Reply::Error(text)) if text.contains("already in progress") => Ok(()),
        Some(Reply::Error(text)) => Err(error::from_server(text)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_recognised_by_its_number() {
        let done = || SnapshotState::Done("dump.rdb".into());
        let now = |saves, child, streaming, last_ok, last_end| Persistence {
            saves,
            child,
            streaming,
            last_ok,
            last_end,
            clock: 200,
        };
        let judge = |now| judge(&now, 3, 100);
        assert_eq!(judge(now(2, false, false, true, 90)), SnapshotState::Running);
        assert_eq!(judge(now(3, true, false, true, 90)), SnapshotState::Running);
        assert_eq!(judge(now(3, false, false, true, 100)), done());
        assert_eq!(judge(now(3, true, true, true, 101)), done());
        assert_eq!(judge(now(4, true, false, true, 101)), done());
        assert_eq!(judge(now(4, false, false, false, 101)), done());
        for failed in [
            now(3, false, false, false, 90),
            now(3, false, false, true, 90),
            now(4, false, false, true, 90),
        ] {
            assert!(matches!(judge(failed), SnapshotState::Failed(_)));
        }
    }

    #[test]
    fn streams_to_replicas_are_told_apart() {
        let read = |state| {
            persistence(&Info::parse(&format!(
                "rdb_bgsave_in_progress:1\r\nrdb_saves:4\r\nrdb_last_bgsave_status:ok\r\nslave0:ip=1,port=2,state={state},offset=0\r\n"
            )))
        };
        assert!(read("wait_bgsave").streaming);
        assert!(!read("online").streaming);
    }
}
