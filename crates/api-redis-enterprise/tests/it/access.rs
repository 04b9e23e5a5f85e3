//! Who may call what: the table of routes against every management role, over the wire.

use pilothouse_api_redis_enterprise::{Permission, ROUTES};
use pilothouse_model::ManagementRole;
use serde_json::json;

use crate::harness::Cluster;

const ROLES: [(ManagementRole, &str); 7] = [
    (ManagementRole::Admin, "admin"),
    (ManagementRole::ClusterMember, "cluster_member"),
    (ManagementRole::ClusterViewer, "cluster_viewer"),
    (ManagementRole::DbMember, "db_member"),
    (ManagementRole::DbViewer, "db_viewer"),
    (ManagementRole::UserManager, "user_manager"),
    (ManagementRole::None, "none"),
];

const REFUSED: &str = "the role of this user does not permit this";

/// The path with parameters that name nothing.
fn nowhere(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| if segment.starts_with('{') { "999" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn roles_limit_every_route() {
    let cluster = Cluster::ready().await;
    for (_, role) in ROLES {
        let body = json!({"name": format!("u-{role}"), "password": "pw", "role": role});
        cluster.post("/v1/users", &body).await.ok();
    }
    for route in ROUTES {
        let path = nowhere(route.path);
        for (management, role) in ROLES {
            let login = format!("u-{role}");
            let body = json!({});
            let body = (route.method != "GET").then_some(&body);
            let reply = cluster
                .as_user((&login, "pw"), route.method.as_str(), &path, body)
                .await;
            let refused = reply.status == 403 && reply.json()["description"] == REFUSED;
            let granted = route.access.granted_to(management);
            // What users may change of others is the handler's decision; there is no user 999 to decide about.
            if route.access == Permission::Anybody {
                assert_ne!(reply.status, 401, "{role}: {} {path}: {reply}", route.method);
                continue;
            }
            assert_eq!(refused, !granted, "{role}: {} {path}: {reply}", route.method);
            assert!(
                reply.status != 401 && reply.status != 500,
                "{role}: {} {path}: {reply}",
                route.method
            );
        }
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_told() {
    let cluster = Cluster::ready().await;
    for route in ROUTES {
        let reply = cluster.anonymous(route.method.as_str(), &nowhere(route.path)).await;
        assert_eq!(reply.refused(401), "unauthorized", "{} {}", route.method, route.path);
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"cnm\""));
    }
}

#[tokio::test]
async fn options_tell_the_methods_of_every_path() {
    let cluster = Cluster::ready().await;
    for route in ROUTES.iter().filter(|route| route.path != "/v1/bdbs/{uid}/{action}") {
        let reply = cluster.call("OPTIONS", &nowhere(route.path), None).await;
        assert_eq!((reply.status, reply.body.len()), (200, 0), "{}", route.path);
        let allowed: Vec<&str> = reply.header("allow").unwrap().split(", ").collect();
        let mut expected: Vec<&str> = ROUTES
            .iter()
            .filter(|other| nowhere(other.path) == nowhere(route.path))
            .map(|other| other.method.as_str())
            .collect();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{}", route.path);
    }
    assert_eq!(cluster.call("OPTIONS", "/v1/nothing", None).await.status, 404);
    cluster
        .put("/v1/cluster", &json!({"options_method_forbidden": true}))
        .await
        .ok();
    let reply = cluster.call("OPTIONS", "/v1/cluster", None).await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, PUT")));
}

#[tokio::test]
async fn only_version_one_of_the_api_is_offered() {
    let cluster = Cluster::ready().await;
    let ask = async |version: &str| {
        let headers = format!(
            "X-API-Version: {version}\r\nAuthorization: {}\r\n",
            crate::harness::basic(crate::harness::ADMIN)
        );
        cluster.raw("GET", "/v1/cluster", &headers, b"").await
    };
    assert_eq!(ask("1").await.status, 200);
    assert_eq!(ask("1.0").await.status, 200);
    assert_eq!(ask("99").await.refused(505), "unsupported_api_version");
}
