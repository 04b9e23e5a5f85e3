//! Events of the core as lines of this API's log.

use pilothouse_api::JsonObject;
use pilothouse_model::{Event, Subject};
use serde_json::Value;

use crate::translate::alerts::severity_word;

/// What is known of the subject of an event beside the event.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventContext {
    /// Number of the subject; 0 when it is gone.
    pub(crate) uid: u64,
    /// Name of the database, while it exists.
    pub(crate) database_name: Option<String>,
    /// Number of the server that it is about besides.
    pub(crate) server_uid: Option<u64>,
    /// Number and e-mail of the user who caused it.
    pub(crate) originator: Option<(u64, String)>,
}

/// The product's word for an event; `None` where it has none.
fn type_word(event: &Event) -> Option<String> {
    let kind = event.what.kind.as_str();
    let known = match kind {
        "database-created" => "bdb_created",
        "database-updated" => "bdb_updated",
        "database-deleted" => "bdb_deleted",
        "database-renamed" => "bdb_name_updated",
        "server-ended" => "shard_ended",
        "cluster-created" => "cluster_created",
        "cluster-updated" | "certificate-set" | "certificate-removed" => "cluster_updated",
        "license-added" => "license_added",
        "host-updated" => "node_updated",
        "user-created" => "user_created",
        "user-updated" | "user-locked" => "user_updated",
        "user-deleted" => "user_deleted",
        "acl-rule-created" => "redis_acl_created",
        "acl-rule-updated" => "redis_acl_updated",
        "acl-rule-deleted" => "redis_acl_deleted",
        "alert-raised" | "alert-cleared" => {
            let alert = event.what.facts.get("alert")?.as_str()?;
            let stripped = ["bdb_", "node_", "cluster_"]
                .iter()
                .find_map(|prefix| alert.strip_prefix(prefix));
            return Some(stripped.unwrap_or(alert).to_owned());
        }
        // Ours: what the product does not tell of is told in its manner.
        other => return Some(other.replace('-', "_").replace("database_", "bdb_")),
    };
    Some(known.to_owned())
}

/// One line of the log. Quirk: `bdb_uid` is a number and `node_uid` a text, as collectors decode them.
pub(crate) fn line(event: &Event, context: &EventContext) -> Option<JsonObject> {
    let mut line = JsonObject::new();
    line.insert("time".to_owned(), event.at.to_rfc3339_seconds().into());
    line.insert("type".to_owned(), type_word(event)?.into());
    line.insert("severity".to_owned(), severity_word(event.what.severity).into());
    if !event.what.message.is_empty() {
        line.insert("description".to_owned(), event.what.message.clone().into());
    }
    if context.uid != 0 {
        let (key, uid): (&str, Value) = match event.what.subject {
            Subject::Database(_) => ("bdb_uid", context.uid.into()),
            Subject::Host(_) => ("node_uid", context.uid.to_string().into()),
            Subject::User(_) => ("user_uid", context.uid.into()),
            Subject::Server(_) => ("shard_uid", context.uid.to_string().into()),
            Subject::Role(_) => ("role_uid", context.uid.into()),
            Subject::AclRule(_) => ("acl_uid", context.uid.into()),
            Subject::Installation | Subject::Tenant(_) | Subject::Group(_) => ("cluster_uid", context.uid.into()),
        };
        line.insert(key.to_owned(), uid);
    }
    if let Some(uid) = context.server_uid {
        line.insert("shard_uid".to_owned(), uid.to_string().into());
    }
    let name = event.what.facts.get("name").and_then(Value::as_str).map(str::to_owned);
    if matches!(event.what.subject, Subject::Database(_))
        && let Some(name) = name.or_else(|| context.database_name.clone())
    {
        line.insert("bdb_name".to_owned(), name.into());
    }
    if let Some(login) = event.what.actor.strip_prefix("user:") {
        line.insert("originator_username".to_owned(), login.into());
        if let Some((uid, email)) = &context.originator {
            line.insert("originator_uid".to_owned(), (*uid).into());
            line.insert("originator_email".to_owned(), email.clone().into());
        }
    }
    for (fact, key) in [("before", "old_val"), ("after", "new_val"), ("state", "state")] {
        if let Some(value) = event.what.facts.get(fact) {
            line.insert(key.to_owned(), value.clone());
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use pilothouse_model::{DatabaseId, EventDraft, EventId, HostId, Severity, Timestamp};
    use serde_json::json;

    use super::*;

    fn event(kind: &str, subject: Subject, facts: Value) -> Event {
        Event {
            id: EventId::new(),
            at: Timestamp::from_millis(1_760_400_087_000),
            what: EventDraft {
                kind: kind.to_owned(),
                severity: Severity::Info,
                subject,
                tenant: None,
                actor: "user:Anna".to_owned(),
                operation: None,
                message: "why".to_owned(),
                facts,
            },
        }
    }

    #[test]
    fn a_line_about_a_database() {
        let event = event(
            "database-created",
            Subject::Database(DatabaseId::new()),
            json!({"name": "db1"}),
        );
        let context = EventContext {
            uid: 3,
            originator: Some((2, "a@b.c".to_owned())),
            ..EventContext::default()
        };
        assert_eq!(
            Value::Object(line(&event, &context).unwrap()),
            json!({
                "time": "2025-10-14T00:01:27Z", "type": "bdb_created", "severity": "INFO", "description": "why", "bdb_uid": 3,
                "bdb_name": "db1", "originator_username": "Anna", "originator_uid": 2, "originator_email": "a@b.c",
            })
        );
    }

    #[test]
    fn a_server_that_ended_is_named_by_database_and_shard() {
        let event = event(
            "server-ended",
            Subject::Database(DatabaseId::new()),
            json!({"name": "db1"}),
        );
        let context = EventContext {
            uid: 3,
            server_uid: Some(4),
            ..EventContext::default()
        };
        let line = line(&event, &context).unwrap();
        assert_eq!(
            (&line["type"], &line["bdb_uid"], &line["shard_uid"]),
            (&json!("shard_ended"), &json!(3), &json!("4"))
        );
    }

    #[test]
    fn alerts_are_called_by_their_names_without_the_object() {
        let event = event(
            "alert-raised",
            Subject::Host(HostId::new()),
            json!({"alert": "node_memory", "state": true}),
        );
        let line = line(
            &event,
            &EventContext {
                uid: 1,
                ..EventContext::default()
            },
        )
        .unwrap();
        assert_eq!(
            (&line["type"], &line["node_uid"], &line["state"]),
            (&json!("memory"), &json!("1"), &json!(true))
        );
    }
}
