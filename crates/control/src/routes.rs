//! Which routes the gateway was told, so that an unchanged one costs nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pilothouse_gateway_protocol::{Route, RouteState};
use pilothouse_model::{Cidr, Database, DatabaseGroup, DatabaseId};
use pilothouse_store::View;

use crate::Control;

/// Routes as they were last set.
#[derive(Default)]
pub(crate) struct Routes(Mutex<HashMap<DatabaseId, Route>>);

impl Routes {
    /// Whether exactly this route is set.
    pub(crate) fn is(&self, route: &Route) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&route.database)
            == Some(route)
    }

    /// The route was set.
    pub(crate) fn was_set(&self, route: Route) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(route.database, route);
    }

    /// The route was removed.
    pub(crate) fn forget(&self, database: DatabaseId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&database);
    }
}

impl Control {
    /// The complete table that a gateway is given after a restart of the control plane: every endpoint leads to the primary of its
    /// lineage, so that connections which still work are left alone. The first pass over each database corrects what is not so.
    pub fn expected_routes(&self) -> Vec<Route> {
        let view = self.store().view();
        view.all::<Database>()
            .filter(|database| database.deleted_at.is_none() && database.creation_error.is_none())
            .map(|database| {
                let primary = database.layout.shards.first().and_then(|shard| shard.primary());
                let network = &database.spec.network;
                let state = match primary {
                    Some(_) if network.traffic_stopped => RouteState::Closed,
                    Some(primary) if database.was_active => RouteState::Open(self.backend(&database.record, primary)),
                    _ => RouteState::Held,
                };
                Route {
                    database: database.id,
                    endpoint: database.endpoint(),
                    state,
                    source_allow: allowed_sources(&view, database),
                    max_connections: network.max_connections,
                }
            })
            .collect()
    }
}

/// From where clients may connect: whom both the database and its group let in.
pub(crate) fn allowed_sources(view: &View, database: &Database) -> Vec<Cidr> {
    let group = database.group.and_then(|group| view.get::<DatabaseGroup>(&group));
    let outer = group.map_or(&[][..], |group| &group.source_allow);
    Cidr::both(&database.spec.network.source_allow, outer)
}
