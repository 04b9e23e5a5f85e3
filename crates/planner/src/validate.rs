//! Rules of a spec that need nobody but the spec. What only an engine can judge is the driver's `validate`.

use pilothouse_model::{DatabaseSpec, Persistence};

/// The part of a spec that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `DatabaseSpec`")]
pub enum SpecField {
    Memory,
    Shards,
    Replicas,
    Persistence,
    Port,
    Backup,
    SourceAllow,
    ReplicaOf,
}

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SpecError {
    /// What is wrong.
    pub field: SpecField,
    /// One sentence.
    pub why: String,
}

/// Every server of a cluster talks to every other: beyond this their talk costs more than another shard brings.
const SHARDS_MAX: u16 = 128;

fn wrong(field: SpecField, why: impl Into<String>) -> Result<(), SpecError> {
    Err(SpecError { field, why: why.into() })
}

/// Checks a spec on its own. `min_memory_bytes` is the engine's floor for one server.
pub fn validate(spec: &DatabaseSpec, min_memory_bytes: u64) -> Result<(), SpecError> {
    if spec.shards == 0 || spec.shards > SHARDS_MAX {
        return wrong(SpecField::Shards, format!("a database has 1 to {SHARDS_MAX} shards"));
    }
    if spec.shards > 1 && !spec.cluster {
        return wrong(SpecField::Shards, "only a cluster has more than one shard");
    }
    if spec.cluster {
        validate_cluster(spec)?;
    }
    if spec.replicas > 1 {
        return wrong(SpecField::Replicas, "a database has at most one replica");
    }
    if spec.memory_bytes != 0 && spec.memory_bytes_per_server() < min_memory_bytes {
        return wrong(
            SpecField::Memory,
            format!(
                "{} bytes for each server is less than the {min_memory_bytes} bytes that the engine needs",
                spec.memory_bytes_per_server()
            ),
        );
    }
    if let Persistence::Snapshot { rules } = &spec.persistence {
        if rules.is_empty() {
            return wrong(
                SpecField::Persistence,
                "snapshots need at least one rule that says when they are taken",
            );
        }
        if rules.iter().any(|rule| rule.seconds == 0 || rule.writes == 0) {
            return wrong(
                SpecField::Persistence,
                "seconds and writes of a snapshot rule must be at least 1",
            );
        }
    }
    if spec.network.port != 0 && spec.network.port < 1024 {
        return wrong(SpecField::Port, "the port must lie between 1024 and 65535");
    }
    if let Some(backup) = &spec.backup
        && (backup.interval_seconds == 0 || backup.offset_seconds >= backup.interval_seconds)
    {
        return wrong(
            SpecField::Backup,
            "a backup needs an interval, and an offset that is smaller than it",
        );
    }
    Ok(())
}

/// What a cluster cannot do, because clients reach its servers directly or because it has several data sets.
fn validate_cluster(spec: &DatabaseSpec) -> Result<(), SpecError> {
    if !spec.network.source_allow.is_empty() {
        let why = "clients of a cluster reach its servers directly, so that only open source lists can be kept";
        return wrong(SpecField::SourceAllow, why);
    }
    if spec.replica_of.is_some() {
        return wrong(SpecField::ReplicaOf, "a cluster cannot follow a database elsewhere");
    }
    Ok(())
}
