//! Whatever is sent, the answer is a 4xx in this API's shape, and the next honest request is served.

use pilothouse_api_local::wire::DatabaseView;
use serde_json::json;

use crate::harness::Local;

#[tokio::test]
async fn values_that_are_not_allowed_are_named() {
    let local = Local::start().await;
    for (body, status, code) in [
        (json!({ "name": "", "memory_bytes": 0 }), 422, "invalid"),
        (json!({ "name": "a\nb", "memory_bytes": 0 }), 422, "invalid"),
        (json!({ "name": "a", "memory_bytes": 1 }), 422, "invalid"),
        (
            json!({ "name": "a", "memory_bytes": 0, "engine": "mysql" }),
            422,
            "invalid",
        ),
        (
            json!({ "name": "a", "memory_bytes": 0, "persistence": "tape" }),
            422,
            "invalid",
        ),
        (
            json!({ "name": "a", "memory_bytes": 0, "eviction": "lru" }),
            422,
            "invalid",
        ),
        (
            json!({ "name": "a", "memory_bytes": 0, "password": "" }),
            422,
            "invalid",
        ),
        (json!({ "name": "a", "memory_bytes": -1 }), 400, "malformed"),
        (json!({ "name": "a", "memory_bytes": "1gb" }), 400, "malformed"),
        (
            json!({ "name": "a", "memory_bytes": 0, "port": 70_000 }),
            400,
            "malformed",
        ),
        (
            json!({ "name": "a", "memory_bytes": 0, "replicas": 300 }),
            400,
            "malformed",
        ),
        (json!({ "name": "a", "memory_bytes": 0, "shards": 3 }), 400, "malformed"),
        (json!({ "memory_bytes": 0 }), 400, "malformed"),
        (json!([]), 400, "malformed"),
    ] {
        let reply = local.post("/databases", &body).await;
        assert_eq!(reply.refused(status), code, "{body}");
    }
    let left: Vec<DatabaseView> = local.get("/databases?all=true").await.ok();
    assert!(left.is_empty(), "a refused request left something behind");
    local.end().await;
}

#[tokio::test]
async fn nonsense_is_a_fault_of_the_client() {
    let local = Local::start().await;
    let deep = "[".repeat(100_000);
    let long = "x".repeat(5 << 20);
    let reply = local.send("POST", "/databases", long.as_bytes()).await;
    assert_eq!(reply.refused(413), "too-long");
    for body in [
        &b"{"[..],
        b"\xff\xfe",
        b"null",
        deep.as_bytes(),
        &long.as_bytes()[..200_000],
        b"{\"name\": 1e999}",
    ] {
        assert_eq!(local.send("POST", "/databases", body).await.refused(400), "malformed");
    }
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/databases/", 404),
        ("GET", "/databases/none", 404),
        ("GET", "/databases/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/databases/%ff", 400),
        ("GET", "/databases/%00", 404),
        ("GET", "/databases?all=perhaps", 400),
        ("GET", "/databases/none/events?lines=-1", 400),
        ("GET", "/databases/none/logs?lines=99999999999999999999", 400),
        ("GET", "/operations/none", 404),
        ("PUT", "/databases", 405),
        ("POST", "/operations/none", 405),
        ("DELETE", "/databases/none", 404),
        ("POST", "/databases/none/failover", 404),
        ("POST", "/databases/none/explode", 404),
        ("POST", "/seed/globo", 501),
    ] {
        local.send(method, path, b"").await.refused(status);
    }
    for request in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET /databases HTTP/9.9\r\n\r\n",
        b"POST /databases HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET",
    ] {
        if let Some(reply) = local.raw(request).await {
            assert!((400..500).contains(&reply.status), "{reply}");
        }
    }
    let left: Vec<DatabaseView> = local.get("/databases?all=true").await.ok();
    assert!(left.is_empty());
    local.end().await;
}
