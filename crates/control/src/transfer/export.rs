//! Out: a snapshot of one server, compressed and stored elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_backup::{FileName, OpenedLocation, Origin, Part, Progress, Stored};
use pilothouse_engine::Session;
use pilothouse_model::{
    Database, Persistence, ProcessState, Server, ServerId, Shard, ShardId, SlotRange, TransferKind,
};
use pilothouse_planner::Verdict;

use super::job::Job;
use super::progress::{Span, shown};
use super::snapshot::{self, ANSWER_TIMEOUT};
use super::{Done, Halt, Scratch};
use crate::{Control, fault};

/// Servers that are asked, one after the other.
const ATTEMPTS: usize = 2;
/// How long to wait for a server that answers.
const SOURCE_PATIENCE: Duration = Duration::from_secs(30);
const SOURCE_POLL: Duration = Duration::from_millis(100);
/// Time between two looks at a replica that has not everything yet.
const CATCH_UP_POLL: Duration = Duration::from_millis(5);
const STORING: Span = Span { from: 40, to: 90 };

/// Writes the dataset to the place of the job.
pub(super) async fn run(control: &Control, job: &Job) -> Result<Done, Halt> {
    let location = job.location(control)?;
    // A place that cannot be written to is told before a server is asked to do anything.
    pilothouse_backup::check_writable(&location)
        .await
        .map_err(|error| Halt::writing(&error))?;
    let mut files = Vec::new();
    let shards = shards(control, job).await?;
    for (number, shard) in (1_u16..).zip(&shards) {
        let part = Part {
            number,
            count: u16::try_from(shards.len()).unwrap_or(u16::MAX),
            slots: SlotRange {
                first: shard.slots.first().map_or(0, |range| range.first),
                last: shard.slots.last().map_or(SlotRange::ALL.last, |range| range.last),
            },
        };
        files.push(export(control, job, &location, shard.id, part).await?);
    }
    let warning = prune(control, job, &location).await;
    let (plain, packed) = files.iter().fold((0, 0), |(plain, packed), file| {
        (plain + file.stored.plain_bytes, packed + file.stored.stored_bytes)
    });
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let servers: Vec<ServerId> = files.iter().map(|file| file.server).collect();
    Ok(Done {
        facts: match (names.as_slice(), servers.as_slice()) {
            ([file], [server]) => serde_json::json!({
                "file": file, "bytes": plain, "stored_bytes": packed, "server": server,
            }),
            _ => serde_json::json!({
                "files": names, "bytes": plain, "stored_bytes": packed, "servers": servers,
            }),
        },
        warning,
    })
}

/// The shards as they stand while no slot is on its way: what moves meanwhile would be in two files or in none.
async fn shards(control: &Control, job: &Job) -> Result<Vec<Shard>, Halt> {
    let give_up = Instant::now() + SOURCE_PATIENCE;
    loop {
        let record = job.record(control)?;
        let shards = &record.layout.shards;
        if shards.iter().all(|shard| shard.importing.is_empty() && !shard.leaving) {
            return Ok(shards.clone());
        }
        if Instant::now() >= give_up {
            return Err(Halt::general(
                "slots of the database are on their way between its shards",
            ));
        }
        tokio::time::sleep(SOURCE_POLL).await;
    }
}

/// A file that was stored.
struct Exported {
    name: FileName,
    stored: Stored,
    server: ServerId,
}

async fn export(
    control: &Control,
    job: &Job,
    location: &OpenedLocation,
    shard: ShardId,
    part: Part,
) -> Result<Exported, Halt> {
    let scratch = Scratch::of(control, job);
    let server = snapshot(control, job, shard, &scratch.0).await?;
    fault::point("export-snapshot").await;
    // Every shard has its share of the way.
    let share = |at: u8| {
        let done = u32::from(part.number - 1) * 100 + u32::from(at);
        u8::try_from(done / u32::from(part.count.max(1))).unwrap_or(100)
    };
    let span = Span {
        from: share(STORING.from),
        to: share(STORING.to),
    };
    job.progressed(control, span.from).await?;
    let origin = Origin {
        database: job.database,
        tenant: job.record(control)?.tenant,
    };
    let name = FileName::new(origin, &job.name, part, job.asked_at());
    let progress = Progress::new();
    let storing = pilothouse_backup::store(location, &name, &scratch.0, &progress);
    let stored = shown(control, job, &progress, span, storing)
        .await?
        .map_err(|error| Halt::writing(&error))?;
    fault::point("export-stored").await;
    Ok(Exported { name, stored, server })
}

/// Has a server write a snapshot and takes it to `to`. When the server fails meanwhile, another is asked, once.
async fn snapshot(control: &Control, job: &Job, shard: ShardId, to: &Path) -> Result<ServerId, Halt> {
    let mut tried = Vec::new();
    let mut last = String::new();
    while tried.len() < ATTEMPTS {
        let (record, server) = source(control, job, shard, &tried).await?;
        match snapshot_of(control, job, &record, &server, to).await {
            Err(Halt::Failed(failure)) => {
                tracing::warn!(server = %server.id, why = %failure.sentence, "a snapshot failed");
                last = failure.sentence;
                tried.push(server.id);
            }
            Err(other) => return Err(other),
            Ok(()) => return Ok(server.id),
        }
    }
    Err(Halt::general(format!("no server could write a snapshot: {last}")))
}

/// The server whose snapshot is taken: a replica in sync, so that the primary is not slowed down, else the primary. One that was tried
/// before only when there is no other.
async fn source(
    control: &Control,
    job: &Job,
    shard: ShardId,
    tried: &[ServerId],
) -> Result<(Arc<Database>, Server), Halt> {
    let give_up = Instant::now() + SOURCE_PATIENCE;
    loop {
        let record = job.record(control)?;
        let mut fit: Vec<&Server> = record
            .layout
            .shards
            .iter()
            .filter(|other| other.id == shard)
            .flat_map(|shard| {
                let synced = |server: &&Server| shard.lineage.synced.contains(&server.id) && !server.leaving;
                shard.replicas().filter(synced).chain(shard.primary())
            })
            .filter(|server| answers(control, server.id))
            .collect();
        fit.sort_by_key(|server| tried.contains(&server.id));
        if let Some(server) = fit.first() {
            return Ok((Arc::clone(&record), (*server).clone()));
        }
        if Instant::now() >= give_up {
            return Err(Halt::general("no server of the database answers"));
        }
        tokio::time::sleep(SOURCE_POLL).await;
    }
}

/// Whether the server runs, answered when it was last asked, and has its data.
fn answers(control: &Control, server: ServerId) -> bool {
    let Some(memory) = control.0.memories.get(server) else {
        return false;
    };
    let known = memory.lock();
    let loaded = known.facts.as_ref().is_some_and(|facts| facts.loading.is_none());
    let linked = known
        .replication
        .as_ref()
        .is_some_and(|replication| replication.link_up != Some(false) && !replication.syncing);
    matches!(known.process, ProcessState::Running { .. }) && known.verdict == Verdict::Alive && loaded && linked
}

async fn snapshot_of(control: &Control, job: &Job, record: &Database, server: &Server, to: &Path) -> Result<(), Halt> {
    let mut session = control.connect(record, server, Instant::now() + ANSWER_TIMEOUT).await?;
    catch_up(control, job, record, server, session.as_mut()).await?;
    let file = snapshot::take(control, job, session.as_mut()).await?;
    let file = PathBuf::from("data").join(file.map_err(Halt::general)?);
    let lent = control
        .0
        .runtime
        .lend_file(server.id, file.clone(), to.to_owned())
        .await;
    // Where the server keeps no snapshots of its own, this one must not come back at a later start.
    if !matches!(record.spec.persistence, Persistence::Snapshot { .. })
        && let Err(error) = control.0.runtime.remove_file(server.id, file).await
    {
        tracing::warn!(server = %server.id, %error, "the snapshot of a transfer cannot be removed");
    }
    Ok(lent?)
}

/// Waits until a replica has everything that the primary has now: what was acknowledged before the export was asked for is in it.
async fn catch_up(
    control: &Control,
    job: &Job,
    record: &Database,
    server: &Server,
    session: &mut dyn Session,
) -> Result<(), Halt> {
    let primary = record.layout.shard_of(server.id).and_then(|shard| shard.primary());
    let Some(primary) = primary.filter(|primary| primary.id != server.id) else {
        return Ok(());
    };
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut ahead = control.connect(record, primary, deadline).await?;
    let ahead = ahead.replication(deadline).await?;
    loop {
        let seen = session.replication(deadline).await?;
        // Another history: its offsets say nothing about the primary's.
        if seen.replication_id == ahead.replication_id && seen.offset >= ahead.offset {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Halt::general("the replica does not catch up with its primary"));
        }
        job.record(control)?;
        tokio::time::sleep(CATCH_UP_POLL).await;
    }
}

/// Removes backups that are older than the schedule keeps them. What goes wrong is told and spoils nothing.
async fn prune(control: &Control, job: &Job, location: &OpenedLocation) -> Option<String> {
    if job.transfer.kind != TransferKind::Backup {
        return None;
    }
    let record = job.record(control).ok()?;
    let days = record.spec.backup.as_ref()?.retention_days;
    if days == 0 {
        return None;
    }
    let keep = Duration::from_hours(24) * days;
    match pilothouse_backup::prune(location, job.database, &job.name, keep, control.now()).await {
        Ok(pruned) => {
            tracing::info!(database = %job.database, removed = pruned.removed.len(), kept = pruned.kept, "old backups were removed");
            None
        }
        Err(error) => Some(format!(
            "old backups could not be removed: {}",
            super::with_causes(&error)
        )),
    }
}
