//! The Redis Enterprise dialect: its options and its two listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pilothouse_api::{Dialect, Limits, Listener, ListenerControl, ListenerOptions, TlsIdentity};
use pilothouse_api_redis_enterprise::{
    AdminAccount, BootstrapPolicy, RedisEnterprise, RedisEnterpriseOptions, dialect,
};
use pilothouse_control::{Control, TenantScope};
use pilothouse_model::{Secret, Tenant, TenantName};
use pilothouse_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Bootstrap, Configuration, TlsPair};

use super::{cannot_listen, certificate, named};

/// Where a listener that is off would be.
const HTTPS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9443);
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// The two listeners of the dialect, each open or closed.
pub(super) struct Listening {
    dialect: RedisEnterprise,
    https: Listener,
    http: Listener,
}

/// Puts the dialect together and binds its listeners; nobody is answered before [`Listening::begin`].
pub(super) async fn listen(
    configuration: &Configuration,
    control: &Control,
    store: &Store,
    admin: Secret,
) -> anyhow::Result<Listening> {
    let enterprise = dialect(control.clone(), options(configuration, store, admin));
    let tls = match &configuration.tls.redis_enterprise {
        Some(pair) => identity(&enterprise, pair).await?,
        None => enterprise.tls_identity().await?,
    };
    let listen = &configuration.listen;
    let https = place(listen.redis_enterprise, HTTPS, enterprise.stored_https_port(), None);
    let http = place(
        listen.redis_enterprise_http,
        HTTP,
        enterprise.stored_http_port(),
        enterprise.stored_http_support(),
    );
    Ok(Listening {
        https: bind("redis_enterprise", https, Some(tls), enterprise.service()).await?,
        http: bind("redis_enterprise_http", http, None, enterprise.service()).await?,
        dialect: enterprise,
    })
}

impl Listening {
    /// Answers from now on, and does the background work of the dialect until `stop`.
    pub(super) fn begin(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        let dialect = self.dialect.clone();
        dialect.attach(Arc::new(self.https.clone()), Arc::new(self.http.clone()));
        tasks.spawn(background(dialect, stop.clone()));
        self.https.begin();
        self.http.begin();
    }

    /// Both, with the names that metrics give them.
    pub(super) fn named(&self) -> [(&'static str, Listener); 2] {
        [
            ("redis_enterprise", self.https.clone()),
            ("redis_enterprise_http", self.http.clone()),
        ]
    }

    /// Name and address of each that is open.
    pub(super) fn shown(&self) -> Vec<String> {
        let open = |name: &str, scheme: &str, listener: &Listener| {
            listener
                .is_open()
                .then(|| format!("{name}={scheme}://{}", listener.address()))
        };
        let both = [
            open("redis-enterprise", "https", &self.https),
            open("redis-enterprise-http", "http", &self.http),
        ];
        both.into_iter().flatten().collect()
    }

    /// Lets requests under way finish.
    pub(super) async fn shut_down(&self, within: Duration) {
        tokio::join!(self.https.shut_down(within), self.http.shut_down(within));
    }
}

async fn background(enterprise: RedisEnterprise, stop: CancellationToken) {
    enterprise.run(stop).await;
}

/// Where a listener is and whether it is open. What a client set through the API wins over the file.
fn place(
    configured: Option<SocketAddr>,
    otherwise: SocketAddr,
    port: Option<u16>,
    switched: Option<bool>,
) -> (SocketAddr, bool) {
    let mut address = configured.unwrap_or(otherwise);
    if let Some(port) = port {
        address.set_port(port);
    }
    (address, switched.unwrap_or(configured.is_some()))
}

async fn bind(
    key: &str,
    (address, open): (SocketAddr, bool),
    tls: Option<Arc<TlsIdentity>>,
    dialect: Arc<dyn Dialect>,
) -> anyhow::Result<Listener> {
    let options = ListenerOptions {
        address,
        tls,
        dialect,
        limits: Limits::default(),
    };
    if !open {
        return Ok(Listener::closed(options));
    }
    Listener::bind_waiting(options)
        .await
        .map_err(|error| cannot_listen(key, address, error))
}

fn options(configuration: &Configuration, store: &Store, admin: Secret) -> RedisEnterpriseOptions {
    let section = &configuration.redis_enterprise;
    RedisEnterpriseOptions {
        admin: AdminAccount {
            user: configuration.admin.user.clone(),
            password: admin,
        },
        bootstrap: match section.bootstrap {
            Bootstrap::Loopback => BootstrapPolicy::Loopback,
            Bootstrap::Open => BootstrapPolicy::Open,
            Bootstrap::Admin => BootstrapPolicy::Admin,
        },
        tenants: tenants(section.tenants.as_deref(), store),
        software_version: section.software_version.clone(),
        servers_max: servers_max(configuration),
    }
}

/// Each server has a plain and a TLS port.
fn servers_max(configuration: &Configuration) -> u64 {
    let ports = configuration.endpoints.server_port_range;
    (u64::from(ports.last) + 1 - u64::from(ports.first)) / 2
}

/// The tenants that the dialect shows. One that is not there yet shows nothing until the next start.
fn tenants(names: Option<&[TenantName]>, store: &Store) -> TenantScope {
    let Some(names) = names else { return TenantScope::All };
    let view = store.view();
    let known: Vec<_> = view
        .all::<Tenant>()
        .map(|tenant| (tenant.name.clone(), tenant.id))
        .collect();
    for name in names
        .iter()
        .filter(|name| !known.iter().any(|(known, _)| known == *name))
    {
        tracing::warn!(tenant = %name, "redis_enterprise.tenants names a tenant that is not there");
    }
    TenantScope::Only(
        known
            .into_iter()
            .filter(|(name, _)| names.contains(name))
            .map(|(_, id)| id)
            .collect(),
    )
}

async fn identity(enterprise: &RedisEnterprise, pair: &TlsPair) -> anyhow::Result<Arc<TlsIdentity>> {
    let certificate = certificate(pair)?;
    let identity = enterprise.configured_tls_identity(certificate).await;
    identity.with_context(|| named("redis_enterprise", pair))
}
