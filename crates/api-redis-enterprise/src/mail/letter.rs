//! What letters say.

use std::fmt::Write as _;

use lettre::Address;
use pilothouse_model::{OperationResult, Subject, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::alerts::Reading;
use crate::app::App;
use crate::auth::own_caller;
use crate::translate::alerts::severity_word;

/// A letter to one reader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    /// Stays the same from attempt to attempt, so that a reader's server can tell that it has the letter already.
    pub(super) id: Uuid,
    pub(super) to: Address,
    pub(super) title: String,
    pub(super) body: String,
    /// What it is about.
    pub(super) about: Subject,
    /// The alert or the action that it tells of.
    pub(super) topic: String,
}

/// What a letter says beside the reading.
pub(super) struct Scene {
    /// Name of the cluster.
    pub(super) cluster: String,
    /// What the letter is about, in words.
    pub(super) object: String,
    /// When the alert was found to hold or to end, or when the action ended.
    pub(super) at: Timestamp,
}

/// The subject of a letter in words.
pub(super) fn object(app: &App, subject: Subject) -> String {
    let uid = app.uid(subject);
    match subject {
        Subject::Database(id) => match app.control().database(&own_caller(app), id) {
            Ok(view) => format!("database {} (uid {uid})", view.database.name.as_str()),
            Err(_) => format!("database with uid {uid}"),
        },
        Subject::Host(_) => format!("node {uid}"),
        _ => "cluster".to_owned(),
    }
}

/// Writes the letter about an alert.
pub(super) fn about_alert(reading: &Reading, scene: &Scene, to: Address) -> Letter {
    let (words, Scene { cluster, object, at }) = (words(reading.name), scene);
    let (title, state) = if reading.holds {
        (format!("[{cluster}] Alert: {words}, {object}"), "holds")
    } else {
        (format!("[{cluster}] Over: {words}, {object}"), "no longer holds")
    };
    let mut body = format!("The alert \"{words}\" {state} for the {object}.\n\n");
    let mut line = |name: &str, value: &str| {
        // A String takes everything.
        let _ = writeln!(body, "{name}: {value}");
    };
    line("Cluster", cluster);
    line("Alert", reading.name);
    line("Time", &at.to_rfc3339_seconds());
    if reading.holds {
        line("Severity", severity_word(reading.severity));
    }
    for (name, value) in &reading.values {
        line(&capitalised(&name.replace('_', " ")), &shown(value));
    }
    body.push_str("\nYou get this mail because your user account asks for mail about alerts.\n");
    Letter {
        id: Uuid::new_v4(),
        to,
        title,
        body,
        about: reading.subject,
        topic: reading.name.to_owned(),
    }
}

/// Writes the letter about an action that ended: an `export` or `import` of the subject.
pub(super) fn about_action(
    action: &str,
    about: Subject,
    result: &OperationResult,
    scene: &Scene,
    to: Address,
) -> Letter {
    let Scene { cluster, object, at } = scene;
    let end = match result {
        OperationResult::Succeeded => "succeeded",
        OperationResult::Failed { .. } => "failed",
    };
    let mut body = format!(
        "The {action} of the {object} {end}.\n\nCluster: {cluster}\nTime: {}\n",
        at.to_rfc3339_seconds()
    );
    if let OperationResult::Failed { message, .. } = result {
        let _ = writeln!(body, "Reason: {message}");
    }
    body.push_str("\nYou get this mail because you asked for it with the request.\n");
    Letter {
        id: Uuid::new_v4(),
        to,
        title: format!("[{cluster}] {} {end}: {object}", capitalised(action)),
        body,
        about,
        topic: action.to_owned(),
    }
}

/// An alert's name as people read it: `bdb_high_latency` is `high latency`.
fn words(name: &str) -> String {
    let stripped = ["bdb_", "node_", "cluster_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    stripped.unwrap_or(name).replace('_', " ")
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next()
        .map(|first| first.to_uppercase().chain(rest).collect())
        .unwrap_or_default()
}

/// A value without more digits than anybody reads.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() != 0.0 => format!("{float:.2}"),
            Some(float) if number.is_f64() => format!("{float:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use pilothouse_model::{DatabaseId, Severity};
    use serde_json::json;

    use super::*;

    fn letter(holds: bool) -> Letter {
        let values = json!({"value": 20.123_456, "threshold": "20", "days_left": 3.0, "node_count": 1});
        let reading = Reading {
            subject: Subject::Database(DatabaseId::new()),
            name: "bdb_high_latency",
            holds,
            enabled: true,
            severity: Severity::Warning,
            values: values.as_object().unwrap().clone(),
        };
        about_alert(&reading, &scene(), "anna@b.c".parse().unwrap())
    }

    fn scene() -> Scene {
        Scene {
            cluster: "c.local".to_owned(),
            object: "database orders (uid 3)".to_owned(),
            at: Timestamp::from_millis(1_760_400_087_000),
        }
    }

    #[test]
    fn a_letter_tells_how_an_action_ended() {
        let failed = OperationResult::Failed {
            code: "no-permission".to_owned(),
            message: "the place takes no file".to_owned(),
        };
        let about = Subject::Database(DatabaseId::new());
        let write = |result| about_action("export", about, result, &scene(), "anna@b.c".parse().unwrap());
        let letter = write(&failed);
        assert_eq!(letter.title, "[c.local] Export failed: database orders (uid 3)");
        insta::assert_snapshot!(letter.body, @r"
        The export of the database orders (uid 3) failed.

        Cluster: c.local
        Time: 2025-10-14T00:01:27Z
        Reason: the place takes no file

        You get this mail because you asked for it with the request.
        ");
        assert!(!write(&OperationResult::Succeeded).body.contains("Reason"));
    }

    #[test]
    fn a_letter_tells_what_holds_where_and_by_how_much() {
        let letter = letter(true);
        assert_eq!(letter.title, "[c.local] Alert: high latency, database orders (uid 3)");
        insta::assert_snapshot!(letter.body, @r#"
        The alert "high latency" holds for the database orders (uid 3).

        Cluster: c.local
        Alert: bdb_high_latency
        Time: 2025-10-14T00:01:27Z
        Severity: WARNING
        Value: 20.12
        Threshold: 20
        Days left: 3
        Node count: 1

        You get this mail because your user account asks for mail about alerts.
        "#);
    }

    #[test]
    fn a_letter_tells_the_end() {
        let letter = letter(false);
        assert_eq!(letter.title, "[c.local] Over: high latency, database orders (uid 3)");
        assert!(
            letter
                .body
                .starts_with("The alert \"high latency\" no longer holds for the database orders (uid 3).\n"),
            "{}",
            letter.body
        );
        assert!(!letter.body.contains("Severity"));
    }
}
