//! Tenants.

use std::sync::Arc;

use pilothouse_model::{Tenant, TenantId};

use crate::{Stored, View};

super::plain_noun!(Tenant, TenantId, Tenant, tenants, |tenant| tenant.id);

impl View {
    /// The tenant of that name. There are few tenants: this goes through them.
    pub fn tenant_named(&self, name: &str) -> Option<&Arc<Stored<Tenant>>> {
        self.all::<Tenant>().find(|tenant| tenant.name.as_str() == name)
    }
}
