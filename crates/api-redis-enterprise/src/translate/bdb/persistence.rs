//! Persistence: one word, and the settings of the words that are not in force, which are remembered.

use pilothouse_api::JsonObject;
use pilothouse_model::{DatabaseSpec, FsyncPolicy, Persistence, SnapshotRule};
use serde_json::{Value, json};

use super::Body;
use crate::error::Failure;

const EVERY_SECOND: &str = "appendfsync-every-sec";
const ALWAYS: &str = "appendfsync-always";

/// The word in force.
pub(super) const fn word(persistence: &Persistence) -> &'static str {
    match persistence {
        Persistence::Disabled => "disabled",
        Persistence::Snapshot { .. } => "snapshot",
        Persistence::AppendOnly { .. } => "aof",
    }
}

/// Brings the spec in line with a body. `persistence` is what one client really sends for `data_persistence`: without the alias, somebody
/// who asked for a log of writes would silently get none.
pub(super) fn apply(body: &Body<'_>, spec: &mut DatabaseSpec, document: &mut JsonObject) -> Result<(), Failure> {
    if let Some(policy) = body.get("aof_policy") {
        document.insert("aof_policy".to_owned(), policy.clone());
    }
    if let Some(policy) = sent_policy(body) {
        // Decision: a single rule instead of a list is one rule.
        let rules = if policy.is_object() {
            json!([policy])
        } else {
            policy.clone()
        };
        parse_rules(&rules)?;
        document.insert("snapshot_policy".to_owned(), rules);
    }
    let wanted = body
        .text("data_persistence")
        .or(body.text("persistence"))
        .unwrap_or(word(&spec.persistence));
    spec.persistence = match wanted {
        "aof" => {
            let always = shown_fsync(&spec.persistence, document, body) == ALWAYS;
            Persistence::AppendOnly {
                fsync: if always {
                    FsyncPolicy::Always
                } else {
                    FsyncPolicy::EverySecond
                },
            }
        }
        "snapshot" => Persistence::Snapshot {
            rules: effective_rules(&spec.persistence, document, body)?,
        },
        _ => Persistence::Disabled,
    };
    Ok(())
}

/// The fsync word in force after a body: its own, else that of the spec, else the one remembered.
fn shown_fsync(present: &Persistence, document: &JsonObject, body: &Body<'_>) -> String {
    match (body.text("aof_policy"), present) {
        (Some(word), _) => word.to_owned(),
        (None, Persistence::AppendOnly { fsync }) => fsync_word(*fsync).to_owned(),
        (None, _) => document
            .get("aof_policy")
            .and_then(Value::as_str)
            .unwrap_or(EVERY_SECOND)
            .to_owned(),
    }
}

/// The rules of a body. The generated SDK has no type for them: whatever it read, it sends `{}`, which says nothing.
fn sent_policy<'a>(body: &Body<'a>) -> Option<&'a Value> {
    body.get("snapshot_policy")
        .filter(|policy| policy.as_object().is_none_or(|rule| !rule.is_empty()))
}

fn effective_rules(
    present: &Persistence,
    document: &JsonObject,
    body: &Body<'_>,
) -> Result<Vec<SnapshotRule>, Failure> {
    let rules = match (sent_policy(body), present) {
        (None, Persistence::Snapshot { rules }) => rules.clone(),
        _ => parse_rules(document.get("snapshot_policy").unwrap_or(&Value::Null))?,
    };
    if rules.is_empty() {
        let why = "data_persistence snapshot needs snapshot_policy with at least one rule";
        return Err(Failure::not_acceptable("invalid_data_persistence", why));
    }
    Ok(rules)
}

fn parse_rules(value: &Value) -> Result<Vec<SnapshotRule>, Failure> {
    let malformed = || Failure::invalid_schema("snapshot_policy must be a list of {secs, writes}");
    let rules = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(rules) => rules,
        _ => return Err(malformed()),
    };
    let number = |rule: &Value, key: &str| {
        rule.get(key)
            .and_then(Value::as_u64)
            .filter(|number| *number <= u64::from(u32::MAX))
    };
    let parsed = rules.iter().map(|rule| {
        Some(SnapshotRule {
            seconds: number(rule, "secs")?,
            writes: number(rule, "writes")?,
        })
    });
    let rules: Vec<_> = parsed.collect::<Option<_>>().ok_or_else(malformed)?;
    if rules.iter().any(|rule| rule.seconds == 0 || rule.writes == 0) {
        let why = "secs and writes of snapshot_policy must be at least 1";
        return Err(Failure::not_acceptable("invalid_data_persistence", why));
    }
    Ok(rules)
}

const fn fsync_word(fsync: FsyncPolicy) -> &'static str {
    match fsync {
        FsyncPolicy::EverySecond => EVERY_SECOND,
        FsyncPolicy::Always => ALWAYS,
    }
}

/// `aof_policy` and `snapshot_policy` as shown: in force, else remembered.
pub(super) fn show(persistence: &Persistence, document: &JsonObject) -> (Value, Value) {
    let remembered = |name: &str, default: Value| document.get(name).cloned().unwrap_or(default);
    let aof = match persistence {
        Persistence::AppendOnly { fsync } => fsync_word(*fsync).into(),
        _ => remembered("aof_policy", EVERY_SECOND.into()),
    };
    let snapshot = match persistence {
        Persistence::Snapshot { rules } => rules
            .iter()
            .map(|rule| json!({"secs": rule.seconds, "writes": rule.writes}))
            .collect(),
        _ => remembered("snapshot_policy", json!([])),
    };
    (aof, snapshot)
}
