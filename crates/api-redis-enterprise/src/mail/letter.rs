//! What a letter about an alert says.

use std::fmt::Write as _;

use lettre::Address;
use pilothouse_model::{Subject, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::alerts::Reading;
use crate::app::App;
use crate::auth::own_caller;
use crate::translate::alerts::severity_word;

/// A letter to one reader.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Stays the same from attempt to attempt, so that a reader's server can tell that it has the letter already.
    pub(super) id: Uuid,
    pub(super) to: Address,
    pub(super) title: String,
    pub(super) body: String,
    /// What the alert is about, and its name.
    pub(super) about: Subject,
    pub(super) alert: &'static str,
}

/// What a letter says beside the reading.
pub(super) struct Scene {
    /// Name of the cluster.
    pub(super) cluster: String,
    /// What the alert is about, in words.
    pub(super) object: String,
    /// When the alert was found to hold or to end.
    pub(super) at: Timestamp,
}

/// The subject of an alert in words.
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

/// Writes the letter.
pub(super) fn compose(reading: &Reading, scene: &Scene, to: Address) -> Letter {
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
        alert: reading.name,
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
        let scene = Scene {
            cluster: "c.local".to_owned(),
            object: "database orders (uid 3)".to_owned(),
            at: Timestamp::from_millis(1_760_400_087_000),
        };
        compose(&reading, &scene, "anna@b.c".parse().unwrap())
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
