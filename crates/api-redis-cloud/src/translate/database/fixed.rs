//! What the plan of an Essentials subscription has and has not (specification §12.3).

use pilothouse_model::{DatabaseSpec, Persistence, TlsMode};

use crate::error::TaskError;
use crate::plans::Plan;
use crate::wire::database::{DatabaseRequest, Protocol};
use crate::wire::fixed::FixedDatabaseFields;

fn refused(code: &'static str, why: &str) -> Result<(), TaskError> {
    Err(TaskError::new(code, why))
}

/// Refuses what no plan has.
pub(crate) fn refuse_what_plans_lack(request: &DatabaseRequest, fields: FixedDatabaseFields) -> Result<(), TaskError> {
    if request.memory_limit_in_gb.is_some() || request.dataset_size_in_gb.is_some() {
        return refused(
            "FIXED_DATABASE_MEMORY_LIMIT_IN_GB_AND_DATA_SET_SIZE_SUPPORTED_ONLY_FOR_PAY_AS_YOU_GO",
            "the plan says how large the database is",
        );
    }
    if fields.number_of_shards.is_some_and(|shards| shards != 1) {
        return refused("DATABASE_INVALID_SHARDS_COUNT", "databases of a plan have one shard");
    }
    if fields.enable_database_clustering == Some(true) {
        return refused(
            "FIXED_DATABASE_ENABLE_DATABASE_CLUSTERING_SUPPORTED_ONLY_FOR_PAY_AS_YOU_GO",
            "databases of a plan have one shard",
        );
    }
    if request.support_oss_cluster_api == Some(true) {
        return refused(
            "FIXED_DATABASE_OSS_CLUSTER_API_IS_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "no plan has the cluster API",
        );
    }
    if request.external_endpoint == Some(true) {
        return refused(
            "FIXED_DATABASE_USE_EXTERNAL_ENDPOINT_FOR_OSS_CLUSTER_API_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "no plan has the cluster API",
        );
    }
    if request.regex_rules.as_ref().is_some_and(|rules| !rules.is_empty()) {
        return refused(
            "FIXED_DATABASE_REGEX_RULES_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "keys are spread by their hash only",
        );
    }
    let has_modules = request.modules.as_ref().is_some_and(|modules| !modules.is_empty());
    if has_modules && matches!(request.protocol, None | Some(Protocol::Stack)) {
        return refused(
            "FIXED_DATABASE_STACK_PROTOCOL_CONTAINS_MODULES",
            "modules are named with the protocol redis",
        );
    }
    Ok(())
}

/// Whether a plan can hold a database as it is wanted.
pub(crate) fn check_plan(spec: &DatabaseSpec, plan: &Plan) -> Result<(), TaskError> {
    if spec.replicas > 0 && !plan.replication {
        return refused(
            "FIXED_DATABASE_REPLICATION_IS_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "the plan has no replicas",
        );
    }
    if spec.persistence != Persistence::Disabled && !plan.persistence {
        return refused(
            "FIXED_DATABASE_CLUSTER_DOES_NOT_SUPPORT_DATA_PERSISTENCE",
            "the plan keeps no data on disk",
        );
    }
    if spec.network.source_allow.len() > plan.sources_max() {
        return refused(
            "FIXED_DATABASE_SOURCE_IPS_LIST_IS_GREATER_THAN_PLAN_MAX_COUNT_ALLOWED_SOURCE_IPS",
            &format!("the plan allows {} source addresses", plan.sources_max()),
        );
    }
    if plan.has_extras() {
        return Ok(());
    }
    if spec.network.tls == TlsMode::Enabled {
        return refused(
            "FIXED_DATABASE_ENABLE_TLS_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "the plan has no TLS",
        );
    }
    if !spec.network.client_auth.trusted.is_empty() {
        return refused(
            "FIXED_DATABASE_CLIENT_SSL_CERTIFICATE_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "the plan has no TLS",
        );
    }
    if spec.replica_of.is_some() {
        return refused(
            "FIXED_DATABASE_REPLICA_OF_NOT_SUPPORTED_IN_REQUESTED_PLAN",
            "databases of the plan follow no others",
        );
    }
    if spec.backup.as_ref().is_some_and(|backup| backup.enabled) {
        return refused("DATABASE_FEATURE_NOT_SUPPORTED", "the plan has no backups");
    }
    Ok(())
}
