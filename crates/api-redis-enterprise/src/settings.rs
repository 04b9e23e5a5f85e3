//! The settings of this API that many handlers ask for, read from their documents once per revision of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pilothouse_api::JsonObject;
use pilothouse_control::{AccessPolicy, Control};
use pilothouse_model::{Dialect, Document, Subject};
use serde_json::Value;

use crate::fields::merged;
use crate::wire::bootstrap::BootstrapRecord;
use crate::wire::{cluster, policy};

/// Document of the cluster object: what was changed of it.
pub(crate) const CLUSTER: &str = "cluster";
/// Document of the cluster policy: what was changed of it.
pub(crate) const POLICY: &str = "policy";
/// Document of the bootstrap.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// The settings in force at one revision.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where the bootstrap stands.
    pub(crate) bootstrap: BootstrapRecord,
    /// The cluster object's changeable part, defaults included.
    pub(crate) cluster: JsonObject,
    /// What was changed of the cluster object.
    pub(crate) cluster_changes: JsonObject,
    /// The policy object, defaults included.
    pub(crate) policy: JsonObject,
    /// User names and passwords are taken.
    pub(crate) basic_authentication: bool,
    /// When users are locked out.
    pub(crate) access_policy: AccessPolicy,
    /// How long passwords are good for; `None` for ever.
    pub(crate) password_lifetime: Option<Duration>,
}

impl Settings {
    fn read(documents: &Documents) -> Self {
        let body = |document: &Option<Arc<Document>>| document.as_ref().map(|document| document.body.clone());
        let changes = body(&documents.cluster);
        let cluster = merged(cluster::SETTINGS, changes.as_ref());
        let policy = merged(policy::SETTINGS, body(&documents.policy).as_ref());
        let bootstrap = body(&documents.bootstrap)
            .and_then(|body| serde_json::from_value(body).ok())
            .unwrap_or_default();
        Self {
            bootstrap,
            basic_authentication: cluster["control_plane_basic_authentication"] != Value::Bool(false),
            access_policy: access_policy(&policy),
            password_lifetime: password_lifetime(&cluster),
            cluster,
            cluster_changes: changes
                .and_then(|changes| changes.as_object().cloned())
                .unwrap_or_default(),
            policy,
        }
    }

    /// `OPTIONS` is answered like a method that is not registered.
    pub(crate) fn options_forbidden(&self) -> bool {
        self.cluster_flag("options_method_forbidden")
    }

    /// A truth value of the cluster object.
    pub(crate) fn cluster_flag(&self, name: &str) -> bool {
        self.cluster.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A truth value of the policy.
    pub(crate) fn policy_flag(&self, name: &str) -> bool {
        self.policy.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A port that a client set.
    pub(crate) fn stored_port(&self, name: &str) -> Option<u16> {
        self.cluster_changes
            .get(name)?
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
    }

    /// A truth value that a client set.
    pub(crate) fn stored_bool(&self, name: &str) -> Option<bool> {
        self.cluster_changes.get(name)?.as_bool()
    }
}

fn access_policy(policy: &JsonObject) -> AccessPolicy {
    let number = |name: &str| policy.get(name).and_then(Value::as_u64).unwrap_or(0);
    AccessPolicy {
        lockout_threshold: u32::try_from(number("login_lockout_threshold")).unwrap_or(u32::MAX),
        lockout_reset_after: Duration::from_secs(number("login_lockout_counter_reset_after")),
        lockout_duration: Duration::from_secs(number("login_lockout_duration")),
    }
}

fn password_lifetime(cluster: &JsonObject) -> Option<Duration> {
    let days = cluster
        .get("password_expiration_duration")
        .and_then(Value::as_u64)
        .filter(|days| *days > 0)?;
    Some(Duration::from_secs(days.saturating_mul(86_400)))
}

/// The documents that settings are made of.
#[derive(Debug)]
struct Documents {
    cluster: Option<Arc<Document>>,
    policy: Option<Arc<Document>>,
    bootstrap: Option<Arc<Document>>,
}

impl Documents {
    fn read(control: &Control) -> Self {
        let document = |kind| control.document(Dialect::RedisEnterprise, &Subject::Installation, kind);
        Self {
            cluster: document(CLUSTER),
            policy: document(POLICY),
            bootstrap: document(BOOTSTRAP),
        }
    }

    /// Whether these are the very same records: the store shares a record until it is written again.
    fn are(&self, others: &Self) -> bool {
        let same = |a: &Option<Arc<Document>>, b: &Option<Arc<Document>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same(&self.cluster, &others.cluster)
            && same(&self.policy, &others.policy)
            && same(&self.bootstrap, &others.bootstrap)
    }
}

/// The settings of the newest revision that was asked for. Most revisions change no document of theirs, so that they are made anew
/// rarely, and asking for them costs next to nothing.
#[derive(Debug, Default)]
pub(crate) struct SettingsCache(ArcSwapOption<Cached>);

#[derive(Debug)]
struct Cached {
    /// At which they were last known to be in force.
    revision: AtomicU64,
    documents: Documents,
    settings: Arc<Settings>,
}

impl SettingsCache {
    pub(crate) fn read(&self, control: &Control) -> Arc<Settings> {
        // The revision first: documents read afterwards are at least as new, and the next caller looks again.
        let revision = control.revision();
        let known = self.0.load();
        if let Some(known) = known.as_ref()
            && known.revision.load(Ordering::Acquire) == revision
        {
            return Arc::clone(&known.settings);
        }
        let documents = Documents::read(control);
        if let Some(known) = known.as_ref()
            && known.documents.are(&documents)
        {
            known.revision.store(revision, Ordering::Release);
            return Arc::clone(&known.settings);
        }
        let settings = Arc::new(Settings::read(&documents));
        self.0.store(Some(Arc::new(Cached {
            revision: AtomicU64::new(revision),
            documents,
            settings: Arc::clone(&settings),
        })));
        settings
    }
}
