//! The usage report: a line of JSON per database, and a last line that proves the lines before it whole.

use md5::{Digest, Md5};
use pilothouse_api::JsonObject;
use pilothouse_control::DatabaseView;
use pilothouse_model::{EvictionPolicy, Persistence, Timestamp};
use serde::Serialize;

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Usage {
    pub(crate) cluster_name: String,
    pub(crate) cluster_uuid: String,
    pub(crate) date: String,
    pub(crate) software_version: String,
    pub(crate) api_version: &'static str,
    pub(crate) bdb_uid: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) shard_type: &'static str,
    pub(crate) dominant_shard_criteria: &'static str,
    pub(crate) provisioned_memory: u64,
    pub(crate) used_memory: u64,
    pub(crate) master_shards_count: u16,
    pub(crate) no_eviction: bool,
    pub(crate) persistence: bool,
    pub(crate) backup: bool,
    pub(crate) using_redis_search: bool,
    pub(crate) ops_sec: f64,
    pub(crate) replication: bool,
    pub(crate) active_active: bool,
    pub(crate) license: JsonObject,
}

/// What all lines share.
pub(crate) struct Common {
    pub(crate) cluster_name: String,
    pub(crate) cluster_uuid: String,
    pub(crate) software_version: String,
    pub(crate) now: Timestamp,
}

/// The line of a database. `used_memory` in bytes, `operations` per second.
pub(crate) fn line(common: &Common, view: &DatabaseView, uid: u64, used_memory: f64, operations: f64) -> Usage {
    let spec = &view.database.spec;
    Usage {
        cluster_name: common.cluster_name.clone(),
        cluster_uuid: common.cluster_uuid.clone(),
        date: common.now.to_rfc3339_seconds(),
        software_version: common.software_version.clone(),
        api_version: "1",
        bdb_uid: uid.to_string(),
        kind: "core",
        shard_type: "ram",
        dominant_shard_criteria: "memory",
        provisioned_memory: spec.memory_bytes,
        used_memory: used_memory as u64,
        master_shards_count: spec.shards,
        no_eviction: spec.eviction == EvictionPolicy::Noeviction,
        persistence: spec.persistence != Persistence::Disabled,
        backup: spec.backup.as_ref().is_some_and(|backup| backup.enabled),
        using_redis_search: false,
        ops_sec: operations,
        replication: spec.replicas > 0,
        active_active: false,
        license: JsonObject::new(),
    }
}

/// The report: the lines, and the MD5 of them, which guards against cut files and not against people.
pub(crate) fn report(lines: &[Usage]) -> String {
    let mut text = String::new();
    for line in lines {
        // No map with other keys than texts is in there, so this cannot fail; a line that did would be missed by the reader.
        text.push_str(&serde_json::to_string(line).unwrap_or_default());
        text.push('\n');
    }
    let sum = Md5::digest(text.as_bytes());
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push_str(&hex);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::bdb::tests::view;

    #[test]
    fn the_last_line_is_the_sum_of_what_precedes() {
        assert_eq!(report(&[]), "d41d8cd98f00b204e9800998ecf8427e\n");
        let common = Common {
            cluster_name: "my.cluster".to_owned(),
            cluster_uuid: "u".to_owned(),
            software_version: "7.22.2-170".to_owned(),
            now: Timestamp::from_millis(1_760_400_087_000),
        };
        let report = report(&[line(&common, &view(), 1, 5.0, 0.5)]);
        let (first, last) = report.trim_end().split_once('\n').unwrap();
        let parsed: serde_json::Value = serde_json::from_str(first).unwrap();
        assert_eq!(
            (&parsed["bdb_uid"], &parsed["provisioned_memory"]),
            (&"1".into(), &1_073_741_824_u64.into())
        );
        assert_eq!(last.len(), 32);
    }
}
