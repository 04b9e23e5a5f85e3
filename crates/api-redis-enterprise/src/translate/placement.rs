//! Blueprints: where the shards of a database would stand.

use serde::Serialize;

/// One shard of a blueprint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BlueprintShard {
    pub(crate) slot_range: String,
    pub(crate) nodes: Vec<BlueprintNode>,
}

/// One copy of a shard in a blueprint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BlueprintNode {
    pub(crate) node_uid: String,
    pub(crate) role: &'static str,
}

const SLOTS: u32 = 16384;

/// `shards` equal parts of the key space over the nodes in turn, a replica on the node after its master's (on the same one, if it is the
/// only one).
pub(crate) fn blueprint(shards: u32, replication: bool, nodes: &[u64]) -> Vec<BlueprintShard> {
    let node = |index: u32| {
        nodes
            .get(index as usize % nodes.len().max(1))
            .map_or_else(String::new, u64::to_string)
    };
    (0..shards)
        .map(|index| {
            let (first, next) = (index * SLOTS / shards, (index + 1) * SLOTS / shards);
            let master = BlueprintNode {
                node_uid: node(index),
                role: "master",
            };
            let slave = replication.then(|| BlueprintNode {
                node_uid: node(index + 1),
                role: "slave",
            });
            BlueprintShard {
                slot_range: format!("{first}-{}", next - 1),
                nodes: std::iter::once(master).chain(slave).collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_space_is_divided_and_replicas_go_elsewhere() {
        let shown =
            |shards, replication, nodes: &[u64]| serde_json::to_value(blueprint(shards, replication, nodes)).unwrap();
        assert_eq!(
            shown(2, true, &[1, 2]),
            json!([
                {"slot_range": "0-8191", "nodes": [{"node_uid": "1", "role": "master"}, {"node_uid": "2", "role": "slave"}]},
                {"slot_range": "8192-16383", "nodes": [{"node_uid": "2", "role": "master"}, {"node_uid": "1", "role": "slave"}]},
            ])
        );
        assert_eq!(
            shown(1, false, &[1]),
            json!([{"slot_range": "0-16383", "nodes": [{"node_uid": "1", "role": "master"}]}])
        );
        assert_eq!(blueprint(3, false, &[1]).last().unwrap().slot_range, "10922-16383");
    }
}
