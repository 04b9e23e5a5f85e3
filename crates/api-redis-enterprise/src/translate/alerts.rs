//! Alerts: their settings and how they are shown.

use pilothouse_api::JsonObject;
use pilothouse_model::{Severity, Subject};
use serde_json::{Value, json};

use crate::alerts::Board;
use crate::app::App;
use crate::call::Call;
use crate::error::Failure;

/// Whether an alert is wanted. Settings are a truth value, or an object with a threshold.
pub(crate) fn enabled(settings: &Value, name: &str) -> bool {
    match settings.get(name) {
        Some(Value::Bool(enabled)) => *enabled,
        Some(object) => object.get("enabled").and_then(Value::as_bool).unwrap_or(false),
        None => false,
    }
}

/// The threshold of an alert; infinite, so that it never holds, where it has none.
pub(crate) fn threshold(settings: &Value, name: &str) -> f64 {
    let threshold = settings
        .get(name)
        .and_then(|alert| alert.get("threshold"))
        .and_then(threshold_text);
    threshold.and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY)
}

/// One alert as it is shown. One that is not enabled reads as not holding, unless the caller ignores the settings.
pub(crate) fn shown(settings: &Value, board: &Board, subject: Subject, name: &str, ignore_settings: bool) -> Value {
    let enabled = enabled(settings, name);
    let noted = board.get(subject, name);
    let state = noted.as_ref().is_some_and(|noted| noted.holds) && (enabled || ignore_settings);
    let mut shown = json!({"enabled": enabled, "state": state});
    if let Some(threshold) = settings.get(name).and_then(|alert| alert.get("threshold")) {
        shown["threshold"] = threshold.clone();
    }
    let severity = noted.as_ref().map_or(Severity::Warning, |noted| noted.severity);
    shown["severity"] = severity_word(severity).into();
    if let Some(noted) = noted {
        let mut values = noted.values;
        values.insert("state".to_owned(), state.into());
        shown["change_value"] = Value::Object(values);
        shown["change_time"] = noted.since.to_rfc3339_seconds().into();
    }
    shown
}

/// The alerts of the cluster or of a node, by name: those of the settings that begin with `prefix`.
pub(crate) fn of_subject(app: &App, call: &Call, subject: Subject, prefix: &str) -> JsonObject {
    let settings = app.settings();
    let Some(settings) = settings.cluster.get("alert_settings") else {
        return JsonObject::new();
    };
    let ignore = call.request.query.flag("ignore_settings");
    let names = settings.as_object().into_iter().flat_map(JsonObject::keys);
    names
        .filter(|name| name.starts_with(prefix))
        .map(|name| (name.clone(), shown(settings, app.board(), subject, name, ignore)))
        .collect()
}

/// The word for how much something matters.
pub(crate) const fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
        Severity::Critical => "CRITICAL",
    }
}

/// Settings of alerts with some of them changed. Names that are not known are ignored; thresholds are texts, also when sent as numbers.
pub(crate) fn merged_settings(current: Option<&Value>, changes: &JsonObject) -> Result<Value, Failure> {
    let mut merged = current.and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, change) in changes {
        if let Some(known) = merged.get_mut(name) {
            *known = changed(name, known, change)?;
        }
    }
    Ok(Value::Object(merged))
}

fn changed(name: &str, known: &Value, change: &Value) -> Result<Value, Failure> {
    let wrong = |wanted: &str| Failure::invalid_schema(format!("alert_settings.{name} must be {wanted}"));
    let enabled_of = |value: &Value| value.get("enabled").and_then(Value::as_bool);
    if known.is_boolean() {
        // Scripts send the object form for every alert.
        let enabled = change.as_bool().or_else(|| enabled_of(change));
        return enabled.map(Value::Bool).ok_or_else(|| wrong("true or false"));
    }
    let wanted = "an object with enabled and threshold";
    let change = change.as_object().ok_or_else(|| wrong(wanted))?;
    let mut settings = known.as_object().cloned().unwrap_or_default();
    match change.get("enabled") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(enabled)) => {
            settings.insert("enabled".to_owned(), json!(enabled));
        }
        Some(_) => return Err(wrong(wanted)),
    }
    match change.get("threshold") {
        None | Some(Value::Null) => {}
        Some(threshold) => {
            let text = threshold_text(threshold)
                .ok_or_else(|| wrong("given a threshold that is a number that is not negative"))?;
            settings.insert("threshold".to_owned(), text.into());
        }
    }
    Ok(Value::Object(settings))
}

/// A threshold as the text that clients expect; `None` when it is no number.
pub(crate) fn threshold_text(threshold: &Value) -> Option<String> {
    let text = match threshold {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    text.parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number >= 0.0)
        .map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(changes: Value) -> Result<Value, Failure> {
        let current = json!({"node_failed": false, "node_memory": {"enabled": false, "threshold": "70"}});
        merged_settings(Some(&current), changes.as_object().unwrap())
    }

    #[test]
    fn settings_are_changed_key_by_key() {
        let check = |changes, expected| assert_eq!(merge(changes).unwrap(), expected);
        check(
            json!({"node_memory": {"threshold": 80}, "unknown": 1}),
            json!({"node_failed": false, "node_memory": {"enabled": false, "threshold": "80"}}),
        );
        check(
            json!({"node_failed": {"enabled": true}, "node_memory": {"enabled": true}}),
            json!({"node_failed": true, "node_memory": {"enabled": true, "threshold": "70"}}),
        );
        for bad in [
            json!({"node_failed": 1}),
            json!({"node_memory": true}),
            json!({"node_memory": {"enabled": "x"}}),
            json!({"node_memory": {"threshold": "high"}}),
            json!({"node_memory": {"threshold": "-1"}}),
            json!({"node_memory": {"threshold": "inf"}}),
        ] {
            assert_eq!(merge(bad.clone()).unwrap_err().status, 400, "{bad}");
        }
    }
}
