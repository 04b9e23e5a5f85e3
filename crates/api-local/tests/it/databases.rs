//! What `pilothouse db` does, request by request.

use pilothouse_api_local::wire::{AcceptedView, DatabaseView, EventView, LogView};
use serde_json::json;

use crate::harness::Local;

const MEMORY: u64 = 100 << 20;

#[tokio::test]
async fn a_database_is_made_shown_and_removed() {
    let local = Local::start().await;
    let made = local
        .create(&json!({ "name": "cache", "memory_bytes": MEMORY, "replicas": 1 }))
        .await;
    assert_eq!(
        (made.name.as_str(), made.state.as_str(), made.origin.as_str()),
        ("cache", "active", "local")
    );
    assert_eq!(
        (made.persistence.as_str(), made.eviction.as_str(), made.replicas),
        ("aof", "noeviction", 1)
    );
    let roles: Vec<_> = made.servers.iter().map(|server| server.role.as_str()).collect();
    assert_eq!(roles, ["primary", "replica"]);
    assert_eq!(made.password, None, "a password is shown only when it is asked for");

    let by_id: DatabaseView = local.get(&format!("/databases/{}?password=true", made.id)).await.ok();
    assert_eq!(by_id.password.map(|password| password.len()), Some(32));
    let listed: Vec<DatabaseView> = local.get("/databases").await.ok();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].servers.is_empty(), "a list is short");

    let removed = local.finished(&local.delete("/databases/cache").await).await;
    assert_eq!((removed.kind.as_str(), removed.failure), ("delete-database", None));
    assert_eq!(local.get("/databases/cache").await.refused(404), "not-found");
    let listed: Vec<DatabaseView> = local.get("/databases?all=true").await.ok();
    assert!(listed.is_empty());
    let events: Vec<EventView> = local.get(&format!("/databases/{}/events", made.id)).await.ok();
    assert!(
        events
            .iter()
            .any(|event| event.kind == "database-created" && event.actor.starts_with("user:uid-")),
        "{events:?}"
    );
    local.end().await;
}

#[tokio::test]
async fn what_was_asked_for_is_what_there_is() {
    let local = Local::start().await;
    let made = local
        .create(&json!({
            "name": "sessions", "memory_bytes": MEMORY, "persistence": "snapshot", "eviction": "allkeys-lru",
            "port": 10_777, "password": "s3cret",
        }))
        .await;
    assert_eq!(
        (
            made.persistence.as_str(),
            made.eviction.as_str(),
            made.endpoint.as_str()
        ),
        ("snapshot", "allkeys-lru", "127.0.0.1:10777")
    );
    let shown: DatabaseView = local.get("/databases/sessions?password=true").await.ok();
    assert_eq!(shown.password.as_deref(), Some("s3cret"));
    let logs: Vec<LogView> = local.get("/databases/sessions/logs?lines=5").await.ok();
    assert_eq!((logs.len(), logs[0].role.as_str()), (1, "primary"));
    let taken = local
        .post(
            "/databases",
            &json!({ "name": "other", "memory_bytes": MEMORY, "port": 10_777 }),
        )
        .await;
    assert_eq!(taken.refused(409), "already-exists");
    local.end().await;
}

#[tokio::test]
async fn a_failover_needs_a_replica() {
    let local = Local::start().await;
    let before = local
        .create(&json!({ "name": "pair", "memory_bytes": MEMORY, "replicas": 1 }))
        .await;
    local.create(&json!({ "name": "single", "memory_bytes": MEMORY })).await;
    assert_eq!(
        local.post("/databases/single/failover", &json!({})).await.refused(409),
        "conflict"
    );
    let done = local
        .finished(&local.post("/databases/pair/failover", &json!({})).await)
        .await;
    assert_eq!(done.failure, None);
    let after: DatabaseView = local.get("/databases/pair").await.ok();
    let primary = |view: &DatabaseView| {
        view.servers
            .iter()
            .find(|server| server.role == "primary")
            .map(|server| server.id.clone())
    };
    assert_ne!(primary(&before), primary(&after));
    assert_eq!(before.endpoint, after.endpoint);
    let flushed = local
        .finished(&local.post("/databases/pair/flush", &json!({})).await)
        .await;
    assert_eq!(flushed.failure, None);
    local.end().await;
}

#[tokio::test]
async fn a_name_that_fits_several_is_refused_and_a_delete_can_be_repeated() {
    let local = Local::start().await;
    let first = local.create(&json!({ "name": "twin", "memory_bytes": MEMORY })).await;
    local
        .finished(
            &local
                .post("/databases", &json!({ "name": "twin", "memory_bytes": MEMORY }))
                .await,
        )
        .await;
    assert_eq!(local.get("/databases/twin").await.refused(409), "ambiguous");
    let path = format!("/databases/{}", first.id);
    let asked = local.delete(&path).await;
    let again = local.delete(&path).await;
    if again.status == 200 {
        let (asked, again): (AcceptedView, AcceptedView) = (asked.ok(), again.ok());
        assert_eq!(asked, again, "the operation under way is named");
    } else {
        assert_eq!(again.refused(404), "not-found", "it was quicker than we");
    }
    local.finished(&asked).await;
    let left: DatabaseView = local.get("/databases/twin").await.ok();
    assert_ne!(left.id, first.id);
    local.end().await;
}
