//! `/v1/bdbs/alerts`: state and settings of alerts of databases.

use serde_json::json;

use crate::databases::{created, until};
use crate::harness::Cluster;

#[tokio::test]
async fn settings_are_changed_and_kept() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let path = "/v1/bdbs/alerts/1";
    let change = json!({"bdb_size": {"enabled": true, "threshold": "90"}, "bdb_unknown": {"enabled": true}});
    let changed = cluster.post(path, &change).await.ok();
    assert_eq!(
        (&changed["bdb_size"]["enabled"], &changed["bdb_size"]["threshold"]),
        (&json!(true), &json!("90"))
    );
    assert!(changed.get("bdb_unknown").is_none());
    assert_eq!(cluster.get("/v1/bdbs/alerts").await.ok()["1"], changed);
    assert_eq!(
        cluster.get("/v1/bdbs/alerts/1/bdb_size").await.ok(),
        changed["bdb_size"]
    );
    let tried = cluster
        .post("/v1/bdbs/alerts/1?dry_run", &json!({"bdb_size": {"threshold": "10"}}))
        .await
        .ok();
    assert_eq!(tried["bdb_size"]["threshold"], "10");
    assert_eq!(cluster.get(path).await.ok(), changed);
    assert_eq!(
        cluster
            .post(path, &json!({"bdb_size": {"threshold": "much"}}))
            .await
            .refused(406),
        "invalid_threshold"
    );
    assert_eq!(
        cluster.post(path, &json!({"bdb_size": true})).await.refused(400),
        "invalid_schema"
    );
    assert_eq!(
        cluster.get("/v1/bdbs/alerts/1/what").await.refused(404),
        "alert_not_exist"
    );
    assert_eq!(cluster.get("/v1/bdbs/alerts/2").await.refused(404), "db_not_exist");
}

#[tokio::test]
async fn an_alert_fires_and_is_logged() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let quiet = json!({"bdb_low_throughput": {"enabled": true, "threshold": "100"}});
    cluster.post("/v1/bdbs/alerts/1", &quiet).await.ok();
    let path = "/v1/bdbs/alerts/1/bdb_low_throughput";
    until("the alert", async || cluster.get(path).await.ok()["state"] == true).await;
    let alert = cluster.get(path).await.ok();
    assert_eq!(
        (&alert["severity"], &alert["change_value"]["state"]),
        (&json!("WARNING"), &json!(true))
    );
    assert!(alert["change_time"].is_string());
}
