"""Databases with the cluster API: shards that are asked for are there, and more or fewer of them while clients work."""

from support.cloud import database, subscription
from support.worker import Worker


def sharded(name, shards, **fields):
    throughput = {"by": "number-of-shards", "value": shards}
    return database(name, datasetSizeInGb=0.5, supportOSSClusterApi=True, throughputMeasurement=throughput, **fields)


def settled(cloud, path, shards):
    shown = cloud.until(path, "active", seconds=60)
    assert shown["clustering"]["numberOfShards"] == shards and shown["supportOSSClusterApi"] is True
    return shown


def test_two_four_three_shards_under_load(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("cluster", sharded("sharded", 2, replication=True)))
    cloud.until(f"/subscriptions/{number}", "active")
    listed = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]
    path = f"/subscriptions/{number}/databases/{listed['databaseId']}"
    shown = settled(cloud, path, 2)
    with cloud.cluster_client(shown) as client, Worker(client) as worker:
        worker.flowing()
        for shards in (4, 3):
            cloud.done("PUT", path, {"throughputMeasurement": {"by": "number-of-shards", "value": shards}})
            settled(cloud, path, shards)
            worker.flowing()
    assert not worker.errors, worker.errors[:5]
    with cloud.cluster_client(shown) as client:
        assert worker.lost(client) == {}
        assert int(client.get("k:counter")) == worker.counted
        owned = {}
        for first, last, primary in slots(client):
            owned[primary] = owned.get(primary, 0) + last - first + 1
        assert sorted(owned.values()) == [5461, 5461, 5462]
    cloud.done("DELETE", path)
    cloud.gone(path)
    cloud.done("DELETE", f"/subscriptions/{number}")


def slots(client):
    """Ranges of slots and the address of the primary of each, as one of the servers tells them."""
    node = client.get_primaries()[0]
    said = node.redis_connection.execute_command("CLUSTER SHARDS")
    for shard in said:
        shard = dict(zip(shard[::2], shard[1::2])) if isinstance(shard, list) else shard
        ranges = shard["slots"]
        primary = next(server for server in map(as_dict, shard["nodes"]) if server["role"] == "master")
        for first, last in zip(ranges[::2], ranges[1::2]):
            yield int(first), int(last), primary["port"]


def as_dict(server):
    return dict(zip(server[::2], server[1::2])) if isinstance(server, list) else server


def test_one_shard_with_the_cluster_api_is_a_cluster(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("one", database("lonely", supportOSSClusterApi=True)))
    cloud.until(f"/subscriptions/{number}", "active")
    listed = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]
    path = f"/subscriptions/{number}/databases/{listed['databaseId']}"
    with cloud.cluster_client(settled(cloud, path, 1)) as client:
        assert client.set("key", "value") and client.get("key") == "value"
    refused = cloud.refused("PUT", path, {"supportOSSClusterApi": False})
    assert refused["type"] == "DATABASE_OSS_CLUSTER_NOT_SUPPORTED"
    # Its servers are reached directly: no list can stand in front of them.
    assert cloud.refused("PUT", path, {"sourceIp": ["10.0.0.0/8"]})["type"] == "DATABASE_OSS_CLUSTER_NOT_SUPPORTED"
    refused = cloud.refused("PUT", f"/subscriptions/{number}/cidr", {"cidrIps": ["10.1.0.0/16"]})
    assert refused["type"] == "DATABASE_OSS_CLUSTER_NOT_SUPPORTED"
    shards = {"throughputMeasurement": {"by": "number-of-shards", "value": 2}}
    refused = cloud.refused("POST", f"/subscriptions/{number}/databases", database("two", **shards))
    assert refused["type"] == "DATABASE_INVALID_SHARDS_COUNT"
    refused = cloud.refused("POST", f"/subscriptions/{number}/databases", database("two", useExternalEndpointForOSSClusterApi=True))
    assert refused["type"] == "DATABASE_EXTERNAL_ENDPOINT_WITHOUT_OSS_CLUSTER"
