//! Alerts of the cluster: what they are judged by.

use pilothouse_api::certificate_facts;
use pilothouse_control::DatabaseView;
use pilothouse_model::{Severity, Subject};
use serde_json::{Value, json};

use super::Reading;
use crate::app::App;
use crate::translate::alerts::{enabled, threshold};

/// The one certificate that signs others.
const TRUSTED_CA: &str = "mtls_trusted_ca";

/// What holds of the cluster now.
pub(super) fn readings(app: &App, databases: &[DatabaseView], settings: &Value) -> Vec<Reading> {
    let control = app.control();
    let reading = |name: &'static str, holds: bool, severity: Severity, values: Value| Reading {
        subject: Subject::Installation,
        name,
        holds,
        enabled: enabled(settings, name),
        severity,
        values: values.as_object().cloned().unwrap_or_default(),
    };
    let nodes = control.hosts().len();
    let memory: u64 = control.host_facts().memory_bytes;
    let wanted: u64 = databases.iter().map(|view| view.database.spec.memory_bytes).sum();
    let expiring = |name: &'static str, wanted: fn(&str) -> bool| {
        let (days, limit) = (days_until_expiry(app, wanted), threshold(settings, name));
        let values = json!({"days_left": days, "global_threshold": limit});
        reading(name, days.is_some_and(|days| days < limit), Severity::Warning, values)
    };
    vec![
        reading(
            "cluster_even_node_count",
            nodes.is_multiple_of(2),
            Severity::Warning,
            json!({ "node_count": nodes }),
        ),
        reading(
            "cluster_too_few_nodes_for_replication",
            nodes < 2,
            Severity::Warning,
            json!({ "node_count": nodes }),
        ),
        reading(
            "cluster_ram_overcommit",
            wanted > memory,
            Severity::Warning,
            json!({"provisioned_memory": wanted, "total_memory": memory}),
        ),
        expiring("cluster_certs_about_to_expire", |name| {
            !name.ends_with("_internode_encryption") && name != TRUSTED_CA
        }),
        expiring("cluster_ca_cert_about_to_expire", |name| name == TRUSTED_CA),
    ]
}

/// Days until the first of these certificates expires; `None` when there is none.
pub(super) fn days_until_expiry(app: &App, wanted: impl Fn(&str) -> bool) -> Option<f64> {
    let now = app.control().now();
    let certificates = app
        .control()
        .certificates()
        .into_iter()
        .filter(|(name, _)| wanted(name));
    let ends = certificates
        .filter_map(|(_, pair)| certificate_facts(&pair.certificate).ok())
        .map(|facts| facts.not_after);
    ends.min().map(|end| end.since(now).as_secs_f64() / 86_400.0)
}
