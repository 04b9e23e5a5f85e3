//! Who owns which slots.
//!
//! A slot changes hands in four steps, each of which can be repeated: the one that takes it over prepares ([`import`]), the one that
//! gives it prepares ([`export`]), its keys are moved (`migrate.rs`), both are told who owns it now ([`assign`]), the taker first. Each
//! step looks at what the server says of the slots and sends only what is missing.

use pilothouse_engine::{Deadline, EngineError, ErrorClass};
use pilothouse_model::SlotSet;

use crate::client::{Client, Command, check_all};
use crate::cluster::nodes::Nodes;
use crate::cluster::view::nodes;
use crate::error;

/// Commands that are sent in one go. The server answers nobody else meanwhile, and an owner that takes slots over tells every sibling of
/// each.
const AT_ONCE: usize = 256;

/// Makes it the owner of slots that nobody owns.
pub(crate) async fn claim(client: &mut Client, slots: &SlotSet, deadline: Deadline) -> Result<(), EngineError> {
    let missing = slots.without(&nodes(client, deadline).await?.myself.slots);
    if missing.is_empty() {
        return Ok(());
    }
    let bounds = missing.ranges().into_iter().flat_map(|range| [range.first, range.last]);
    let command = Command::new(["CLUSTER", "ADDSLOTSRANGE"]).with(bounds.map(|slot| slot.to_string()));
    client.call(&command, deadline).await.map(drop)
}

/// Prepares it to take slots over.
pub(crate) async fn import(
    client: &mut Client,
    slots: &[u16],
    from: &str,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let seen = nodes(client, deadline).await?;
    let prepared = towards(&seen.myself.importing, from);
    let missing = |slot: &u16| !seen.myself.slots.contains(*slot) && !prepared.contains(*slot);
    set(
        client,
        slots.iter().copied().filter(missing),
        "IMPORTING",
        from,
        deadline,
    )
    .await
}

/// Prepares it to hand slots over.
pub(crate) async fn export(
    client: &mut Client,
    slots: &[u16],
    to: &str,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let seen = nodes(client, deadline).await?;
    let missing = handed_over(&seen, slots, to)?;
    let prepared = towards(&seen.myself.migrating, to);
    let missing = missing.into_iter().filter(|slot| !prepared.contains(*slot));
    set(client, missing, "MIGRATING", to, deadline).await
}

/// Those of the slots that are its own and not the other's already.
pub(super) fn handed_over(seen: &Nodes, slots: &[u16], to: &str) -> Result<Vec<u16>, EngineError> {
    if seen.myself.name == to {
        return Err(error::invalid("a server cannot hand slots over to itself"));
    }
    let mut own = Vec::new();
    for &slot in slots {
        if seen.myself.slots.contains(slot) {
            own.push(slot);
        } else if !seen.owns(to, slot) {
            return Err(conflict(format!(
                "slot {slot} is owned neither by the server nor by {to}"
            )));
        }
    }
    Ok(own)
}

/// Tells it who owns the slots.
pub(crate) async fn assign(
    client: &mut Client,
    slots: &[u16],
    owner: &str,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let Nodes { myself, others } = nodes(client, deadline).await?;
    let moving = |moves: &[(u16, String)]| moves.iter().map(|(slot, _)| *slot).collect::<SlotSet>();
    let (importing, migrating) = (moving(&myself.importing), moving(&myself.migrating));
    let mut missing = Vec::new();
    for &slot in slots {
        if owner == myself.name {
            // A server that takes a slot without having prepared does not tell the others that it is newer than what they know: they
            // would give it back to the old owner, and the server would remove its keys.
            if !myself.slots.contains(slot) && !importing.contains(slot) {
                return Err(conflict(format!("the server is not prepared to take slot {slot} over")));
            }
            if importing.contains(slot) {
                missing.push(slot);
            }
        } else {
            let known = others
                .iter()
                .any(|node| node.name == owner && node.slots.contains(slot));
            if !known || migrating.contains(slot) {
                missing.push(slot);
            }
        }
    }
    set(client, missing.into_iter(), "NODE", owner, deadline).await
}

/// The slots on their way to or from the server of that name.
pub(super) fn towards(moving: &[(u16, String)], name: &str) -> SlotSet {
    let to_it = moving.iter().filter(|(_, other)| other == name);
    to_it.map(|(slot, _)| *slot).collect()
}

async fn set(
    client: &mut Client,
    slots: impl Iterator<Item = u16>,
    what: &str,
    node: &str,
    deadline: Deadline,
) -> Result<(), EngineError> {
    let commands: Vec<Command> = slots
        .map(|slot| Command::new(["CLUSTER", "SETSLOT", &slot.to_string(), what, node]))
        .collect();
    for some in commands.chunks(AT_ONCE) {
        check_all(&client.exchange(some, deadline).await?)?;
    }
    Ok(())
}

pub(super) fn conflict(message: String) -> EngineError {
    EngineError::new(ErrorClass::Conflict, message)
}
