//! Servers → shards.

use std::collections::BTreeMap;

use pilothouse_control::DatabaseView;
use pilothouse_model::{
    Liveness, ProcessState, Server, ServerObservation, Shard as KeySpace, Timestamp, TransferKind, TransferPhase,
};
use serde_json::Value;

use crate::wire::shard::{Progress, Shard};

/// The integers of a shard, its database and its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uids {
    pub(crate) shard: u64,
    pub(crate) bdb: u64,
    pub(crate) node: u64,
}

/// A server of a database as a shard. `info_keys` are the keys of `INFO` that were asked for.
pub(crate) fn show(view: &DatabaseView, shard: &KeySpace, server: &Server, uids: Uids, info_keys: &[&str]) -> Shard {
    let seen = view.observation.servers.get(&server.id);
    let primary = shard.lineage.primary == Some(server.id);
    let facts = seen.and_then(|seen| seen.facts.as_ref());
    Shard {
        uid: uids.shard.to_string(),
        bdb_uid: uids.bdb,
        node_uid: uids.node.to_string(),
        role: if primary { "master" } else { "slave" },
        status: if is_active(seen) { "active" } else { "inactive" },
        detailed_status: detailed_status(view, seen),
        assigned_slots: slots(shard),
        loading: match facts.and_then(|facts| facts.loading) {
            Some(share) => Progress {
                status: "in_progress",
                progress: Some(share * 100.0),
            },
            None => Progress {
                status: "idle",
                progress: None,
            },
        },
        sync: (!primary).then(|| sync(seen, shard.lineage.synced.contains(&server.id))),
        backup: backup(view, primary),
        redis_info: info(seen, info_keys),
        report_timestamp: seen
            .filter(|seen| seen.at > Timestamp::default())
            .map(|seen| seen.at.to_rfc3339_seconds()),
    }
}

/// The slots of a shard, `0-16383`; several ranges with commas.
pub(crate) fn slots(shard: &KeySpace) -> String {
    let ranges: Vec<_> = shard
        .slots
        .iter()
        .map(|range| format!("{}-{}", range.first, range.last))
        .collect();
    ranges.join(",")
}

/// Whether the process runs and answers, be it that it loads.
pub(crate) fn is_active(seen: Option<&ServerObservation>) -> bool {
    seen.is_some_and(|seen| {
        matches!(seen.process, ProcessState::Running { .. })
            && !matches!(seen.liveness, Liveness::Unreachable | Liveness::Silent)
    })
}

fn detailed_status(view: &DatabaseView, seen: Option<&ServerObservation>) -> &'static str {
    let Some(seen) = seen else { return "unknown" };
    match (seen.process, seen.liveness) {
        (ProcessState::Absent | ProcessState::Leftover, _) | (_, Liveness::Unreachable) => "down",
        (_, Liveness::Silent) => "timeout",
        (_, Liveness::Loading) => "loading",
        (_, Liveness::Busy) => "busy",
        (_, Liveness::Ok) if moves(view, TransferKind::Import) => "importing",
        (_, Liveness::Ok) => "ok",
        (_, Liveness::Unknown) => "unknown",
    }
}

fn moves(view: &DatabaseView, kind: TransferKind) -> bool {
    let transfer = view.database.transfer(kind);
    transfer.is_some_and(|transfer| transfer.status.phase == TransferPhase::Running)
}

/// `counts`: it was seen to get what the primary writes, and may take over. A link that is up does not say so.
fn sync(seen: Option<&ServerObservation>, counts: bool) -> Progress {
    let replication = seen
        .and_then(|seen| seen.facts.as_ref())
        .map(|facts| &facts.replication);
    let status = match replication {
        Some(facts) if facts.syncing => "in_progress",
        Some(facts) if facts.link_up == Some(true) => {
            if counts {
                "idle"
            } else {
                "in_progress"
            }
        }
        _ => "link_down",
    };
    Progress { status, progress: None }
}

fn backup(view: &DatabaseView, primary: bool) -> Option<Progress> {
    let kinds = [TransferKind::Backup, TransferKind::Export];
    let running = kinds.into_iter().find(|kind| primary && moves(view, *kind))?;
    let transfer = view.database.transfer(running)?;
    Some(Progress {
        status: "exporting",
        progress: Some(f64::from(transfer.status.progress)),
    })
}

fn info(seen: Option<&ServerObservation>, keys: &[&str]) -> BTreeMap<String, Value> {
    let Some(facts) = seen.and_then(|seen| seen.facts.as_ref()) else {
        return BTreeMap::new();
    };
    keys.iter()
        .filter_map(|key| Some(((*key).to_owned(), number_or_text(facts.raw.get(*key)?))))
        .collect()
}

/// Numbers as numbers, everything else as it is.
fn number_or_text(text: &str) -> Value {
    let whole = text.parse::<i64>().map(Value::from).ok();
    let float = || {
        text.parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
    };
    whole.or_else(float).unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_values_are_numbers_where_they_can_be() {
        assert_eq!(number_or_text("17"), Value::from(17));
        assert_eq!(number_or_text("1.5"), Value::from(1.5));
        assert_eq!(number_or_text("7.0.15"), Value::from("7.0.15"));
        assert_eq!(number_or_text("nan"), Value::from("nan"));
    }

    #[test]
    fn a_server_that_nobody_saw_is_inactive() {
        assert!(!is_active(None));
    }
}
