//! What only this API knows of subscriptions and databases: echoed, and without an effect on servers.

use pilothouse_control::{Control, DocumentWrite};
use pilothouse_model::{DatabaseId, Dialect, GroupId, Subject, TenantId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::TaskError;
use crate::plans::Plan;
use crate::translate::subscription::CLOUD_ACCOUNT;
use crate::wire::database::{Alert, Protocol, Throughput};
use crate::wire::subscription::{MemoryStorage, Networking, PaymentMethod, Provider};

const SUBSCRIPTION: &str = "subscription";
const CLOUD_ACCOUNTS: &str = "cloud-accounts";
const FIXED: &str = "fixed-subscription";
const DATABASE: &str = "database";
const VERSION: u32 = 1;

/// A subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubscriptionDocument {
    pub(crate) payment_method: PaymentMethod,
    pub(crate) payment_method_id: Option<i64>,
    pub(crate) memory_storage: MemoryStorage,
    pub(crate) public_endpoint_access: bool,
    pub(crate) provider: Provider,
    pub(crate) cloud_account_id: i64,
    pub(crate) region: String,
    pub(crate) multiple_availability_zones: bool,
    pub(crate) preferred_availability_zones: Vec<String>,
    pub(crate) networking: Networking,
    pub(crate) resource_tags: Vec<Value>,
    /// Source filter in front of all databases; empty for none.
    #[serde(default)]
    pub(crate) cidr: Vec<String>,
    #[serde(default)]
    pub(crate) security_groups: Vec<String>,
    /// Maintenance windows as they were set; `None` for automatic ones.
    #[serde(default)]
    pub(crate) maintenance: Option<Value>,
    /// Capacity that the subscription began with, in steps.
    pub(crate) steps: u32,
}

/// An Essentials subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FixedDocument {
    pub(crate) plan: Plan,
    pub(crate) payment_method: PaymentMethod,
    pub(crate) payment_method_id: Option<i64>,
}

/// The cloud accounts of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CloudAccounts {
    pub(crate) accounts: Vec<CloudAccount>,
    /// The next id: none is given twice.
    pub(crate) next: i64,
}

/// A cloud account. Its secrets are not kept: nobody would use them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CloudAccount {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) access_key_id: String,
    pub(crate) sign_in_login_url: Option<String>,
}

impl Default for CloudAccounts {
    /// Our own machines.
    fn default() -> Self {
        Self {
            accounts: vec![CloudAccount {
                id: CLOUD_ACCOUNT,
                name: "Pilothouse hosts".to_owned(),
                provider: Provider::Aws,
                access_key_id: String::new(),
                sign_in_login_url: None,
            }],
            next: CLOUD_ACCOUNT + 1,
        }
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DatabaseDocument {
    pub(crate) throughput: Throughput,
    pub(crate) resp_version: String,
    pub(crate) auto_minor_version_upgrade: bool,
    pub(crate) alerts: Vec<Alert>,
    /// What clients may connect from, as it was asked for; empty for what the subscription allows.
    pub(crate) source_ip: Vec<String>,
    /// Steps of capacity that its subscription grew by for it.
    pub(crate) steps: u32,
    /// The subscription is pending until this database is active.
    pub(crate) holds_subscription: bool,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// What an Essentials database says that it speaks.
    #[serde(default)]
    pub(crate) protocol: Option<Protocol>,
}

/// What is known of a subscription here.
pub(crate) fn subscription(control: &Control, id: GroupId) -> Option<SubscriptionDocument> {
    read(control, Subject::Group(id), SUBSCRIPTION)
}

/// The cloud accounts of an account.
pub(crate) fn cloud_accounts(control: &Control, tenant: TenantId) -> CloudAccounts {
    read(control, Subject::Tenant(tenant), CLOUD_ACCOUNTS).unwrap_or_default()
}

/// What is known of an Essentials subscription here.
pub(crate) fn fixed(control: &Control, id: GroupId) -> Option<FixedDocument> {
    read(control, Subject::Group(id), FIXED)
}

/// What is known of a database here; `None` for one that was made elsewhere.
pub(crate) fn database(control: &Control, id: DatabaseId) -> Option<DatabaseDocument> {
    read(control, Subject::Database(id), DATABASE)
}

fn read<T: DeserializeOwned>(control: &Control, subject: Subject, kind: &str) -> Option<T> {
    let document = control.document(Dialect::RedisCloud, &subject, kind)?;
    serde_json::from_value(document.body.clone()).ok()
}

impl SubscriptionDocument {
    /// To be written with the subscription.
    pub(crate) fn write(&self) -> Result<DocumentWrite, TaskError> {
        write(SUBSCRIPTION, self)
    }
}

impl FixedDocument {
    /// To be written with the subscription.
    pub(crate) fn write(&self) -> Result<DocumentWrite, TaskError> {
        write(FIXED, self)
    }
}

impl CloudAccounts {
    /// To be written with the account.
    pub(crate) fn write(&self) -> Result<DocumentWrite, TaskError> {
        write(CLOUD_ACCOUNTS, self)
    }
}

impl DatabaseDocument {
    /// To be written with the database.
    pub(crate) fn write(&self) -> Result<DocumentWrite, TaskError> {
        write(DATABASE, self)
    }
}

fn write(kind: &'static str, content: &impl Serialize) -> Result<DocumentWrite, TaskError> {
    let body = serde_json::to_value(content).map_err(|error| TaskError::new("GENERAL_ERROR", error.to_string()))?;
    Ok(DocumentWrite {
        kind,
        version: VERSION,
        body,
    })
}
