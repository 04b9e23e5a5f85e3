//! Whatever is sent, the answer is a 4xx in this API's shape, and the next honest request is served.

use pilothouse_api_redis_enterprise::ROUTES;

use crate::harness::{ADMIN, Cluster, Reply, basic};

/// A status of the client's fault, with this API's body.
#[track_caller]
fn assert_refused(reply: &Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {reply}");
    let body = reply.json();
    assert!(
        body["error_code"].is_string() && body["description"].is_string(),
        "{what}: {reply}"
    );
}

fn authorized() -> String {
    format!("Authorization: {}\r\n", basic(ADMIN))
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused_by_every_route_that_reads_one() {
    let cluster = Cluster::ready().await;
    let deep = "[".repeat(50_000);
    let deep_object = format!("{}1", "{\"a\":".repeat(50_000));
    let bodies: [&[u8]; 10] = [
        b"{",
        b"[1]",
        b"\"x\"",
        b"17",
        b"{\"a\":1",
        b"{\"a\" \xff}",
        b"{\"name\": 1e999}",
        deep.as_bytes(),
        deep_object.as_bytes(),
        b"<xml/>",
    ];
    for route in ROUTES
        .iter()
        .filter(|route| route.method == "POST" || route.method == "PUT")
    {
        let path = route
            .path
            .replace("{uid}", "1")
            .replace("{action}", "flush")
            .replace("{name}", "x");
        let path = path.replace("{guid}", "x").replace("{id}", "x");
        for body in bodies {
            let reply = cluster.raw(route.method.as_str(), &path, &authorized(), body).await;
            let what = format!(
                "{} {path} {:?}",
                route.method,
                String::from_utf8_lossy(&body[..body.len().min(20)])
            );
            // A route that reads no body may do what it does without one.
            assert!(reply.status < 500, "{what}: {reply}");
        }
    }
    for (method, path) in [
        ("POST", "/v1/users"),
        ("PUT", "/v1/users/1"),
        ("POST", "/v1/roles"),
        ("POST", "/v1/redis_acls"),
        ("PUT", "/v1/cluster"),
        ("PUT", "/v1/cluster/policy"),
        ("PUT", "/v1/nodes/1"),
        ("PUT", "/v1/proxies/1"),
        ("PUT", "/v1/license"),
        ("POST", "/v1/bdbs"),
        ("PUT", "/v1/cluster/update_cert"),
        ("PUT", "/v1/users/password"),
        ("PUT", "/v1/cm_settings"),
        ("POST", "/v1/crdbs"),
    ] {
        for body in bodies {
            let reply = cluster.raw(method, path, &authorized(), body).await;
            assert_refused(
                &reply,
                &format!(
                    "{method} {path} {:?}",
                    String::from_utf8_lossy(&body[..body.len().min(20)])
                ),
            );
        }
    }
}

#[tokio::test]
async fn paths_are_names_and_nothing_else() {
    let cluster = Cluster::ready().await;
    for path in [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/../v1/cluster",
        "/v1/cluster/..",
        "/v1/%2e%2e/cluster",
        "/v1/cluster%00",
        "/v1/%",
        "/v1/%zz",
        "/v1/%ff",
        "/v1/users/-1",
        "/v1/users/1.0",
        "/v1/users/18446744073709551616",
        "/v1/users/99999999999999999999999999",
        "/v1/users/0",
        "/v1/users/01",
        "/v1/users/%31x",
        "/v1/bdbs/x",
        "/v1/suffix/%2F",
        "/v1//cluster",
        "/V1/cluster",
        "/v1/cluster/x/y/z",
        "/v1/users/1'--",
        "/v1/nodes/null",
        "/v9/cluster",
    ] {
        assert_refused(&cluster.get(path).await, path);
    }
    for query in ["?a=%", "?%ff", "?a=%C3"] {
        assert_refused(&cluster.get(&format!("/v1/cluster{query}")).await, query);
    }
    assert_eq!(cluster.get("/v1/cluster/").await.status, 200);
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_wrong_credentials() {
    let cluster = Cluster::ready().await;
    for value in [
        "Basic",
        "Basic !!",
        "Basic YQ==",
        "Basic /////w==",
        "Digest a=b",
        "Bearer",
        "Bearer a.b.c",
        "\u{7f}",
        "",
    ] {
        let reply = cluster
            .raw("GET", "/v1/cluster", &format!("Authorization: {value}\r\n"), b"")
            .await;
        assert!(reply.status == 401 || reply.status == 400, "{value:?}: {reply}");
    }
}

#[tokio::test]
async fn limits_hold() {
    let cluster = Cluster::ready().await;
    let long = vec![b' '; 1024 * 1024 + 1];
    assert_refused(
        &cluster.raw("POST", "/v1/users", &authorized(), &long).await,
        "a long body",
    );
    let chunked = format!(
        "POST /v1/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        authorized(),
        format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(17)
    );
    assert_refused(&cluster.bytes(chunked.as_bytes()).await, "a long chunked body");
    let announced = format!(
        "POST /v1/users HTTP/1.1\r\nHost: x\r\n{}Content-Length: 99999999999\r\n\r\n",
        authorized()
    );
    assert_refused(&cluster.bytes(announced.as_bytes()).await, "a long announcement");
    let headers: String = (0..500).map(|n| format!("X-{n}: y\r\n")).collect();
    let reply = cluster.raw("GET", "/v1/cluster", &headers, b"").await;
    assert_refused(&reply, "many headers");
    for nonsense in [
        "GET\r\n\r\n",
        "GET /v1/a b HTTP/1.1\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        assert_refused(&cluster.bytes(nonsense.as_bytes()).await, nonsense);
    }
    assert_eq!(cluster.get("/v1/cluster").await.status, 200);
}

#[tokio::test]
async fn only_json_is_taken_and_a_body_without_a_type_counts_as_json() {
    let cluster = Cluster::ready().await;
    for (n, (line, status)) in [
        ("", 200),
        ("Content-Type: application/json;charset=utf-8\r\n", 200),
        ("Content-Type: text/plain\r\n", 415),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!("{{\"name\": \"r{n}\"}}");
        let reply = cluster
            .raw("POST", "/v1/roles", &format!("{}{line}", authorized()), body.as_bytes())
            .await;
        assert_eq!(reply.status, status, "{line}: {reply}");
    }
    let with_body = cluster
        .raw(
            "GET",
            "/v1/cluster",
            &format!("{}Content-Type: application/json\r\n", authorized()),
            b"{}",
        )
        .await;
    assert_eq!(with_body.status, 200);
    assert_eq!(
        cluster
            .raw("PUT", "/v1/cluster/policy", &authorized(), b"null")
            .await
            .status,
        200
    );
}
