//! What Essentials requests say in words of their own (specification §12).

use serde::Deserialize;

use super::subscription::PaymentMethod;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FixedSubscriptionRequest {
    pub(crate) name: Option<String>,
    pub(crate) plan_id: Option<u64>,
    pub(crate) payment_method: Option<PaymentMethod>,
    pub(crate) payment_method_id: Option<i64>,
}

/// Fields of a database besides those that Pro databases have too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FixedDatabaseFields {
    pub(crate) enable_database_clustering: Option<bool>,
    pub(crate) number_of_shards: Option<i64>,
}
