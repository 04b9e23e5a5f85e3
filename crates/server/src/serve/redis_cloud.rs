//! The Redis Cloud dialect: its options, its accounts and its listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pilothouse_api::{Limits, Listener, ListenerControl, ListenerOptions, TlsIdentity};
use pilothouse_api_redis_cloud::{ConfiguredAccount, PlanOffer, RedisCloud, RedisCloudOptions, dialect};
use pilothouse_control::Control;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Configuration, RedisCloudAccount, RedisCloudPlan};
use crate::data_dir::DataDir;

use super::{cannot_listen, certificate, named};

/// The listener, bound.
pub(super) struct Listening {
    dialect: RedisCloud,
    listener: Listener,
    scheme: &'static str,
}

/// Puts the dialect together and binds its listener, if it is on; nobody is answered before [`Listening::begin`].
pub(super) async fn listen(
    configuration: &Configuration,
    data_dir: &DataDir,
    control: &Control,
) -> anyhow::Result<Option<Listening>> {
    let Some(address) = configuration.listen.redis_cloud else {
        return Ok(None);
    };
    let section = &configuration.redis_cloud;
    let options = RedisCloudOptions {
        pending_subscriptions: usize::try_from(section.pending_subscriptions).unwrap_or(usize::MAX),
        capacity_step_gb: section.capacity_step_gb,
        rate_limit_per_minute: section.rate_limit_per_minute,
        plans: section.plans.iter().map(offer).collect(),
    };
    let cloud = dialect(control.clone(), options);
    let (listener, scheme) = bind(configuration, address, &cloud).await?;
    ensure_accounts(&cloud, &section.accounts, data_dir).await?;
    Ok(Some(Listening {
        dialect: cloud,
        listener,
        scheme,
    }))
}

fn offer(plan: &RedisCloudPlan) -> PlanOffer {
    PlanOffer {
        name: plan.name.clone(),
        memory_bytes: plan.memory_bytes,
        replication: plan.replication,
        persistence: plan.persistence,
        price: plan.price,
    }
}

async fn bind(
    configuration: &Configuration,
    address: SocketAddr,
    cloud: &RedisCloud,
) -> anyhow::Result<(Listener, &'static str)> {
    let tls = match &configuration.tls.redis_cloud {
        Some(pair) => {
            let read = certificate(pair)?;
            let key = read.key.context("a pair of files has a key")?;
            let identity = TlsIdentity::new(&read.certificate, &key).with_context(|| named("redis_cloud", pair))?;
            Some(Arc::new(identity))
        }
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let options = ListenerOptions {
        address,
        tls,
        dialect: cloud.service(),
        limits: Limits::default(),
    };
    let listener = Listener::bind_waiting(options).await;
    let listener = listener.map_err(|error| cannot_listen("redis_cloud", address, error))?;
    Ok((listener, scheme))
}

/// Makes the accounts of the configuration; where there is none at all, one with keys of its own, which are kept for the operator alone.
async fn ensure_accounts(
    cloud: &RedisCloud,
    configured: &[RedisCloudAccount],
    data_dir: &DataDir,
) -> anyhow::Result<()> {
    let accounts = configured.iter().zip(1..).map(|(account, number)| ConfiguredAccount {
        name: account.name.clone().unwrap_or_else(|| format!("account-{number}")),
        tenant: account.tenant.clone(),
        access_key: account.access_key.clone(),
        secret_key: account.secret_key.clone(),
    });
    let issued = cloud
        .ensure_accounts(accounts.collect())
        .await
        .context("redis_cloud.accounts")?;
    if let Some(issued) = issued {
        let path = data_dir.layout().root.join("redis-cloud-keys");
        let text = format!(
            "x-api-key: {}\nx-api-secret-key: {}\n",
            issued.access_key.expose(),
            issued.secret_key.expose()
        );
        data_dir.write_private(&path, &text)?;
        tracing::info!(path = %path.display(), "the keys of the first Redis Cloud account were made");
    }
    Ok(())
}

impl Listening {
    /// Answers from now on, processes tasks and watches alerts.
    pub(super) fn begin(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        let (dialect, stop) = (self.dialect.clone(), stop.clone());
        tasks.spawn(async move { dialect.run(stop).await });
        self.dialect.begin();
        self.listener.begin();
    }

    /// The listener with the name that metrics give it.
    pub(super) fn named(&self) -> (&'static str, Listener) {
        ("redis_cloud", self.listener.clone())
    }

    /// Name and address.
    pub(super) fn shown(&self) -> String {
        format!("redis-cloud={}://{}/v1", self.scheme, self.listener.address())
    }

    /// Lets requests under way finish.
    pub(super) async fn shut_down(&self, within: Duration) {
        self.listener.shut_down(within).await;
    }
}
