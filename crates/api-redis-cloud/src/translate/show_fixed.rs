//! Plans, Essentials subscriptions and their databases as clients see them (specification §12).

use pilothouse_control::{Control, DatabaseView};
use serde_json::{Value, json};

use super::show::{self, Shown};
use crate::documents::FixedDocument;
use crate::plans::Plan;
use crate::wire::database::Protocol;

/// A plan.
pub(crate) fn plan(plan: &Plan, links: Value) -> Value {
    json!({
        "id": plan.id,
        "name": plan.name,
        "size": plan.in_unit(plan.memory_bytes),
        "datasetSize": plan.in_unit(plan.dataset_bytes()),
        "sizeMeasurementUnit": plan.unit(),
        "provider": plan.provider.as_str(),
        "region": plan.region,
        "regionId": plan.region_id,
        "price": plan.price,
        "priceCurrency": "USD",
        "pricePeriod": "Month",
        "maximumDatabases": plan.databases_max(),
        "maximumThroughput": plan.throughput(),
        "maximumBandwidthGB": plan.bandwidth_gb(),
        "availability": plan.availability(),
        "connections": plan.connections().to_string(),
        "cidrAllowRules": plan.sources_max(),
        "supportDataPersistence": plan.persistence,
        "supportInstantAndDailyBackups": plan.has_extras(),
        "supportReplication": plan.replication,
        "supportClustering": false,
        "supportSsl": plan.has_extras(),
        "redisFlex": false,
        "supportedAlerts": Plan::alerts(),
        "customerSupport": "Standard",
        "links": links,
    })
}

/// What a subscription is made of besides its plan.
pub(crate) struct Sum<'a> {
    pub(crate) number: u64,
    pub(crate) name: &'a str,
    pub(crate) status: &'static str,
    /// Where its database stands, if it has one.
    pub(crate) database: Option<&'static str>,
    pub(crate) created: Option<String>,
    pub(crate) links: Value,
}

/// A subscription.
pub(crate) fn subscription(sum: &Sum<'_>, document: &FixedDocument) -> Value {
    let plan = &document.plan;
    let mut object = json!({
        "id": sum.number,
        "name": sum.name,
        "status": sum.status,
        "paymentMethodType": document.payment_method,
        "planId": plan.id,
        "planName": plan.name,
        "planType": if plan.is_free() { "free" } else { "fixed" },
        "size": plan.in_unit(plan.memory_bytes),
        "sizeMeasurementUnit": plan.unit(),
        "provider": plan.provider.as_str(),
        "region": plan.region,
        "price": plan.price,
        "pricePeriod": "Month",
        "priceCurrency": "USD",
        "maximumDatabases": plan.databases_max(),
        "availability": plan.availability(),
        "connections": plan.connections().to_string(),
        "cidrAllowRules": plan.sources_max(),
        "supportDataPersistence": plan.persistence,
        "supportInstantAndDailyBackups": plan.has_extras(),
        "supportReplication": plan.replication,
        "supportClustering": false,
        "customerSupport": "Standard",
        "links": sum.links,
    });
    if let Some(id) = document.payment_method_id {
        object["paymentMethodId"] = json!(id);
    }
    if let Some(status) = sum.database {
        object["databaseStatus"] = json!(status);
    }
    if let Some(created) = &sum.created {
        object["creationDate"] = json!(created);
    }
    object
}

/// The word for where a database stands: one client knows no upgrades here (§5).
pub(crate) fn status(view: &DatabaseView) -> &'static str {
    match crate::state::database(view) {
        "active-upgrade-pending" => "active-change-pending",
        other => other,
    }
}

/// A database: what differs from one of a Pro subscription (§12.3).
pub(crate) fn database(control: &Control, shown: &Shown<'_>, plan: &Plan, with_password: bool) -> Value {
    let mut object = show::database(control, shown, with_password);
    if let Some(fields) = object.as_object_mut() {
        for absent in [
            "throughputMeasurement",
            "queryPerformanceFactor",
            "autoMinorVersionUpgrade",
        ] {
            fields.remove(absent);
        }
    }
    let protocol = shown.document.as_ref().and_then(|document| document.protocol);
    object["protocol"] = json!(protocol.unwrap_or(Protocol::Stack).as_str());
    object["status"] = json!(status(shown.view));
    object["planMemoryLimit"] = json!(plan.in_unit(plan.memory_bytes));
    object["planDatasetSize"] = json!(plan.in_unit(plan.dataset_bytes()));
    object["memoryLimitMeasurementUnit"] = json!(plan.unit());
    object["redisFlex"] = json!(false);
    object["clustering"] = json!({ "enabled": false, "regexRules": [], "hashingPolicy": "standard" });
    if let Some(security) = object["security"].as_object_mut() {
        let enabled = security.remove("enableDefaultUser").unwrap_or(json!(true));
        security.insert("defaultUserEnabled".to_owned(), enabled);
    }
    let backup = object["backup"].take();
    object["backup"] = match backup["enableRemoteBackup"].as_bool() {
        Some(true) => json!({
            "remoteBackupEnabled": true,
            "status": "idle",
            "interval": backup["interval"],
            "destination": backup["destination"],
        }),
        _ => json!({ "remoteBackupEnabled": false }),
    };
    object
}
