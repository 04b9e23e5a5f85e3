//! Statistics of cluster, nodes, databases, shards and endpoints; the usage report.

use serde_json::{Value, json};

use crate::databases::created;
use crate::harness::Cluster;

#[tokio::test]
async fn shapes_are_those_that_collectors_read() {
    let cluster = Cluster::ready().await;
    for empty in ["/v1/bdbs/stats", "/v1/shards/stats", "/v1/endpoints/stats"] {
        assert_eq!(cluster.get(empty).await.ok(), json!([]), "{empty}");
    }
    for empty in ["/v1/bdbs/stats/last", "/v1/shards/stats/last"] {
        assert_eq!(cluster.get(empty).await.ok(), json!({}), "{empty}");
    }
    created(&cluster, json!({})).await;
    let last = cluster.get("/v1/bdbs/stats/last").await.ok();
    for metric in [
        "used_memory",
        "read_hits",
        "read_misses",
        "write_hits",
        "write_misses",
        "conns",
        "total_req",
    ] {
        assert!(last["1"][metric].is_f64(), "{metric}: {last}");
    }
    assert_eq!(cluster.get("/v1/bdbs/stats/last/1").await.ok()["1"]["interval"], "1sec");
    let one = cluster.get("/v1/bdbs/stats/1").await.ok();
    assert_eq!(one["uid"], "1");
    assert!(!one["intervals"].as_array().unwrap().is_empty());
    let shard = cluster.get("/v1/shards/stats/1").await.ok();
    assert_eq!(
        (&shard["role"], &shard["node_uid"], &shard["status"]),
        (&json!("master"), &json!("1"), &json!("active"))
    );
    assert!(cluster.get("/v1/shards/stats/last/1").await.ok()["1"]["used_memory"].is_f64());
    assert_eq!(cluster.get("/v1/shards/stats?parent_uid=2").await.ok(), json!([]));
    assert_eq!(cluster.get("/v1/nodes/stats/1").await.ok()["uid"], 1);
    assert!(cluster.get("/v1/nodes/stats/last").await.ok()["1"]["cpu_idle"].is_f64());
    assert_eq!(cluster.get("/v1/cluster/stats").await.ok()["uid"], "");
    assert!(cluster.get("/v1/cluster/stats/last").await.ok()["free_memory"].is_f64());
    let endpoint = &cluster.get("/v1/endpoints/stats").await.ok()[0];
    assert_eq!(endpoint["uid"], "1:1:1");
    assert!(endpoint["intervals"][0]["conns"].is_i64());
}

#[tokio::test]
async fn queries_choose_interval_and_metrics() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let last = cluster
        .get("/v1/bdbs/stats/last/1?interval=1h&metrics=conns")
        .await
        .ok();
    let keys: Vec<_> = last["1"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["interval", "stime", "etime", "conns"]);
    assert_eq!(last["1"]["interval"], "1hour");
    for bad in ["interval=3sec", "stime=x", "etime=2020-13-01T00:00:00Z"] {
        assert_eq!(
            cluster.get(&format!("/v1/bdbs/stats/1?{bad}")).await.refused(400),
            "bad_request"
        );
    }
    assert_eq!(cluster.get("/v1/bdbs/stats/2").await.refused(404), "db_not_exist");
    assert_eq!(cluster.get("/v1/nodes/stats/2").await.refused(404), "node_not_found");
    assert_eq!(cluster.get("/v1/shards/stats/2").await.refused(404), "shard_not_exist");
}

#[tokio::test]
async fn the_usage_report_has_a_line_for_each_database_and_its_sum() {
    let cluster = Cluster::ready().await;
    created(&cluster, json!({})).await;
    let report = String::from_utf8(cluster.get("/v1/usage_report").await.body).unwrap();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 2);
    let line: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(
        (&line["bdb_uid"], &line["cluster_name"]),
        (&json!("1"), &json!("my.cluster"))
    );
    assert_eq!(lines[1].len(), 32);
    assert_eq!(
        cluster.get("/v1/usage_report?stime=x").await.refused(400),
        "bad_request"
    );
}
