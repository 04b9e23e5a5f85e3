//! `/v1/bdbs`: databases, from creation to deletion.

use serde_json::{Value, json};

use crate::databases::{created, settled, until};
use crate::harness::Cluster;

#[tokio::test]
async fn a_database_is_made_followed_used_and_deleted() {
    let cluster = Cluster::ready().await;
    let bdb = cluster
        .post("/v1/bdbs", &json!({"name": "db1", "memory_size": 100_000_000}))
        .await
        .ok();
    assert_eq!((&bdb["uid"], &bdb["status"]), (&json!(1), &json!("pending")));
    let port = bdb["port"].as_u64().unwrap();
    assert_eq!(bdb["endpoints"][0]["dns_name"], format!("redis-{port}.my.cluster"));
    let action = bdb["action_uid"].as_str().unwrap().to_owned();
    let active = settled(&cluster, 1).await;
    assert!(active.get("action_uid").is_none());
    let done = cluster.get(&format!("/v1/actions/{action}")).await.ok();
    assert_eq!(
        (&done["status"], &done["name"], &done["progress"]),
        (&json!("completed"), &json!("SMCreateBDB"), &json!("100"))
    );
    let pong = cluster.post("/v1/bdbs/1/command", &json!({"command": "PING"})).await;
    assert_eq!(pong.ok(), json!({"response": true}));
    assert_eq!(cluster.get("/v1/bdbs").await.ok().as_array().unwrap().len(), 1);

    let gone = cluster.delete("/v1/bdbs/1").await.ok();
    assert!(gone["action_uid"].is_string());
    until("the database to be gone", async || {
        cluster.get("/v1/bdbs/1").await.status == 404
    })
    .await;
    assert_eq!(cluster.delete("/v1/bdbs/1").await.refused(404), "db_not_exist");
    assert_eq!(cluster.get("/v1/bdbs").await.ok(), json!([]));
    let next = cluster
        .post("/v1/bdbs", &json!({"name": "db1", "memory_size": 100_000_000}))
        .await
        .ok();
    assert_eq!(next["uid"], 2, "a uid is never given twice");
}

#[tokio::test]
async fn a_change_is_shown_and_a_second_one_meanwhile_refused() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let changed = cluster
        .put(
            "/v1/bdbs/1",
            &json!({"memory_size": 200_000_000, "eviction_policy": "allkeys-lru"}),
        )
        .await
        .ok();
    assert_eq!(
        (&changed["memory_size"], &changed["eviction_policy"]),
        (&json!(200_000_000), &json!("allkeys-lru"))
    );
    assert!(changed["action_uid"].is_string());
    let bdb = settled(&cluster, 1).await;
    assert_eq!(bdb["memory_size"], 200_000_000);
    let same = cluster
        .put("/v1/bdbs/1", &json!({"memory_size": 200_000_000}))
        .await
        .ok();
    assert!(same.get("action_uid").is_none(), "nothing had to be done");

    let pending = cluster
        .post("/v1/bdbs", &json!({"name": "db2", "memory_size": 100_000_000}))
        .await
        .ok();
    assert_eq!(pending["status"], "pending");
    let busy = cluster.put("/v1/bdbs/2", &json!({"memory_size": 200_000_000})).await;
    // The creation may have ended in between, on a fast machine.
    assert!(busy.status == 200 || busy.refused(409) == "busy", "{busy}");
}

#[tokio::test]
async fn what_only_this_api_knows_is_stored_and_given_back() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let change =
        json!({"sched_policy": "mnp", "conns": 9, "tags": [{"key": "a", "value": "b"}], "unknown\t": 1, "status": "x"});
    let bdb = cluster.put("/v1/bdbs/1", &change).await.ok();
    assert_eq!(bdb["status"], "active");
    let cluster = cluster.restarted().await;
    let bdb = cluster.get("/v1/bdbs/1").await.ok();
    assert_eq!(
        (&bdb["sched_policy"], &bdb["conns"], &bdb["tags"]),
        (&json!("mnp"), &json!(9), &change["tags"])
    );
    assert!(bdb.get("unknown").is_none());
    assert_eq!(bdb["name"], "db1");
}

#[tokio::test]
async fn a_dry_run_checks_and_changes_nothing() {
    let cluster = Cluster::ready().await;
    let would_be = cluster
        .post("/v1/bdbs?dry_run", &json!({"name": "db1", "memory_size": 100_000_000}))
        .await
        .ok();
    assert_eq!(would_be["name"], "db1");
    assert!(would_be.get("action_uid").is_none() && would_be.get("uid").is_none());
    assert_eq!(cluster.get("/v1/bdbs").await.ok(), json!([]));
    assert_eq!(
        cluster
            .post("/v1/bdbs?dry_run=1", &json!({"memory_size": 5}))
            .await
            .refused(406),
        "missing_db_name"
    );

    created(&cluster, json!({})).await;
    let would_be = cluster
        .put("/v1/bdbs/1?dry_run", &json!({"memory_size": 200_000_000, "conns": 7}))
        .await
        .ok();
    assert_eq!(
        (&would_be["memory_size"], &would_be["conns"]),
        (&json!(200_000_000), &json!(7))
    );
    let bdb = cluster.get("/v1/bdbs/1").await.ok();
    assert_eq!((&bdb["memory_size"], &bdb["conns"]), (&json!(100_000_000), &json!(5)));
}

#[tokio::test]
async fn refusals_name_code_and_field() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let post = async |extra: Value, status| {
        let mut body = json!({"name": "db2", "memory_size": 100_000_000});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        cluster.post("/v1/bdbs", &body).await.refused(status)
    };
    assert_eq!(
        post(json!({"shards_count": 2, "sharding": true}), 406).await,
        "invalid_sharding"
    );
    assert_eq!(post(json!({"redis_version": "99.9"}), 406).await, "invalid_version");
    assert_eq!(post(json!({"uid": 1}), 409).await, "uid_exists");
    assert_eq!(post(json!({"memory_size": "a"}), 400).await, "invalid_schema");
    assert_eq!(post(json!({"name": "-"}), 400).await, "invalid_schema");
    assert_eq!(
        cluster.put("/v1/bdbs/1", &json!({"port": 9999})).await.refused(406),
        "invalid_configuration"
    );
    assert_eq!(cluster.put("/v1/bdbs/9", &json!({})).await.refused(404), "db_not_exist");
    assert_eq!(cluster.get("/v1/bdbs/x").await.refused(404), "not_found");
    let backup = json!({"backup": true, "backup_interval": 60, "backup_location": {"type": "mount_point", "path": "/nonexistent"}});
    assert_eq!(
        cluster.put("/v1/bdbs/1", &backup).await.refused(406),
        "invalid_backup_location"
    );
    assert_eq!(cluster.get("/v1/bdbs").await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_chosen_uid_and_port_are_kept() {
    let cluster = Cluster::ready().await;
    let bdb = created(&cluster, json!({"uid": 7, "port": 10_555})).await;
    assert_eq!((&bdb["uid"], &bdb["port"]), (&json!(7), &json!(10_555)));
    let taken = json!({"name": "db2", "memory_size": 100_000_000, "port": 10_555});
    assert_eq!(cluster.post("/v1/bdbs", &taken).await.refused(406), "port_unavailable");
    let next = cluster
        .post("/v1/bdbs", &json!({"name": "db3", "memory_size": 100_000_000}))
        .await
        .ok();
    assert!(next["uid"].as_u64().unwrap() > 7);
}

#[tokio::test]
async fn only_the_wanted_fields_are_shown() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    assert_eq!(
        cluster.get("/v1/bdbs/1?fields=name,uid,nothing").await.ok(),
        json!({"uid": 1, "name": "db1"})
    );
    assert_eq!(cluster.get("/v1/bdbs?fields=name").await.ok(), json!([{"name": "db1"}]));
}

#[tokio::test]
async fn the_newer_form_wraps_the_object() {
    let cluster = Cluster::ready().await;
    let body = json!({"bdb": {"name": "db1", "memory_size": 100_000_000}, "recovery_plan": {}});
    assert_eq!(cluster.post("/v2/bdbs", &body).await.ok()["name"], "db1");
    settled(&cluster, 1).await;
    assert_eq!(cluster.put("/v2/bdbs/1", &json!({"conns": 3})).await.ok()["conns"], 3);
}

#[tokio::test]
async fn flush_and_reset_of_the_admin_password_have_an_action() {
    let cluster = Cluster::ready().await;
    let before = created(&cluster, json!({})).await;
    let flushed = cluster.put("/v1/bdbs/1/flush", &Value::Null).await.ok();
    assert!(flushed["action_uid"].is_string());
    settled(&cluster, 1).await;
    let reset = cluster.put("/v1/bdbs/1/reset_admin_pass", &json!({})).await.ok();
    assert!(reset["action_uid"].is_string());
    let password = reset["authentication_admin_pass"].as_str().unwrap();
    assert_eq!(password.len(), 48);
    assert_ne!(reset["authentication_admin_pass"], before["authentication_admin_pass"]);
    assert_eq!(
        cluster.put("/v1/bdbs/1/explode", &json!({})).await.refused(400),
        "invalid_schema"
    );
}

#[tokio::test]
async fn several_passwords_are_valid_at_once() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({"authentication_redis_pass": "one"})).await;
    let shown = async || cluster.get("/v1/bdbs/1").await.ok()["authentication_redis_pass"].clone();
    let path = "/v1/bdbs/1/passwords";
    let password = |text: &str| json!({"password": text});
    assert_eq!(cluster.post(path, &password("two")).await.ok(), json!({}));
    assert_eq!(shown().await, "one");
    assert_eq!(
        cluster.call("DELETE", path, Some(&password("one"))).await.ok(),
        json!({})
    );
    assert_eq!(shown().await, "two");
    assert_eq!(cluster.put(path, &password("three")).await.ok(), json!({}));
    assert_eq!(shown().await, "three");
    assert_eq!(
        cluster.call("DELETE", path, Some(&password("one"))).await.refused(406),
        "invalid_param"
    );
    assert_eq!(cluster.delete(path).await.refused(406), "invalid_param");
    assert_eq!(cluster.post(path, &password("")).await.refused(406), "invalid_param");
    assert_eq!(
        cluster.post(path, &json!({"password": 1})).await.refused(400),
        "invalid_schema"
    );
    assert_eq!(
        cluster.post("/v1/bdbs/5/passwords", &password("x")).await.refused(404),
        "db_not_exist"
    );
}

#[tokio::test]
async fn passwords_are_blank_for_those_who_may_not_see_them() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({"authentication_redis_pass": "secret"})).await;
    let user = json!({"email": "v@x.y", "password": "viewer-pw", "name": "v", "role": "db_viewer"});
    cluster.post("/v1/users", &user).await.ok();
    let viewer = ("v@x.y", "viewer-pw");
    let bdb = cluster.as_user(viewer, "GET", "/v1/bdbs/1", None).await.ok();
    assert_eq!(
        (&bdb["authentication_redis_pass"], &bdb["authentication_admin_pass"]),
        (&json!(""), &json!(""))
    );
    let change = json!({"memory_size": 5_000_000});
    assert_eq!(
        cluster
            .as_user(viewer, "PUT", "/v1/bdbs/1", Some(&change))
            .await
            .refused(403),
        "forbidden"
    );
    cluster
        .put("/v1/cluster", &json!({"mask_bdb_credentials": true}))
        .await
        .ok();
    assert_eq!(cluster.get("/v1/bdbs/1").await.ok()["authentication_redis_pass"], "");
}

#[tokio::test]
async fn a_stale_state_id_is_a_conflict() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let put = async |state: &str| {
        let headers = format!(
            "Authorization: {}\r\ncluster-state-id: {state}\r\n",
            crate::harness::basic(crate::harness::ADMIN)
        );
        cluster.raw("PUT", "/v1/bdbs/1", &headers, br#"{"conns": 4}"#).await
    };
    assert_eq!(put("1").await.refused(409), "wrong_cluster_state_id");
    let reply = cluster.get("/v1/bdbs/1").await;
    put(reply.header("cluster-state-id").unwrap()).await.ok();
}

#[tokio::test]
async fn commands_are_read_and_errors_are_400() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let path = "/v1/bdbs/1/command";
    assert_eq!(
        cluster.post(path, &json!({"command": "SET a b"})).await.ok(),
        json!({"response": true})
    );
    assert_eq!(
        cluster.post(path, &json!({"args": []})).await.refused(400),
        "invalid_schema"
    );
    assert_eq!(
        cluster
            .post("/v1/bdbs/2/command", &json!({"command": "PING"}))
            .await
            .refused(404),
        "db_not_exist"
    );
}

#[tokio::test]
async fn traffic_stops_and_resumes() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    assert!(cluster.post("/v1/bdbs/1/actions/stop_traffic", &json!({})).await.ok()["action_uid"].is_string());
    until("traffic to be stopped", async || {
        cluster.get("/v1/bdbs/1").await.ok()["traffic_manually_disabled"] == true
    })
    .await;
    assert_eq!(
        cluster.get("/v1/bdbs/1/availability").await.refused(503),
        "bdb_unavailable"
    );
    until("the database to take changes", async || {
        cluster
            .post("/v1/bdbs/1/actions/resume_traffic", &json!({}))
            .await
            .status
            == 200
    })
    .await;
    settled(&cluster, 1).await;
    let reply = cluster.get("/v1/bdbs/1/availability").await;
    assert_eq!(
        (reply.status, reply.body.len(), reply.header("content-type")),
        (200, 0, Some("text/html"))
    );
    assert_eq!(
        cluster.get("/v1/local/bdbs/9/endpoint/availability").await.refused(404),
        "db_not_found"
    );
}

#[tokio::test]
async fn placement_is_told_and_nothing_has_to_move() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let blueprint = json!([{"slot_range": "0-16383", "nodes": [{"node_uid": "1", "role": "master"}]}]);
    assert_eq!(
        cluster.get("/v1/bdbs/1/actions/optimize_shards_placement").await.ok(),
        blueprint
    );
    assert_eq!(
        cluster
            .put("/v1/bdbs/1/actions/rebalance?dry_run", &json!({}))
            .await
            .ok(),
        blueprint
    );
    assert!(cluster.put("/v1/bdbs/1/actions/rebalance", &json!({})).await.ok()["action_uid"].is_string());
    let grown = json!({"memory_size": 200_000_000});
    assert!(cluster.put("/v1/bdbs/1/actions/revamp", &grown).await.ok()["action_uid"].is_string());
    assert_eq!(settled(&cluster, 1).await["memory_size"], 200_000_000);
    let crowded = cluster
        .get("/v1/bdbs/1/actions/optimize_shards_placement?avoid_nodes=1")
        .await;
    assert_eq!(crowded.refused(406), "insufficient_resources");
    assert_eq!(
        cluster
            .get("/v1/bdbs/1/actions/optimize_shards_placement?shards_count=x")
            .await
            .refused(400),
        "bad_request"
    );
    for wrong in [
        "shards_placement=loose",
        "replication=perhaps",
        "bigstore_ram_size=x",
        "memory_size=-1",
    ] {
        let path = format!("/v1/bdbs/1/actions/optimize_shards_placement?{wrong}");
        assert_eq!(cluster.get(&path).await.refused(400), "bad_request", "{wrong}");
    }
    let both = "/v1/bdbs/1/actions/optimize_shards_placement?replication=true&shards_placement=sparse&memory_size=0";
    let reply = cluster.get(both).await;
    assert_eq!(reply.ok()[0]["nodes"].as_array().unwrap().len(), 2);
    assert!(reply.header("cluster-state-id").is_some());
}

#[tokio::test]
async fn an_upgrade_that_would_lose_data_needs_leave() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let path = "/v1/bdbs/1/upgrade";
    assert_eq!(
        cluster.post(path, &json!({"force_restart": true})).await.refused(406),
        "data_loss_risk"
    );
    assert_eq!(
        cluster.post(path, &json!({"redis_version": "99.0"})).await.refused(406),
        "invalid_version"
    );
    let upgraded = cluster
        .post(path, &json!({"force_restart": true, "may_discard_data": true}))
        .await
        .ok();
    assert!(upgraded["action_uid"].is_string());
    settled(&cluster, 1).await;
}

#[tokio::test]
async fn transfers_are_checked_before_they_begin() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let export = "/v1/bdbs/1/actions/export";
    assert_eq!(cluster.post(export, &json!({})).await.refused(400), "missing_field");
    let s3 = json!({"export_location": {"type": "s3", "bucket_name": "b"}});
    assert_eq!(cluster.post(export, &s3).await.refused(400), "invalid_schema");
    let gs = json!({"export_location": {"type": "gs", "bucket_name": "b"}});
    assert_eq!(cluster.post(export, &gs).await.refused(406), "unsupported_location");
    let import = "/v1/bdbs/1/actions/import";
    let two = json!([{"type": "mount_point", "path": "/a.rdb"}, {"type": "mount_point", "path": "/b.rdb"}]);
    assert_eq!(
        cluster
            .post(import, &json!({"dataset_import_sources": two}))
            .await
            .refused(406),
        "unsupported_location"
    );
    assert_eq!(cluster.post(import, &json!({})).await.refused(400), "missing_field");
    assert_eq!(
        cluster.post(import, &json!({"what": 1})).await.refused(400),
        "invalid_schema"
    );
    for kind in ["import", "export", "backup"] {
        let path = format!("/v1/bdbs/1/actions/{kind}_reset_status");
        assert_eq!(cluster.put(&path, &json!({})).await.ok(), json!({}));
    }
}

#[tokio::test]
async fn a_healthy_database_waits_for_no_recovery() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let plan = cluster.get("/v1/bdbs/1/actions/recover").await.ok();
    assert_eq!(plan, json!({"data_files": [], "status": "not_in_recovery"}));
    assert_eq!(
        cluster
            .post("/v1/bdbs/1/actions/recover", &json!({}))
            .await
            .refused(409),
        "conflict"
    );
}

#[tokio::test]
async fn what_there_is_none_of_answers_as_recorded() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    assert_eq!(cluster.get("/v1/bdbs/1/peer_stats").await.refused(406), "not_crdb");
    assert_eq!(
        cluster.get("/v1/bdbs/1/sync_source_stats").await.ok(),
        json!({"sync_source_stats": []})
    );
    assert_eq!(
        cluster.get("/v1/bdbs/1/sync_source_stats/1").await.refused(404),
        "not_found"
    );
    assert_eq!(cluster.get("/v1/bdbs/1/syncer_state").await.refused(404), "not_found");
    assert_eq!(cluster.get("/v1/bdbs/replica_sources/alerts").await.ok(), json!({}));
    assert_eq!(cluster.get("/v1/bdbs/certificates").await.ok(), json!([]));
    assert_eq!(
        cluster.post("/v1/bdbs/1/modules/config", &json!({})).await.refused(400),
        "missing_field"
    );
    let module = json!({"modules": [{"module_name": "search"}]});
    assert_eq!(
        cluster.post("/v1/modules/config/bdb/1", &module).await.refused(404),
        "module_not_exist"
    );
}
