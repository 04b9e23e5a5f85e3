//! The listener for metrics: plain, or TLS where a certificate is configured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pilothouse_api::{Limits, Listener, ListenerControl, ListenerOptions, TlsIdentity};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Configuration;
use crate::metrics::{Collector, MetricsPage};

use super::{Core, cannot_listen, certificate, named};

/// The listener, bound.
pub(super) struct Listening {
    listener: Listener,
    collector: Arc<Collector>,
    scheme: &'static str,
}

/// Binds the listener, if it is on; nobody is answered before [`Listening::begin`].
pub(super) async fn listen(
    configuration: &Configuration,
    core: &Core,
    others: Vec<(&'static str, Listener)>,
) -> anyhow::Result<Option<Listening>> {
    let Some(address) = configuration.listen.metrics else {
        return Ok(None);
    };
    let tls = match &configuration.tls.metrics {
        Some(pair) => {
            let read = certificate(pair)?;
            let key = read.key.context("a pair of files has a key")?;
            let identity = TlsIdentity::new(&read.certificate, &key).with_context(|| named("metrics", pair))?;
            Some(Arc::new(identity))
        }
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let collector = Arc::new(Collector::new(
        core.control.clone(),
        Arc::clone(&core.late) as _,
        core.store.clone(),
        others,
    ));
    let options = ListenerOptions {
        address,
        tls,
        dialect: Arc::new(MetricsPage(Arc::clone(&collector))),
        limits: Limits::default(),
    };
    let listener = Listener::bind_waiting(options).await;
    let listener = listener.map_err(|error| cannot_listen("metrics", address, error))?;
    Ok(Some(Listening {
        listener,
        collector,
        scheme,
    }))
}

impl Listening {
    /// Answers from now on, and counts what ends until `stop`.
    pub(super) fn begin(&self, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        let (collector, stop) = (Arc::clone(&self.collector), stop.clone());
        tasks.spawn(async move { collector.watch(&stop).await });
        self.listener.begin();
    }

    /// Its name and address.
    pub(super) fn shown(&self) -> String {
        format!("metrics={}://{}/metrics", self.scheme, self.listener.address())
    }

    /// Lets requests under way finish.
    pub(super) async fn shut_down(&self, within: Duration) {
        self.listener.shut_down(within).await;
    }
}
