//! `/v1/shards`: server processes.

use serde_json::json;

use crate::databases::{created, settled, until};
use crate::harness::Cluster;

#[tokio::test]
async fn a_replicated_database_has_a_master_and_a_slave() {
    let cluster = Cluster::ready().await;
    let bdb = created(&cluster, json!({"replication": true})).await;
    assert_eq!(bdb["shard_list"], json!([1, 2]));
    let shards = cluster.get("/v1/bdbs/1/shards").await.ok();
    let word = |index: usize, key: &str| shards[index][key].clone();
    assert_eq!((word(0, "role"), word(1, "role")), (json!("master"), json!("slave")));
    assert_eq!(
        (word(0, "uid"), word(0, "bdb_uid"), word(0, "node_uid")),
        (json!("1"), json!(1), json!("1"))
    );
    assert_eq!(
        (word(0, "status"), word(0, "assigned_slots")),
        (json!("active"), json!("0-16383"))
    );
    assert_eq!(cluster.get("/v1/shards").await.ok(), shards);
    assert_eq!(cluster.get("/v1/shards/2").await.ok()["role"], "slave");
    assert_eq!(cluster.get("/v1/shards/3").await.refused(404), "shard_not_exist");
}

#[tokio::test]
async fn a_failover_swaps_the_roles() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({"replication": true})).await;
    assert_eq!(
        cluster
            .post("/v1/shards/2/actions/failover", &json!({}))
            .await
            .refused(400),
        "shard_is_slave"
    );
    assert_eq!(
        cluster
            .post("/v1/shards/actions/failover", &json!({}))
            .await
            .refused(404),
        "shard_uids_required"
    );
    let dry = cluster
        .post("/v1/shards/1/actions/failover", &json!({"dry_run": true}))
        .await
        .ok();
    assert_eq!(dry, json!({"description": "Failover was triggered"}));
    let triggered = cluster.post("/v1/shards/1/actions/failover", &json!({})).await.ok();
    assert_eq!(triggered["description"], "Failover was triggered");
    let action = format!("/v1/actions/{}", triggered["action_uid"].as_str().unwrap());
    until("the failover", async || {
        cluster.get(&action).await.ok()["status"] == "completed"
    })
    .await;
    assert_eq!(cluster.get(&action).await.ok()["name"], "SMFailover");
    assert_eq!(cluster.get("/v1/shards/2").await.ok()["role"], "master");
    assert!(settled(&cluster, 1).await["topology_epoch"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn without_a_replica_there_is_no_failover() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    assert_eq!(
        cluster
            .post("/v1/shards/1/actions/failover", &json!({}))
            .await
            .refused(406),
        "no_replica_in_sync"
    );
    assert_eq!(
        cluster
            .post("/v1/shards/9/actions/failover", &json!({}))
            .await
            .refused(404),
        "shard_not_exist"
    );
    let two = json!({"shard_uids": ["1", "9"]});
    assert_eq!(
        cluster.post("/v1/shards/actions/failover", &two).await.refused(404),
        "shard_not_exist"
    );
}

#[tokio::test]
async fn a_shard_that_is_where_it_is_wanted_stays() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let there = cluster
        .post("/v1/shards/1/actions/migrate", &json!({"target_node_uid": 1}))
        .await
        .ok();
    assert_eq!(there["description"], "Migrate was triggered");
    cluster
        .post(
            "/v1/shards/actions/migrate",
            &json!({"shard_uids": ["1"], "target_node": "1"}),
        )
        .await
        .ok();
    let path = "/v1/shards/1/actions/migrate";
    assert_eq!(
        cluster.post(path, &json!({"target_node_uid": 9})).await.refused(404),
        "node_not_found"
    );
    assert_eq!(cluster.post(path, &json!({})).await.refused(400), "missing_field");
    assert_eq!(
        cluster.post(path, &json!({"target_node_uid": []})).await.refused(400),
        "invalid_schema"
    );
}
