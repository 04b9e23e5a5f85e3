//! Records to store, and the check that a view agrees with itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pilothouse_model::{
    AccessSpec, ClientAuthentication, Database, DatabaseId, DatabaseName, DatabaseSpec, Dialect, Document, DocumentKey,
    EngineKind, EngineVersion, EventDraft, EvictionPolicy, HostId, Layout, Lineage, LogLimits, Management, NetworkSpec,
    Operation, OperationId, OperationKind, OperationPhase, Persistence, RoleBinding, Sealed, Server, ServerId,
    ServerPorts, Severity, Shard, ShardId, SlotRange, Subject, TenantId, Timestamp, TlsMode, User,
};
use pilothouse_store::{Record, Setting, Store, StoreError, TransactError, Transaction, Urgency, View};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const UID: &str = "redis-enterprise/uid";

pub(crate) fn sealed() -> Sealed {
    Sealed::from_cipher_text("v1:".to_owned() + &"c2VhbGVk".repeat(6))
}

/// A database as the planner lays it out: one primary, one replica.
pub(crate) fn database(tenant: TenantId, name: &str, port: u16) -> Database {
    let server = |port| Server {
        id: ServerId::new(),
        host: HostId::from_bytes([7; 16]),
        management: Management::Managed,
        version: EngineVersion::new(7, 0, 15),
        ports: ServerPorts {
            plain: port,
            tls: 0,
            bus: 0,
        },
        management_secret: sealed(),
        incarnation: 1,
        leaving: false,
        created_at: Timestamp::from_millis(1_760_400_000_000),
    };
    let servers = vec![server(port.wrapping_add(10_000)), server(port.wrapping_add(10_001))];
    let primary = servers[0].id;
    let shard = Shard {
        leaving: false,
        importing: Vec::new(),
        id: ShardId::new(),
        slots: vec![SlotRange::ALL],
        servers,
        lineage: Lineage {
            epoch: 1,
            primary: Some(primary),
            ..Lineage::default()
        },
    };
    Database {
        id: DatabaseId::new(),
        tenant,
        group: None,
        name: DatabaseName::parse(name).unwrap(),
        origin: Dialect::RedisEnterprise,
        created_at: Timestamp::from_millis(1_760_400_000_000),
        changed_at: Timestamp::from_millis(1_760_400_000_000),
        generation: 1,
        settled_generation: 0,
        spec: spec(port),
        layout: Layout { shards: vec![shard] },
        replication_secret: sealed(),
        topology_epoch: 1,
        operation: None,
        was_active: false,
        creation_error: None,
        needs_recovery: false,
        deleted_at: None,
        transfers: Vec::new(),
        conditions: Vec::new(),
    }
}

fn spec(port: u16) -> DatabaseSpec {
    DatabaseSpec {
        engine: EngineKind::Redis,
        version: EngineVersion::new(7, 0, 15),
        memory_bytes: 1 << 30,
        shards: 1,
        cluster: false,
        replicas: 1,
        persistence: Persistence::Disabled,
        log_limits: LogLimits::default(),
        eviction: EvictionPolicy::VolatileLru,
        access: AccessSpec {
            default_user: true,
            default_passwords: vec![sealed()],
            admin_password: sealed(),
            bindings: Vec::new(),
            disabled_commands: Vec::new(),
        },
        network: NetworkSpec {
            port,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: TlsMode::Disabled,
            client_auth: ClientAuthentication::default(),
            source_allow: Vec::new(),
            max_connections: 0,
            traffic_stopped: false,
            encrypt_replication: false,
        },
        tuning: BTreeMap::new(),
        replica_of: None,
        backup: None,
    }
}

pub(crate) fn operation(tenant: TenantId, subject: Subject) -> Operation {
    Operation {
        id: OperationId::new(),
        tenant,
        dialect: Dialect::RedisEnterprise,
        actor: "user:admin".to_owned(),
        kind: OperationKind::CreateDatabase,
        subject,
        generation: 1,
        target: None,
        request: None,
        phase: OperationPhase::Received,
        result: None,
        step: String::new(),
        progress: 0,
        received_at: Timestamp::from_millis(1_760_400_000_000),
        changed_at: Timestamp::from_millis(1_760_400_000_000),
        ended_at: None,
    }
}

pub(crate) fn document(subject: Subject, kind: &str, bytes: usize) -> Document {
    Document {
        key: DocumentKey {
            dialect: Dialect::RedisEnterprise,
            subject,
            kind: kind.to_owned(),
        },
        version: 1,
        body: serde_json::Value::String("x".repeat(bytes)),
    }
}

pub(crate) fn draft(subject: Subject) -> EventDraft {
    EventDraft {
        kind: "database-created".to_owned(),
        severity: Severity::Info,
        subject,
        tenant: None,
        actor: "user:admin".to_owned(),
        operation: None,
        message: "The database was created.".to_owned(),
        facts: serde_json::json!({ "generation": 1 }),
    }
}

pub(crate) fn setting(key: &str, value: impl Into<serde_json::Value>) -> Setting {
    Setting {
        key: key.to_owned(),
        value: value.into(),
    }
}

/// The number that a setting holds; 0 without it.
pub(crate) fn number(view: &View, key: &str) -> u64 {
    view.get::<Setting>(&key.to_owned())
        .map_or(0, |setting| setting.value.as_u64().unwrap())
}

/// A transaction whose closure never refuses.
pub(crate) async fn write<T: Send>(
    store: &Store,
    plan: impl FnOnce(&mut Transaction<'_>) -> T + Send,
) -> Result<T, StoreError> {
    match store
        .transact(Urgency::Normal, |tx| Ok::<T, Infallible>(plan(tx)))
        .await
    {
        Ok(answer) => Ok(answer),
        Err(TransactError::Store(error)) => Err(error),
        Err(TransactError::Rejected(never)) => match never {},
    }
}

/// Plans a transaction while the disk is held, and returns when it is in the queue.
pub(crate) async fn plan_held(store: &Store, tasks: &mut JoinSet<Result<(), StoreError>>, key: &'static str) {
    let (planned, was_planned) = tokio::sync::oneshot::channel();
    let store = store.clone();
    tasks.spawn(async move {
        write(&store, move |tx| {
            tx.put(setting(key, 1));
            let _ = planned.send(());
        })
        .await
    });
    timeout(DEADLINE, was_planned).await.unwrap().unwrap();
}

/// Waits for a condition that other tasks and threads bring about.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, wait).await.expect("the condition never held");
}

/// Everything that a view holds, as text that can be compared.
pub(crate) fn dump(view: &View) -> String {
    fn rows<R: Record + std::fmt::Debug>(view: &View, out: &mut Vec<String>) {
        out.extend(view.all::<R>().map(|record| format!("{record:?}")));
    }
    let mut out = vec![format!("revision {}", view.revision())];
    rows::<pilothouse_model::Tenant>(view, &mut out);
    rows::<pilothouse_model::Host>(view, &mut out);
    rows::<Database>(view, &mut out);
    rows::<Operation>(view, &mut out);
    rows::<User>(view, &mut out);
    rows::<pilothouse_model::Role>(view, &mut out);
    rows::<pilothouse_model::AclRule>(view, &mut out);
    rows::<Document>(view, &mut out);
    rows::<Setting>(view, &mut out);
    out.extend(view.wire_ids(UID).map(|(id, subject)| format!("{id} {subject:?}")));
    out.extend(view.events().map(|event| format!("{event:?}")));
    out.join("\n")
}

/// Asks every index every question that it can answer, and compares with the answer of going through all records.
pub(crate) fn check_indexes(view: &View) {
    check_databases(view);
    check_operations(view);
    check_users_and_documents(view);
}

fn ids<'a>(found: impl Iterator<Item = &'a std::sync::Arc<pilothouse_store::Stored<Database>>>) -> Vec<DatabaseId> {
    found.map(|database| database.id).collect()
}

fn check_databases(view: &View) {
    let all: Vec<&Database> = view.all::<Database>().map(|stored| &*stored.record).collect();
    assert_eq!(view.count::<Database>(), all.len());
    let matching = |wanted: &dyn Fn(&Database) -> bool| -> Vec<DatabaseId> {
        all.iter()
            .filter(|database| wanted(database))
            .map(|database| database.id)
            .collect()
    };
    for database in &all {
        let (tenant, name, port) = (database.tenant, &database.name, database.spec.network.port);
        assert_eq!(ids(view.databases_of_tenant(tenant)), matching(&|d| d.tenant == tenant));
        assert_eq!(
            ids(view.databases_named(None, name.as_str())),
            matching(&|d| d.name == *name)
        );
        let of_tenant = matching(&|d| d.name == *name && d.tenant == tenant);
        assert_eq!(ids(view.databases_named(Some(tenant), name.as_str())), of_tenant);
        let on_port = matching(&|d| d.spec.network.port == port && port != 0);
        assert_eq!(ids(view.databases_on_port(port)), on_port);
        assert_eq!(view.database_on_port(port).map(|d| d.id), on_port.first().copied());
        for server in database.layout.servers() {
            assert_eq!(view.database_of_server(server.id), Some(database.id));
            assert!(view.is_server_port_in_use(server.ports.plain));
        }
        for RoleBinding { role, rule } in database.spec.access.bindings.iter().copied() {
            let bound = matching(&|d| d.spec.access.bindings.iter().any(|binding| binding.role == role));
            assert_eq!(ids(view.databases_bound_to_role(role)), bound);
            let bound = matching(&|d| d.spec.access.bindings.iter().any(|binding| binding.rule == rule));
            assert_eq!(ids(view.databases_bound_to_rule(rule)), bound);
        }
    }
    let ports = all
        .iter()
        .flat_map(|d| d.layout.servers())
        .flat_map(|s| [s.ports.plain, s.ports.tls]);
    let expected: BTreeSet<u16> = ports.filter(|port| *port != 0).collect();
    assert_eq!(view.server_ports_in_use().collect::<BTreeSet<_>>(), expected);
    let expected: BTreeSet<u16> = all
        .iter()
        .map(|d| d.spec.network.port)
        .filter(|port| *port != 0)
        .collect();
    assert_eq!(view.endpoint_ports_in_use().collect::<BTreeSet<_>>(), expected);
}

fn check_operations(view: &View) {
    let all: Vec<&Operation> = view.all::<Operation>().map(|stored| &*stored.record).collect();
    let matching = |wanted: &dyn Fn(&Operation) -> bool| -> Vec<OperationId> {
        all.iter()
            .filter(|operation| wanted(operation))
            .map(|operation| operation.id)
            .collect()
    };
    let unfinished: Vec<_> = view.unfinished_operations().map(|operation| operation.id).collect();
    assert_eq!(unfinished, matching(&|operation| !operation.is_final()));
    for operation in &all {
        let found: Vec<_> = view.operations_of(operation.subject).map(|found| found.id).collect();
        assert_eq!(found, matching(&|other| other.subject == operation.subject));
        let found: Vec<_> = view
            .operations_of_tenant(operation.tenant)
            .map(|found| found.id)
            .collect();
        assert_eq!(found, matching(&|other| other.tenant == operation.tenant));
    }
}

fn check_users_and_documents(view: &View) {
    let users: Vec<&User> = view.all::<User>().map(|stored| &*stored.record).collect();
    for login in users
        .iter()
        .flat_map(|user| [user.email.to_uppercase(), user.name.clone()])
    {
        if login.is_empty() {
            continue;
        }
        let by_email = users
            .iter()
            .find(|user| user.email.to_lowercase() == login.to_lowercase());
        let expected = by_email.or_else(|| users.iter().find(|user| user.name == login));
        assert_eq!(
            view.user_by_login(&login).map(|user| user.id),
            expected.map(|user| user.id),
            "{login}"
        );
    }
    for role in users.iter().flat_map(|user| &user.roles) {
        let expected: Vec<_> = users
            .iter()
            .filter(|user| user.roles.contains(role))
            .map(|user| user.id)
            .collect();
        assert_eq!(
            view.users_with_role(*role).map(|user| user.id).collect::<Vec<_>>(),
            expected
        );
    }
    for subject in view.all::<Document>().map(|document| document.key.subject) {
        let mut expected: Vec<_> = view.all::<Document>().map(|document| document.key.clone()).collect();
        expected.retain(|key| key.subject == subject);
        let mut found: Vec<_> = view
            .documents_of(&subject)
            .map(|document| document.key.clone())
            .collect();
        found.sort();
        assert_eq!(found, expected);
    }
    for (id, subject) in view.wire_ids(UID) {
        assert_eq!(view.wire_id(UID, &subject).as_ref(), Some(id));
        assert_eq!(view.subject_of(UID, id), Some(subject));
    }
}
