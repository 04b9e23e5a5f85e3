//! Moves the keys of slots to another server.
//!
//! A server moves keys by itself (`MIGRATE`), and answers nobody else meanwhile. Therefore one command moves only as much as takes a
//! moment, and commands are not queued up at the server: if the other end hangs, it is held up for the time-out of one. What the
//! time-out has to be depends on the largest key, so the size of each is asked first.
//!
//! A key that is on both sides is older there: a client writes at the other side only what is not here. It is there because an earlier
//! move was cut off before its key was removed here.

use std::time::{Duration, Instant};

use pilothouse_engine::{Deadline, EngineError, ErrorClass, Peer, Reply};

use crate::client::{Client, Command, check_all};
use crate::cluster::slots::{conflict, handed_over, towards};
use crate::cluster::view::{nodes, place};
use crate::error;
use crate::live::pairs;
use crate::users::REPLICATION_LOGIN;

/// What one command moves at most, unless a single key is larger.
pub(super) const PARCEL_KEYS: usize = 64;
pub(super) const PARCEL_BYTES: u64 = 512 * 1024;

/// Keys that are looked up in one go.
const LOOKED_UP: u64 = 512;

/// Slots that are counted in one go.
const COUNTED: usize = 1024;

/// How long the other end may take for a parcel besides its size, and how fast it takes it in at least, bytes for each millisecond.
const PATIENCE: Duration = Duration::from_secs(1);
const SLOWEST: u64 = 4096;

/// Moves keys until none is left or `until` has passed. True when some may be left.
pub(crate) async fn move_keys(
    client: &mut Client,
    slots: &[u16],
    to: &Peer,
    until: Deadline,
    deadline: Deadline,
) -> Result<bool, EngineError> {
    let name = &place(to)?.name;
    let seen = nodes(client, deadline).await?;
    let own = handed_over(&seen, slots, name)?;
    let prepared = towards(&seen.myself.migrating, name);
    if let Some(slot) = own.iter().find(|slot| !prepared.contains(**slot)) {
        return Err(conflict(format!("the server is not prepared to hand slot {slot} over")));
    }
    let mut road = None;
    loop {
        let mut filled = count(client, &own, deadline).await?;
        if filled.is_empty() {
            return Ok(false);
        }
        let road = match &mut road {
            Some(road) => road,
            None => road.insert(Road::new(client, to, deadline).await?),
        };
        while !filled.is_empty() {
            for parcel in pack(&look_up(client, &mut filled, deadline).await?) {
                road.send(client, &parcel, deadline).await?;
                // Not before the first: every call gets on, however little time it has.
                if Instant::now() >= until {
                    return Ok(true);
                }
            }
        }
        if Instant::now() >= until {
            return Ok(true);
        }
    }
}

/// A slot and how many keys it has.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Filled {
    slot: u16,
    keys: u64,
}

/// Those of the slots that have keys, in reverse order.
async fn count(client: &mut Client, slots: &[u16], deadline: Deadline) -> Result<Vec<Filled>, EngineError> {
    let mut filled = Vec::new();
    for slots in slots.chunks(COUNTED) {
        let commands: Vec<Command> = slots
            .iter()
            .map(|slot| Command::new(["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]))
            .collect();
        let replies = client.exchange(&commands, deadline).await?;
        check_all(&replies)?;
        for (&slot, reply) in slots.iter().zip(replies) {
            let Reply::Integer(keys) = reply else {
                return Err(error::unexpected("CLUSTER COUNTKEYSINSLOT"));
            };
            let keys = u64::try_from(keys).unwrap_or_default();
            if keys > 0 {
                filled.push(Filled { slot, keys });
            }
        }
    }
    filled.reverse();
    Ok(filled)
}

/// A key and the memory that it takes.
struct Sized {
    slot: u16,
    key: Vec<u8>,
    bytes: u64,
}

/// Takes slots off the end of the list and gives their keys; of a slot with many some, and then it stays in the list.
async fn look_up(client: &mut Client, filled: &mut Vec<Filled>, deadline: Deadline) -> Result<Vec<Sized>, EngineError> {
    let slots = take(filled);
    let commands: Vec<Command> = slots
        .iter()
        .map(|Filled { slot, keys }| Command::new(["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &keys.to_string()]))
        .collect();
    let replies = client.exchange(&commands, deadline).await?;
    check_all(&replies)?;
    let mut keys = Vec::new();
    for (filled, reply) in slots.iter().zip(replies) {
        let Reply::Array(items) = reply else {
            return Err(error::unexpected("CLUSTER GETKEYSINSLOT"));
        };
        keys.extend(items.into_iter().filter_map(|item| match item {
            Reply::Bulk(key) => Some((filled.slot, key)),
            _ => None,
        }));
    }
    let commands: Vec<Command> = keys
        .iter()
        .map(|(_, key)| Command::new(["MEMORY", "USAGE"]).with([key]))
        .collect();
    let replies = client.exchange(&commands, deadline).await?;
    let sized = keys.into_iter().zip(replies).map(|((slot, key), reply)| {
        Ok(Sized {
            slot,
            key,
            bytes: bytes_of(reply)?,
        })
    });
    sized.collect()
}

/// From the reply to `MEMORY USAGE`. A key that expired takes none; the server then points to where it might be now.
fn bytes_of(reply: Reply) -> Result<u64, EngineError> {
    match reply {
        Reply::Integer(bytes) => Ok(u64::try_from(bytes).unwrap_or_default()),
        Reply::Nil => Ok(0),
        Reply::Error(text) if text.starts_with("ASK ") => Ok(0),
        Reply::Error(text) => Err(refusal(&text)),
        _ => Err(error::unexpected("MEMORY USAGE")),
    }
}

/// Slots off the end of the list that have no more keys together than are looked up in one go. A slot that has more by itself is given
/// with as many, and stays with the others.
fn take(filled: &mut Vec<Filled>) -> Vec<Filled> {
    let mut taken = Vec::new();
    let mut room = LOOKED_UP;
    while let Some(last) = filled.last_mut().filter(|last| last.keys <= room || taken.is_empty()) {
        let keys = last.keys.min(room);
        taken.push(Filled { keys, ..*last });
        last.keys -= keys;
        room -= keys;
        if last.keys == 0 {
            filled.pop();
        }
    }
    taken
}

/// What one command moves: keys of one slot.
#[derive(Debug, PartialEq)]
struct Parcel<'a> {
    keys: Vec<&'a [u8]>,
    bytes: u64,
}

fn pack(keys: &[Sized]) -> Vec<Parcel<'_>> {
    let mut parcels: Vec<Parcel<'_>> = Vec::new();
    let mut slot = None;
    for Sized { slot: of, key, bytes } in keys {
        match parcels.last_mut() {
            Some(parcel)
                if slot == Some(*of)
                    && parcel.keys.len() < PARCEL_KEYS
                    && parcel.bytes.saturating_add(*bytes) <= PARCEL_BYTES =>
            {
                parcel.keys.push(key);
                parcel.bytes += bytes;
            }
            _ => parcels.push(Parcel {
                keys: vec![key],
                bytes: *bytes,
            }),
        }
        slot = Some(*of);
    }
    parcels
}

/// How keys get to the other server.
pub(super) struct Road {
    host: String,
    port: String,
    /// Our servers log in at each other with the same account for every purpose.
    secret: String,
}

impl Road {
    pub(super) async fn new(client: &mut Client, to: &Peer, deadline: Deadline) -> Result<Self, EngineError> {
        let reply = client
            .call(&Command::new(["CONFIG", "GET", "masterauth"]), deadline)
            .await?;
        Ok(Self {
            host: to.host.clone(),
            port: to.port.to_string(),
            secret: pairs(&reply)?.remove("masterauth").unwrap_or_default(),
        })
    }

    /// The command that sends keys of that size together, with so much patience besides what their size takes.
    pub(super) fn parcel<K: AsRef<[u8]>>(&self, keys: &[K], bytes: u64, patience: Duration) -> Command {
        let patience = patience + Duration::from_millis(bytes / SLOWEST);
        let patience = patience.as_millis().to_string();
        Command::new([
            "MIGRATE", &self.host, &self.port, "", "0", &patience, "REPLACE", "AUTH2",
        ])
        .with([REPLICATION_LOGIN, &self.secret, "KEYS"])
        .with(keys)
    }

    async fn send(&self, client: &mut Client, parcel: &Parcel<'_>, deadline: Deadline) -> Result<(), EngineError> {
        let command = self.parcel(&parcel.keys, parcel.bytes, PATIENCE);
        let replies = client.exchange(&[command], deadline).await?;
        // That none of the keys is there any more is no error: they expired.
        match replies.first() {
            Some(Reply::Status(_)) => Ok(()),
            Some(Reply::Error(text)) => Err(refusal(text)),
            _ => Err(error::unexpected("MIGRATE")),
        }
    }
}

/// What went wrong, at the other end or on the way to it.
pub(super) fn refusal(text: &str) -> EngineError {
    if text.starts_with("IOERR") {
        let message = format!("the server that takes the keys over does not answer: {text}");
        return EngineError::new(ErrorClass::Transient, message);
    }
    let Some(said) = text
        .split_once("Target instance replied with error: ")
        .map(|(_, said)| said)
    else {
        return match text.split(' ').next() {
            Some("MOVED") => conflict(format!("the server does not have the slot any more: {text}")),
            _ => error::from_server(text),
        };
    };
    let class = match error::from_server(said).class {
        class @ (ErrorClass::NoSpace | ErrorClass::Transient) => class,
        _ if said.contains("payload version") => ErrorClass::Unsupported,
        // It is closed, a replica, or not prepared.
        _ => ErrorClass::Conflict,
    };
    EngineError::new(class, format!("the server that takes the keys over answered: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_taken_in_order_and_a_full_one_in_pieces() {
        let filled = |slot, keys| Filled { slot, keys };
        let mut list = vec![filled(3, 500), filled(2, 1000), filled(1, 12), filled(0, 500)];
        assert_eq!(take(&mut list), [filled(0, 500), filled(1, 12)]);
        assert_eq!(take(&mut list), [filled(2, 512)]);
        assert_eq!(take(&mut list), [filled(2, 488)]);
        assert_eq!(take(&mut list), [filled(3, 500)]);
        assert!(take(&mut list).is_empty());
    }

    #[test]
    fn a_parcel_is_of_one_slot_and_small_unless_a_key_is_large() {
        let sized = |slot, bytes| Sized {
            slot,
            key: vec![b'k'],
            bytes,
        };
        let check = |keys: &[Sized], expected: &[(usize, u64)]| {
            let parcels: Vec<_> = pack(keys)
                .iter()
                .map(|parcel| (parcel.keys.len(), parcel.bytes))
                .collect();
            assert_eq!(parcels, expected);
        };
        check(&[], &[]);
        check(&[sized(1, 50), sized(1, 50), sized(2, 50)], &[(2, 100), (1, 50)]);
        check(
            &[
                sized(1, 50),
                sized(1, PARCEL_BYTES),
                sized(1, 10 * PARCEL_BYTES),
                sized(1, 50),
            ],
            &[(1, 50), (1, PARCEL_BYTES), (1, 10 * PARCEL_BYTES), (1, 50)],
        );
        let many: Vec<_> = (0..PARCEL_KEYS + 1).map(|_| sized(1, 1)).collect();
        check(&many, &[(PARCEL_KEYS, PARCEL_KEYS as u64), (1, 1)]);
    }

    #[test]
    fn refusals_are_judged_by_who_refuses() {
        let check = |text, class| assert_eq!(refusal(text).class, class, "{text}");
        check(
            "IOERR error or timeout reading to target instance",
            ErrorClass::Transient,
        );
        let target = |said: &str, class| {
            assert_eq!(
                refusal(&format!("ERR Target instance replied with error: {said}")).class,
                class
            );
        };
        target(
            "OOM command not allowed when used memory > 'maxmemory'.",
            ErrorClass::NoSpace,
        );
        target("LOADING Redis is loading the dataset in memory", ErrorClass::Transient);
        target("CLUSTERDOWN The cluster is down", ErrorClass::Transient);
        target(
            "WRONGPASS invalid username-password pair or user is disabled.",
            ErrorClass::Conflict,
        );
        target(
            "READONLY You can't write against a read only replica.",
            ErrorClass::Conflict,
        );
        target("MOVED 12 127.0.0.1:7000", ErrorClass::Conflict);
        target(
            "ERR DUMP payload version or checksum are wrong",
            ErrorClass::Unsupported,
        );
        check("MOVED 12 127.0.0.1:7000", ErrorClass::Conflict);
        check("ERR syntax error", ErrorClass::Invalid);
    }
}
