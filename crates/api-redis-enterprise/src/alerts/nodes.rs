//! Alerts of nodes: what they are judged by.

use pilothouse_api::JsonObject;
use pilothouse_control::DatabaseView;
use pilothouse_model::{MachineLoad, Persistence, Severity, Subject, Timestamp};
use serde_json::{Value, json};

use super::Reading;
use super::cluster::days_until_expiry;
use crate::app::App;
use crate::translate::alerts::{enabled, threshold};

/// Load of the machine at one moment, to be compared with another.
pub(super) struct Sample {
    at: Timestamp,
    load: MachineLoad,
    logs: Logs,
}

impl Sample {
    pub(super) fn take(app: &App, databases: &[DatabaseView]) -> Self {
        Self {
            at: app.control().now(),
            load: app.control().machine_load(),
            logs: Logs::of(databases),
        }
    }
}

/// The logs of writes of the servers of the machine, as far as they were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Logs {
    /// How often a write had to wait for the disk, since the servers began.
    delayed: u64,
    /// A log could not be written.
    failed: bool,
    /// What the largest rewrite of a log would need, bytes.
    largest_rewrite: u64,
}

impl Logs {
    fn of(databases: &[DatabaseView]) -> Self {
        let mut logs = Self::default();
        let logging = databases
            .iter()
            .filter(|view| matches!(view.database.spec.persistence, Persistence::AppendOnly { .. }));
        let seen = logging.flat_map(|view| view.observation.servers.values());
        for facts in seen.filter_map(|seen| seen.facts.as_ref()) {
            let text = |name: &str| facts.raw.get(name).map(String::as_str);
            logs.delayed += text("aof_delayed_fsync")
                .and_then(|count| count.parse::<u64>().ok())
                .unwrap_or(0);
            logs.failed |= text("aof_last_write_status") == Some("err");
            logs.largest_rewrite = logs.largest_rewrite.max(facts.used_memory_bytes);
        }
        logs
    }
}

/// What holds of the nodes now.
pub(super) fn readings(app: &App, settings: &Value, last: &Sample, sample: &Sample) -> Vec<Reading> {
    let facts = app.control().host_facts();
    let load = &sample.load;
    let used = |available: u64, total: u64| percent(total.saturating_sub(available), total);
    let storage = used(load.storage_available_bytes, facts.storage_bytes);
    let measured = [
        ("node_memory", used(load.memory_available_bytes, facts.memory_bytes)),
        ("node_persistent_storage", storage),
        ("node_ephemeral_storage", storage),
        ("node_cpu_utilization", cpu_percent(&last.load, load)),
        ("node_net_throughput", network_megabytes_per_second(last, sample)),
    ];
    let days = days_until_expiry(app, |name| name.ends_with("_internode_encryption"));
    let mut readings = Vec::new();
    for host in app.control().hosts() {
        let reading = |name: &'static str, holds: bool, value: f64, limit: f64| Reading {
            subject: Subject::Host(host.id),
            name,
            holds,
            enabled: enabled(settings, name),
            severity: Severity::Warning,
            values: json!({"value": value, "global_threshold": limit})
                .as_object()
                .cloned()
                .unwrap_or_default(),
        };
        for (name, value) in measured {
            let limit = threshold(settings, name);
            readings.push(reading(name, value > limit, value, limit));
        }
        for (name, holds, value) in logs_judged(last, sample) {
            readings.push(Reading {
                values: value,
                ..reading(name, holds, 0.0, 0.0)
            });
        }
        let name = "node_internal_certs_about_to_expire";
        let limit = threshold(settings, name);
        let left = days.unwrap_or(f64::MAX);
        readings.push(reading(name, left < limit, left.min(36_500.0), limit));
    }
    readings
}

/// Alerts about logs of writes: whether they hold, and by what that was judged.
fn logs_judged(last: &Sample, sample: &Sample) -> [(&'static str, bool, JsonObject); 2] {
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    let delayed = sample.logs.delayed.saturating_sub(last.logs.delayed);
    let available = sample.load.storage_available_bytes;
    [
        (
            "node_aof_slow_disk_io",
            delayed > 0 || sample.logs.failed,
            object(json!({"delayed_fsyncs": delayed, "write_failed": sample.logs.failed})),
        ),
        (
            "node_insufficient_disk_aofrw",
            available < sample.logs.largest_rewrite,
            object(json!({"available": available, "needed": sample.logs.largest_rewrite})),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

fn cpu_percent(last: &MachineLoad, load: &MachineLoad) -> f64 {
    let idle = |load: &MachineLoad| load.cpu_idle + load.cpu_iowait;
    let busy = |load: &MachineLoad| load.cpu_user + load.cpu_nice + load.cpu_system + load.cpu_irq + load.cpu_steal;
    let (idle, busy) = (
        idle(load).saturating_sub(idle(last)),
        busy(load).saturating_sub(busy(last)),
    );
    percent(busy, busy + idle)
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn network_megabytes_per_second(last: &Sample, sample: &Sample) -> f64 {
    let total = |load: &MachineLoad| load.network_in_bytes + load.network_out_bytes;
    let seconds = sample.at.since(last.at).as_secs_f64();
    let bytes = total(&sample.load).saturating_sub(total(&last.load)) as f64;
    if seconds > 0.0 {
        bytes / seconds / 1_000_000.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_processor() {
        let load = |user, idle| MachineLoad {
            cpu_user: user,
            cpu_idle: idle,
            ..MachineLoad::default()
        };
        assert!((cpu_percent(&load(100, 100), &load(125, 175)) - 25.0).abs() < 1e-9);
        assert!(cpu_percent(&load(1, 1), &load(1, 1)).abs() < 1e-9);
    }

    #[test]
    fn logs_that_wait_for_the_disk_or_have_no_room_are_told() {
        let sample = |delayed, failed, largest_rewrite, available| Sample {
            at: Timestamp::from_millis(0),
            load: MachineLoad {
                storage_available_bytes: available,
                ..MachineLoad::default()
            },
            logs: Logs {
                delayed,
                failed,
                largest_rewrite,
            },
        };
        let check = |last: &Sample, now: &Sample, expected: [bool; 2]| {
            assert_eq!(logs_judged(last, now).map(|(_, holds, _)| holds), expected);
        };
        let fine = sample(7, false, 100, 100);
        check(&fine, &fine, [false, false]);
        check(&fine, &sample(8, false, 100, 100), [true, false]);
        check(&fine, &sample(7, true, 100, 100), [true, false]);
        check(&fine, &sample(7, false, 101, 100), [false, true]);
        // Servers that began anew count from nothing.
        check(&fine, &sample(0, false, 0, 0), [false, false]);
    }
}
