//! The replacement: the primary follows the server of the import until it holds the new data, then is its own again.
//!
//! Order: commit that the primary is fed (from then on the reconcile loop leaves it alone) · follow · wait until the primary has
//! everything, on disk too where the database is persisted, and its replicas after it · commit whose history counts from now on ·
//! promote, with writes held back · commit that it is done. The history of the import's server tells the new data from the old at every moment: a server
//! replaces its data and takes that history over in one step, and a promotion remembers it.
//!
//! While the import's server lives nothing is lost: a primary that dies is restarted or replaced as ever, and whoever is the primary then
//! is fed in its place.

use std::time::{Duration, Instant};

use pilothouse_engine::Session;
use pilothouse_model::{
    Database, Persistence, ProcessState, Replacement, ReplicationFacts, Server, ServerId, ServerRole, TransferKind,
};

use super::Halt;
use super::feed::{self, Feed};
use super::job::{self, Job};
use super::snapshot::{self, ANSWER_TIMEOUT};
use super::standing::{answering_primary, ask, check_standing, runs, standing_primary};
use crate::{Control, fault};

/// Time between two looks.
const POLL: Duration = Duration::from_millis(10);
/// How long the primary may be without a sign that it receives or loads anything.
const STALL_PATIENCE: Duration = Duration::from_secs(60);
/// How long the new data may take to be on disk.
const PERSIST_TIMEOUT: Duration = Duration::from_hours(2);
/// How long the letting go may take when control stops.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(1);
/// Primaries that are fed, one after the other, when they fail meanwhile.
const FEED_ATTEMPTS: usize = 3;
const FEED_PAUSE: Duration = Duration::from_millis(100);
/// How long replicas may get nowhere before they are not waited for.
const REPLICAS_PATIENCE: Duration = Duration::from_secs(20);
/// How long the primary holds writes back at most, from its promotion until that is recorded.
const WRITES_HELD_MILLIS: u64 = 5000;
const FED_PERCENT: u8 = 70;
const REPLACED_PERCENT: u8 = 90;

/// What became of the data.
pub(super) enum Outcome {
    /// The new ones are in place, and that is recorded.
    Replaced {
        /// Something is not as it should be.
        warning: Option<String>,
    },
    /// The old ones are whole.
    Untouched,
}

/// Replaces the data of the primary by those of the import's server. After an error the old data are whole. Returns a warning.
pub(super) async fn replace(control: &Control, job: &Job, feed: &mut Feed) -> Result<Option<String>, Halt> {
    let (_, primary) = standing_primary(control, job).await?;
    commit_feeding(control, job, primary.id, feed).await?;
    fault::point("import-feeding").await;
    match drive(control, job, feed).await? {
        Outcome::Replaced { warning } => Ok(warning),
        Outcome::Untouched => Err(Halt::general("the primary lost the new data before they were safe")),
    }
}

/// Goes on with a replacement that an earlier control plane began.
pub(super) async fn resume(control: &Control, job: &Job, feed: &mut Feed) -> Result<Outcome, Halt> {
    let (record, _) = standing_primary(control, job).await?;
    // Finds it running, if it is, and has it watched.
    let (process, _) = control.0.runtime.adopt(feed.server.id).await?;
    let feeds =
        matches!(process, ProcessState::Running { .. }) && learn(control, job, &record, feed, &mut None).await?;
    if feeds {
        return drive(control, job, feed).await;
    }
    let outcome = complete_at_last(control, job, &feed.history).await?;
    if matches!(outcome, Outcome::Untouched) {
        let_go(control, job).await;
    }
    Ok(outcome)
}

/// Ends a replacement midway, with the old data or the new, and lets the primary go.
pub(super) async fn stop(control: &Control, job: &Job, feed: &mut Feed) {
    if let Ok(record) = job.record(control)
        && let Err(halt) = learn(control, job, &record, feed, &mut None).await
    {
        tracing::debug!(?halt, "the history of an import's server is as last seen");
    }
    // Without its source the primary cannot become complete any more afterwards.
    feed::erase(control, feed.server.id).await;
    let_go(control, job).await;
}

/// Has the primary follow until it holds everything, and finishes. When the primary fails meanwhile, the next one is fed.
async fn drive(control: &Control, job: &Job, feed: &mut Feed) -> Result<Outcome, Halt> {
    let mut last = Halt::general("the primary lost the new data before they were safe");
    for _ in 0..FEED_ATTEMPTS {
        match drive_once(control, job, feed).await {
            Ok(Outcome::Untouched) => {}
            Err(halt @ Halt::Failed(_)) => last = halt,
            other => return other,
        }
        if !runs(control, feed.server.id) {
            break;
        }
        tracing::warn!(database = %job.database, why = ?last, "the primary of an import is fed anew");
        tokio::time::sleep(FEED_PAUSE).await;
    }
    stop(control, job, feed).await;
    match complete_at_last(control, job, &feed.history).await {
        Ok(Outcome::Replaced { warning }) => Ok(Outcome::Replaced { warning }),
        Ok(Outcome::Untouched) | Err(Halt::Failed(_)) => Err(last),
        Err(other) => Err(other),
    }
}

async fn drive_once(control: &Control, job: &Job, feed: &mut Feed) -> Result<Outcome, Halt> {
    let (record, primary, session, facts) = answering_primary(control, job).await?;
    if !holds(&facts.replication, &feed.history) {
        follow(control, job, (&record, &primary), session, feed).await?;
    }
    fault::point("import-in-sync").await;
    complete(control, job, &feed.history).await
}

/// Records the history of the import's server when it has changed. Whether it answers.
async fn learn(
    control: &Control,
    job: &Job,
    record: &Database,
    feed: &mut Feed,
    session: &mut Option<Box<dyn Session>>,
) -> Result<bool, Halt> {
    let Some(history) = feed.history_now(control, record, session).await else {
        return Ok(false);
    };
    if history != feed.history {
        feed.history.clone_from(&history);
        let server = Box::new(feed.server.clone());
        job.amend_transfer(control, move |transfer| {
            transfer.replacement = Some(Replacement::Feeding { server, history });
        })
        .await?;
        fault::point("import-history").await;
    }
    Ok(true)
}

/// Finishes a replacement, if the primary of now holds the new data: has them written to disk and followed by the replicas, promotes
/// the primary, records it.
async fn complete(control: &Control, job: &Job, history: &str) -> Result<Outcome, Halt> {
    let (record, primary, mut session, facts) = answering_primary(control, job).await?;
    let mut seen = facts.replication;
    if !holds(&seen, history) {
        return Ok(Outcome::Untouched);
    }
    let process = control.0.runtime.state(primary.id);
    let warning = persist(control, job, &record, session.as_mut()).await?;
    let mut synced = replicas_with(control, job, (primary.id, process), &seen.replication_id).await?;
    if seen.role == ServerRole::Replica {
        commit_lineage(control, job, primary.id, (&seen.replication_id, &synced), false).await?;
        fault::point("import-lineage").await;
        // No client is told of a write that the import, begun anew, could replace.
        session
            .pause_writes(WRITES_HELD_MILLIS, Instant::now() + ANSWER_TIMEOUT)
            .await?;
        session.promote(Instant::now() + ANSWER_TIMEOUT).await?;
        fault::point("import-promoted").await;
        seen = session.replication(Instant::now() + ANSWER_TIMEOUT).await?;
        if !holds(&seen, history) {
            return Ok(Outcome::Untouched);
        }
        synced = replicas_with(control, job, (primary.id, process), &seen.replication_id).await?;
    }
    commit_lineage(control, job, primary.id, (&seen.replication_id, &synced), true).await?;
    if let Err(error) = session.resume_writes(Instant::now() + ANSWER_TIMEOUT).await {
        tracing::debug!(server = %primary.id, %error, "writes are let go when their time is over");
    }
    control.0.memories.of(primary.id).lock().facts_at = None;
    control.wake(job.database);
    Ok(Outcome::Replaced { warning })
}

/// As [`complete`], where nobody feeds the primary any more: one that fails meanwhile, or is replaced, is asked again.
async fn complete_at_last(control: &Control, job: &Job, history: &str) -> Result<Outcome, Halt> {
    let mut attempt = 1;
    loop {
        match complete(control, job, history).await {
            Err(Halt::Failed(_)) if attempt < FEED_ATTEMPTS => attempt += 1,
            other => return other,
        }
        tokio::time::sleep(FEED_PAUSE).await;
    }
}

/// Whether a server holds the data of that history, promoted since or not.
fn holds(seen: &ReplicationFacts, history: &str) -> bool {
    seen.replication_id == history || seen.previous_replication_id == history
}

/// The replicas that are in sync with the primary on that history. Waits for all of them, while they get anywhere.
async fn replicas_with(
    control: &Control,
    job: &Job,
    primary: (ServerId, ProcessState),
    history: &str,
) -> Result<Vec<ServerId>, Halt> {
    let mut moved_at = Instant::now();
    loop {
        let record = check_standing(control, job, primary)?;
        let replicas = record.layout.shards.iter().flat_map(|shard| shard.replicas());
        let wanted: Vec<&Server> = replicas.filter(|server| !server.leaving).collect();
        let mut synced = Vec::new();
        for server in &wanted {
            match ask(control, &record, server, &mut None).await {
                Ok(seen) if seen.syncing => moved_at = Instant::now(),
                Ok(seen) if seen.link_up == Some(true) && seen.replication_id == history => synced.push(server.id),
                Ok(_) | Err(_) => {}
            }
        }
        if synced.len() == wanted.len() || moved_at.elapsed() >= REPLICAS_PATIENCE {
            return Ok(synced);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Has the primary follow nobody, with the data that it has. Best effort: the reconcile loop does the same once it is not fed any more.
async fn let_go(control: &Control, job: &Job) {
    let Ok(record) = job.record(control) else { return };
    let Some(primary) = record.layout.shards.first().and_then(|shard| shard.primary()) else {
        return;
    };
    let deadline = Instant::now() + LET_GO_TIMEOUT;
    let promoted = async {
        let mut session = control.connect(&record, primary, deadline).await?;
        session.promote(deadline).await
    };
    if let Err(error) = promoted.await {
        tracing::warn!(server = %primary.id, %error, "the primary cannot be let go now");
    }
}

async fn commit_feeding(control: &Control, job: &Job, primary: ServerId, feed: &Feed) -> Result<(), Halt> {
    let fed = Replacement::Feeding {
        server: Box::new(feed.server.clone()),
        history: feed.history.clone(),
    };
    job.amend(control, move |_, database| {
        let standing = database
            .layout
            .shards
            .first()
            .is_some_and(|shard| shard.lineage.primary == Some(primary) && shard.lineage.intent.is_none());
        if !standing {
            return Err(Halt::general("the primary changed before its data could be replaced"));
        }
        job::transfer_of(database, TransferKind::Import)?.replacement = Some(fed);
        Ok(())
    })
    .await
}

/// The primary's history is the one that `history` names, and the replicas in `synced` have it as well.
async fn commit_lineage(
    control: &Control,
    job: &Job,
    primary: ServerId,
    (history, synced): (&str, &[ServerId]),
    done: bool,
) -> Result<(), Halt> {
    job.amend(control, move |_, database| {
        let shard = database.layout.shards.first_mut();
        let shard = shard.filter(|shard| shard.lineage.primary == Some(primary) && shard.lineage.intent.is_none());
        let shard = shard.ok_or_else(|| Halt::general("the primary changed while its data were replaced"))?;
        // A promotion like any other: what was found out about replicas before does not count any more.
        shard.lineage.epoch += 1;
        history.clone_into(&mut shard.lineage.replication_id);
        shard.lineage.synced = synced.to_vec();
        if done {
            let transfer = job::transfer_of(database, TransferKind::Import)?;
            transfer.replacement = Some(Replacement::Replaced);
            transfer.status.progress = REPLACED_PERCENT;
        }
        Ok(())
    })
    .await
}

/// Has the primary follow the import's server until it holds everything.
async fn follow(
    control: &Control,
    job: &Job,
    (record, primary): (&Database, &Server),
    mut session: Box<dyn Session>,
    feed: &mut Feed,
) -> Result<(), Halt> {
    let process = control.0.runtime.state(primary.id);
    let source = feed::address(control, record, &feed.server);
    session.attach(&source, Instant::now() + ANSWER_TIMEOUT).await?;
    fault::point("import-attached").await;
    job.progressed(control, FED_PERCENT).await?;
    let mut session = Some(session);
    let mut feeding = None;
    let mut moved_at = Instant::now();
    loop {
        check_standing(control, job, (primary.id, process))?;
        if !runs(control, feed.server.id) {
            return Err(Halt::general("the server with the new data ended"));
        }
        learn(control, job, record, feed, &mut feeding).await?;
        match ask(control, record, primary, &mut session).await {
            Ok(seen) if seen.role == ServerRole::Primary && seen.previous_replication_id == feed.history => {
                return Ok(());
            }
            // A pass of the reconcile loop that was planned before the primary was fed has let it go.
            Ok(seen) if seen.role == ServerRole::Primary && moved_at.elapsed() < STALL_PATIENCE => {
                if let Some(session) = &mut session {
                    session.attach(&source, Instant::now() + ANSWER_TIMEOUT).await?;
                }
            }
            Ok(seen) if seen.link_up == Some(true) && !seen.syncing && seen.replication_id == feed.history => {
                return Ok(());
            }
            Ok(seen) if seen.syncing => moved_at = Instant::now(),
            Ok(_) | Err(_) if moved_at.elapsed() < STALL_PATIENCE => {}
            Ok(_) => return Err(Halt::general("the primary could not follow the server of the import")),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the files alone would bring the new data back. That they do not is a warning: the data are in place.
async fn persist(
    control: &Control,
    job: &Job,
    record: &Database,
    session: &mut dyn Session,
) -> Result<Option<String>, Halt> {
    let unwritten = |why: &str| Some(format!("the new data are not on disk yet: {why}"));
    if matches!(record.spec.persistence, Persistence::Snapshot { .. }) {
        // An earlier snapshot would count as well as a new one.
        let taken = snapshot::take(control, job, session).await?;
        return Ok(taken.err().and_then(|why| unwritten(&why)));
    }
    let give_up = Instant::now() + PERSIST_TIMEOUT;
    loop {
        job.record(control)?;
        if session.persistent(Instant::now() + ANSWER_TIMEOUT).await? {
            return Ok(None);
        }
        if Instant::now() >= give_up {
            return Ok(unwritten("the server did not write them in time"));
        }
        tokio::time::sleep(POLL).await;
    }
}
