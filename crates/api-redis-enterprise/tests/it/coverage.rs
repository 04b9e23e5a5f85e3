//! What every `GET` of the table answers on an ordinary cluster without databases, compared with what was recorded of the product.

use pilothouse_api_redis_enterprise::ROUTES;

use crate::harness::Cluster;

/// Statuses other than 200, by path. Everything else answers 200.
const OTHER_THAN_OK: &[(u16, &str)] = &[
    (404, "/v1/cluster/actions/{action}"),
    (404, "/v1/nodes/{uid}/actions/{action}"),
    (404, "/v1/actions/{uid}"),
    (404, "/v2/actions/{uid}"),
    (404, "/v1/modules/{uid}"),
    (404, "/v1/ldap_mappings/{uid}"),
    (404, "/v1/bdb_groups/{uid}"),
    (404, "/v1/migrations/{uid}"),
    (404, "/v1/crdbs/{guid}"),
    (404, "/v1/crdbs/{guid}/health_report"),
    (404, "/v1/crdb_tasks/{id}"),
];

fn path_of(template: &str) -> String {
    let fill = |segment: &str| {
        match segment {
            "{uid}" => "1",
            "{name}" => "my.cluster",
            "{role}" => "db_viewer",
            "{alert}" if template.starts_with("/v1/cluster") => "cluster_even_node_count",
            "{alert}" => "node_memory",
            other if other.starts_with('{') => "none",
            other => other,
        }
        .to_owned()
    };
    template.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_get_answers_as_recorded() {
    let cluster = Cluster::ready().await;
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        // Without a database everything below one is missing.
        let of_a_database = route.path.contains("bdb") || route.path.contains("/db/") || route.path.contains("shards");
        let missing = of_a_database && route.path.contains('{');
        let other = OTHER_THAN_OK
            .iter()
            .find(|(_, path)| *path == route.path)
            .map(|(status, _)| *status);
        let expected = if missing { 404 } else { other.unwrap_or(200) };
        let reply = cluster.get(&path_of(route.path)).await;
        assert_eq!(reply.status, expected, "{}: {reply}", route.path);
    }
}

#[tokio::test]
async fn operations_are_named_after_their_functions() {
    for route in ROUTES {
        assert_eq!(
            route.operation.split("::").count(),
            2,
            "{} {}",
            route.method,
            route.path
        );
    }
}
