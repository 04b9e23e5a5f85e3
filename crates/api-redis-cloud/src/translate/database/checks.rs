//! Rules for single fields, and what is not offered at all.

use pilothouse_control::Control;
use pilothouse_model::{DatabaseName, DatabaseSpec, EvictionPolicy, FsyncPolicy, Persistence, Secret, SnapshotRule};

use super::Around;
use crate::error::TaskError;
use crate::wire::database::{Alert, DataEvictionPolicy, DataPersistence, DatabaseRequest, Protocol, ShardingType};

const NAME_MAX: usize = 40;
const PASSWORD_MAX: usize = 49;
const HOUR: u64 = 3600;

pub(super) fn refuse_what_is_not_offered(request: &DatabaseRequest) -> Result<(), TaskError> {
    let refused = |code, why: &str| Err(TaskError::new(code, why));
    if request.protocol == Some(Protocol::Memcached) {
        return refused("DATABASE_FEATURE_NOT_SUPPORTED", "memcached is not offered here");
    }
    if request.ram_percentage.is_some() {
        return refused(
            "DATABASE_RAM_PERCENTAGE_NOT_ALLOWED",
            "this subscription keeps its data in memory",
        );
    }
    if request
        .local_throughput_measurement
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        return refused(
            "LOCAL_THROUGHPUT_MEASUREMENT_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION",
            "the subscription has one region",
        );
    }
    if let Some(module) = request.modules.as_ref().and_then(|modules| modules.first()) {
        return refused(
            "DATABASE_MODULE_NOT_SUPPORTED",
            &format!("the module {} is not installed", module.name),
        );
    }
    if request.sharding_type == Some(ShardingType::CustomRegexRules)
        || request.regex_rules.as_ref().is_some_and(|rules| !rules.is_empty())
    {
        return refused(
            "DATABASE_SHARDING_TYPE_IS_NOT_SUPPORTED",
            "keys are spread by their hash only",
        );
    }
    match request.query_performance_factor.as_deref() {
        None | Some("Standard") => Ok(()),
        Some(_) => refused(
            "DATABASE_QUERY_PERFORMANCE_FACTOR_IS_NOT_SUPPORTED",
            "only the factor Standard is offered",
        ),
    }
}

pub(super) fn checked_name(name: &str) -> Result<DatabaseName, TaskError> {
    if name.chars().count() > NAME_MAX {
        return Err(TaskError::new(
            "DATABASE_NAME_TOO_LONG",
            "a name has at most 40 characters",
        ));
    }
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let ends = name.ends_with(|c: char| c.is_ascii_alphanumeric());
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let invalid = || {
        TaskError::new(
            "DATABASE_INVALID_NAME",
            "a name has letters, digits and hyphens, begins with a letter and ends with a letter or digit",
        )
    };
    if !(begins && ends && plain) {
        return Err(invalid());
    }
    DatabaseName::parse(name).map_err(|_| invalid())
}

pub(super) fn checked_password(password: &str) -> Result<Secret, TaskError> {
    if password.trim().is_empty() {
        return Err(TaskError::new("DATABASE_PASSWORD_IS_BLANK", "the password is blank"));
    }
    if password.chars().count() > PASSWORD_MAX {
        return Err(TaskError::new(
            "DATABASE_PASSWORD_IS_TOO_LONG",
            "a password has at most 49 characters",
        ));
    }
    Ok(Secret::new(password))
}

/// Letters and digits only, as the service generates them.
pub(super) fn alphanumeric(control: &Control, length: usize) -> Secret {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let more = control.generate_secret(length);
        text.extend(
            more.expose()
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(length - text.len()),
        );
    }
    Secret::new(text)
}

/// Memory may be promised more than once, as long as each server could have what it was promised.
pub(super) fn check_room(spec: &DatabaseSpec, around: &Around<'_>) -> Result<(), TaskError> {
    if spec.memory_bytes_per_server() > around.control.host_facts().memory_bytes {
        return Err(TaskError::new("PLANNER_INVALID_SIZE", "no host has room for so much"));
    }
    Ok(())
}

pub(super) fn checked_port(port: i64) -> Result<u16, TaskError> {
    u16::try_from(port)
        .ok()
        .filter(|port| (10_000..=19_999).contains(port))
        .ok_or_else(|| TaskError::new("DATABASE_PORT_INVALID_VALUE", "a port lies between 10000 and 19999"))
}

pub(super) fn persistence(wanted: DataPersistence) -> Persistence {
    let snapshot = |hours: u64| Persistence::Snapshot {
        rules: vec![SnapshotRule {
            seconds: hours * HOUR,
            writes: 1,
        }],
    };
    match wanted {
        DataPersistence::None => Persistence::Disabled,
        DataPersistence::AofEverySecond => Persistence::AppendOnly {
            fsync: FsyncPolicy::EverySecond,
        },
        DataPersistence::AofEveryWrite => Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        },
        DataPersistence::SnapshotEveryHour => snapshot(1),
        DataPersistence::SnapshotEvery6Hours => snapshot(6),
        DataPersistence::SnapshotEvery12Hours => snapshot(12),
    }
}

pub(super) fn eviction(wanted: DataEvictionPolicy) -> Result<EvictionPolicy, TaskError> {
    EvictionPolicy::ALL
        .into_iter()
        .find(|policy| policy.as_str() == wanted.as_str())
        .ok_or_else(|| {
            TaskError::new(
                "DATABASE_EVICTION_POLICY_NOT_COMPATIBLE_WITH_REDIS_VERSION",
                format!("no installed version knows {}", wanted.as_str()),
            )
        })
}

/// Alerts, with the values that they take; those of Pro databases, those of Essentials databases, or both.
const ALERTS: [(&str, std::ops::RangeInclusive<i64>, bool, bool); 8] = [
    ("dataset-size", 1..=100, true, false),
    ("datasets-size", 1..=100, false, true),
    ("throughput-higher-than", 1..=10_000_000, true, true),
    ("throughput-lower-than", 1..=10_000_000, true, true),
    ("latency", 1..=10_000, true, true),
    ("syncsource-error", 0..=1, true, false),
    ("syncsource-lag", 1..=86_400, true, false),
    ("connections-limit", 1..=100, false, true),
];

pub(super) fn checked_alerts(alerts: &[Alert], around: &Around<'_>) -> Result<Vec<Alert>, TaskError> {
    for (index, alert) in alerts.iter().enumerate() {
        let refused = |code, why: String| Err(TaskError::new(code, why));
        let known = ALERTS.iter().find(|(name, ..)| *name == alert.name);
        let Some((_, range, pro, essentials)) = known else {
            return refused("DATABASE_INVALID_ALERTS", format!("there is no alert {:?}", alert.name));
        };
        match around.plan {
            None if !pro => {
                let why = format!("{} is an alert of Essentials databases", alert.name);
                return refused("FLEXIBLE_DATABASE_ALERT_NOT_SUPPORTED", why);
            }
            Some(_) if !essentials => {
                let why = format!("{} is an alert of Pro databases", alert.name);
                return refused("FIXED_DATABASE_ALERT_NOT_SUPPORTED", why);
            }
            _ => {}
        }
        if !range.contains(&alert.value) {
            let why = format!("{} is no value of the alert {}", alert.value, alert.name);
            return refused("DATABASE_INVALID_ALERT_VALUE", why);
        }
        if alerts.iter().take(index).any(|other| other.name == alert.name) {
            return refused("DATABASE_INVALID_ALERTS", format!("{} stands twice", alert.name));
        }
    }
    Ok(alerts.to_vec())
}
