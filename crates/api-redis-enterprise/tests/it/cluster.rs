//! The cluster object, its policy, and what both do to the listeners.

use pilothouse_api::ListenerControl;
use pilothouse_test_support::free_port;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Cluster, basic, request};

#[tokio::test]
async fn settings_are_checked_stored_and_shown() {
    let cluster = Cluster::ready().await;
    let shown = cluster
        .put(
            "/v1/cluster",
            &json!({"cm_session_timeout_minutes": 20, "email_from": "a@b", "unknown": 1}),
        )
        .await
        .ok();
    assert_eq!(
        (&shown["cm_session_timeout_minutes"], &shown["email_from"]),
        (&json!(20), &json!("a@b"))
    );
    assert_eq!(cluster.get("/v1/cluster").await.ok(), shown);
    for bad in [
        json!({"cm_port": 80}),
        json!({"cm_port": "8443"}),
        json!({"min_control_TLS_version": "1.1"}),
        json!({"alert_settings": {"node_memory": {"threshold": "much"}}}),
        json!({"password_min_length": 7}),
    ] {
        assert_eq!(
            cluster.put("/v1/cluster", &bad).await.refused(400),
            "invalid_schema",
            "{bad}"
        );
    }
    let missing = json!({"debuginfo_path": "/does/not/exist"});
    assert_eq!(
        cluster.put("/v1/cluster", &missing).await.refused(400),
        "bad_debuginfo_path"
    );
    let dry = cluster
        .put("/v1/cluster?dry_run", &json!({"email_from": "c@d"}))
        .await
        .ok();
    assert_eq!(dry["email_from"], "c@d");
    assert_eq!(cluster.get("/v1/cluster").await.ok()["email_from"], "a@b");
}

#[tokio::test]
async fn the_whole_object_can_be_sent_back() {
    let cluster = Cluster::ready().await;
    let before = cluster.get("/v1/cluster").await.ok();
    assert_eq!(cluster.put("/v1/cluster", &before).await.ok(), before);
    let policy = cluster.get("/v1/cluster/policy").await.ok();
    assert_eq!(cluster.put("/v1/cluster/policy", &policy).await.ok(), policy);
}

#[tokio::test]
async fn the_mail_password_is_never_shown() {
    let cluster = Cluster::ready().await;
    let reply = cluster
        .put(
            "/v1/cluster",
            &json!({"smtp_password": "hush-hush", "smtp_tls_mode": "starttls"}),
        )
        .await;
    assert_eq!(reply.ok()["smtp_use_tls"], true);
    assert!(!String::from_utf8_lossy(&reply.body).contains("hush"));
    assert!(
        !reply
            .json()
            .as_object()
            .unwrap()
            .keys()
            .any(|key| key.contains("password") && key.contains("smtp"))
    );
}

#[tokio::test]
async fn alert_settings_are_merged() {
    let cluster = Cluster::ready().await;
    let shown = cluster
        .put(
            "/v1/cluster",
            &json!({"alert_settings": {"node_memory": {"enabled": true, "threshold": "1"}}}),
        )
        .await
        .ok();
    assert_eq!(
        shown["alert_settings"]["node_memory"],
        json!({"enabled": true, "threshold": "1"})
    );
    assert_eq!(
        shown["alert_settings"]["cluster_certs_about_to_expire"],
        json!({"enabled": true, "threshold": "45"})
    );
    let alerts = cluster.get("/v1/nodes/alerts").await.ok();
    assert_eq!(alerts["1"]["node_memory"]["enabled"], true);
    assert_eq!(
        cluster.get("/v1/cluster/alerts/cluster_even_node_count").await.ok()["state"],
        false
    );
    assert_eq!(cluster.get("/v1/cluster/alerts/nothing").await.status, 404);
}

#[tokio::test]
async fn the_policy_refuses_what_it_cannot_honour() {
    let cluster = Cluster::ready().await;
    for bad in [
        json!({"rack_aware": true}),
        json!({"default_oss_cluster": true}),
        json!({"acl_pubsub_default": "resetchannels"}),
        json!({"default_provisioned_redis_version": "1.0"}),
        json!({"default_shards_placement": "heap"}),
    ] {
        assert_eq!(cluster.put("/v1/cluster/policy", &bad).await.status, 400, "{bad}");
    }
    cluster
        .put("/v1/cluster/policy", &json!({"default_shards_placement": "sparse"}))
        .await
        .ok();
    let restored = cluster
        .call("PUT", "/v1/cluster/policy/restore_default", None)
        .await
        .ok();
    assert_eq!(restored["default_shards_placement"], "dense");
}

#[tokio::test]
async fn a_change_of_the_port_moves_the_listener() {
    let cluster = Cluster::ready().await;
    let (old, port) = (cluster.address(), free_port());
    let shown = cluster.put("/v1/cluster", &json!({"cnm_https_port": port})).await.ok();
    assert_eq!(shown["cnm_https_port"], port);
    assert_eq!(cluster.address().port(), port);
    assert_eq!(cluster.get("/v1/cluster").await.ok()["cnm_https_port"], port);
    assert!(
        tokio::net::TcpStream::connect(old).await.is_err(),
        "the old port is free"
    );

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let body = json!({"cnm_https_port": taken.local_addr().unwrap().port()});
    assert_eq!(cluster.put("/v1/cluster", &body).await.refused(400), "bad_nginx_conf");
    assert_eq!(cluster.get("/v1/cluster").await.ok()["cnm_https_port"], port);
}

#[tokio::test]
async fn the_plain_listener_can_be_switched() {
    let cluster = Cluster::ready().await;
    let port = free_port();
    let shown = cluster
        .put("/v1/cluster", &json!({"cnm_http_port": port, "http_support": true}))
        .await
        .ok();
    assert_eq!(
        (&shown["http_support"], &shown["cnm_http_port"]),
        (&json!(true), &json!(port))
    );
    let ask = format!(
        "GET /v1/cluster HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\n\r\n",
        basic(ADMIN)
    );
    assert_eq!(request(cluster.http.address(), ask.as_bytes()).await.status, 200);
    cluster.put("/v1/cluster", &json!({"http_support": false})).await.ok();
    assert!(tokio::net::TcpStream::connect(cluster.http.address()).await.is_err());
}

#[tokio::test]
async fn every_answer_of_a_member_has_a_growing_state_id() {
    let cluster = Cluster::ready().await;
    let id = async || -> u64 {
        cluster
            .get("/v1/cluster")
            .await
            .header("cluster-state-id")
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = id().await;
    assert_eq!(id().await, before);
    cluster.put("/v1/cluster", &json!({"email_from": "x@y"})).await.ok();
    assert!(id().await > before);
    assert!(
        cluster
            .anonymous("GET", "/v1/cluster")
            .await
            .header("cluster-state-id")
            .is_some()
    );
}

#[tokio::test]
async fn changes_are_in_the_log() {
    let cluster = Cluster::ready().await;
    cluster.put("/v1/cluster", &json!({"email_from": "x@y"})).await.ok();
    cluster
        .post("/v1/users", &json!({"email": "a@b", "password": "x"}))
        .await
        .ok();
    let logs = cluster.get("/v1/logs").await.ok();
    let of = |kind: &str| {
        logs.as_array()
            .unwrap()
            .iter()
            .rfind(|line| line["type"] == kind)
            .cloned()
    };
    let updated = of("cluster_updated").unwrap();
    assert_eq!(updated["originator_uid"], 1);
    assert_eq!(updated["severity"], "INFO");
    assert_eq!(of("user_created").unwrap()["user_uid"], 2);
    let newest = cluster.get("/v1/logs?order=desc&limit=1").await.ok();
    assert_eq!(newest.as_array().unwrap().len(), 1);
    assert_eq!(newest[0]["type"], "user_created");
    assert_eq!(
        cluster.get("/v1/logs?stime=2999-01-01T00:00:00Z").await.ok(),
        Value::Array(Vec::new())
    );
    for bad in ["order=up", "limit=x", "limit=-1", "stime=yesterday"] {
        assert_eq!(cluster.get(&format!("/v1/logs?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn proxies_have_exactly_the_recorded_keys() {
    let cluster = Cluster::ready().await;
    let proxies = cluster.get("/v1/proxies").await.ok();
    insta::assert_json_snapshot!(proxies[0], @r#"
    {
      "uid": 1,
      "backlog": 1024,
      "client_eviction": false,
      "client_keepcnt": 6,
      "client_keepidle": 180,
      "client_keepintvl": 30,
      "conns": 500000,
      "corefile": false,
      "duration_usage_threshold": 30,
      "dynamic_threads_scaling": true,
      "ignore_bdb_cconn_limit": false,
      "ignore_bdb_cconn_output_buff_limits": false,
      "incoming_connections_capacity": 0,
      "incoming_connections_min_capacity": 10,
      "incoming_connections_rate_limit": 0,
      "log_level": "info",
      "max_listeners": 1024,
      "max_servers": 4096,
      "max_threads": 8,
      "max_worker_client_conns": 16384,
      "max_worker_server_conns": 16384,
      "max_worker_txns": 65536,
      "maxmemory_clients": 4294967296,
      "threads": 3,
      "threads_usage_threshold": 80
    }
    "#);
    let changed = cluster
        .put(
            "/v1/proxies/1",
            &json!({"allow_restart": true, "proxy": {"threads": 4}}),
        )
        .await
        .ok();
    assert_eq!(changed["threads"], 4);
    assert_eq!(
        cluster
            .put("/v1/proxies/1", &json!({"proxy": {"threads": 0}}))
            .await
            .status,
        400
    );
    assert_eq!(cluster.get("/v1/proxies/2").await.status, 404);
}

#[tokio::test]
async fn a_node_takes_no_more_than_it_was_told_to() {
    let cluster = Cluster::ready().await;
    let memory = cluster.get("/v1/nodes/1").await.ok()["total_memory"].as_u64().unwrap();
    let big = json!({"name": "big", "memory_size": memory + 1});
    cluster.post("/v1/bdbs?dry_run", &big).await.ok();
    cluster
        .put("/v1/cluster/policy", &json!({"shards_overbooking": false}))
        .await
        .ok();
    assert_eq!(
        cluster.post("/v1/bdbs", &big).await.refused(406),
        "insufficient_resources"
    );

    cluster.put("/v1/nodes/1", &json!({"max_redis_servers": 1})).await.ok();
    let pair = json!({"name": "pair", "memory_size": 10_000_000, "replication": true});
    assert_eq!(
        cluster.post("/v1/bdbs", &pair).await.refused(406),
        "insufficient_resources"
    );
    cluster
        .post("/v1/bdbs?dry_run", &json!({"name": "one", "memory_size": 10_000_000}))
        .await
        .ok();
    cluster
        .put("/v1/nodes/1", &json!({"max_redis_servers": 100, "max_listeners": 0}))
        .await
        .ok();
    let one = json!({"name": "one", "memory_size": 10_000_000});
    assert_eq!(
        cluster.post("/v1/bdbs", &one).await.refused(406),
        "insufficient_resources"
    );
}

#[tokio::test]
async fn the_policy_limits_backups_also_after_a_restart() {
    let cluster = Cluster::ready().await;
    assert_eq!(cluster.control.backup_limit(), 4);
    let limit = |most: u64| json!({"max_simultaneous_backups": most});
    cluster.put("/v1/cluster/policy", &limit(2)).await.ok();
    assert_eq!(cluster.control.backup_limit(), 2);
    assert_eq!(
        cluster.put("/v1/cluster/policy", &limit(0)).await.refused(400),
        "invalid_schema"
    );
    let cluster = cluster.restarted().await;
    assert_eq!(cluster.control.backup_limit(), 2);
    cluster.put("/v1/cluster/policy/restore_default", &json!({})).await.ok();
    assert_eq!(cluster.control.backup_limit(), 4);
}

#[tokio::test]
async fn of_requests_at_the_same_moment_only_as_many_pass_as_there_is_room() {
    let cluster = Cluster::ready().await;
    cluster.put("/v1/nodes/1", &json!({"max_redis_servers": 3})).await.ok();
    let each = (0..8).map(|number| {
        let body = json!({"name": format!("db{number}"), "memory_size": 10_000_000});
        let cluster = &cluster;
        async move { cluster.post("/v1/bdbs", &body).await }
    });
    let replies = futures_util::future::join_all(each).await;
    let made = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(made, 3);
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(refused.refused(406), "insufficient_resources");
    }
    assert_eq!(cluster.get("/v1/bdbs").await.ok().as_array().unwrap().len(), 3);
}
