//! Shards: with the OSS cluster API as many as are asked for, without it one.

use pilothouse_api::JsonObject;
use pilothouse_model::DatabaseSpec;
use serde_json::Value;

use super::Body;
use super::refuse::no;
use crate::error::Failure;

/// The fields of a new database. `document` gets what is said of its endpoint where `echo` says nothing.
pub(super) fn create(
    body: &Body<'_>,
    echo: &JsonObject,
    spec: &mut DatabaseSpec,
    document: &mut JsonObject,
) -> Result<(), Failure> {
    let cluster = body.flag("oss_cluster") == Some(true);
    let sharding = body.flag("sharding") == Some(true);
    let count = count(body).unwrap_or(1);
    if cluster && !sharding {
        return no("invalid_oss_cluster_configuration", "oss_cluster needs sharding");
    }
    if !cluster && (sharding || count > 1) {
        return no(
            "invalid_sharding",
            "several shards behind one address are not available: more than one shard needs sharding and oss_cluster",
        );
    }
    if cluster {
        // Nobody stands in front of its servers, so that they are all that clients meet.
        if echo.get("proxy_policy").and_then(Value::as_str) == Some("single") {
            let why = "oss_cluster needs another proxy_policy than single";
            return no("invalid_oss_cluster_configuration", why);
        }
        document.insert("proxy_policy".to_owned(), "all-master-shards".into());
    }
    spec.cluster = cluster;
    spec.shards = count;
    Ok(())
}

/// The fields of a present database. An object that a client filled with defaults asks for one shard without sharding: of a database that
/// has more it asks nothing.
pub(super) fn update(body: &Body<'_>, spec: &mut DatabaseSpec) -> Result<(), Failure> {
    let defaults = body.flag("sharding") == Some(false) && count(body) == Some(1);
    if spec.cluster && defaults {
        return Ok(());
    }
    if body.flag("oss_cluster").is_some_and(|wanted| wanted != spec.cluster) {
        let why = "oss_cluster is chosen when a database is made";
        return no("invalid_oss_cluster_configuration", why);
    }
    if body.flag("sharding").is_some_and(|wanted| wanted != spec.cluster) {
        let why = "sharding is chosen, together with oss_cluster, when a database is made";
        return no("invalid_sharding", why);
    }
    let wanted = count(body).unwrap_or(spec.shards);
    if !spec.cluster && wanted > 1 {
        return no("invalid_sharding", "more than one shard needs sharding and oss_cluster");
    }
    if wanted < spec.shards {
        return no(
            "invalid_sharding",
            format!("shards_count can only grow: the database has {}", spec.shards),
        );
    }
    spec.shards = wanted;
    Ok(())
}

fn count(body: &Body<'_>) -> Option<u16> {
    body.number("shards_count").and_then(|count| u16::try_from(count).ok())
}
