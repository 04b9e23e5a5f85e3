//! Who the primary is while its data are replaced, whether it still is, and what servers say of themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, Session};
use pilothouse_model::{Database, ProcessState, ReplicationFacts, Server, ServerFacts, ServerId};

use super::Halt;
use super::job::Job;
use super::snapshot::ANSWER_TIMEOUT;
use crate::Control;

/// How long to wait for a primary that answers.
const PRIMARY_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(10);

/// The primary, once there is one that runs and no promotion is under way.
pub(super) async fn standing_primary(control: &Control, job: &Job) -> Result<(Arc<Database>, Server), Halt> {
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
pub(super) async fn answering_primary(
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

pub(super) fn runs(control: &Control, server: ServerId) -> bool {
    matches!(control.0.runtime.state(server), ProcessState::Running { .. })
}

/// The primary is still the primary and the same process.
pub(super) fn check_standing(
    control: &Control,
    job: &Job,
    (primary, process): (ServerId, ProcessState),
) -> Result<Arc<Database>, Halt> {
    let record = job.record(control)?;
    let named = record.layout.shards.first().and_then(|shard| shard.lineage.primary);
    if named != Some(primary) || control.0.runtime.state(primary) != process {
        return Err(Halt::general("the primary failed while its data were replaced"));
    }
    Ok(record)
}

pub(super) async fn ask(
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
