//! The replacement: the primary follows the server of the import until it holds the new data, then is its own again.
//!
//! Order: commit that the primary is fed (from then on the reconcile loop leaves it alone) · follow · wait until the primary has
//! everything, on disk too where the database is persisted · promote · commit. The history of the import's server tells the new data from
//! the old at every moment: a server replaces its data and takes that history over in one step, and a promotion remembers it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, Session};
use pilothouse_model::{
    Database, Persistence, ProcessState, Replacement, ReplicationFacts, Server, ServerFacts, ServerId, ServerRole,
    TransferKind,
};

use super::Halt;
use super::feed::{self, Feed};
use super::job::{self, Job};
use super::snapshot::{self, ANSWER_TIMEOUT};
use crate::{Control, fault};

/// How long to wait for a primary that answers.
const PRIMARY_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(10);
/// How long the primary may be without a sign that it receives or loads anything.
const STALL_PATIENCE: Duration = Duration::from_secs(60);
/// How long the new data may take to be on disk.
const PERSIST_TIMEOUT: Duration = Duration::from_hours(2);
/// How long the letting go may take when control stops.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(1);
/// How often finishing is attempted, when the primary fails in the middle of it.
const COMPLETE_ATTEMPTS: u32 = 3;
const FED_PERCENT: u8 = 70;

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
    let (record, primary) = standing_primary(control, job).await?;
    commit_feeding(control, job, primary.id, feed).await?;
    fault::point("import-feeding").await;
    match drive(control, job, (&record, &primary), feed).await? {
        Outcome::Replaced { warning } => Ok(warning),
        Outcome::Untouched => Err(Halt::general("the primary lost the new data before they were safe")),
    }
}

/// Goes on with a replacement that an earlier control plane began.
pub(super) async fn resume(control: &Control, job: &Job, feed: &mut Feed) -> Result<Outcome, Halt> {
    let (record, primary) = standing_primary(control, job).await?;
    // Finds it running, if it is, and has it watched.
    let (process, _) = control.0.runtime.adopt(feed.server.id).await?;
    let feeds =
        matches!(process, ProcessState::Running { .. }) && learn(control, job, &record, feed, &mut None).await?;
    match complete(control, job, &feed.history).await? {
        Outcome::Untouched if feeds => drive(control, job, (&record, &primary), feed).await,
        Outcome::Untouched => {
            let_go(control, job).await;
            Ok(Outcome::Untouched)
        }
        replaced => Ok(replaced),
    }
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

/// Has the primary follow until it holds everything, and finishes.
async fn drive(
    control: &Control,
    job: &Job,
    (record, primary): (&Database, &Server),
    feed: &mut Feed,
) -> Result<Outcome, Halt> {
    match follow(control, job, record, primary, feed).await {
        Ok(()) => {
            fault::point("import-in-sync").await;
            complete(control, job, &feed.history).await
        }
        Err(Halt::Overtaken) => Err(Halt::Overtaken),
        Err(halt) => {
            stop(control, job, feed).await;
            match complete(control, job, &feed.history).await {
                Ok(Outcome::Replaced { warning }) => Ok(Outcome::Replaced { warning }),
                Ok(Outcome::Untouched) | Err(Halt::Failed(_)) => Err(halt),
                Err(other) => Err(other),
            }
        }
    }
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

/// Finishes a replacement, if the primary of now holds the new data. A primary that fails meanwhile, or is replaced, is asked again.
async fn complete(control: &Control, job: &Job, history: &str) -> Result<Outcome, Halt> {
    let mut attempt = 1;
    loop {
        match complete_once(control, job, history).await {
            Err(Halt::Failed(failure)) if attempt < COMPLETE_ATTEMPTS => {
                tracing::warn!(database = %job.database, why = %failure.sentence, "an import is finished at the next attempt");
                attempt += 1;
                tokio::time::sleep(POLL * 10).await;
            }
            other => return other,
        }
    }
}

/// Finishes a replacement, if the primary of now holds the new data: has them written to disk, promotes the primary, records it.
async fn complete_once(control: &Control, job: &Job, history: &str) -> Result<Outcome, Halt> {
    let holds = |seen: &ReplicationFacts| seen.replication_id == history || seen.previous_replication_id == history;
    let (record, primary, mut session, facts) = answering_primary(control, job).await?;
    if !holds(&facts.replication) {
        return Ok(Outcome::Untouched);
    }
    let warning = persist(control, job, &record, session.as_mut()).await?;
    session.promote(Instant::now() + ANSWER_TIMEOUT).await?;
    fault::point("import-promoted").await;
    let seen = session.replication(Instant::now() + ANSWER_TIMEOUT).await?;
    if !holds(&seen) {
        return Ok(Outcome::Untouched);
    }
    commit_replaced(control, job, primary.id, seen.replication_id).await?;
    control.0.memories.of(primary.id).lock().facts_at = None;
    control.wake(job.database);
    Ok(Outcome::Replaced { warning })
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

/// The primary, once there is one that runs and no promotion is under way.
async fn standing_primary(control: &Control, job: &Job) -> Result<(Arc<Database>, Server), Halt> {
    let give_up = Instant::now() + PRIMARY_PATIENCE;
    loop {
        let record = job.record(control)?;
        let shard = record
            .layout
            .shards
            .first()
            .filter(|shard| shard.lineage.intent.is_none());
        let primary = shard.and_then(|shard| shard.primary()).cloned();
        if let Some(primary) = primary.filter(|primary| runs(control, primary.id)) {
            return Ok((record, primary));
        }
        if Instant::now() >= give_up {
            return Err(Halt::general("the primary of the database does not run"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The primary, a connection to it and what it says of itself, once it answers and has loaded its data.
async fn answering_primary(
    control: &Control,
    job: &Job,
) -> Result<(Arc<Database>, Server, Box<dyn Session>, ServerFacts), Halt> {
    let give_up = Instant::now() + PRIMARY_PATIENCE;
    loop {
        let (record, primary) = standing_primary(control, job).await?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let asked: Result<_, EngineError> = async {
            let mut session = control.connect(&record, &primary, deadline).await?;
            let facts = session.observe(deadline).await?;
            Ok((session, facts))
        }
        .await;
        let patient = Instant::now() < give_up;
        match asked {
            Ok((session, facts)) if facts.loading.is_none() => return Ok((record, primary, session, facts)),
            // However long it loads: it goes on, and ends.
            Ok(_) => {}
            Err(_) if patient => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL).await;
    }
}

fn runs(control: &Control, server: ServerId) -> bool {
    matches!(control.0.runtime.state(server), ProcessState::Running { .. })
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

/// The primary's history from here on is the one that `replication_id` names; replicas count again once they are in sync with it.
async fn commit_replaced(control: &Control, job: &Job, primary: ServerId, replication_id: String) -> Result<(), Halt> {
    job.amend(control, move |_, database| {
        let shard = database.layout.shards.first_mut();
        let shard = shard.filter(|shard| shard.lineage.primary == Some(primary) && shard.lineage.intent.is_none());
        let lineage = &mut shard
            .ok_or_else(|| Halt::general("the primary changed while its data were replaced"))?
            .lineage;
        // A promotion like any other: what was found out about replicas before does not count any more.
        lineage.epoch += 1;
        lineage.replication_id = replication_id;
        lineage.synced.clear();
        let transfer = job::transfer_of(database, TransferKind::Import)?;
        transfer.replacement = Some(Replacement::Replaced);
        transfer.status.progress = 90;
        Ok(())
    })
    .await
}

/// Has the primary follow the import's server until it holds everything.
async fn follow(
    control: &Control,
    job: &Job,
    record: &Database,
    primary: &Server,
    feed: &mut Feed,
) -> Result<(), Halt> {
    let process = control.0.runtime.state(primary.id);
    let mut session = control
        .connect(record, primary, Instant::now() + ANSWER_TIMEOUT)
        .await?;
    let source = feed::address(control, record, &feed.server);
    session.attach(&source, Instant::now() + ANSWER_TIMEOUT).await?;
    fault::point("import-attached").await;
    job.progressed(control, FED_PERCENT).await?;
    let mut session = Some(session);
    let mut feeding = None;
    let mut moved_at = Instant::now();
    loop {
        check_standing(control, job, (primary.id, process), feed)?;
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

/// Both servers run, and the primary is still the primary and the same process.
fn check_standing(
    control: &Control,
    job: &Job,
    (primary, process): (ServerId, ProcessState),
    feed: &Feed,
) -> Result<(), Halt> {
    let record = job.record(control)?;
    let named = record.layout.shards.first().and_then(|shard| shard.lineage.primary);
    if named != Some(primary) || control.0.runtime.state(primary) != process {
        return Err(Halt::general("the primary failed while its data were replaced"));
    }
    if !runs(control, feed.server.id) {
        return Err(Halt::general("the server with the new data ended"));
    }
    Ok(())
}

async fn ask(
    control: &Control,
    record: &Database,
    server: &Server,
    session: &mut Option<Box<dyn Session>>,
) -> Result<ReplicationFacts, EngineError> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut open = match session.take() {
        Some(open) => open,
        None => control.connect(record, server, deadline).await?,
    };
    let seen = open.replication(deadline).await?;
    *session = Some(open);
    Ok(seen)
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
