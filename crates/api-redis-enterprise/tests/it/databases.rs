//! Databases for tests.

use std::time::Duration;

use pilothouse_test_support::{wait_for, wait_until};
use serde_json::{Value, json};

use crate::harness::Cluster;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a database `db1` of 100 MB with these fields besides, and waits until it is active.
pub(crate) async fn created(cluster: &Cluster, extra: Value) -> Value {
    let mut body = json!({"name": "db1", "memory_size": 100_000_000});
    if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
        body.extend(extra.clone());
    }
    let made = cluster.post("/v1/bdbs", &body).await.ok();
    settled(cluster, made["uid"].as_u64().unwrap()).await
}

/// Waits until the database is active and nothing is under way.
pub(crate) async fn settled(cluster: &Cluster, uid: u64) -> Value {
    let path = format!("/v1/bdbs/{uid}");
    wait_for(PATIENCE, "the database to be active", async || {
        let bdb = cluster.get(&path).await.ok();
        (bdb["status"] == "active" && bdb.get("action_uid").is_none()).then_some(bdb)
    })
    .await
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until(PATIENCE, what, condition).await;
}
