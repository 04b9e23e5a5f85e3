//! `/v1/bootstrap`: before there is a cluster, and how there comes to be one.

use std::time::Duration;

use pilothouse_api_redis_enterprise::BootstrapPolicy;
use pilothouse_control::{Caller, DocumentWrite, TenantScope};
use pilothouse_model::{Dialect, Secret, Subject};
use pilothouse_test_support::wait_until;
use serde_json::json;

use crate::harness::{ADMIN, CONFIGURED, Cluster};

fn create(username: &str) -> serde_json::Value {
    json!({"cluster": {"name": "my.cluster"}, "credentials": {"username": username, "password": "pw"}, "flash_enabled": false})
}

#[tokio::test]
async fn before_the_cluster_only_the_bootstrap_answers() {
    let cluster = Cluster::idle(BootstrapPolicy::Loopback).await;
    let status = cluster.get("/v1/bootstrap").await.ok();
    assert_eq!(status["bootstrap_status"], json!({"state": "idle"}));
    assert_eq!(status["local_node_info"]["uid"], "1");
    assert_eq!(
        status["local_node_info"]["available_addrs"],
        status["local_node_info"]["available_addresses"]
    );
    for path in ["/v1/cluster", "/v1/bdbs", "/v1/nowhere", "/", "/v1/users/authorize"] {
        assert_eq!(cluster.get(path).await.refused(503), "service_unavailable", "{path}");
        assert_eq!(
            cluster.as_user(CONFIGURED, "GET", path, None).await.status,
            503,
            "{path}"
        );
    }
    assert!(cluster.get("/v1/bootstrap").await.header("cluster-state-id").is_none());
    assert_eq!(cluster.get("/v1/boostrap").await.status, 503);
    assert_eq!(cluster.call("DELETE", "/v1/bootstrap", None).await.status, 405);
}

#[tokio::test]
async fn creating_a_cluster_makes_its_first_user_roles_and_acls() {
    let cluster = Cluster::ready().await;
    assert_eq!(
        cluster.anonymous("GET", "/v1/bootstrap").await.refused(401),
        "unauthorized"
    );
    let users = cluster.get("/v1/users").await.ok();
    assert_eq!(users.as_array().unwrap().len(), 1);
    assert_eq!(
        (&users[0]["uid"], &users[0]["name"], &users[0]["role"]),
        (&json!(1), &json!("Administrator"), &json!("admin"))
    );
    assert_eq!(users[0]["role_uids"], json!([1]));
    assert_eq!(
        cluster.get("/v1/roles").await.ok(),
        json!([
            {"uid": 1, "name": "Admin", "management": "admin"},
            {"uid": 2, "name": "Cluster Member", "management": "cluster_member"},
            {"uid": 3, "name": "Cluster Viewer", "management": "cluster_viewer"},
            {"uid": 4, "name": "DB Member", "management": "db_member"},
            {"uid": 5, "name": "DB Viewer", "management": "db_viewer"},
            {"uid": 6, "name": "None", "management": "none"},
        ])
    );
    assert_eq!(
        cluster.get("/v1/redis_acls").await.ok(),
        json!([
            {"uid": 1, "name": "Full Access", "acl": "+@all ~*"},
            {"uid": 2, "name": "Read Only", "acl": "+@read ~*"},
            {"uid": 3, "name": "Not Dangerous", "acl": "+@all -@dangerous ~*"},
        ])
    );
    assert_eq!(cluster.get("/v1/nodes").await.ok()[0]["uid"], 1);
    let again = cluster.post("/v1/bootstrap/create_cluster", &create("other")).await;
    assert_eq!(again.refused(409), "conflict");
    assert_eq!(cluster.get("/v1/boostrap").await.status, 404);
    assert_eq!(cluster.post("/v1/bootstrap", &json!({})).await.status, 405);
}

#[tokio::test]
async fn the_configured_account_counts_only_when_there_is_a_cluster() {
    let cluster = Cluster::ready().await;
    assert_eq!(
        cluster.as_user(CONFIGURED, "GET", "/v1/cluster", None).await.status,
        200
    );
    assert_eq!(
        cluster
            .as_user((CONFIGURED.0, "wrong"), "GET", "/v1/cluster", None)
            .await
            .status,
        401
    );
    assert_eq!(cluster.get("/v1/users").await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_bootstrap_asks_of_node_license_and_policy_is_done() {
    let cluster = Cluster::idle(BootstrapPolicy::Loopback).await;
    let path = "/v1/bootstrap/create_cluster";
    let license = "----- LICENSE START -----\nfree\n----- LICENSE END -----";
    let mut body = create("admin@my.cluster");
    body["node"] = json!({
        "paths": {"persistent_path": "/var/opt"}, "bigstore_enabled": false,
        "identity": {"uid": 3, "name": "n1", "rack_id": "r1", "accept_servers": false, "external_addr": ["203.0.113.9", ""]},
        "limits": {"max_listeners": 7, "max_redis_servers": 9},
    });
    body["license"] = json!(license);
    body["policy"] = json!({"rack_aware": true, "default_shards_placement": "sparse"});
    body["cnm_https_port"] = json!(9443);
    for (key, bad) in [
        ("license", json!("not framed")),
        ("node", json!({"bigstore_enabled": true})),
        ("node", json!({"limits": {"max_listeners": "many"}})),
        ("node", json!({"identity": {"external_addr": ["nowhere"]}})),
        // No rack, no rack awareness.
        ("node", json!({"identity": {"rack_id": ""}})),
    ] {
        let mut wrong = body.clone();
        wrong[key] = bad;
        cluster.post(path, &wrong).await.refused(400);
    }
    cluster.post(path, &body).await.ok();
    let login = ("admin@my.cluster", "pw");
    wait_until(Duration::from_secs(15), "the cluster", async || {
        let answer = cluster.as_user(login, "GET", "/v1/bootstrap", None).await;
        answer.status == 200 && answer.ok()["bootstrap_status"]["state"] == "completed"
    })
    .await;
    let node = cluster.as_user(login, "GET", "/v1/nodes/1", None).await.ok();
    assert_eq!(
        json!([
            node["rack_id"],
            node["accept_servers"],
            node["external_addr"],
            node["max_listeners"],
            node["max_redis_servers"]
        ]),
        json!(["r1", false, ["203.0.113.9"], 7, 9])
    );
    let policy = cluster.as_user(login, "GET", "/v1/cluster/policy", None).await.ok();
    assert_eq!(
        (&policy["rack_aware"], &policy["default_shards_placement"]),
        (&json!(true), &json!("sparse"))
    );
    let kept = cluster.as_user(login, "GET", "/v1/license", None).await.ok();
    assert_eq!(kept["license"], license);
}

#[tokio::test]
async fn where_both_names_are_equal_the_password_of_the_bootstrap_counts() {
    let cluster = Cluster::idle(BootstrapPolicy::Loopback).await;
    cluster
        .post("/v1/bootstrap/create_cluster", &create(CONFIGURED.0))
        .await
        .ok();
    let login = |password| cluster.as_user((CONFIGURED.0, password), "GET", "/v1/cluster", None);
    wait_until(Duration::from_secs(15), "the cluster", async || {
        login("pw").await.status == 200
    })
    .await;
    assert_eq!(login(CONFIGURED.1).await.status, 401);
}

#[tokio::test]
async fn the_configuration_says_who_may_bootstrap() {
    let cluster = Cluster::idle(BootstrapPolicy::Admin).await;
    let path = "/v1/bootstrap/create_cluster";
    assert_eq!(cluster.post(path, &create("a")).await.refused(403), "forbidden");
    assert_eq!(
        cluster
            .as_user(("root", "wrong"), "POST", path, Some(&create("a")))
            .await
            .status,
        403
    );
    assert_eq!(
        cluster
            .as_user(CONFIGURED, "POST", path, Some(&create("a")))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn bad_requests_make_no_cluster() {
    let cluster = Cluster::idle(BootstrapPolicy::Open).await;
    let credentials = json!({"username": "a", "password": "p"});
    for bad in [
        json!({}),
        json!({"cluster": {"name": "c"}}),
        json!({"cluster": {"name": "-c"}, "credentials": credentials}),
        json!({"cluster": {"name": 7}, "credentials": credentials}),
        json!({"cluster": {"name": "c"}, "credentials": {"username": "a<b", "password": "p"}}),
        json!({"cluster": {"name": "c"}, "credentials": {"username": "a"}}),
        json!({"action": "join_cluster", "cluster": {"name": "c"}, "credentials": credentials}),
        json!({"cluster": {"name": "c"}, "credentials": credentials, "policy": {"slave_ha": 1}}),
    ] {
        assert_eq!(
            cluster.post("/v1/bootstrap/create_cluster", &bad).await.refused(400),
            "config_error",
            "{bad}"
        );
    }
    let validated = cluster.post("/v1/bootstrap/validate/create_cluster", &json!({})).await;
    assert_eq!(validated.status, 406);
    let good = json!({"name": "top.level", "credentials": credentials});
    cluster.post("/v1/bootstrap/validate/create_cluster", &good).await.ok();
    assert_eq!(
        cluster.get("/v1/bootstrap").await.ok()["bootstrap_status"]["state"],
        "idle"
    );
}

#[tokio::test]
async fn a_cluster_outlives_a_restart() {
    let cluster = Cluster::ready().await;
    let before = cluster.get("/v1/cluster").await.ok();
    let cluster = cluster.restarted().await;
    let after = cluster.get("/v1/cluster").await.ok();
    for key in ["name", "created_time", "proxy_certificate"] {
        assert_eq!(before[key], after[key], "{key}");
        assert!(after[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    assert_eq!(
        cluster.as_user(ADMIN, "GET", "/v1/users/1", None).await.ok()["email"],
        ADMIN.0
    );
}

/// Puts the record of the bootstrap where a crash in the middle would have left it.
async fn interrupt(cluster: &Cluster, password: &str) {
    let caller = Caller {
        dialect: Dialect::RedisEnterprise,
        actor: "test".to_owned(),
        scope: TenantScope::All,
        tenant: cluster.control.default_tenant(),
        settles: None,
    };
    let record = json!({
        "state": "creating_cluster", "cluster_name": "my.cluster", "started_at": 1_760_400_066_000_i64, "username": ADMIN.0,
        "password": cluster.control.seal(&Secret::new(password)), "policy": {"slave_ha": false},
    });
    let write = DocumentWrite {
        kind: "bootstrap",
        version: 1,
        body: record,
    };
    cluster
        .control
        .put_document(&caller, Subject::Installation, write, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_interrupted_bootstrap_is_finished_at_the_next_start() {
    let cluster = Cluster::idle(BootstrapPolicy::Loopback).await;
    interrupt(&cluster, "pw").await;
    let status = cluster.anonymous("GET", "/v1/bootstrap").await.ok();
    assert_eq!(status["bootstrap_status"]["state"], "creating_cluster");
    assert_eq!(
        cluster
            .post("/v1/bootstrap/create_cluster", &create("a"))
            .await
            .refused(409),
        "conflict"
    );
    let cluster = cluster.restarted().await;
    wait_until(Duration::from_secs(15), "the cluster", async || {
        cluster.as_user(ADMIN, "GET", "/v1/cluster", None).await.status == 200
    })
    .await;
    let policy = cluster.as_user(ADMIN, "GET", "/v1/cluster/policy", None).await.ok();
    assert_eq!(policy["slave_ha"], false);
}

#[tokio::test]
async fn a_bootstrap_that_was_almost_done_is_repeated_without_making_things_twice() {
    let cluster = Cluster::ready().await;
    let certificates = cluster.get("/v1/cluster/certificates").await.ok();
    interrupt(&cluster, "another").await;
    let cluster = cluster.restarted().await;
    let admin = (ADMIN.0, "another");
    wait_until(Duration::from_secs(15), "the cluster", async || {
        cluster.as_user(admin, "GET", "/v1/cluster", None).await.status == 200
    })
    .await;
    assert_eq!(
        cluster.as_user(ADMIN, "GET", "/v1/cluster", None).await.status,
        401,
        "the newest wish counts"
    );
    let count = async |path| {
        cluster
            .as_user(admin, "GET", path, None)
            .await
            .ok()
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        (
            count("/v1/users").await,
            count("/v1/roles").await,
            count("/v1/redis_acls").await
        ),
        (1, 6, 3)
    );
    let after = cluster
        .as_user(admin, "GET", "/v1/cluster/certificates", None)
        .await
        .ok();
    assert_eq!(certificates["proxy_cert"], after["proxy_cert"]);
}
