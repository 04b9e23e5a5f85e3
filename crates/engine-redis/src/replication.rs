//! Who follows whom.

use pilothouse_engine::{Deadline, EngineError, ErrorClass, Peer, SyncSource};
use pilothouse_model::{ReplicationFacts, Secret, ServerRole, SyncProgress};

use crate::client::{Client, Command, check_all, text_of};
use crate::config::yes_no;
use crate::error;
use crate::info::Info;
use crate::live::{Applied, pairs};
use crate::users::REPLICATION_LOGIN;

/// What the server says of replication.
pub(crate) async fn replication(client: &mut Client, deadline: Deadline) -> Result<ReplicationFacts, EngineError> {
    // Progress of a sync without a file stands in the other section.
    let ask = Command::new(["INFO", "replication", "persistence"]);
    let reply = client.call(&ask, deadline).await?;
    facts(&Info::from_reply(&reply)?)
}

/// Reads the replication section.
///
/// The offset of a replica is what it has *applied* (`slave_repl_offset`), not what has arrived (`slave_read_repl_offset`): what has
/// arrived and was not applied is lost when it is promoted. A caller that is about to promote therefore waits until the link is down,
/// which a replica says only after it has applied everything that it read.
pub(crate) fn facts(info: &Info) -> Result<ReplicationFacts, EngineError> {
    let missing = || error::unexpected("INFO replication");
    let role = match info.get("role") {
        Some("master" | "primary") => ServerRole::Primary,
        Some("slave" | "replica") => ServerRole::Replica,
        _ => return Err(missing()),
    };
    let replica = role == ServerRole::Replica;
    let own_offset = info.number::<u64>("master_repl_offset").ok_or_else(missing)?;
    let offset = if replica {
        info.number("slave_repl_offset").unwrap_or(own_offset)
    } else {
        own_offset
    };
    let previous = info.get("master_replid2").unwrap_or_default();
    Ok(ReplicationFacts {
        role,
        replication_id: info.get("master_replid").ok_or_else(missing)?.to_owned(),
        previous_replication_id: if previous.bytes().all(|byte| byte == b'0') {
            String::new()
        } else {
            previous.to_owned()
        },
        offset,
        source: replica
            .then(|| Some(format!("{}:{}", info.get("master_host")?, info.get("master_port")?)))
            .flatten(),
        link_up: replica.then(|| info.get("master_link_status") == Some("up")),
        syncing: replica && info.flag("master_sync_in_progress"),
        link_silence: if replica {
            info.seconds("master_last_io_seconds_ago")
        } else {
            None
        },
        online_replicas: online_replicas(info),
        sync: (replica && info.flag("master_sync_in_progress")).then(|| progress(info)),
    })
}

/// How far the sync is. What goes straight into memory is counted as loaded, what goes into a file as read. A size that is not known yet
/// is said as 0 or -1.
fn progress(info: &Info) -> SyncProgress {
    let number = |name| info.number::<u64>(name).filter(|number| *number > 0);
    let loaded = number("loading_loaded_bytes").filter(|_| info.flag("loading") || info.flag("async_loading"));
    SyncProgress {
        total_bytes: number("master_sync_total_bytes"),
        read_bytes: number("master_sync_read_bytes").max(loaded).unwrap_or(0),
    }
}

/// Lines such as `slave0:ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`.
fn online_replicas(info: &Info) -> u32 {
    let online = info
        .iter()
        .filter(|(name, _)| {
            let number = name.strip_prefix("slave").or_else(|| name.strip_prefix("replica"));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .filter(|(_, value)| crate::info::fields(value).any(|field| field == ("state", "online")));
    u32::try_from(online.count()).unwrap_or(u32::MAX)
}

/// Makes it a primary; the server itself says OK when it is one.
pub(crate) async fn promote(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    client
        .call(&Command::new(["REPLICAOF", "NO", "ONE"]), deadline)
        .await
        .map(drop)
}

/// Makes it follow a sibling. The account comes first: a link that is being made uses what is set then.
pub(crate) async fn attach(
    client: &mut Client,
    applied: &Applied,
    primary: &Peer,
    deadline: Deadline,
) -> Result<(), EngineError> {
    present_account(client, applied, deadline).await?;
    replicate_from(client, primary, deadline).await
}

/// Gives it the account with which it follows its siblings.
pub(crate) async fn present_account(
    client: &mut Client,
    applied: &Applied,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let account = match &applied.replication_secret {
        Some(secret) => Command::new([
            "CONFIG",
            "SET",
            "masteruser",
            REPLICATION_LOGIN,
            "masterauth",
            secret.expose(),
        ]),
        // Nothing was applied in this session. The server has our account from its start, unless it followed a stranger meanwhile.
        None => Command::new(["CONFIG", "GET", "masteruser"]),
    };
    let reply = client.call(&account, deadline).await?;
    if applied.replication_secret.is_none()
        && pairs(&reply)?.get("masteruser").map(String::as_str) != Some(REPLICATION_LOGIN)
    {
        return Err(EngineError::new(
            ErrorClass::Conflict,
            "the server followed a database elsewhere and does not have the account of its siblings: apply its settings first",
        ));
    }
    Ok(())
}

/// Asks for acknowledgements of more replicas than there can be: the question itself travels in the stream, and no client sees it.
pub(crate) async fn mark_stream(client: &mut Client, deadline: Deadline) -> Result<u64, EngineError> {
    let commands = [
        Command::new(["WAIT", &i32::MAX.to_string(), "1"]),
        Command::new(["INFO", "replication"]),
    ];
    let replies = client.exchange(&commands, deadline).await?;
    let [asked, info] = replies.as_slice() else {
        return Err(error::unexpected("WAIT"));
    };
    let seen = facts(&Info::from_reply(info)?)?;
    // A replica refuses the question.
    if seen.role == ServerRole::Primary {
        check_all(std::slice::from_ref(asked))?;
    }
    Ok(seen.offset)
}

/// A full sync without a file ends with the primary waiting for the replica's regular report, which may be a second away; a link that is
/// made anew continues from the backlog at once.
pub(crate) async fn relink(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    client
        .call(&Command::new(["CLIENT", "KILL", "TYPE", "master"]), deadline)
        .await
        .map(drop)
}

/// Makes it follow a database that we do not run. Only what differs is sent, because a change of the account breaks no link, but one of
/// the encryption does not reach a link that is up.
pub(crate) async fn follow_external(
    client: &mut Client,
    source: &SyncSource,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let password = source.password.as_ref().map(Secret::expose).unwrap_or_default();
    let values = [
        "tls-replication",
        yes_no(source.tls),
        "masteruser",
        &source.username,
        "masterauth",
        password,
    ];
    check_all(
        &client
            .exchange(&[Command::new(["CONFIG", "SET"]).with(values)], deadline)
            .await?,
    )?;
    replicate_from(client, &source.peer, deadline).await
}

/// The server itself says OK when it follows that source already.
async fn replicate_from(client: &mut Client, peer: &Peer, deadline: Deadline) -> Result<(), EngineError> {
    let command = Command::new(["REPLICAOF", &peer.host, &peer.port.to_string()]);
    let reply = client.call(&command, deadline).await?;
    text_of(&reply)
        .filter(|text| text.starts_with("OK"))
        .map(drop)
        .ok_or_else(|| error::unexpected("REPLICAOF"))
}

/// Holds writes back; the server lets them go by itself when the time is over.
pub(crate) async fn pause_writes(client: &mut Client, millis: u64, deadline: Deadline) -> Result<(), EngineError> {
    client
        .call(
            &Command::new(["CLIENT", "PAUSE", &millis.to_string(), "WRITE"]),
            deadline,
        )
        .await
        .map(drop)
}

/// Lets writes go.
pub(crate) async fn resume_writes(client: &mut Client, deadline: Deadline) -> Result<(), EngineError> {
    client
        .call(&Command::new(["CLIENT", "UNPAUSE"]), deadline)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NO_ID: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn a_primary_with_replicas() {
        let text = "role:master\r\nconnected_slaves:3\r\nslave0:ip=::1,port=2,state=online,offset=1,lag=0\r\nslave1:ip=127.0.0.1,port=3,state=wait_bgsave,offset=0,lag=0\r\n\
             slave10:ip=127.0.0.1,port=4,state=online,offset=1,lag=1\r\nmaster_replid:ab\r\nmaster_replid2:cd\r\nmaster_repl_offset:77\r\n";
        let facts = facts(&Info::parse(text)).unwrap();
        assert_eq!(
            (facts.role, facts.offset, facts.online_replicas),
            (ServerRole::Primary, 77, 2)
        );
        assert_eq!(
            (facts.replication_id.as_str(), facts.previous_replication_id.as_str()),
            ("ab", "cd")
        );
        assert_eq!(
            (facts.source, facts.link_up, facts.link_silence, facts.syncing),
            (None, None, None, false)
        );
    }

    #[test]
    fn a_replica_in_each_state_of_its_link() {
        let check = |status: &str, sync: &str, silence: &str| {
            let text = format!(
                "role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:7000\r\nmaster_link_status:{status}\r\nmaster_last_io_seconds_ago:{silence}\r\n\
                 master_sync_in_progress:{sync}\r\nslave_read_repl_offset:90\r\nslave_repl_offset:80\r\nmaster_replid:ab\r\nmaster_replid2:{NO_ID}\r\nmaster_repl_offset:70\r\n"
            );
            facts(&Info::parse(&text)).unwrap()
        };
        let up = check("up", "0", "2");
        assert_eq!(
            (up.offset, up.link_up, up.syncing, up.link_silence),
            (80, Some(true), false, Some(Duration::from_secs(2)))
        );
        assert_eq!(
            (up.source.as_deref(), up.previous_replication_id.as_str()),
            (Some("127.0.0.1:7000"), "")
        );
        assert_eq!(up.sync, None);
        let down = check("down", "1", "-1");
        assert_eq!(
            (down.link_up, down.syncing, down.link_silence),
            (Some(false), true, None)
        );
        assert_eq!(
            down.sync.map(|sync| (sync.total_bytes, sync.read_bytes)),
            Some((None, 0))
        );
    }

    #[test]
    fn progress_of_a_sync_is_read_from_either_counter() {
        let check = |lines: &[&str], total_bytes, read_bytes| {
            let expected = SyncProgress {
                total_bytes,
                read_bytes,
            };
            assert_eq!(progress(&Info::parse(&lines.join("\r\n"))), expected, "{lines:?}");
        };
        check(&["master_sync_total_bytes:-1", "master_sync_read_bytes:0"], None, 0);
        check(
            &["master_sync_total_bytes:900", "master_sync_read_bytes:30"],
            Some(900),
            30,
        );
        let straight = [
            "master_sync_total_bytes:0",
            "master_sync_read_bytes:0",
            "loading:1",
            "loading_loaded_bytes:7",
        ];
        check(&straight, None, 7);
        check(&["loading:0", "async_loading:0", "loading_loaded_bytes:7"], None, 0);
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for text in [
            "",
            "role:sentinel\r\n",
            "role:master\r\nmaster_replid:a\r\n",
            "role:master\r\nmaster_repl_offset:1\r\n",
        ] {
            assert!(facts(&Info::parse(text)).is_err(), "{text:?}");
        }
    }
}
