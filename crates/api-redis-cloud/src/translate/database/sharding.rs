//! Shards: with the cluster API as many as are asked for, without it one.

use pilothouse_model::DatabaseSpec;

use crate::error::TaskError;
use crate::wire::database::{DatabaseRequest, Throughput, ThroughputBy};

const NOT_SUPPORTED: &str = "DATABASE_OSS_CLUSTER_NOT_SUPPORTED";

/// The shards of a new database.
pub(super) fn create(
    request: &DatabaseRequest,
    throughput: Throughput,
    spec: &mut DatabaseSpec,
) -> Result<(), TaskError> {
    spec.cluster = request.support_oss_cluster_api.unwrap_or(false);
    check_endpoint(request, spec.cluster)?;
    spec.shards = shards(throughput, spec.cluster)?;
    check_source(spec)
}

/// The shards of a present database, up or down.
pub(super) fn update(request: &DatabaseRequest, spec: &mut DatabaseSpec) -> Result<(), TaskError> {
    if request
        .support_oss_cluster_api
        .is_some_and(|wanted| wanted != spec.cluster)
    {
        let why = "whether a database supports the cluster API is chosen when it is created";
        return Err(TaskError::new(NOT_SUPPORTED, why));
    }
    check_endpoint(request, spec.cluster)?;
    if let Some(throughput) = request.throughput_measurement {
        spec.shards = shards(throughput, spec.cluster)?;
    }
    check_source(spec)
}

fn check_endpoint(request: &DatabaseRequest, cluster: bool) -> Result<(), TaskError> {
    if request.external_endpoint == Some(true) && !cluster {
        return Err(TaskError::new(
            "DATABASE_EXTERNAL_ENDPOINT_WITHOUT_OSS_CLUSTER",
            "useExternalEndpointForOSSClusterApi needs supportOSSClusterApi",
        ));
    }
    Ok(())
}

/// A number of shards is a promise that one endpoint without the cluster API cannot keep; operations per second are none.
fn shards(throughput: Throughput, cluster: bool) -> Result<u16, TaskError> {
    if throughput.value < 1 {
        let why = "a throughput is at least 1";
        return Err(TaskError::new("PLANNER_INVALID_THROUGHPUT", why));
    }
    match throughput.by {
        ThroughputBy::OperationsPerSecond => Ok(1),
        ThroughputBy::NumberOfShards if throughput.value != 1 && !cluster => {
            Err(invalid("more than one shard needs supportOSSClusterApi"))
        }
        ThroughputBy::NumberOfShards => {
            u16::try_from(throughput.value).map_err(|_| invalid("a database cannot have that many shards"))
        }
    }
}

fn check_source(spec: &DatabaseSpec) -> Result<(), TaskError> {
    if spec.cluster && spec.replica_of.is_some() {
        return Err(TaskError::new(
            "DATABASE_OSS_CLUSTER_REPLICA_NOT_SUPPORTED",
            "a database with supportOSSClusterApi cannot be a replica of another",
        ));
    }
    Ok(())
}

fn invalid(why: &str) -> TaskError {
    TaskError::new("DATABASE_INVALID_SHARDS_COUNT", why)
}
