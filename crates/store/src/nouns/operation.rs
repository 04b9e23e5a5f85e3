//! Operations: those that are not final, those of a subject, those of a tenant, those that wait in a lane.

use std::sync::Arc;

use imbl::OrdSet;
use pilothouse_model::{Dialect, Operation, OperationId, OperationKind, Subject, TenantId};

use crate::nouns::{Links, Nouns};
use crate::record::{Record, Shelf, Stored, Table, sealed};
use crate::view::View;

const FIRST: OperationId = OperationId::from_bytes([0; 16]);

/// The indexes over operations.
#[derive(Clone, Default)]
pub struct OperationIndex {
    unfinished: OrdSet<OperationId>,
    by_subject: Links<Subject, OperationId>,
    by_tenant: Links<TenantId, OperationId>,
    by_lane: Links<Lane, OperationId>,
}

/// A queue of requests: those of one tenant through one API.
pub type Lane = (Dialect, TenantId);

impl sealed::Noun for Operation {
    type Index = OperationIndex;

    fn shelf(nouns: &Nouns) -> &Shelf<Self> {
        &nouns.operations
    }

    fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self> {
        &mut nouns.operations
    }

    fn reindex(index: &mut OperationIndex, old: Option<&Self>, new: Option<&Self>) {
        let Some(id) = new.or(old).map(|operation| operation.id) else {
            return;
        };
        if new.is_some_and(|operation| !operation.is_final()) {
            index.unfinished.insert(id);
        } else {
            index.unfinished.remove(&id);
        }
        index
            .by_subject
            .relink(&id, old.map(|o| o.subject), new.map(|o| o.subject));
        index
            .by_tenant
            .relink(&id, old.map(|o| o.tenant), new.map(|o| o.tenant));
        index.by_lane.relink(&id, old.and_then(lane), new.and_then(lane));
    }
}

/// The lane that the operation waits in.
fn lane(operation: &Operation) -> Option<Lane> {
    let waits = operation.kind == OperationKind::Request && !operation.is_final();
    waits.then_some((operation.dialect, operation.tenant))
}

impl Record for Operation {
    type Id = OperationId;
    const TABLE: Table = Table::Operation;
    fn id(&self) -> OperationId {
        self.id
    }
}

impl View {
    /// The operations that are not final yet, oldest first.
    pub fn unfinished_operations(&self) -> impl Iterator<Item = &Arc<Stored<Operation>>> {
        self.operations(self.nouns.operations.index.unfinished.iter())
    }

    /// The operations on a subject, oldest first.
    pub fn operations_of(&self, subject: Subject) -> impl Iterator<Item = &Arc<Stored<Operation>>> {
        self.operations(self.nouns.operations.index.by_subject.of(subject, FIRST))
    }

    /// The operations of a tenant, oldest first.
    pub fn operations_of_tenant(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Stored<Operation>>> {
        self.operations(self.nouns.operations.index.by_tenant.of(tenant, FIRST))
    }

    /// The requests that wait in a lane or are being processed, oldest first.
    pub fn requests_in_lane(&self, lane: Lane) -> impl Iterator<Item = &Arc<Stored<Operation>>> {
        self.operations(self.nouns.operations.index.by_lane.of(lane, FIRST))
    }

    /// The lanes in which anything waits.
    pub fn busy_lanes(&self) -> impl Iterator<Item = Lane> {
        let mut last = None;
        let lanes = self.nouns.operations.index.by_lane.iter().map(|(lane, _)| *lane);
        lanes.filter(move |lane| last.replace(*lane) != Some(*lane))
    }

    fn operations<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a OperationId>,
    ) -> impl Iterator<Item = &'a Arc<Stored<Operation>>> {
        ids.filter_map(|id| self.nouns.operations.records.get(id))
    }
}
