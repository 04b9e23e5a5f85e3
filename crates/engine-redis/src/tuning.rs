//! The settings that a database may carry in its `tuning`: an allow-list with a type, a range and a default for each. What is not in
//! this table cannot be set, because most directives of a server are ours (ports, accounts, files) or dangerous on a shared machine.

use std::collections::{BTreeMap, BTreeSet};

/// A setting.
pub(crate) struct Directive {
    /// The server's name for it.
    pub(crate) name: &'static str,
    /// What its value may be.
    pub(crate) kind: Kind,
    /// What holds when it is not set.
    pub(crate) default: &'static str,
    /// Whether a running server can change it.
    pub(crate) live: bool,
}

/// What a value may be.
pub(crate) enum Kind {
    /// A whole number within these bounds.
    Integer(i64, i64),
    /// Bytes within these bounds, with an optional unit.
    Memory(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Letters that select key events.
    KeyEvents,
    /// `replica HARD SOFT SECONDS`, the first two bytes.
    ReplicaBuffer,
}

const YES_NO: Kind = Kind::Word(&["no", "yes"]);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const fn live(name: &'static str, kind: Kind, default: &'static str) -> Directive {
    Directive {
        name,
        kind,
        default,
        live: true,
    }
}

/// The default of `repl-backlog-size` depends on the memory limit: see [`backlog_bytes`].
pub(crate) const BACKLOG: &str = "repl-backlog-size";

/// The default of this one may be more than the host allows, which is no error.
pub(crate) const MAX_CLIENTS: &str = "maxclients";

const BUSY_THRESHOLD: &str = "busy-reply-threshold";

/// Every setting that can be set.
pub(crate) static DIRECTIVES: &[Directive] = &[
    live(
        "acl-pubsub-default",
        Kind::Word(&["resetchannels", "allchannels"]),
        "resetchannels",
    ),
    live("active-defrag-cycle-max", Kind::Integer(1, 99), "25"),
    live("active-defrag-cycle-min", Kind::Integer(1, 99), "1"),
    live("active-defrag-ignore-bytes", Kind::Memory(1, 1024 * GIB), "104857600"),
    live("active-defrag-max-scan-fields", Kind::Integer(1, 1_000_000), "1000"),
    live("active-defrag-threshold-lower", Kind::Integer(0, 1000), "10"),
    live("active-defrag-threshold-upper", Kind::Integer(0, 1000), "100"),
    live("active-expire-effort", Kind::Integer(1, 10), "1"),
    live("activedefrag", Kind::Word(&["no"]), "no"),
    live("activerehashing", YES_NO, "yes"),
    live("auto-aof-rewrite-min-size", Kind::Memory(0, 1024 * GIB), "67108864"),
    live("auto-aof-rewrite-percentage", Kind::Integer(0, 1_000_000), "100"),
    live(BUSY_THRESHOLD, Kind::Integer(0, 86_400_000), "5000"),
    live(
        "client-output-buffer-limit",
        Kind::ReplicaBuffer,
        "replica 268435456 67108864 60",
    ),
    live("hash-max-listpack-entries", Kind::Integer(0, 1_000_000), "512"),
    live("hash-max-listpack-value", Kind::Memory(0, GIB), "64"),
    live("hll-sparse-max-bytes", Kind::Memory(0, 16_000), "3000"),
    Directive {
        name: "io-threads",
        kind: Kind::Integer(1, 128),
        default: "1",
        live: false,
    },
    live("lfu-decay-time", Kind::Integer(0, 1_000_000), "1"),
    live("lfu-log-factor", Kind::Integer(0, 1_000_000), "10"),
    live("list-compress-depth", Kind::Integer(0, 65_535), "0"),
    live("list-max-listpack-size", Kind::Integer(-5, 65_535), "-2"),
    live(MAX_CLIENTS, Kind::Integer(1, 1_000_000), "10000"),
    live("maxmemory-eviction-tenacity", Kind::Integer(0, 100), "10"),
    live("maxmemory-samples", Kind::Integer(1, 64), "5"),
    live("notify-keyspace-events", Kind::KeyEvents, ""),
    live("proto-max-bulk-len", Kind::Memory(MIB, 512 * GIB), "536870912"),
    live(BACKLOG, Kind::Memory(16 * KIB, 64 * GIB), ""),
    live("set-max-intset-entries", Kind::Integer(0, 1_000_000), "512"),
    live("slowlog-log-slower-than", Kind::Integer(-1, 86_400_000_000), "10000"),
    live("slowlog-max-len", Kind::Integer(0, 100_000), "128"),
    live("stream-node-max-bytes", Kind::Memory(0, GIB), "4096"),
    live("stream-node-max-entries", Kind::Integer(0, 1_000_000), "100"),
    live("tcp-keepalive", Kind::Integer(0, 86_400), "300"),
    live("timeout", Kind::Integer(0, 31_536_000), "0"),
    live("tracking-table-max-keys", Kind::Integer(0, 1_000_000_000), "1000000"),
    live("zset-max-listpack-entries", Kind::Integer(0, 1_000_000), "128"),
    live("zset-max-listpack-value", Kind::Memory(0, GIB), "64"),
];

/// Older names that clients of our APIs still use.
const ALIASES: &[(&str, &str)] = &[
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("lua-time-limit", BUSY_THRESHOLD),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

/// The size of the replication backlog when nobody chose it: a hundredth of the memory limit, 1 to 250 MiB.
pub(crate) fn backlog_bytes(memory_bytes: u64) -> u64 {
    (memory_bytes / 100).clamp(MIB, 250 * MIB)
}

/// Checks settings and brings them into the form in which they are compared and written: the server's own names, plain numbers.
pub(crate) fn canonical(tuning: &BTreeMap<String, String>) -> Result<BTreeMap<&'static str, String>, String> {
    let mut canonical = BTreeMap::new();
    for (name, value) in tuning {
        let current = ALIASES
            .iter()
            .find(|(old, _)| old == name)
            .map_or(name.as_str(), |(_, current)| current);
        let directive = DIRECTIVES
            .iter()
            .find(|directive| directive.name == current)
            .ok_or_else(|| format!("{name:?} is not a setting that can be changed"))?;
        let value = directive
            .kind
            .canonical(value)
            .map_err(|why| format!("{name}: {why}"))?;
        if canonical.insert(directive.name, value).is_some() {
            return Err(format!("{current} is set twice, once by its older name"));
        }
    }
    Ok(canonical)
}

impl Kind {
    /// Checks a value, ours or the server's, and brings it into the form in which it is compared. The message does not repeat the name.
    pub(crate) fn canonical(&self, value: &str) -> Result<String, String> {
        match self {
            Self::Integer(min, max) => match value.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => Ok(number.to_string()),
                _ => Err(format!("must be a whole number from {min} to {max}")),
            },
            Self::Memory(min, max) => match memory(value) {
                Some(bytes) if (*min..=*max).contains(&bytes) => Ok(bytes.to_string()),
                _ => Err(format!(
                    "must be {min} to {max} bytes, with an optional unit such as kb or mb"
                )),
            },
            Self::Word(words) => {
                let word = value.to_ascii_lowercase();
                if words.contains(&word.as_str()) {
                    Ok(word)
                } else {
                    Err(format!("must be one of: {}", words.join(", ")))
                }
            }
            Self::KeyEvents => key_events(value),
            Self::ReplicaBuffer => replica_buffer(value),
        }
    }
}

/// Bytes with the server's units: `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` of 1024.
fn memory(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => KIB,
        "m" => 1_000_000,
        "mb" => MIB,
        "g" => 1_000_000_000,
        "gb" => GIB,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Each letter once, in order, `A` written out.
fn key_events(text: &str) -> Result<String, String> {
    const ALL: &str = "g$lshzxetd";
    let mut letters = BTreeSet::new();
    for letter in text.chars() {
        match letter {
            'A' => letters.extend(ALL.chars()),
            'K' | 'E' | 'n' | 'm' => {
                letters.insert(letter);
            }
            _ if ALL.contains(letter) => {
                letters.insert(letter);
            }
            _ => {
                return Err(format!(
                    "{letter:?} does not stand for any key events (known: A, K, E, m, n, {ALL})"
                ));
            }
        }
    }
    Ok(letters.into_iter().collect())
}

/// The class `replica` out of one or several classes; the server shows all of them.
fn replica_buffer(text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let wanted = || "must be `replica HARD SOFT SECONDS`".to_owned();
    let mut found = None;
    for class in words.chunks(4) {
        let [name, hard, soft, seconds] = class else {
            return Err(wanted());
        };
        let limits = (memory(hard), memory(soft), seconds.parse::<u32>().ok());
        let (Some(hard), Some(soft), Some(seconds)) = limits else {
            return Err(wanted());
        };
        match *name {
            "replica" | "slave" => found = Some(format!("replica {hard} {soft} {seconds}")),
            // The server's own report; the other classes are not ours to set.
            "normal" | "pubsub" if words.len() > 4 => {}
            _ => return Err(wanted()),
        }
    }
    found.ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<String, String> {
        canonical(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
            .map(|mut map| map.pop_first().expect("one entry").1)
    }

    #[test]
    fn values_are_checked_and_made_canonical() {
        let good =
            |name, value, expected: &str| assert_eq!(check(name, value).as_deref(), Ok(expected), "{name} {value}");
        good("maxclients", "100", "100");
        good("repl-backlog-size", "2mb", "2097152");
        good("repl-backlog-size", "2M", "2000000");
        good("repl-backlog-size", "1Gb", "1073741824");
        good("list-max-listpack-size", "-2", "-2");
        good("lua-time-limit", "50", "50");
        good("notify-keyspace-events", "KEA", "$EKdeghlstxz");
        good("notify-keyspace-events", "AKE", "$EKdeghlstxz");
        good("notify-keyspace-events", "", "");
        good(
            "client-output-buffer-limit",
            "slave 1mb 512kb 60",
            "replica 1048576 524288 60",
        );
        good("client-output-buffer-limit", "replica 0 0 0", "replica 0 0 0");
        good("activerehashing", "NO", "no");
        good("activedefrag", "no", "no");
    }

    #[test]
    fn bad_names_and_values_are_refused() {
        for (name, value) in [
            ("maxclients", "0"),
            ("maxclients", "1e3"),
            ("maxclients", "-1"),
            ("maxclients", ""),
            ("maxclients", "99999999999999999999"),
            ("repl-backlog-size", "1tb"),
            ("repl-backlog-size", "1"),
            ("repl-backlog-size", "mb"),
            ("repl-backlog-size", "18446744073709551615gb"),
            ("notify-keyspace-events", "KQ"),
            ("client-output-buffer-limit", "normal 0 0 0"),
            ("client-output-buffer-limit", "normal 0 0 0 replica 1 1"),
            ("client-output-buffer-limit", "replica 1mb 1mb x"),
            ("client-output-buffer-limit", ""),
            ("activedefrag", "yes"),
            ("activerehashing", "maybe"),
            ("requirepass", "x"),
            ("dir", "/etc"),
            ("save", "1 1"),
            ("timeout\nuser default on nopass", "1"),
            ("timeout", "1\nuser default on nopass"),
        ] {
            assert!(check(name, value).is_err(), "{name} {value}");
        }
        let twice =
            BTreeMap::from([("lua-time-limit", "1"), (BUSY_THRESHOLD, "2")].map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(canonical(&twice).is_err());
    }

    #[test]
    fn the_servers_own_report_is_understood() {
        let report = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(
            Kind::ReplicaBuffer.canonical(report).as_deref(),
            Ok("replica 268435456 67108864 60")
        );
    }

    #[test]
    fn defaults_are_canonical_and_names_sorted() {
        assert!(DIRECTIVES.is_sorted_by_key(|directive| directive.name));
        for directive in DIRECTIVES.iter().filter(|directive| directive.name != BACKLOG) {
            assert_eq!(
                directive.kind.canonical(directive.default).as_deref(),
                Ok(directive.default),
                "{}",
                directive.name
            );
        }
    }

    #[test]
    fn backlog_follows_the_memory_limit() {
        assert_eq!(backlog_bytes(0), MIB);
        assert_eq!(backlog_bytes(GIB), GIB / 100);
        assert_eq!(backlog_bytes(1024 * GIB), 250 * MIB);
    }
}
