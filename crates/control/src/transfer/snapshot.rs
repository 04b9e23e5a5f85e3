//! Snapshots: one that holds everything up to the moment it is asked for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pilothouse_engine::{EngineError, ErrorClass, Session, SnapshotState};

use super::Halt;
use super::job::Job;
use crate::Control;

/// Time between two looks at a snapshot that is being written.
const POLL: Duration = Duration::from_millis(20);
/// How long the writing of a snapshot may take.
const TIMEOUT: Duration = Duration::from_hours(2);
/// How long a server may take to answer; it may be busy with a long command.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Has the server write a snapshot and waits until it is whole. `Ok(Err(why))`: the server could not write it.
pub(super) async fn take(
    control: &Control,
    job: &Job,
    session: &mut dyn Session,
) -> Result<Result<PathBuf, String>, Halt> {
    let give_up = Instant::now() + TIMEOUT;
    // One that is being written lacks what was written since it began, and would be taken for ours.
    while matches!(earlier(session).await?, Some(SnapshotState::Running)) {
        wait(control, job, give_up).await?;
    }
    session.begin_snapshot(Instant::now() + ANSWER_TIMEOUT).await?;
    loop {
        match session.snapshot_state(Instant::now() + ANSWER_TIMEOUT).await? {
            SnapshotState::Done(path) => return Ok(Ok(path)),
            SnapshotState::Failed(why) => return Ok(Err(why)),
            SnapshotState::Running => wait(control, job, give_up).await?,
        }
    }
}

/// The state of the last snapshot; `None` when there was none.
async fn earlier(session: &mut dyn Session) -> Result<Option<SnapshotState>, EngineError> {
    match session.snapshot_state(Instant::now() + ANSWER_TIMEOUT).await {
        Err(error) if error.class == ErrorClass::Conflict => Ok(None),
        other => other.map(Some),
    }
}

async fn wait(control: &Control, job: &Job, give_up: Instant) -> Result<(), Halt> {
    job.record(control)?;
    if Instant::now() >= give_up {
        return Err(Halt::general("the snapshot was not written in time"));
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}
