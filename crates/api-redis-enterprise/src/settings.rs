//! The settings of this API that many handlers ask for, read from their documents once per revision of the store.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pilothouse_api::JsonObject;
use pilothouse_control::{AccessPolicy, Control};
use pilothouse_model::{Dialect, Subject};
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
    revision: u64,
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
    fn read(control: &Control, revision: u64) -> Self {
        let document = |kind| {
            control
                .document(Dialect::RedisEnterprise, &Subject::Installation, kind)
                .map(|document| document.body.clone())
        };
        let changes = document(CLUSTER);
        let cluster = merged(cluster::SETTINGS, changes.as_ref());
        let policy = merged(policy::SETTINGS, document(POLICY).as_ref());
        let bootstrap = document(BOOTSTRAP)
            .and_then(|body| serde_json::from_value(body).ok())
            .unwrap_or_default();
        Self {
            revision,
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

/// The settings of the newest revision that was asked for.
#[derive(Debug, Default)]
pub(crate) struct SettingsCache(ArcSwapOption<Settings>);

impl SettingsCache {
    pub(crate) fn read(&self, control: &Control) -> Arc<Settings> {
        let revision = control.revision();
        if let Some(known) = self.0.load_full().filter(|known| known.revision == revision) {
            return known;
        }
        let fresh = Arc::new(Settings::read(control, revision));
        self.0.store(Some(Arc::clone(&fresh)));
        fresh
    }
}
