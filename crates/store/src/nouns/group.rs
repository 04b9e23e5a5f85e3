//! Groups of databases: those of a tenant.

use std::sync::Arc;

use pilothouse_model::{DatabaseGroup, GroupId, TenantId};

use crate::nouns::{Links, Nouns};
use crate::record::{Record, Shelf, Stored, Table, sealed};
use crate::view::View;

const FIRST: GroupId = GroupId::from_bytes([0; 16]);

/// The indexes over groups.
#[derive(Clone, Default)]
pub struct GroupIndex {
    by_tenant: Links<TenantId, GroupId>,
}

impl sealed::Noun for DatabaseGroup {
    type Index = GroupIndex;

    fn shelf(nouns: &Nouns) -> &Shelf<Self> {
        &nouns.groups
    }

    fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self> {
        &mut nouns.groups
    }

    fn reindex(index: &mut GroupIndex, old: Option<&Self>, new: Option<&Self>) {
        let Some(id) = new.or(old).map(|group| group.id) else {
            return;
        };
        index
            .by_tenant
            .relink(&id, old.map(|g| g.tenant), new.map(|g| g.tenant));
    }
}

impl Record for DatabaseGroup {
    type Id = GroupId;
    const TABLE: Table = Table::DatabaseGroup;
    fn id(&self) -> GroupId {
        self.id
    }
}

impl View {
    /// The groups of a tenant, oldest first.
    pub fn groups_of_tenant(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Stored<DatabaseGroup>>> {
        let ids = self.nouns.groups.index.by_tenant.of(tenant, FIRST);
        ids.filter_map(|id| self.nouns.groups.records.get(id))
    }
}
