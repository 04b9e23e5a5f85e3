//! In: a file becomes the dataset, without ever putting the old one at risk.
//!
//! What a file holds is known only when a server has loaded it. So one is started for the import alone ([`feed`]), in a directory of its
//! own; a file that is damaged, too large or of a newer version ends *that* server. Then the primary follows it as a replica would
//! ([`replace`]): it keeps its data until it has received all of the new, and clients see the one and then the other.

use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_backup::{FailureKind, Fetched, Progress};
use pilothouse_model::{Database, DatabaseId, Location, Replacement, ReplicaSync, TenantId};

use super::job::Job;
use super::progress::{Span, shown};
use super::{Done, Halt, Scratch, TRANSFER_TIMEOUT, feed, replace};
use crate::{Control, fault};

/// How long replicas may take to have the new data, before the import counts as done without them.
const REPLICAS_PATIENCE: Duration = Duration::from_secs(60);
const REPLICAS_POLL: Duration = Duration::from_millis(50);
/// A file that is larger than the limit is read up to this many times the limit, to be able to tell its size.
const OVERSIZE_FACTOR: u64 = 8;
const OVERSIZE_MIN_BYTES: u64 = 64 << 20;
const FETCHING: Span = Span { from: 0, to: 30 };

/// Replaces the dataset by what the place of the job holds.
pub(super) async fn run(control: &Control, job: &Job) -> Result<Done, Halt> {
    let warning = match job.transfer.replacement.clone() {
        Some(Replacement::Replaced) => None,
        Some(Replacement::Feeding { server, history }) => {
            // Begun by a control plane that was lost.
            let mut feed = feed::Feed {
                server: *server,
                history,
            };
            let outcome = replace::resume(control, job, &mut feed).await;
            feed::erase(control, feed.server.id).await;
            match outcome? {
                replace::Outcome::Replaced { warning } => warning,
                replace::Outcome::Untouched => {
                    job.amend_transfer(control, |transfer| transfer.replacement = None)
                        .await?;
                    control.wake(job.database);
                    anew(control, job).await?
                }
            }
        }
        None => anew(control, job).await?,
    };
    fault::point("import-replaced").await;
    wait_for_replicas(control, job).await?;
    Ok(Done {
        facts: serde_json::Value::Null,
        warning,
    })
}

/// The whole import, from the file on.
async fn anew(control: &Control, job: &Job) -> Result<Option<String>, Halt> {
    let record = job.record(control)?;
    if record
        .spec
        .replica_of
        .as_ref()
        .is_some_and(|source| source.sync == ReplicaSync::Enabled)
    {
        return Err(Halt::general(
            "the database follows another one, which would replace what is imported",
        ));
    }
    let file = fetch(control, job, &record).await?;
    fault::point("import-fetched").await;
    job.progressed(control, FETCHING.to).await?;
    let view = control.store().view();
    let (server, _ports) = control.plan_server(&view, &record.spec).await?;
    drop(view);
    let id = server.id;
    let outcome = async {
        let mut feed = feed::start(control, job, &record, server, &file.0).await?;
        fault::point("import-loaded").await;
        replace::replace(control, job, &mut feed).await
    }
    .await;
    feed::erase(control, id).await;
    outcome
}

/// Brings the file here, unpacked. Its size is a lower bound of the memory that its data need.
async fn fetch(control: &Control, job: &Job, record: &Database) -> Result<Scratch, Halt> {
    let location = job.location(control)?;
    let scratch = Scratch::of(control, job);
    let limit = record.spec.memory_bytes_per_server();
    let checked = limit > 0 && !job.transfer.skip_size_check;
    let most = if checked {
        limit.saturating_mul(OVERSIZE_FACTOR).max(OVERSIZE_MIN_BYTES)
    } else {
        u64::MAX
    };
    let progress = Progress::new();
    let fetching = pilothouse_backup::fetch(&location, &scratch.0, most, &progress);
    let fetching = shown(control, job, &progress, FETCHING, fetching);
    let fetched = tokio::time::timeout(TRANSFER_TIMEOUT, fetching)
        .await
        .map_err(|_| Halt::general("the file was not read in time"))??;
    match fetched {
        Ok(fetched) if is_closed(job, &record.tenant, &fetched) => Err(Halt::failed(
            "download-error",
            "the file is a backup of another tenant's database",
        )),
        Ok(fetched) if checked && fetched.bytes > limit => Err(too_large(fetched.bytes, limit)),
        Ok(_) => Ok(scratch),
        Err(error) if checked && error.kind() == FailureKind::TooLarge => Err(too_large(most, limit)),
        Err(error) => Err(Halt::reading(&error)),
    }
}

/// Tenants share directories and configured buckets, and names of files can be guessed: whoever reaches his own tenant only is not given
/// the backups of others there.
fn is_closed(job: &Job, own: &TenantId, fetched: &Fetched) -> bool {
    let shares = |location: &Location| match location {
        Location::Directory { .. } => true,
        Location::S3 { access, .. } => access.is_none(),
        Location::Url { .. } => false,
    };
    job.transfer.confined
        && job.transfer.locations.iter().any(shares)
        && fetched.tenant.is_some_and(|tenant| tenant != *own)
}

/// The data need more memory than there is.
pub(super) fn too_large(expected: u64, limit: u64) -> Halt {
    Halt::failed(
        format!("file-larger-than-mem-limit:{expected}:{limit}"),
        format!("the data need {expected} bytes of memory, and the limit is {limit}"),
    )
}

/// Ready means ready: the import is done when a failover would keep the new data.
async fn wait_for_replicas(control: &Control, job: &Job) -> Result<(), Halt> {
    control.wake(job.database);
    let give_up = Instant::now() + REPLICAS_PATIENCE;
    loop {
        let record = job.record(control)?;
        let complete = record.layout.shards.iter().all(|shard| {
            let mut replicas = shard.replicas().filter(|server| !server.leaving);
            replicas.all(|server| shard.lineage.synced.contains(&server.id))
        });
        if complete || Instant::now() >= give_up {
            return Ok(());
        }
        tokio::time::sleep(REPLICAS_POLL).await;
    }
}

/// Control stops during an import: clients of a primary that follows the import's server could not write until it is back, so the primary
/// is let go with the data that it has. The next control plane sees which those are.
pub(super) async fn let_go(control: &Control, database: DatabaseId) {
    let Some(job) = Job::load(control, database) else {
        return;
    };
    if let Some(Replacement::Feeding { server, history }) = job.transfer.replacement.clone() {
        let mut feed = feed::Feed {
            server: *server,
            history,
        };
        replace::stop(control, &job, &mut feed).await;
    }
}

/// The path below a server's directory that it loads its data from.
pub(super) fn loaded_from() -> &'static Path {
    Path::new("data/dump.rdb")
}
