//! What a server says of itself. Never changes anything.

use std::sync::Arc;

use pilothouse_engine::{Deadline, EngineError, Load, Reply};
use pilothouse_model::{EngineVersion, ServerFacts};

use crate::client::{Client, Command};
use crate::info::{self, Info};
use crate::users::AccountList;
use crate::{error, replication};

/// Everything but what only statistics need.
pub(crate) async fn observe(client: &mut Client, deadline: Deadline) -> Result<ServerFacts, EngineError> {
    let replies = client
        .exchange(&[Command::new(["INFO"]), AccountList::command()], deadline)
        .await?;
    let [info, accounts] = replies.as_slice() else {
        return Err(error::unexpected("INFO"));
    };
    facts(Info::from_reply(info)?, AccountList::from_reply(accounts)?.fenced())
}

fn facts(info: Info, fenced: bool) -> Result<ServerFacts, EngineError> {
    let missing = || error::unexpected("INFO");
    // Valkey reports the Redis version that it is compatible with as well.
    let version = info
        .get("valkey_version")
        .or_else(|| info.get("redis_version"))
        .ok_or_else(missing)?;
    let version = version.split('-').next().unwrap_or(version);
    Ok(ServerFacts {
        version: EngineVersion::parse(version).map_err(|_| missing())?,
        run_id: info.get("run_id").ok_or_else(missing)?.to_owned(),
        pid: info.number("process_id").ok_or_else(missing)?,
        uptime: info.seconds("uptime_in_seconds").unwrap_or_default(),
        replication: replication::facts(&info)?,
        loading: info.flag("loading").then(|| {
            info.number::<f64>("loading_loaded_perc")
                .unwrap_or_default()
                .clamp(0.0, 100.0)
                / 100.0
        }),
        used_memory_bytes: info.number("used_memory").ok_or_else(missing)?,
        keys: info.keyspace("keys"),
        fenced,
        raw: Arc::new(info.into_map()),
    })
}

/// Totals and gauges by the server's names, errors by their codes as `errorstat_<code>`; `keys` and `expires` are ours: the sums over
/// the key space, and so is `monitors`: the clients that watch every command.
pub(crate) async fn load(client: &mut Client, deadline: Deadline) -> Result<Load, EngineError> {
    let reply = client.call(&Command::new(["INFO", "all"]), deadline).await?;
    let mut load = numbers(&Info::from_reply(&reply)?);
    // Nothing at all is not a server without load.
    if !load.numbers.contains_key("used_memory") {
        return Err(error::unexpected("INFO"));
    }
    // Only the list of clients tells of them, which is long: it is asked for where somebody ever began to watch.
    let ever = load.calls.get("monitor").is_some_and(|calls| *calls > 0);
    let watching = if ever { monitors(client, deadline).await? } else { 0 };
    load.numbers.insert("monitors".to_owned(), watching as f64);
    Ok(load)
}

async fn monitors(client: &mut Client, deadline: Deadline) -> Result<usize, EngineError> {
    let list = Command::new(["CLIENT", "LIST", "TYPE", "normal"]);
    match client.call(&list, deadline).await? {
        Reply::Bulk(text) => Ok(String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| is_monitor(line))
            .count()),
        _ => Err(error::unexpected("CLIENT LIST")),
    }
}

fn is_monitor(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace();
    fields.any(|field| field.strip_prefix("flags=").is_some_and(|flags| flags.contains('O')))
}

fn numbers(info: &Info) -> Load {
    let mut load = Load::default();
    for (name, value) in info.iter() {
        if let Some(command) = name.strip_prefix("cmdstat_") {
            for (field, value) in info::fields(value) {
                match (field, value.parse::<u64>()) {
                    ("calls", Ok(calls)) => {
                        load.calls.insert(command.to_lowercase(), calls);
                    }
                    ("usec", Ok(microseconds)) => {
                        load.micros.insert(command.to_lowercase(), microseconds);
                    }
                    _ => {}
                }
            }
        } else if name.starts_with("errorstat_") {
            let count = info::fields(value).find(|(field, _)| *field == "count");
            if let Some(count) = count.and_then(|(_, count)| count.parse().ok()) {
                load.numbers.insert(name.to_owned(), count);
            }
        } else if let Some(number) = value.parse::<f64>().ok().filter(|number| number.is_finite()) {
            load.numbers.insert(name.to_owned(), number);
        }
    }
    for field in ["keys", "expires"] {
        load.numbers.insert(field.to_owned(), info.keyspace(field) as f64);
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_every_command_is_told_by_its_flags() {
        assert!(is_monitor(
            "id=3 addr=127.0.0.1:48458 age=1 flags=O db=0 cmd=monitor user=default"
        ));
        assert!(!is_monitor("id=4 addr=127.0.0.1:48472 age=0 flags=N db=0 cmd=flags=O"));
    }

    const TEXT: &str = "redis_version:7.2.4\r\nvalkey_version:8.0.1\r\nrun_id:abc\r\nprocess_id:7\r\nuptime_in_seconds:9\r\nused_memory:1000\r\n\
        loading:1\r\nloading_loaded_perc:12.50\r\nrole:master\r\nmaster_replid:f0\r\nmaster_replid2:0000000000000000000000000000000000000000\r\n\
        master_repl_offset:14\r\nconnected_slaves:0\r\nused_memory_peak_perc:98.10%\r\nmem_fragmentation_ratio:7.50\r\n\
        cmdstat_GET:calls=3,usec=12,usec_per_call=4.00,rejected_calls=0,failed_calls=0\r\ncmdstat_config|get:calls=1,usec=2\r\nerrorstat_WRONGPASS:count=4\r\ndb0:keys=5,expires=1,avg_ttl=0\r\n";

    #[test]
    fn facts_of_a_valkey_that_loads() {
        let facts = facts(Info::parse(TEXT), true).unwrap();
        assert_eq!(facts.version, EngineVersion::new(8, 0, 1));
        assert_eq!(
            (facts.pid, facts.keys, facts.loading, facts.fenced),
            (7, 5, Some(0.125), true)
        );
        assert_eq!(facts.raw["mem_fragmentation_ratio"], "7.50");
    }

    #[test]
    fn numbers_and_calls() {
        let load = numbers(&Info::parse(TEXT));
        assert_eq!(load.calls["get"], 3);
        assert_eq!(load.calls["config|get"], 1);
        assert_eq!(load.micros["get"], 12);
        assert_eq!(load.numbers["errorstat_WRONGPASS"], 4.0);
        assert_eq!(load.numbers["mem_fragmentation_ratio"], 7.5);
        assert_eq!(load.numbers["keys"], 5.0);
        assert!(!load.numbers.contains_key("used_memory_peak_perc") && !load.numbers.contains_key("role"));
    }

    #[test]
    fn an_info_of_something_else_is_an_error() {
        assert!(facts(Info::parse("redis_version:7.0.15\r\n"), false).is_err());
        assert!(facts(Info::parse(""), false).is_err());
    }
}
