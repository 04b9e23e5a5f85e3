//! Roles and Redis ACLs.

use serde_json::json;

use crate::harness::Cluster;

#[tokio::test]
async fn roles_have_exactly_three_keys() {
    let cluster = Cluster::ready().await;
    let name = format!("mydb-v_token_{}", "x".repeat(120));
    let made = cluster
        .post("/v1/roles", &json!({"name": name, "management": "db_member"}))
        .await
        .ok();
    assert_eq!(made, json!({"uid": 7, "name": name, "management": "db_member"}));
    let changed = cluster
        .put("/v1/roles/7", &json!({"management": "db_viewer"}))
        .await
        .ok();
    assert_eq!(changed, json!({"uid": 7, "name": name, "management": "db_viewer"}));
    cluster.delete("/v1/roles/7").await.ok();
    assert_eq!(cluster.get("/v1/roles/7").await.refused(404), "role_not_exist");
    assert_eq!(cluster.post("/v1/roles", &json!({"name": "n"})).await.ok()["uid"], 8);
}

#[tokio::test]
async fn roles_in_use_and_built_in_ones_stay() {
    let cluster = Cluster::ready().await;
    for uid in 1..=6 {
        assert_eq!(cluster.delete(&format!("/v1/roles/{uid}")).await.status, 406);
    }
    assert_eq!(
        cluster.put("/v1/roles/1", &json!({"management": "none"})).await.status,
        406
    );
    assert_eq!(
        cluster.post("/v1/roles", &json!({"name": "Admin"})).await.refused(400),
        "name_already_exists"
    );
    assert_eq!(
        cluster.post("/v1/roles", &json!({})).await.refused(400),
        "missing_field"
    );
    assert_eq!(
        cluster.post("/v1/roles", &json!({"name": "a<b"})).await.refused(400),
        "invalid_schema"
    );
    cluster
        .post("/v1/roles", &json!({"name": "mine", "management": "db_member"}))
        .await
        .ok();
    cluster
        .post("/v1/users", &json!({"email": "a@b", "password": "x", "role_uids": [7]}))
        .await
        .ok();
    assert_eq!(cluster.delete("/v1/roles/7").await.refused(406), "role_in_use");
    let limited = json!({"name": "r", "resources": [{"type": "db", "uids": ["1"]}]});
    assert_eq!(
        cluster.post("/v1/roles", &limited).await.refused(406),
        "unsupported_resource"
    );
}

#[tokio::test]
async fn the_rights_of_a_role_change_at_once() {
    let cluster = Cluster::ready().await;
    cluster
        .post("/v1/roles", &json!({"name": "mine", "management": "db_viewer"}))
        .await
        .ok();
    cluster
        .post("/v1/users", &json!({"email": "a@b", "password": "x", "role_uids": [7]}))
        .await
        .ok();
    let logs = async || cluster.as_user(("a@b", "x"), "GET", "/v1/logs", None).await.status;
    assert_eq!(logs().await, 403);
    cluster
        .put("/v1/roles/7", &json!({"management": "cluster_viewer"}))
        .await
        .ok();
    assert_eq!(logs().await, 200);
}

#[tokio::test]
async fn acls_are_made_changed_and_deleted() {
    let cluster = Cluster::ready().await;
    let made = cluster
        .post("/v1/redis_acls", &json!({"name": "r", "acl": "+@read ~app:*"}))
        .await
        .ok();
    assert_eq!(made, json!({"uid": 4, "name": "r", "acl": "+@read ~app:*"}));
    let changed = cluster
        .put("/v1/redis_acls/4", &json!({"acl": "+get ~*", "min_version": "6.0"}))
        .await
        .ok();
    assert_eq!(
        changed,
        json!({"uid": 4, "name": "r", "acl": "+get ~*", "min_version": "6.0"})
    );
    assert_eq!(
        cluster
            .put("/v1/redis_acls/1", &json!({"acl": "+get ~*"}))
            .await
            .refused(409),
        "redis_acl_read_only"
    );
    assert_eq!(
        cluster.delete("/v1/redis_acls/1").await.refused(409),
        "redis_acl_read_only"
    );
    assert_eq!(
        cluster
            .post("/v1/redis_acls", &json!({"name": "r", "acl": "+get"}))
            .await
            .refused(400),
        "name_already_exists"
    );
    assert_eq!(
        cluster.post("/v1/redis_acls", &json!({"name": "s"})).await.refused(400),
        "missing_field"
    );
    cluster
        .post("/v1/redis_acls/validate", &json!({"name": "s", "acl": "+get ~*"}))
        .await
        .ok();
    cluster.delete("/v1/redis_acls/4").await.ok();
    assert_eq!(cluster.get("/v1/redis_acls/4").await.status, 404);
    assert_eq!(cluster.get("/v1/redis_acls").await.ok().as_array().unwrap().len(), 3);
}
