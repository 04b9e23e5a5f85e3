//! Roles, found by the databases that they open.

use std::sync::Arc;

use pilothouse_model::{DatabaseId, Role, RoleId};

use crate::nouns::{Links, Nouns};
use crate::record::{Record, Shelf, Stored, Table, sealed};
use crate::view::View;

const FIRST: RoleId = RoleId::from_bytes([0; 16]);

/// The indexes over roles.
#[derive(Clone, Default)]
pub struct RoleIndex {
    by_database: Links<DatabaseId, RoleId>,
}

impl sealed::Noun for Role {
    type Index = RoleIndex;

    fn shelf(nouns: &Nouns) -> &Shelf<Self> {
        &nouns.roles
    }

    fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self> {
        &mut nouns.roles
    }

    fn reindex(index: &mut RoleIndex, old: Option<&Self>, new: Option<&Self>) {
        let Some(id) = new.or(old).map(|role| role.id) else {
            return;
        };
        let (old, new) = (old.into_iter().flat_map(databases), new.into_iter().flat_map(databases));
        index.by_database.relink(&id, old, new);
    }
}

fn databases(role: &Role) -> impl Iterator<Item = DatabaseId> {
    role.grants.iter().flat_map(|grant| grant.databases.iter().copied())
}

impl Record for Role {
    type Id = RoleId;
    const TABLE: Table = Table::Role;
    fn id(&self) -> RoleId {
        self.id
    }
}

impl View {
    /// The roles that grant something on a database, oldest first.
    pub fn roles_granted_on(&self, database: DatabaseId) -> impl Iterator<Item = &Arc<Stored<Role>>> {
        let shelf = &self.nouns.roles;
        let ids = shelf.index.by_database.of(database, FIRST);
        ids.filter_map(|id| shelf.records.get(id))
    }
}
