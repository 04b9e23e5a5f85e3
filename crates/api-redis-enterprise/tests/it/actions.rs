//! `/v1/actions`, `/v2/actions`: what is under way and what was.

use serde_json::json;

use crate::databases::created;
use crate::harness::Cluster;

#[tokio::test]
async fn the_list_is_never_empty_and_each_is_found_under_both_versions() {
    let cluster = Cluster::ready().await;
    let all = cluster.get("/v1/actions").await.ok();
    let first = &all["actions"][0];
    assert_eq!(
        (&first["name"], &first["status"], &first["progress"]),
        (&json!("retry_bdb"), &json!("completed"), &json!("100"))
    );
    let uid = first["action_uid"].as_str().unwrap();
    assert_eq!(&cluster.get(&format!("/v1/actions/{uid}")).await.ok(), first);
    assert_eq!(cluster.get(&format!("/v2/actions/{uid}")).await.ok()["action_uid"], uid);
    assert_eq!(cluster.get("/v1/actions/none").await.refused(404), "action_not_found");
    assert_eq!(
        cluster.call("DELETE", &format!("/v1/actions/{uid}"), None).await.status,
        405
    );
}

#[tokio::test]
async fn operations_on_databases_are_state_machines() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let all = cluster.get("/v1/actions").await.ok();
    let machine = &all["state-machines"][0];
    assert_eq!(
        (&machine["name"], &machine["object_name"]),
        (&json!("SMCreateBDB"), &json!("bdb:1"))
    );
    let uid = machine["action_uid"].as_str().unwrap();
    let newer = cluster.get(&format!("/v2/actions/{uid}")).await.ok();
    assert_eq!(
        (&newer["action_type"], &newer["status"]),
        (&json!("state-machine"), &json!("completed"))
    );
    assert_eq!(newer["progress"], json!(100.0));
    assert_eq!(
        cluster.get("/v1/actions/bdb/1").await.ok(),
        json!([]),
        "nothing is under way"
    );
    assert_eq!(cluster.get("/v1/actions/bdb/2").await.refused(404), "db_not_exist");
    assert_eq!(cluster.get("/v2/actions").await.ok().as_array().unwrap().len(), 2);
}
