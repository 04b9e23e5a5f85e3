//! Hands a small slot over in one go: keys and owner change together, so that no client is ever sent to look at both sides.
//!
//! Clients that were told of the taker by nobody yet know what to do with the news that a slot moved, but some do not with the advice to ask
//! a stranger for one key. Of a slot that changes hands in one go they only ever hear the news.

use pilothouse_engine::{Deadline, EngineError, HandOver, Peer, Reply};

use crate::client::{Client, Command, check_all};
use crate::cluster::migrate::{PARCEL_BYTES, PARCEL_KEYS, Road, refusal};
use crate::cluster::view::place;
use crate::error;

/// Hands the slot over if it is small. The taker has prepared, and is told to take it right after: until then nobody owns it.
pub(crate) async fn hand_over(
    client: &mut Client,
    slot: u16,
    to: &Peer,
    deadline: Deadline,
) -> Result<HandOver, EngineError> {
    let node = &place(to)?.name;
    let number = slot.to_string();
    let Some(keys) = few_keys(client, &number, deadline).await? else {
        return Ok(HandOver::Large);
    };
    let set = |what: &str| Command::new(["CLUSTER", "SETSLOT", &number, what, node]);
    let mut commands = vec![Command::new(["MULTI"]), set("MIGRATING")];
    if !keys.is_empty() {
        commands.push(Road::new(client, to, deadline).await?.parcel(&keys, PARCEL_BYTES));
    }
    commands.extend([set("NODE"), Command::new(["EXEC"])]);
    let replies = client.exchange(&commands, deadline).await?;
    let Some(Reply::Array(done)) = replies.last() else {
        check_all(&replies)?;
        return Err(error::unexpected("EXEC"));
    };
    if let (false, Some(Reply::Error(text))) = (keys.is_empty(), done.get(1)) {
        return Err(refusal(text));
    }
    match done.last() {
        Some(Reply::Status(_)) => Ok(HandOver::Done),
        // A key came after they were counted: the slot is on its way now, and goes on as a large one does.
        Some(Reply::Error(text)) if text.contains("still hold keys") => Ok(HandOver::Large),
        Some(Reply::Error(text)) => Err(error::from_server(text)),
        _ => Err(error::unexpected("CLUSTER SETSLOT")),
    }
}

/// The taker owns the slot from now on, and tells everybody.
pub(crate) async fn take(client: &mut Client, slot: u16, own: &str, deadline: Deadline) -> Result<(), EngineError> {
    let command = Command::new(["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", own]);
    client.call(&command, deadline).await.map(drop)
}

/// The keys of a slot, where all of them together take no longer than one parcel.
async fn few_keys(client: &mut Client, slot: &str, deadline: Deadline) -> Result<Option<Vec<Vec<u8>>>, EngineError> {
    let more = (PARCEL_KEYS + 1).to_string();
    let command = Command::new(["CLUSTER", "GETKEYSINSLOT", slot, &more]);
    let Reply::Array(found) = client.call(&command, deadline).await? else {
        return Err(error::unexpected("CLUSTER GETKEYSINSLOT"));
    };
    let keys: Vec<Vec<u8>> = found
        .into_iter()
        .filter_map(|key| match key {
            Reply::Bulk(key) => Some(key),
            _ => None,
        })
        .collect();
    if keys.len() > PARCEL_KEYS {
        return Ok(None);
    }
    if keys.is_empty() {
        return Ok(Some(keys));
    }
    let commands: Vec<Command> = keys
        .iter()
        .map(|key| Command::new(["MEMORY", "USAGE"]).with([key]))
        .collect();
    let replies = client.exchange(&commands, deadline).await?;
    check_all(&replies)?;
    let sizes = replies.iter().map(|reply| match reply {
        Reply::Integer(bytes) => u64::try_from(*bytes).unwrap_or_default(),
        _ => 0,
    });
    Ok((sizes.sum::<u64>() <= PARCEL_BYTES).then_some(keys))
}
