//! How much all databases together may ask for.

use pilothouse_model::{Database, DatabaseId, DatabaseSpec};
use pilothouse_store::View;

use crate::ControlError;

/// The most that all databases together may ask for; `None` where there is no limit. Judged in the transaction that adds to it, so that of
/// two requests at the same moment only one gets the last room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Sum of the memory limits, bytes.
    pub memory_bytes: Option<u64>,
    /// Servers.
    pub servers: Option<u64>,
    /// Endpoints: one per database.
    pub endpoints: Option<u64>,
}

impl Room {
    /// Refuses a spec for which there is no room beside the other databases.
    pub(crate) fn check(&self, view: &View, id: DatabaseId, wanted: &DatabaseSpec) -> Result<(), ControlError> {
        if *self == Self::default() {
            return Ok(());
        }
        let (mut memory, mut servers, mut endpoints) = (wanted.memory_bytes, servers_of(wanted), 1);
        for database in view.all::<Database>().filter(|database| database.id != id) {
            memory = memory.saturating_add(database.spec.memory_bytes);
            servers += servers_of(&database.spec);
            endpoints += 1;
        }
        let judged = [
            (memory, self.memory_bytes, "bytes of memory"),
            (servers, self.servers, "servers"),
            (endpoints, self.endpoints, "endpoints"),
        ];
        for (asked, most, what) in judged {
            if let Some(most) = most.filter(|most| asked > *most) {
                let why = format!("all databases together would have {asked} {what}, and there is room for {most}");
                return Err(ControlError::NoCapacity(why));
            }
        }
        Ok(())
    }
}

fn servers_of(spec: &DatabaseSpec) -> u64 {
    u64::from(spec.shards) * (1 + u64::from(spec.replicas))
}
