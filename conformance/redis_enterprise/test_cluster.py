"""Clusters: several shards that clients reach directly, made, failed over and grown while a cluster-aware client works."""

import gzip
import random
import time

import pytest
import redis

from support import invariants, processes, wait
from support.worker import Worker

PASSWORD = "cluster-pass"


def cluster(pilothouse, name, shards, **fields):
    body = {"sharding": True, "oss_cluster": True, "shards_count": shards, "memory_size": shards * (64 << 20),
            "proxy_policy": "all-master-shards", "authentication_redis_pass": PASSWORD, **fields}
    return pilothouse.api.create(name, **body)


def slots_of(pilothouse, uid):
    """Slots by master, as the shards say."""
    shards = pilothouse.api.get(f"/v1/bdbs/{uid}/shards")
    owned = {}
    for shard in shards:
        if shard["role"] == "master":
            ranges = [part.split("-") for part in shard["assigned_slots"].split(",") if part]
            owned[shard["uid"]] = sum(int(last) - int(first) + 1 for first, last in ranges)
    return owned


def test_active_means_that_every_slot_answers(pilothouse):
    bdb = cluster(pilothouse, "made", 3, replication=True)
    with pilothouse.cluster_client(bdb) as client:
        for number in range(300):
            assert client.set(f"key:{number}", number)
        assert {client.get(f"key:{number}") for number in range(300)} == {str(number) for number in range(300)}
        assert len(client.get_primaries()) == 3 and len(client.get_replicas()) == 3
    assert bdb["sharding"] and bdb["oss_cluster"] and bdb["shards_count"] == 3
    assert len(bdb["shard_list"]) == 6
    assert sorted(slots_of(pilothouse, bdb["uid"]).values()) == [5461, 5461, 5462]
    # One address is enough to find all; a client that follows nobody is told where to go.
    with pilothouse.client(bdb) as plain:
        said = plain.execute_command("CLUSTER", "SLOTS")
        assert sum(int(last) - int(first) + 1 for first, last, *_ in said) == 16384
        # What changes the cluster is nobody's but ours.
        for command in (["CLUSTER", "RESET"], ["CLUSTER", "FORGET", "x"], ["CLUSTER", "FAILOVER"], ["CLUSTER", "SETSLOT", "1", "STABLE"], ["MIGRATE", "127.0.0.1", "1", "k", "0", "10"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                plain.execute_command(*command)
    pilothouse.api.remove(bdb["uid"])
    invariants.check(pilothouse)


def test_a_shard_fails_over_alone(pilothouse, size=3):
    bdb = cluster(pilothouse, "failing", 3, replication=True, data_persistence="aof")
    uid = bdb["uid"]
    for _ in range(size):
        masters = [s for s in pilothouse.api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys=process_id") if s["role"] == "master"]
        victim = random.choice(masters)
        with pilothouse.cluster_client(bdb) as client, Worker(client, f"kill{victim['uid']}") as worker:
            worker.flowing()
            processes.kill(victim["redis_info"]["process_id"])
            worker.flowing()
            pilothouse.api.settled(uid)
        with pilothouse.cluster_client(bdb) as client:
            assert worker.lost(client) == {}

        def in_sync():
            shards = pilothouse.api.get(f"/v1/bdbs/{uid}/shards")
            slaves = [s for s in shards if s["role"] == "slave"]
            return len(slaves) == 3 and all(s["sync"]["status"] == "idle" for s in slaves)

        wait.until("every replica is in sync again", in_sync, 20)
    failovers = [entry for entry in pilothouse.api.get("/v1/logs") if entry.get("bdb_uid") == uid and entry["type"] == "failover_completed"]
    assert len(failovers) >= size
    invariants.check(pilothouse)
    pilothouse.api.remove(uid)


def test_shards_are_added_under_load(pilothouse):
    bdb = cluster(pilothouse, "growing", 2, replication=True)
    uid = bdb["uid"]
    with pilothouse.cluster_client(bdb) as client:
        with client.pipeline() as pipeline:
            for number in range(20_000):
                pipeline.set(f"still:{number}", number)
            pipeline.execute()
    with pilothouse.cluster_client(bdb) as client, Worker(client) as worker:
        worker.flowing()
        pilothouse.api.change(uid, seconds=60, shards_count=4, memory_size=4 * (64 << 20))
        worker.flowing()
    assert not worker.errors, worker.errors[:5]
    assert list(slots_of(pilothouse, uid).values()) == [4096] * 4
    with pilothouse.cluster_client(bdb) as client:
        assert worker.lost(client) == {}
        assert int(client.get("k:counter")) == worker.counted
        values = [client.get(f"still:{number}") for number in range(0, 20_000, 7)]
        assert values == [str(number) for number in range(0, 20_000, 7)]
        assert sum(client.dbsize(target_nodes=node) for node in client.get_primaries()) == 20_000 + len(worker.values) + 1
    invariants.check(pilothouse)
    pilothouse.api.remove(uid)


def test_a_reshard_survives_kills(pilothouse):
    bdb = cluster(pilothouse, "shaken", 2, replication=True, data_persistence="aof")
    uid = bdb["uid"]
    with pilothouse.cluster_client(bdb) as client, client.pipeline() as pipeline:
        for number in range(20_000):
            pipeline.set(f"still:{number}", "x" * 100)
        pipeline.execute()
    pilothouse.api.put(f"/v1/bdbs/{uid}", {"shards_count": 3})
    for _ in range(3):
        time.sleep(random.uniform(0.05, 0.4))
        pilothouse.restart()
        masters = [s for s in pilothouse.api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys=process_id") if s["role"] == "master"]
        victims = [s["redis_info"]["process_id"] for s in masters if s["redis_info"].get("process_id")]
        if victims:
            processes.kill(random.choice(victims))
    pilothouse.api.settled(uid, 90)
    assert sorted(slots_of(pilothouse, uid).values()) == [5461, 5461, 5462]
    with pilothouse.cluster_client(bdb) as client:
        assert [n for n in range(20_000) if client.get(f"still:{n}") != "x" * 100] == []
    invariants.check(pilothouse)
    pilothouse.api.remove(uid)


def test_a_cluster_comes_back_after_everything_died(pilothouse):
    bdb = cluster(pilothouse, "powerless", 3, data_persistence="aof", aof_policy="appendfsync-always")
    with pilothouse.cluster_client(bdb) as client:
        for number in range(100):
            client.set(f"key:{number}", number)
    pilothouse.kill()
    processes.end_all(pilothouse.data)
    pilothouse.start()
    bdb = pilothouse.api.settled(bdb["uid"])
    with pilothouse.cluster_client(bdb) as client:
        assert [client.get(f"key:{number}") for number in range(100)] == [str(number) for number in range(100)]
    pilothouse.api.remove(bdb["uid"])


def test_flush_and_password_reach_every_shard(pilothouse):
    bdb = cluster(pilothouse, "reached", 3, replication=True)
    uid = bdb["uid"]
    with pilothouse.cluster_client(bdb) as client:
        for number in range(100):
            client.set(f"key:{number}", number)
    pilothouse.api.change(uid, authentication_redis_pass="another-pass")
    with pytest.raises(redis.exceptions.RedisClusterException, match="invalid username-password pair"):
        pilothouse.cluster_client(bdb)
    pilothouse.api.put(f"/v1/bdbs/{uid}/flush")
    bdb = pilothouse.api.settled(uid)
    with pilothouse.cluster_client(bdb) as client:
        assert client.dbsize(target_nodes=redis.RedisCluster.PRIMARIES) in (0, [0, 0, 0])
    pilothouse.api.remove(uid)


def test_an_export_has_a_file_for_each_shard(pilothouse):
    place = pilothouse.home / "exports"
    place.mkdir()
    place.chmod(0o777)
    bdb = cluster(pilothouse, "exported", 3, replication=True)
    uid = bdb["uid"]
    with pilothouse.cluster_client(bdb) as client:
        for number in range(300):
            client.set(f"key:{number}:", number)
    location = {"export_location": {"type": "mount_point", "path": str(place)}}
    started = pilothouse.api.post(f"/v1/bdbs/{uid}/actions/export", location)
    assert pilothouse.api.action(started["action_uid"])["status"] == "completed"
    files = sorted(place.glob("*.rdb.gz"))
    assert [part.name.split("-")[1] for part in files] == ["1_of_3", "2_of_3", "3_of_3"], files
    contents = [gzip.decompress(part.read_bytes()) for part in files]
    assert all(content.startswith(b"REDIS") for content in contents)
    for number in range(300):
        assert sum(f"key:{number}:".encode() in content for content in contents) == 1, number
    source = {"dataset_import_sources": [{"type": "mount_point", "path": str(files[0])}]}
    pilothouse.api.expect(406, "POST", f"/v1/bdbs/{uid}/actions/import", source, code="invalid_oss_cluster_configuration")
    # A command of ours finds the server that has the key.
    for number in range(5):
        answer = pilothouse.api.post(f"/v1/bdbs/{uid}/command", {"command": "GET", "args": [f"key:{number}:"]})
        assert answer["response"] == str(number), answer
    pilothouse.api.remove(uid)


def test_what_cannot_be_is_refused(pilothouse):
    api = pilothouse.api
    base = {"name": "refused", "memory_size": 256 << 20}
    for fields, code in (
        ({"oss_cluster": True}, "invalid_oss_cluster_configuration"),
        ({"oss_cluster": True, "sharding": True, "proxy_policy": "single"}, "invalid_oss_cluster_configuration"),
        ({"sharding": True, "shards_count": 2}, "invalid_sharding"),
        ({"shards_count": 2}, "invalid_sharding"),
        ({"oss_cluster": True, "sharding": True, "hash_slots_policy": "legacy"}, "invalid_oss_cluster_configuration"),
    ):
        api.expect(406, "POST", "/v1/bdbs", {**base, **fields}, code=code)
    api.expect(400, "POST", "/v1/bdbs", {**base, "oss_cluster": True, "sharding": True, "shards_count": 513})
    single = api.create("single")
    api.expect(406, "PUT", f"/v1/bdbs/{single['uid']}", {"shards_count": 2}, code="invalid_sharding")
    api.expect(406, "PUT", f"/v1/bdbs/{single['uid']}", {"oss_cluster": True}, code="invalid_oss_cluster_configuration")
    bdb = cluster(pilothouse, "fixed", 2)
    api.expect(406, "PUT", f"/v1/bdbs/{bdb['uid']}", {"shards_count": 1}, code="invalid_sharding")
    api.expect(406, "PUT", f"/v1/bdbs/{bdb['uid']}", {"oss_cluster": False}, code="invalid_oss_cluster_configuration")
    # An object that a client filled with its defaults asks for nothing here.
    api.change(bdb["uid"], sharding=False, shards_count=1, oss_cluster=False)
    assert api.bdb(bdb["uid"])["shards_count"] == 2
    api.remove(bdb["uid"])
    api.remove(single["uid"])
