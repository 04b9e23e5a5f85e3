//! The requests that make and change a subscription (specification §9).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::database::DatabaseRequest;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionRequest {
    pub(crate) name: Option<String>,
    pub(crate) dry_run: Option<bool>,
    pub(crate) deployment_type: Option<DeploymentType>,
    pub(crate) payment_method: Option<PaymentMethod>,
    pub(crate) payment_method_id: Option<i64>,
    pub(crate) memory_storage: Option<MemoryStorage>,
    pub(crate) persistent_storage_encryption_type: Option<StorageEncryption>,
    pub(crate) cloud_providers: Option<Vec<CloudProvider>>,
    pub(crate) databases: Option<Vec<DatabaseRequest>>,
    pub(crate) redis_version: Option<String>,
    pub(crate) public_endpoint_access: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeploymentType {
    SingleRegion,
    ActiveActive,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PaymentMethod {
    #[default]
    CreditCard,
    Marketplace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MemoryStorage {
    #[default]
    Ram,
    RamAndFlash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StorageEncryption {
    CloudProviderManagedKey,
    CustomerManagedKey,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Provider {
    #[default]
    #[serde(rename = "AWS")]
    Aws,
    #[serde(rename = "GCP")]
    Gcp,
    #[serde(rename = "AZURE")]
    Azure,
}

impl Provider {
    /// The provider with that name; the first one for a name that is none.
    pub(crate) fn named(name: &str) -> Self {
        let all = [Self::Aws, Self::Gcp, Self::Azure];
        all.into_iter()
            .find(|provider| provider.as_str() == name)
            .unwrap_or_default()
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Gcp => "GCP",
            Self::Azure => "AZURE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CloudProvider {
    pub(crate) provider: Option<Provider>,
    pub(crate) cloud_account_id: Option<i64>,
    pub(crate) regions: Option<Vec<Region>>,
    pub(crate) resource_tags: Option<Vec<Value>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Region {
    pub(crate) region: Option<String>,
    pub(crate) multiple_availability_zones: Option<bool>,
    pub(crate) preferred_availability_zones: Option<Vec<String>>,
    pub(crate) networking: Option<Networking>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Networking {
    #[serde(rename = "deploymentCIDR", skip_serializing_if = "Option::is_none")]
    pub(crate) deployment_cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) security_group_id: Option<String>,
}
