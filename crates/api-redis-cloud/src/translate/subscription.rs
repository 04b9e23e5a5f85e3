//! What was asked of a subscription, checked by the rules of this API (specification §9.1).

use pilothouse_model::Cidr;

use crate::documents::{CloudAccounts, SubscriptionDocument};
use crate::error::TaskError;
use crate::wire::subscription::{
    CloudProvider, DeploymentType, MemoryStorage, Region, StorageEncryption, SubscriptionRequest,
};

/// The payment method that is always there (§7.2).
pub(crate) const PAYMENT_METHOD: i64 = 1;
/// The cloud account that is always there: our own machines (§8).
pub(crate) const CLOUD_ACCOUNT: i64 = 1;
const RESOURCE_TAGS_MAX: usize = 30;

/// Region names that are accepted where no configuration names others: each is this one pool of hosts (§7.3).
pub(crate) const REGIONS: &[(&str, &str)] = &[
    ("AWS", "us-east-1"),
    ("AWS", "us-east-2"),
    ("AWS", "us-west-1"),
    ("AWS", "us-west-2"),
    ("AWS", "ca-central-1"),
    ("AWS", "sa-east-1"),
    ("AWS", "eu-central-1"),
    ("AWS", "eu-north-1"),
    ("AWS", "eu-south-1"),
    ("AWS", "eu-west-1"),
    ("AWS", "eu-west-2"),
    ("AWS", "eu-west-3"),
    ("AWS", "ap-east-1"),
    ("AWS", "ap-northeast-1"),
    ("AWS", "ap-northeast-2"),
    ("AWS", "ap-south-1"),
    ("AWS", "ap-southeast-1"),
    ("AWS", "ap-southeast-2"),
    ("AWS", "me-south-1"),
    ("AWS", "af-south-1"),
    ("GCP", "us-central1"),
    ("GCP", "us-east1"),
    ("GCP", "us-east4"),
    ("GCP", "us-west1"),
    ("GCP", "us-west2"),
    ("GCP", "northamerica-northeast1"),
    ("GCP", "southamerica-east1"),
    ("GCP", "europe-north1"),
    ("GCP", "europe-west1"),
    ("GCP", "europe-west2"),
    ("GCP", "europe-west3"),
    ("GCP", "europe-west4"),
    ("GCP", "asia-east1"),
    ("GCP", "asia-northeast1"),
    ("GCP", "asia-south1"),
    ("GCP", "asia-southeast1"),
    ("GCP", "australia-southeast1"),
];

/// A new subscription, but for its databases and its capacity.
pub(crate) fn create(
    request: &SubscriptionRequest,
    cloud_accounts: &CloudAccounts,
) -> Result<SubscriptionDocument, TaskError> {
    refuse_what_is_not_offered(request)?;
    check_payment(request.payment_method_id)?;
    let provider = only_provider(request)?;
    let cloud_account_id = provider.cloud_account_id.unwrap_or(CLOUD_ACCOUNT);
    if !cloud_accounts
        .accounts
        .iter()
        .any(|account| account.id == cloud_account_id)
    {
        let why = format!("there is no cloud account {cloud_account_id}");
        return Err(TaskError::new("CLOUD_ACCOUNT_NOT_FOUND", why));
    }
    let provider_name = provider.provider.unwrap_or_default();
    let region = only_region(provider)?;
    let name = region.region.clone().unwrap_or_default();
    if !REGIONS.contains(&(provider_name.as_str(), name.as_str())) {
        let why = format!("{} has no region {name:?}", provider_name.as_str());
        return Err(TaskError::new("SUBSCRIPTION_INVALID_REGION_NAME", why));
    }
    let networking = region.networking.clone().unwrap_or_default();
    if let Some(cidr) = &networking.deployment_cidr {
        cidr.parse::<Cidr>()
            .map_err(|error| TaskError::new("SUBSCRIPTION_INVALID_CIDR", error.to_string()))?;
    }
    Ok(SubscriptionDocument {
        payment_method: request.payment_method.unwrap_or_default(),
        payment_method_id: request.payment_method_id,
        memory_storage: MemoryStorage::Ram,
        public_endpoint_access: request.public_endpoint_access.unwrap_or(true),
        provider: provider_name,
        cloud_account_id,
        region: name,
        multiple_availability_zones: false,
        preferred_availability_zones: region.preferred_availability_zones.clone().unwrap_or_default(),
        networking,
        resource_tags: provider.resource_tags.clone().unwrap_or_default(),
        cidr: Vec::new(),
        security_groups: Vec::new(),
        maintenance: None,
        steps: 0,
    })
}

fn refuse_what_is_not_offered(request: &SubscriptionRequest) -> Result<(), TaskError> {
    let refused = |code, why: &str| Err(TaskError::new(code, why));
    if request.deployment_type == Some(DeploymentType::ActiveActive) {
        return refused(
            "ACTIVE_ACTIVE_SUBSCRIPTION_IS_NOT_SUPPORTED",
            "no engine here writes in several regions at once",
        );
    }
    if request.persistent_storage_encryption_type == Some(StorageEncryption::CustomerManagedKey) {
        return refused(
            "CUSTOMER_MANAGED_PERSISTENT_STORAGE_ENCRYPTION_KEY_IS_NOT_SUPPORTED",
            "keys of customers are not offered here",
        );
    }
    if request.memory_storage == Some(MemoryStorage::RamAndFlash) {
        return refused("DATABASE_ROF_NOT_SUPPORTED", "data is kept in memory only");
    }
    if request.databases.as_ref().is_none_or(Vec::is_empty) {
        return refused(
            "SUBSCRIPTION_MUST_HAVE_AT_LEAST_ONE_DATABASE",
            "a subscription begins with at least one database",
        );
    }
    Ok(())
}

fn only_provider(request: &SubscriptionRequest) -> Result<&CloudProvider, TaskError> {
    let provider = match request.cloud_providers.as_deref() {
        Some([provider]) => provider,
        Some([_, _, ..]) => {
            let why = "a subscription has one cloud provider";
            return Err(TaskError::new("MULTIPLE_CLOUD_PROVIDERS_NOT_SUPPORTED", why));
        }
        _ => return Err(TaskError::new("BAD_REQUEST", "cloudProviders is missing")),
    };
    if provider
        .resource_tags
        .as_ref()
        .is_some_and(|tags| tags.len() > RESOURCE_TAGS_MAX)
    {
        let why = "at most 30 resource tags";
        return Err(TaskError::new("RESOURCE_TAGS_EXCEEDS_MAXIMUM_COUNT", why));
    }
    Ok(provider)
}

pub(crate) fn check_payment(id: Option<i64>) -> Result<(), TaskError> {
    match id {
        None | Some(PAYMENT_METHOD) => Ok(()),
        Some(other) => Err(TaskError::new(
            "SUBSCRIPTION_PI_NOT_FOUND",
            format!("there is no payment method {other}"),
        )),
    }
}

fn only_region(provider: &CloudProvider) -> Result<&Region, TaskError> {
    match provider.regions.as_deref() {
        Some([region]) if region.multiple_availability_zones == Some(true) => {
            let why = "the hosts of this installation are one zone";
            Err(TaskError::new("PLANNER_NOT_ENOUGH_AZS", why))
        }
        Some([region]) => Ok(region),
        _ => Err(TaskError::new(
            "SINGLE_REGION_SUBSCRIPTION_MUST_DEFINE_ONLY_ONE_REGION",
            "exactly one region is named",
        )),
    }
}
