//! What goes with a subscription: source filter, maintenance windows, tags (specification §13).

use pilothouse_control::{GroupChange, Processed};
use pilothouse_model::Cidr;
use serde::Deserialize;
use serde_json::{Value, json};

use super::subscriptions::{checked_sources, find, find_own};
use super::{Outcome, Task};
use crate::error::TaskError;

const RESOURCE_TAGS_MAX: usize = 30;
const WINDOWS_MAX: usize = 7;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CidrRequest {
    #[serde(default)]
    cidr_ips: Vec<String>,
    #[serde(default)]
    security_group_ids: Vec<String>,
}

pub(super) fn cidr(task: &Task<'_>) -> Outcome {
    let document = find(task)?.document;
    let (ips, groups) = document.map_or_else(Default::default, |document| (document.cidr, document.security_groups));
    Ok(Processed::Answered(cidr_answer(&ips, &groups)))
}

fn cidr_answer(ips: &[String], groups: &[String]) -> Value {
    json!({ "resource": { "cidr_ips": ips, "security_group_ids": groups, "errors": [] } })
}

pub(super) async fn update_cidr(task: &Task<'_>) -> Outcome {
    let request: CidrRequest = task.typed()?;
    let (found, id, mut document) = find_own(task)?;
    for (index, text) in request.cidr_ips.iter().enumerate() {
        text.parse::<Cidr>()
            .map_err(|error| TaskError::new("CIDR_WHITELIST_INVALID_CIDRS", error.to_string()))?;
        if request.cidr_ips.iter().take(index).any(|other| other == text) {
            return Err(TaskError::new(
                "CIDR_WHITELIST_DUPLICATE_CIDRS",
                format!("{text} stands twice"),
            ));
        }
    }
    document.cidr = request.cidr_ips;
    document.security_groups = request.security_group_ids;
    let answer = cidr_answer(&document.cidr, &document.security_groups);
    let change = GroupChange {
        source_allow: Some(checked_sources(&found, &document)?),
        documents: vec![document.write()?],
        ..GroupChange::default()
    };
    task.app
        .control()
        .update_group(&task.settling(answer), id, change)
        .await?;
    Ok(Processed::Settled)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MaintenanceRequest {
    mode: Option<String>,
    windows: Option<Vec<Window>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    start_hour: i64,
    duration_in_hours: i64,
    days: Vec<String>,
}

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

pub(super) async fn update_maintenance(task: &Task<'_>) -> Outcome {
    let request: MaintenanceRequest = task.typed()?;
    let (found, id, mut document) = find_own(task)?;
    let windows = request.windows.unwrap_or_default();
    document.maintenance = match request.mode.as_deref() {
        Some("automatic") if windows.is_empty() => None,
        Some("automatic") => {
            return Err(TaskError::new(
                "MAINTENANCE_WINDOW_AUTOMATIC_MODE_WITH_MAINTENANCE_WINDOWS",
                "windows go with the mode manual",
            ));
        }
        Some("manual") => Some(checked_windows(&windows)?),
        _ => {
            return Err(TaskError::new(
                "MAINTENANCE_WINDOW_INVALID_MAINTENANCE_WINDOW_MODE_PROVIDED",
                "the mode is automatic or manual",
            ));
        }
    };
    let change = GroupChange {
        documents: vec![document.write()?],
        ..GroupChange::default()
    };
    let caller = task.settling(json!({ "resourceId": found.number }));
    task.app.control().update_group(&caller, id, change).await?;
    Ok(Processed::Settled)
}

fn checked_windows(windows: &[Window]) -> Result<Value, TaskError> {
    let refused = |code, why: &str| Err(TaskError::new(code, why));
    if windows.is_empty() {
        return refused(
            "MAINTENANCE_WINDOW_MANUAL_MODE_WITH_NO_MAINTENANCE_WINDOWS",
            "the mode manual needs windows",
        );
    }
    if windows.len() > WINDOWS_MAX {
        return refused(
            "MAINTENANCE_WINDOW_GREATER_THAN_MAXIMUM_ALLOWABLE_MAINTENANCE_WINDOWS_PROVIDED",
            "there are at most 7 windows",
        );
    }
    for window in windows {
        if !(0..=23).contains(&window.start_hour) {
            return refused(
                "MAINTENANCE_WINDOW_INVALID_START_HOUR",
                "startHour lies between 0 and 23",
            );
        }
        if !(4..=24).contains(&window.duration_in_hours) {
            return refused(
                "MAINTENANCE_WINDOW_INVALID_DURATION_IN_HOURS",
                "durationInHours lies between 4 and 24",
            );
        }
        if window.days.is_empty() || window.days.iter().any(|day| !DAYS.contains(&day.as_str())) {
            return refused("MAINTENANCE_WINDOW_INVALID_DAYS", "days are Monday to Sunday");
        }
        if window
            .days
            .iter()
            .enumerate()
            .any(|(index, day)| window.days.iter().take(index).any(|other| other == day))
        {
            return refused("MAINTENANCE_WINDOW_DUPLICATE_DAYS", "a day stands twice");
        }
    }
    let windows: Vec<Value> = windows
        .iter()
        .map(|window| {
            json!({ "days": window.days, "startHour": window.start_hour, "durationInHours": window.duration_in_hours })
        })
        .collect();
    Ok(json!({ "mode": "manual", "timeZone": "Etc/UTC", "windows": windows, "skipStatus": { "remainingSkips": 0 } }))
}

pub(super) async fn update_resource_tags(task: &Task<'_>) -> Outcome {
    let (found, id, mut document) = find_own(task)?;
    let tags = task
        .body
        .get("resourceTags")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if tags.len() > RESOURCE_TAGS_MAX {
        return Err(TaskError::new(
            "RESOURCE_TAGS_EXCEEDS_MAXIMUM_COUNT",
            "at most 30 resource tags",
        ));
    }
    let keys: Vec<&str> = tags
        .iter()
        .map(|tag| tag.get("key").and_then(Value::as_str).unwrap_or_default())
        .collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(TaskError::new("RESOURCE_TAGS_EMPTY_KEY", "a resource tag has a key"));
    }
    if keys
        .iter()
        .enumerate()
        .any(|(index, key)| keys.iter().take(index).any(|other| other == key))
    {
        return Err(TaskError::new("RESOURCE_TAGS_DUPLICATE_KEY", "a key stands twice"));
    }
    document.resource_tags = tags;
    let change = GroupChange {
        documents: vec![document.write()?],
        ..GroupChange::default()
    };
    let caller = task.settling(json!({ "resourceId": found.number }));
    task.app.control().update_group(&caller, id, change).await?;
    Ok(Processed::Settled)
}
