//! What dialects are shown of a database: the record, and what is computed from it and from what was last seen.

use std::sync::Arc;

use pilothouse_model::{Database, Lifecycle, Observation, Operation, Tenant, TenantId};

use crate::Control;

/// A database as it stands, at one revision of the store.
#[derive(Clone, Debug)]
pub struct DatabaseView {
    /// The record.
    pub database: Arc<Database>,
    /// One word for where it stands.
    pub lifecycle: Lifecycle,
    /// The operation being carried out.
    pub operation: Option<Arc<Operation>>,
    /// What was last seen of its servers; empty for servers never looked at.
    pub observation: Arc<Observation>,
}

impl Control {
    /// The name of a tenant; its id when there is no such tenant.
    pub fn tenant_name(&self, tenant: TenantId) -> String {
        let view = self.0.store.view();
        let found = view.get::<Tenant>(&tenant);
        found.map_or_else(|| tenant.to_string(), |tenant| tenant.name.to_string())
    }
}
