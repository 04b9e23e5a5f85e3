//! Databases: by tenant, group, name, endpoint port, server, server port, and by what their access is bound to.
//!
//! A database with a tombstone is found like any other: its ports and its servers are still there.

use std::sync::Arc;

use pilothouse_model::{AclRuleId, Database, DatabaseId, GroupId, RoleId, ServerId, TenantId};

use crate::nouns::{Links, Nouns};
use crate::record::{Record, Shelf, Stored, Table, sealed};
use crate::view::View;

const FIRST: DatabaseId = DatabaseId::from_bytes([0; 16]);

/// The indexes over databases.
#[derive(Clone, Default)]
pub struct DatabaseIndex {
    by_tenant: Links<TenantId, DatabaseId>,
    by_group: Links<GroupId, DatabaseId>,
    by_name: Links<Box<str>, DatabaseId>,
    by_port: Links<u16, DatabaseId>,
    by_server: Links<ServerId, DatabaseId>,
    by_server_port: Links<u16, DatabaseId>,
    by_role: Links<RoleId, DatabaseId>,
    by_rule: Links<AclRuleId, DatabaseId>,
}

impl sealed::Noun for Database {
    type Index = DatabaseIndex;

    fn shelf(nouns: &Nouns) -> &Shelf<Self> {
        &nouns.databases
    }

    fn shelf_mut(nouns: &mut Nouns) -> &mut Shelf<Self> {
        &mut nouns.databases
    }

    fn reindex(index: &mut DatabaseIndex, old: Option<&Self>, new: Option<&Self>) {
        let Some(id) = new.or(old).map(|database| database.id) else {
            return;
        };
        index
            .by_tenant
            .relink(&id, old.map(|d| d.tenant), new.map(|d| d.tenant));
        index
            .by_group
            .relink(&id, old.and_then(|d| d.group), new.and_then(|d| d.group));
        if old.map(|d| &d.name) != new.map(|d| &d.name) {
            index.by_name.relink(&id, old.map(name), new.map(name));
        }
        index.by_port.relink(&id, old.and_then(port), new.and_then(port));
        relink_all(&mut index.by_server, &id, old, new, |database, keys| {
            keys.extend(database.layout.servers().map(|server| server.id));
        });
        relink_all(&mut index.by_server_port, &id, old, new, server_ports);
        relink_all(&mut index.by_role, &id, old, new, |database, keys| {
            keys.extend(database.spec.access.bindings.iter().map(|binding| binding.role));
        });
        relink_all(&mut index.by_rule, &id, old, new, |database, keys| {
            keys.extend(database.spec.access.bindings.iter().map(|binding| binding.rule));
        });
    }
}

fn relink_all<K: Ord + Clone>(
    links: &mut Links<K, DatabaseId>,
    id: &DatabaseId,
    old: Option<&Database>,
    new: Option<&Database>,
    keys_of: impl Fn(&Database, &mut Vec<K>),
) {
    let keys = |database: Option<&Database>| {
        let mut keys = Vec::new();
        if let Some(database) = database {
            keys_of(database, &mut keys);
        }
        keys
    };
    links.relink(id, keys(old), keys(new));
}

fn name(database: &Database) -> Box<str> {
    database.name.as_str().into()
}

fn port(database: &Database) -> Option<u16> {
    Some(database.spec.network.port).filter(|port| *port != 0)
}

fn server_ports(database: &Database, ports: &mut Vec<u16>) {
    for server in database.layout.servers() {
        ports.extend(
            [server.ports.plain, server.ports.tls, server.ports.bus]
                .into_iter()
                .filter(|port| *port != 0),
        );
    }
}

impl Record for Database {
    type Id = DatabaseId;
    const TABLE: Table = Table::Database;
    fn id(&self) -> DatabaseId {
        self.id
    }
}

impl View {
    /// The databases of a tenant, oldest first.
    pub fn databases_of_tenant(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<Stored<Database>>> {
        self.databases(self.nouns.databases.index.by_tenant.of(tenant, FIRST))
    }

    /// The databases of a group, oldest first.
    pub fn databases_of_group(&self, group: GroupId) -> impl Iterator<Item = &Arc<Stored<Database>>> {
        self.databases(self.nouns.databases.index.by_group.of(group, FIRST))
    }

    /// The databases of that name, of one tenant or of all, oldest first.
    pub fn databases_named(
        &self,
        tenant: Option<TenantId>,
        name: &str,
    ) -> impl Iterator<Item = &Arc<Stored<Database>>> {
        self.databases(self.nouns.databases.index.by_name.of(name.into(), FIRST))
            .filter(move |database| tenant.is_none_or(|tenant| database.tenant == tenant))
    }

    /// The database whose endpoint has that port; the oldest where several do, at addresses of their own.
    pub fn database_on_port(&self, port: u16) -> Option<&Arc<Stored<Database>>> {
        self.databases_on_port(port).next()
    }

    /// The databases whose endpoints have that port, oldest first.
    pub fn databases_on_port(&self, port: u16) -> impl Iterator<Item = &Arc<Stored<Database>>> {
        self.databases(self.nouns.databases.index.by_port.of(port, FIRST))
    }

    /// Every endpoint port in use, ascending, once for each database that uses it.
    pub fn endpoint_ports_in_use(&self) -> impl Iterator<Item = u16> {
        self.nouns.databases.index.by_port.iter().map(|(port, _)| *port)
    }

    /// Every port in use by a server, ascending.
    pub fn server_ports_in_use(&self) -> impl Iterator<Item = u16> {
        self.nouns.databases.index.by_server_port.iter().map(|(port, _)| *port)
    }

    /// Whether a server of any database has that port.
    pub fn is_server_port_in_use(&self, port: u16) -> bool {
        self.nouns
            .databases
            .index
            .by_server_port
            .of(port, FIRST)
            .next()
            .is_some()
    }

    /// The database that a server belongs to.
    pub fn database_of_server(&self, server: ServerId) -> Option<DatabaseId> {
        self.nouns.databases.index.by_server.of(server, FIRST).next().copied()
    }

    /// The databases that are open to a role, oldest first.
    pub fn databases_bound_to_role(&self, role: RoleId) -> impl Iterator<Item = &Arc<Stored<Database>>> {
        self.databases(self.nouns.databases.index.by_role.of(role, FIRST))
    }

    /// The databases that somebody may use with the rights of a rule, oldest first.
    pub fn databases_bound_to_rule(&self, rule: AclRuleId) -> impl Iterator<Item = &Arc<Stored<Database>>> {
        self.databases(self.nouns.databases.index.by_rule.of(rule, FIRST))
    }

    fn databases<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a DatabaseId>,
    ) -> impl Iterator<Item = &'a Arc<Stored<Database>>> {
        ids.filter_map(|id| self.nouns.databases.records.get(id))
    }
}
