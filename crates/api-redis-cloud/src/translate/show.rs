//! Subscriptions and databases as clients see them (specification §9.2, §10.3).

use pilothouse_control::{Control, DatabaseView};
use pilothouse_model::{DatabaseSpec, FsyncPolicy, Persistence, ServerRole, TlsMode};
use serde_json::{Value, json};

use super::{database as asked, size};
use crate::documents::{DatabaseDocument, SubscriptionDocument};
use crate::{ids, state};

/// What an answer about a database is made of.
pub(crate) struct Shown<'a> {
    pub(crate) view: &'a DatabaseView,
    pub(crate) document: Option<DatabaseDocument>,
    pub(crate) provider: &'a str,
    pub(crate) region: &'a str,
    /// Whether its subscription lets public addresses in.
    pub(crate) public: bool,
    pub(crate) links: Value,
}

/// A database. `password` is shown to keys that may write, and never in lists.
pub(crate) fn database(control: &Control, shown: &Shown<'_>, with_password: bool) -> Value {
    let view = shown.view;
    let database = &view.database;
    let spec = &database.spec;
    let number = ids::of_database(control, database.id);
    let copies = 1 + u64::from(spec.replicas);
    let status = state::database(view);
    let throughput = shown.document.as_ref().map_or_else(
        || json!({"by": "operations-per-second", "value": 1000}),
        |document| json!(document.throughput),
    );
    let mut object = json!({
        "databaseId": number,
        "name": database.name.as_str(),
        "protocol": "redis",
        "provider": shown.provider,
        "region": shown.region,
        "redisVersion": asked::short(spec.version),
        "redisVersionCompliance": spec.version.to_string(),
        "respVersion": shown.document.as_ref().map_or("resp2", |document| document.resp_version.as_str()),
        "status": status,
        "datasetSizeInGb": size::gb(spec.memory_bytes / copies),
        "memoryLimitInGb": size::gb(spec.memory_bytes),
        "memoryUsedInMb": size::mb(used_bytes(view)),
        "memoryStorage": "ram",
        "supportOSSClusterApi": spec.cluster,
        "useExternalEndpointForOSSClusterApi": spec.cluster,
        "dataPersistence": persistence(&spec.persistence),
        "dataEvictionPolicy": spec.eviction.as_str(),
        "replication": spec.replicas > 0,
        "throughputMeasurement": throughput,
        "queryPerformanceFactor": "Standard",
        "autoMinorVersionUpgrade": shown.document.as_ref().is_none_or(|document| document.auto_minor_version_upgrade),
        "lastModified": database.changed_at.to_rfc3339_seconds(),
        "replicaOf": null,
        "replica": null,
        "clustering": { "numberOfShards": spec.shards, "regexRules": [], "hashingPolicy": "oss" },
        "security": security(control, shown, with_password),
        "modules": [],
        "alerts": alerts(number, shown.document.as_ref()),
        "backup": backup(view),
        "links": shown.links,
    });
    complete(&mut object, view);
    object
}

/// What only some databases have.
fn complete(object: &mut Value, view: &DatabaseView) {
    let database = &view.database;
    if database.was_active {
        object["activatedOn"] = json!(database.created_at.to_rfc3339_seconds());
        let endpoint = json!(database.endpoint().to_string());
        object["publicEndpoint"] = endpoint.clone();
        object["privateEndpoint"] = endpoint;
    }
    if let Some(source) = &database.spec.replica_of {
        let shown = format!("redis://{}:{}", source.host, source.port);
        object["replica"] = json!({ "syncSources": [{ "endpoint": shown, "encryption": source.tls }] });
    }
    if let Some(why) = &database.creation_error {
        object["errorDetails"] = json!({ "type": "PROVISION_FAILURE", "description": why });
    } else if database.needs_recovery {
        let description = "all copies of the data are gone";
        object["errorDetails"] = json!({ "type": "GENERAL_ERROR", "description": description });
    }
}

/// What its data take in all shards, bytes.
pub(crate) fn used_bytes(view: &DatabaseView) -> u64 {
    let facts = view.observation.servers.values().filter_map(|seen| seen.facts.as_ref());
    let primaries = facts.filter(|facts| facts.replication.role == ServerRole::Primary);
    primaries.map(|facts| facts.used_memory_bytes).sum()
}

fn security(control: &Control, shown: &Shown<'_>, with_password: bool) -> Value {
    let spec = &shown.view.database.spec;
    let mutual = spec.network.client_auth.required && spec.network.tls == TlsMode::Enabled;
    let mut security = json!({
        "enableDefaultUser": spec.access.default_user,
        "sslClientAuthentication": mutual,
        "tlsClientAuthentication": mutual,
        "enableTls": spec.network.tls == TlsMode::Enabled,
        "sourceIps": sources(shown),
    });
    if with_password
        && let Some(password) = spec
            .access
            .default_passwords
            .first()
            .and_then(|sealed| control.open(sealed).ok())
    {
        security["password"] = json!(password.expose());
    }
    security
}

/// Who may connect, as it was written where that still holds.
fn sources(shown: &Shown<'_>) -> Vec<String> {
    let own = &shown.view.database.spec.network.source_allow;
    let written: &[String] = shown.document.as_ref().map_or(&[], |document| &document.source_ip);
    match asked::ranges(written) {
        Ok(ranges) if ranges == *own && !written.is_empty() => written.to_vec(),
        _ if !own.is_empty() => own.iter().map(ToString::to_string).collect(),
        _ if shown.public => vec!["0.0.0.0/0".to_owned()],
        _ => asked::PRIVATE_RANGES.map(str::to_owned).to_vec(),
    }
}

fn persistence(persistence: &Persistence) -> &'static str {
    match persistence {
        Persistence::Disabled => "none",
        Persistence::AppendOnly {
            fsync: FsyncPolicy::EverySecond,
        } => "aof-every-1-second",
        Persistence::AppendOnly {
            fsync: FsyncPolicy::Always,
        } => "aof-every-write",
        Persistence::Snapshot { rules } => match rules.first().map(|rule| rule.seconds) {
            Some(0..=3600) | None => "snapshot-every-1-hour",
            Some(3601..=21_600) => "snapshot-every-6-hours",
            Some(_) => "snapshot-every-12-hours",
        },
    }
}

fn alerts(number: u64, document: Option<&DatabaseDocument>) -> Value {
    let alerts = document.map_or(&[][..], |document| &document.alerts);
    let shown = alerts.iter().enumerate().map(|(index, alert)| {
        let id = format!("{number}-{}", index + 1);
        json!({ "id": id, "name": alert.name, "value": alert.value })
    });
    shown.collect()
}

fn backup(view: &DatabaseView) -> Value {
    let schedule = view.database.spec.backup.as_ref().filter(|schedule| schedule.enabled);
    let Some(schedule) = schedule else {
        return json!({ "enableRemoteBackup": false });
    };
    let hours = schedule.interval_seconds / 3600;
    let destination = match &schedule.location {
        pilothouse_model::Location::Directory { path } => format!("file://{}", path.display()),
        elsewhere => elsewhere.shown(),
    };
    let mut shown = json!({
        "enableRemoteBackup": true,
        "interval": format!("every-{hours}-hours"),
        "destination": destination,
    });
    if hours >= 12 {
        shown["timeUTC"] = json!(format!("{:02}:00", schedule.offset_seconds / 3600));
    }
    shown
}

/// What a subscription is made of, as its databases add up.
pub(crate) struct Sum {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) status: &'static str,
    pub(crate) databases: usize,
    pub(crate) total_bytes: u64,
    pub(crate) created: Option<String>,
}

/// A subscription; `document` is `None` for the one that holds what was made elsewhere.
pub(crate) fn subscription(sum: &Sum, document: Option<&SubscriptionDocument>, pricing: Value, links: Value) -> Value {
    let provider = document.map_or("AWS", |document| document.provider.as_str());
    let region = document.map_or("us-east-1", |document| document.region.as_str());
    let networking = document.map(|document| document.networking.clone()).unwrap_or_default();
    let cidr = networking
        .deployment_cidr
        .unwrap_or_else(|| "192.168.0.0/24".to_owned());
    let mut network = json!({ "deploymentCIDR": cidr });
    if let Some(vpc) = networking.vpc_id {
        network["vpcId"] = json!(vpc);
    }
    let mut object = json!({
        "id": sum.number,
        "name": sum.name,
        "status": sum.status,
        "deploymentType": "single-region",
        "paymentMethodType": document.map(|document| document.payment_method).unwrap_or_default(),
        "memoryStorage": "ram",
        "persistentStorageEncryptionType": "cloud-provider-managed-key",
        "numberOfDatabases": sum.databases,
        "publicEndpointAccess": document.is_none_or(|document| document.public_endpoint_access),
        "subscriptionPricing": pricing,
        "cloudDetails": [{
            "provider": provider,
            "cloudAccountId": document.map_or(super::subscription::CLOUD_ACCOUNT, |document| document.cloud_account_id),
            "totalSizeInGb": size::gb(sum.total_bytes),
            "regions": [{
                "region": region,
                "networking": [network],
                "preferredAvailabilityZones": document.map(|document| document.preferred_availability_zones.clone()).unwrap_or_default(),
                "multipleAvailabilityZones": document.is_some_and(|document| document.multiple_availability_zones),
            }],
            "resourceTags": document.map(|document| document.resource_tags.clone()).unwrap_or_default(),
            "links": [],
        }],
        "links": links,
    });
    if let Some(id) = document.and_then(|document| document.payment_method_id) {
        object["paymentMethodId"] = json!(id);
    }
    if let Some(created) = &sum.created {
        object["createdTimestamp"] = json!(created);
    }
    object
}

/// What a database costs: quantities are real, prices are nought (§13.3).
pub(crate) fn price(name: &str, region: &str, spec: &DatabaseSpec) -> Value {
    let servers = u64::from(spec.shards) * (1 + u64::from(spec.replicas));
    json!({
        "databaseName": name,
        "type": "Shards",
        "typeDetails": "micro",
        "quantity": servers,
        "quantityMeasurement": "shards",
        "pricePerUnit": 0.0,
        "priceCurrency": "USD",
        "pricePeriod": "hour",
        "region": region,
    })
}
