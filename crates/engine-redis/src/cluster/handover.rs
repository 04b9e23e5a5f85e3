//! Hands small slots over in one go each: keys and owner change together, so that no client is ever sent to look at both sides.
//!
//! Clients that were told of the taker by nobody yet know what to do with the news that a slot moved, but some do not with the advice to ask
//! a stranger for one key. Of a slot that changes hands in one go they only ever hear the news.

use std::time::Duration;

use pilothouse_engine::{Deadline, EngineError, HandOver, Peer, Reply};

use crate::client::{Client, Command, check_all};
use crate::cluster::migrate::{PARCEL_BYTES, PARCEL_KEYS, Road, refusal};
use crate::cluster::view::place;
use crate::error;

/// Slots that are handed over before the taker is told. It writes what it owns to disk each time, so that one by one is slow; until it is
/// told nobody owns them, and clients go to and fro between the two, so that many are slow as well.
const GROUP: usize = 16;

/// How long the taker may take for one of them besides its size. All of them wait at the giver already, so that a taker that hangs holds it
/// up for all these times together.
const PATIENCE: Duration = Duration::from_millis(60);

/// Hands slots off the front over, as many as are quick together.
pub(crate) async fn hand_over(
    client: &mut Client,
    slots: &[u16],
    to: &Peer,
    deadline: Deadline,
) -> Result<Vec<HandOver>, EngineError> {
    let node = &place(to)?.name;
    let slots = slots.get(..GROUP).unwrap_or(slots);
    let fillings = look(client, slots, deadline).await?;
    let mut road = None;
    let mut outcomes = Vec::new();
    let mut commands = Vec::new();
    let (mut keys, mut bytes) = (0, 0);
    for (slot, filling) in slots.iter().zip(&fillings) {
        let too_large = filling.keys.len() > PARCEL_KEYS || filling.bytes > PARCEL_BYTES;
        (keys, bytes) = (keys + filling.keys.len(), bytes + filling.bytes);
        if too_large || (!outcomes.is_empty() && (keys > PARCEL_KEYS || bytes > PARCEL_BYTES)) {
            if outcomes.is_empty() {
                outcomes.push(HandOver::Large);
            }
            break;
        }
        let slot = slot.to_string();
        let set = |what: &str| Command::new(["CLUSTER", "SETSLOT", &slot, what, node]);
        commands.extend([Command::new(["MULTI"]), set("MIGRATING")]);
        if !filling.keys.is_empty() {
            let road = match &mut road {
                Some(road) => road,
                None => road.insert(Road::new(client, to, deadline).await?),
            };
            commands.push(road.parcel(&filling.keys, filling.bytes, PATIENCE));
        }
        commands.extend([set("NODE"), Command::new(["EXEC"])]);
        outcomes.push(HandOver::Done);
    }
    if commands.is_empty() {
        return Ok(outcomes);
    }
    let replies = client.exchange(&commands, deadline).await?;
    let done: Vec<&Reply> = replies
        .iter()
        .filter(|reply| !matches!(reply, Reply::Status(_)))
        .collect();
    if done.len() != outcomes.len() {
        check_all(&replies)?;
        return Err(error::unexpected("EXEC"));
    }
    judge(&done)
}

/// How each transaction went. One that failed is told as an error only when it was the first: the taker is yet to be told of those before.
fn judge(done: &[&Reply]) -> Result<Vec<HandOver>, EngineError> {
    let mut outcomes = Vec::new();
    for reply in done {
        match of_one(reply) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) if outcomes.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(outcomes)
}

fn of_one(reply: &Reply) -> Result<HandOver, EngineError> {
    let Reply::Array(parts) = reply else {
        check_all(std::slice::from_ref(reply))?;
        return Err(error::unexpected("EXEC"));
    };
    match parts.as_slice() {
        // A key came after they were counted: the slot is on its way now, and goes on as a large one does.
        [.., Reply::Error(text)] if text.contains("still hold keys") => Ok(HandOver::Large),
        [_, Reply::Error(text), _] => Err(refusal(text)),
        [.., Reply::Status(_)] => Ok(HandOver::Done),
        [.., Reply::Error(text)] => Err(error::from_server(text)),
        _ => Err(error::unexpected("CLUSTER SETSLOT")),
    }
}

/// The taker owns the slots from now on, and tells everybody.
pub(crate) async fn take(client: &mut Client, slots: &[u16], own: &str, deadline: Deadline) -> Result<(), EngineError> {
    let commands: Vec<Command> = slots
        .iter()
        .map(|slot| Command::new(["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", own]))
        .collect();
    check_all(&client.exchange(&commands, deadline).await?)
}

/// Keys of a slot, one more than are moved at once where it has that many, and what they take together.
#[derive(Default)]
struct Filling {
    keys: Vec<Vec<u8>>,
    bytes: u64,
}

async fn look(client: &mut Client, slots: &[u16], deadline: Deadline) -> Result<Vec<Filling>, EngineError> {
    let more = (PARCEL_KEYS + 1).to_string();
    let commands: Vec<Command> = slots
        .iter()
        .map(|slot| Command::new(["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &more]))
        .collect();
    let mut fillings = Vec::new();
    for reply in client.exchange(&commands, deadline).await? {
        let Reply::Array(found) = reply else {
            check_all(&[reply])?;
            return Err(error::unexpected("CLUSTER GETKEYSINSLOT"));
        };
        let keys = found.into_iter().filter_map(|key| match key {
            Reply::Bulk(key) => Some(key),
            _ => None,
        });
        fillings.push(Filling {
            keys: keys.collect(),
            bytes: 0,
        });
    }
    let sized = |filling: &&mut Filling| filling.keys.len() <= PARCEL_KEYS;
    let commands: Vec<Command> = fillings
        .iter_mut()
        .filter(sized)
        .flat_map(|filling| &filling.keys)
        .map(|key| Command::new(["MEMORY", "USAGE"]).with([key]))
        .collect();
    if commands.is_empty() {
        return Ok(fillings);
    }
    let mut sizes = client.exchange(&commands, deadline).await?.into_iter();
    for filling in fillings.iter_mut().filter(sized) {
        for reply in sizes.by_ref().take(filling.keys.len()) {
            filling.bytes += match reply {
                Reply::Integer(bytes) => u64::try_from(bytes).unwrap_or_default(),
                // It is gone.
                Reply::Nil => 0,
                other => return check_all(&[other]).and(Err(error::unexpected("MEMORY USAGE"))),
            };
        }
    }
    Ok(fillings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_before_an_error_is_told() {
        let ok = || Reply::Status("OK".to_owned());
        let done = Reply::Array(vec![ok(), ok(), ok()]);
        let empty = Reply::Array(vec![ok(), ok()]);
        let keys_left = Reply::Array(vec![
            ok(),
            ok(),
            Reply::Error(
                "ERR Can't assign hashslot 1 to a different node while I still hold keys for this hash slot."
                    .to_owned(),
            ),
        ]);
        let failed = Reply::Array(vec![ok(), Reply::Error("IOERR error or timeout".to_owned()), ok()]);
        let outcomes = judge(&[&done, &empty, &keys_left, &failed, &done]).expect("the first ones went well");
        assert_eq!(outcomes, [HandOver::Done, HandOver::Done, HandOver::Large]);
        assert!(judge(&[&failed, &done]).is_err());
    }
}
