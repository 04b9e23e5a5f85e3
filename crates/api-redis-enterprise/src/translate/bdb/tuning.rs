//! Fields that are directives of the engine under another name.

use std::collections::BTreeMap;

use pilothouse_api::JsonObject;
use pilothouse_model::{DatabaseSpec, LogLimits};
use serde_json::Value;

use super::Body;
use crate::error::Failure;

/// A whole number or word that is handed on as it is; its default is the engine's own and leaves no trace.
struct Plain {
    field: &'static str,
    directive: &'static str,
    default: Default,
}

#[derive(Clone, Copy)]
enum Default {
    Number(u64),
    Word(&'static str),
}

impl Default {
    fn value(self) -> Value {
        match self {
            Self::Number(number) => number.into(),
            Self::Word(word) => word.into(),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Word(word) => word.to_owned(),
        }
    }
}

const fn number(field: &'static str, directive: &'static str, default: u64) -> Plain {
    Plain {
        field,
        directive,
        default: Default::Number(default),
    }
}

/// What a build without active defragmentation lacks is refused by the driver, so nothing but the defaults is accepted there.
const PLAIN: &[Plain] = &[
    number("maxclients", "maxclients", 10_000),
    number("tracking_table_max_keys", "tracking-table-max-keys", 1_000_000),
    Plain {
        field: "activedefrag",
        directive: "activedefrag",
        default: Default::Word("no"),
    },
    number("active_defrag_cycle_min", "active-defrag-cycle-min", 1),
    number("active_defrag_cycle_max", "active-defrag-cycle-max", 25),
    Plain {
        field: "active_defrag_ignore_bytes",
        directive: "active-defrag-ignore-bytes",
        default: Default::Word("104857600"),
    },
    number("active_defrag_max_scan_fields", "active-defrag-max-scan-fields", 1000),
    number("active_defrag_threshold_lower", "active-defrag-threshold-lower", 10),
    number("active_defrag_threshold_upper", "active-defrag-threshold-upper", 100),
];

/// The log of writes is rewritten when it has doubled and is larger than this; by default that is at 64 MiB.
const REWRITE_AT: &str = "auto-aof-rewrite-min-size";
const REWRITE_AT_DEFAULT: u64 = 64 << 20;
/// `max_aof_file_size` and `max_aof_load_time` until somebody changes them.
pub(super) const LOG_LIMITS: LogLimits = LogLimits {
    max_bytes: 322_122_547_200,
    max_load_seconds: 3600,
};
const BACKLOG: &str = "repl-backlog-size";
const BUFFER: &str = "client-output-buffer-limit";
const AUTO: &str = "auto";

/// Directives that every database of this API has. Engines open no channel to a rule that says nothing of channels; the product opens all.
pub(super) fn of_new_databases() -> BTreeMap<String, String> {
    BTreeMap::from([("acl-pubsub-default".to_owned(), "allchannels".to_owned())])
}

/// Brings the spec in line with a body.
pub(super) fn apply(body: &Body<'_>, spec: &mut DatabaseSpec) -> Result<(), Failure> {
    for knob in PLAIN {
        let Some(value) = body.get(knob.field) else { continue };
        let mut text = scalar(value)
            .ok_or_else(|| Failure::invalid_schema(format!("{} must be a number or a text", knob.field)))?;
        // Quirk: the documentation writes the default of this one with a unit.
        if knob.field == "active_defrag_ignore_bytes" && text.eq_ignore_ascii_case("100mb") {
            text = knob.default.text();
        }
        set(spec, knob.directive, (text != knob.default.text()).then_some(text));
    }
    if let Some(value) = body.get("repl_backlog_size") {
        let text =
            scalar(value).ok_or_else(|| Failure::invalid_schema("repl_backlog_size must be \"auto\" or a size"))?;
        set(spec, BACKLOG, (text != AUTO).then_some(text));
    }
    if let Some(seconds) = body.number("max_aof_load_time") {
        spec.log_limits.max_load_seconds = seconds;
    }
    if let Some(most) = body.number("max_aof_file_size") {
        spec.log_limits.max_bytes = most;
        // Below its own threshold the engine sees to it by itself, and at once.
        let earlier = (1..REWRITE_AT_DEFAULT).contains(&most);
        set(spec, REWRITE_AT, earlier.then(|| most.to_string()));
    }
    if let Some(value) = body.get("slave_buffer") {
        let text = scalar(value)
            .ok_or_else(|| Failure::invalid_schema("slave_buffer must be \"auto\", a size or hard:soft:time"))?;
        let limits = if text == AUTO { None } else { Some(buffer(&text)?) };
        set(spec, BUFFER, limits);
    }
    Ok(())
}

fn set(spec: &mut DatabaseSpec, directive: &str, value: Option<String>) {
    match value {
        Some(value) => {
            spec.tuning.insert(directive.to_owned(), value);
        }
        None => {
            spec.tuning.remove(directive);
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_ascii_lowercase()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// `MB` or `hard:soft:seconds`, sizes in megabytes, as the engine writes it.
fn buffer(text: &str) -> Result<String, Failure> {
    let malformed = || Failure::invalid_schema("slave_buffer must be \"auto\", a size in MB, or hard:soft:time");
    let numbers = text
        .split(':')
        .map(|part| part.trim_end_matches("mb").parse::<u32>().ok())
        .collect::<Option<Vec<_>>>();
    match numbers.ok_or_else(malformed)?.as_slice() {
        [both] => Ok(format!("replica {both}mb {both}mb 60")),
        [hard, soft, seconds] => Ok(format!("replica {hard}mb {soft}mb {seconds}")),
        _ => Err(malformed()),
    }
}

/// The fields as shown.
pub(super) fn show(spec: &DatabaseSpec) -> JsonObject {
    let mut shown = JsonObject::new();
    for knob in PLAIN {
        let value = spec.tuning.get(knob.directive).map(|text| match knob.default {
            Default::Number(_) => text.parse::<u64>().map_or_else(|_| text.as_str().into(), Value::from),
            Default::Word(_) => text.as_str().into(),
        });
        shown.insert(knob.field.to_owned(), value.unwrap_or_else(|| knob.default.value()));
    }
    let limits = &spec.log_limits;
    shown.insert("max_aof_file_size".to_owned(), limits.max_bytes.into());
    shown.insert("max_aof_load_time".to_owned(), limits.max_load_seconds.into());
    let backlog = spec.tuning.get(BACKLOG).map_or(AUTO, String::as_str);
    shown.insert("repl_backlog_size".to_owned(), backlog.into());
    let buffer = spec.tuning.get(BUFFER).map(|limits| {
        let parts: Vec<_> = limits
            .split_ascii_whitespace()
            .skip(1)
            .map(|part| part.trim_end_matches("mb"))
            .collect();
        parts.join(":")
    });
    shown.insert(
        "slave_buffer".to_owned(),
        buffer.unwrap_or_else(|| AUTO.to_owned()).into(),
    );
    shown
}
