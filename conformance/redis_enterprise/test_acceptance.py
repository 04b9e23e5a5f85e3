"""The acceptance rules of the dialect, one by one: bootstrap, create, change, failover, delete, refusals, restart."""

import time

import pytest
import redis

from support import processes, wait
from support.api import Api, check_error_shape


def test_rule_1_bootstrap(fresh):
    nobody = Api(fresh.api.url, None)
    state = nobody.get("/v1/bootstrap")
    assert state["bootstrap_status"] == {"state": "idle"}
    assert state["local_node_info"]["uid"] == "1"
    assert state["local_node_info"]["supported_database_versions"]

    for path in ("/v1/bdbs", "/v1/cluster", "/v1/users", "/v1/nodes", "/v1/license"):
        nobody.expect(503, "GET", path)
        fresh.api.expect(503, "GET", path)
    nobody.expect(503, "POST", "/v1/bdbs", {"name": "x", "memory_size": 1 << 26})
    for body in ({}, {"cluster": {"name": "x y"}, "credentials": {"username": "a", "password": "b"}}, {"cluster": 7}, []):
        assert 400 <= nobody.call("POST", "/v1/bootstrap/create_cluster", body).status_code < 500, body
    assert nobody.get("/v1/bootstrap")["bootstrap_status"]["state"] == "idle"

    began = time.monotonic()
    fresh.api.bootstrap()
    assert time.monotonic() - began < 15
    nobody.expect(401, "GET", "/v1/bootstrap")
    nobody.expect(401, "GET", "/v1/bdbs")
    fresh.api.as_user(fresh.api.auth[0], "wrong").expect(401, "GET", "/v1/bdbs")
    status = fresh.api.get("/v1/bootstrap")["bootstrap_status"]
    assert status["state"] == "completed" and status["start_time"].endswith("Z") and status["end_time"].endswith("Z")
    fresh.api.expect(409, "POST", "/v1/bootstrap/create_cluster", {
        "cluster": {"name": "again"}, "credentials": {"username": "a", "password": "b"}})

    first = fresh.api.get("/v1/users/1")
    assert (first["name"], first["email"], first["role"]) == ("Administrator", fresh.api.auth[0], "admin")
    assert [r["name"] for r in fresh.api.get("/v1/roles")][:6] == [
        "Admin", "Cluster Member", "Cluster Viewer", "DB Member", "DB Viewer", "None"]


def test_rule_2_create(pilothouse, api):
    began = time.monotonic()
    made = api.post("/v1/bdbs", {"name": "first", "memory_size": 100 << 20, "authentication_redis_pass": "first-pass"})
    assert made["status"] == "pending" and made["uid"] >= 1 and made["action_uid"] and made["endpoints"]
    assert api.action(made["action_uid"])["status"] == "completed"
    bdb = api.settled(made["uid"])
    assert time.monotonic() - began < 10
    assert api.post(f"/v1/bdbs/{bdb['uid']}/command", {"command": "PING"}) == {"response": True}
    with pilothouse.client(bdb) as client:
        assert client.set("key", "value")
        assert client.get("key") == "value"
    with pytest.raises(redis.AuthenticationError), pilothouse.client(bdb, "wrong") as client:
        client.get("key")
    with pytest.raises(redis.AuthenticationError), pilothouse.client(bdb, "") as client:
        client.get("key")


def running(pilothouse, uid, key):
    """What each server of the database says itself, by role."""
    shards = pilothouse.api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys={key}")
    return {shard["role"]: shard["redis_info"].get(key) for shard in shards}


def test_rule_3_change_without_loss(pilothouse, api):
    bdb = api.create("changed", authentication_redis_pass="one", replication=True)
    uid = bdb["uid"]
    with pilothouse.client(bdb) as client:
        client.mset({f"key:{n}": n for n in range(1000)})

    def intact(password):
        with pilothouse.client(api.bdb(uid), password) as client:
            assert client.dbsize() == 1000 and client.get("key:999") == "999"

    assert api.change(uid, memory_size=256 << 20)["memory_size"] == 256 << 20
    assert running(pilothouse, uid, "maxmemory") == {"master": 128 << 20, "slave": 128 << 20}
    intact("one")
    assert api.change(uid, eviction_policy="allkeys-lfu")["eviction_policy"] == "allkeys-lfu"
    assert running(pilothouse, uid, "maxmemory_policy") == {"master": "allkeys-lfu", "slave": "allkeys-lfu"}
    api.expect(400, "PUT", f"/v1/bdbs/{uid}", {"eviction_policy": "sometimes"})
    intact("one")
    assert api.change(uid, authentication_redis_pass="two")["authentication_redis_pass"] == "two"
    with pytest.raises(redis.AuthenticationError), pilothouse.client(bdb, "one") as client:
        client.ping()
    intact("two")
    assert api.change(uid, data_persistence="aof")["data_persistence"] == "aof"
    assert running(pilothouse, uid, "aof_enabled") == {"master": 1, "slave": 1}
    intact("two")
    changed = api.change(uid, data_persistence="snapshot", snapshot_policy=[{"secs": 60, "writes": 1}])
    assert changed["snapshot_policy"] == [{"secs": 60, "writes": 1}]
    assert running(pilothouse, uid, "aof_enabled") == {"master": 0, "slave": 0}
    intact("two")
    api.expect(406, "PUT", f"/v1/bdbs/{uid}", {"data_persistence": "snapshot", "snapshot_policy": []}, code="invalid_data_persistence")
    api.change(uid, replication=False)
    assert running(pilothouse, uid, "maxmemory") == {"master": 256 << 20}
    wait.until("the replica is gone", lambda: sum(map(len, pilothouse.servers().values())) == len(api.get("/v1/shards")), 10)
    intact("two")
    assert len(api.change(uid, replication=True)["shard_list"]) == 2
    assert running(pilothouse, uid, "role") == {"master": "master", "slave": "slave"}
    intact("two")
    assert api.change(uid, name="changed-name")["name"] == "changed-name"
    for count, code in ((2, "invalid_sharding"), (4, "invalid_sharding")):
        api.expect(406, "PUT", f"/v1/bdbs/{uid}", {"shards_count": count}, code=code)
    api.expect(406, "PUT", f"/v1/bdbs/{uid}", {"oss_cluster": True}, code="invalid_oss_cluster_configuration")


def test_rule_4_failover(pilothouse, api):
    bdb = api.create("failing", authentication_redis_pass="pass", replication=True)
    uid = bdb["uid"]
    with pilothouse.client(bdb) as client:
        client.set("kept", "1")
        assert client.wait(1, 5000) == 1
    before = {shard["role"]: shard["uid"] for shard in api.get(f"/v1/bdbs/{uid}/shards")}
    processes.kill(pilothouse.server_pids(uid)["master"])

    def writes():
        with pilothouse.client(bdb) as client:
            return client.set("after", "1")

    began = time.monotonic()
    wait.until("the same address takes writes", lambda: attempt(writes), 9, every=0.005)
    assert time.monotonic() - began < 9
    after = api.settled(uid)
    assert (after["port"], after["endpoints"][0]["addr"]) == (bdb["port"], bdb["endpoints"][0]["addr"])
    assert after["topology_epoch"] > bdb["topology_epoch"]
    roles = wait.until("the old primary is back as a replica", lambda: both(api, uid), 15)
    assert roles == {"master": before["slave"], "slave": before["master"]}
    with pilothouse.client(after) as client:
        assert client.mget("kept", "after") == ["1", "1"]
        assert client.wait(1, 5000) == 1
    types = [entry["type"] for entry in api.get("/v1/logs") if entry.get("bdb_uid") == uid]
    assert any("failover" in name for name in types), types


def both(api, uid):
    shards = api.get(f"/v1/bdbs/{uid}/shards")
    ok = all(shard["status"] == "active" and shard["detailed_status"] == "ok" for shard in shards)
    roles = {shard["role"]: shard["uid"] for shard in shards}
    return roles if ok and len(roles) == 2 else None


def attempt(action):
    try:
        return action()
    except redis.RedisError:
        return None


def test_rule_5_delete(pilothouse, api):
    bdb = api.create("deleted", authentication_redis_pass="pass", replication=True, data_persistence="aof")
    uid, port = bdb["uid"], bdb["port"]
    directories = set(pilothouse.data.glob("servers/*"))
    pids = list(pilothouse.server_pids(uid).values())
    assert len(pids) == 2
    answer = api.delete(f"/v1/bdbs/{uid}")
    assert answer["action_uid"]
    wait.until("404", lambda: api.call("GET", f"/v1/bdbs/{uid}").status_code == 404, 6)
    wait.until("no process is left", lambda: not any(map(processes.alive, pids)), 6)
    wait.until("two directories less", lambda: len(directories - set(pilothouse.data.glob("servers/*"))) == 2, 6)
    wait.until("nothing in the trash", lambda: not list(pilothouse.data.glob("trash/*")), 6)
    api.expect(404, "DELETE", f"/v1/bdbs/{uid}", code="db_not_exist")
    again = api.create("deleted", port=port)
    assert again["port"] == port and again["uid"] > uid
    api.remove(again["uid"])


def test_rule_6_refusals(pilothouse, api):
    api.as_user(api.auth[0], "nope").expect(401, "GET", "/v1/bdbs")
    api.expect(404, "GET", "/v1/bdbs/4711", code="db_not_exist")
    api.expect(404, "GET", "/v1/bdbs/word")
    api.expect(404, "GET", "/v1/nowhere")
    api.expect(505, "GET", "/v1/bdbs", headers={"X-API-Version": "99"})
    api.expect(200, "GET", "/v1/bdbs", headers={"X-API-Version": "1"})
    create = {"name": "refused", "memory_size": 64 << 20}
    for more, status, code in [
        ({"name": None}, 406, "missing_db_name"),
        ({"memory_size": None}, 406, "missing_memory_size"),
        ({"name": "-bad-"}, 400, None),
        ({"type": "memcached"}, 406, "unsupported_database_type"),
        ({"crdt": True}, 406, "crdt_not_supported"),
        ({"bigstore": True}, 406, "bigstore_not_supported"),
        ({"hash_slots_policy": "legacy"}, 406, "invalid_sharding"),
        ({"shards_count": 2}, 406, "invalid_sharding"),
        ({"shards_count": 0}, 400, None),
        ({"sharding": True}, 406, "invalid_sharding"),
        ({"oss_cluster": True}, 406, "invalid_oss_cluster_configuration"),
        ({"redis_version": "99.9"}, 406, "invalid_version"),
        ({"module_list": [{"module_name": "search"}]}, 406, "missing_module"),
        ({"tls_mode": "replica_ssl"}, 406, "invalid_tls_mode"),
        ({"rack_aware": True}, 406, "not_rack_aware"),
        ({"data_persistence": "snapshot"}, 406, "invalid_data_persistence"),
        ({"backup": True, "backup_interval": 3600}, 406, "missing_backup_location"),
        ({"backup": True, "backup_location": {"type": "mount_point", "path": "/tmp"}}, 406, "missing_backup_interval"),
        ({"backup_location": {"type": "gs"}}, 406, "unsupported_location"),
        ({"roles_permissions": [{"role_uid": 99, "redis_acl_uid": 1}]}, 406, "invalid_param"),
        ({"resp3": False}, 406, None),
        ({"client_cert_subject_validation_type": "san_cn"}, 406, None),
        ({"disabled_commands": "nosuchcommand"}, 406, None),
        ({"proxy_policy": "some"}, 406, "invalid_proxy_policy"),
        ({"authentication_ssl_client_certs": [{"client_cert": "no PEM"}]}, 406, "invalid_certificate"),
        ({"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, 406, "invalid_bdb_tags"),
        ({"port": 80}, 400, None),
        ({"memory_size": -1}, 400, None),
        ({"memory_size": "many"}, 400, None),
        ({"replica_sources": [{"uri": "redis://a:1"}, {"uri": "redis://b:1"}]}, 406, "invalid_replica_sources"),
    ]:
        body = {key: value for key, value in {**create, **more}.items() if value is not None}
        answer = api.call("POST", "/v1/bdbs", body)
        shown = f"{more} -> {answer.status_code} {answer.text[:300]}"
        assert answer.status_code == status, shown
        check_error_shape(answer)
        assert code is None or answer.json()["error_code"] == code, shown
        dry = api.call("POST", "/v1/bdbs?dry_run", body)
        assert dry.status_code == status, f"dry_run {shown}: {dry.status_code}"
    assert "refused" not in [bdb["name"] for bdb in api.get("/v1/bdbs")]


def test_rule_6_busy_and_taken(pilothouse, api):
    first = api.post("/v1/bdbs", {"name": "busy", "memory_size": 64 << 20, "replication": True})
    answer = api.call("PUT", f"/v1/bdbs/{first['uid']}", {"memory_size": 70 << 20})
    assert answer.status_code in (200, 409), answer.text
    bdb = api.settled(first["uid"])
    api.expect(409, "POST", "/v1/bdbs", {"name": "again", "memory_size": 64 << 20, "uid": bdb["uid"]}, code="uid_exists")
    api.expect(406, "POST", "/v1/bdbs", {"name": "again", "memory_size": 64 << 20, "port": bdb["port"]}, code="port_unavailable")
    assert pilothouse.client(bdb, "").ping()


def test_dry_run_changes_nothing(api):
    before = api.get("/v1/bdbs")
    would = api.post("/v1/bdbs?dry_run", {"name": "would-be", "memory_size": 64 << 20})
    assert would["name"] == "would-be" and "action_uid" not in would
    assert [bdb["uid"] for bdb in api.get("/v1/bdbs")] == [bdb["uid"] for bdb in before]
    if before:
        uid = before[0]["uid"]
        would = api.put(f"/v1/bdbs/{uid}?dry_run=true", {"memory_size": 65 << 20})
        assert would["memory_size"] == 65 << 20
        assert api.bdb(uid)["memory_size"] == before[0]["memory_size"]


def test_rule_8_restart_keeps_everything(pilothouse, api):
    bdb = api.create("kept", authentication_redis_pass="pass", replication=True, data_persistence="aof")
    client = pilothouse.client(bdb)
    client.set("key", "value")
    client.client_setname("kept-through-the-restart")
    before = {path: api.get(path) for path in ("/v1/bdbs", "/v1/users", "/v1/roles", "/v1/redis_acls", "/v1/license")}
    servers, gateway = pilothouse.servers(), pilothouse.gateway()
    pilothouse.kill()
    assert client.get("key") == "value"
    pilothouse.start()
    assert client.client_getname() == "kept-through-the-restart", "the connection was broken"
    assert pilothouse.servers() == servers and pilothouse.gateway() == gateway

    def comparable(objects):
        moving = ("memory_used", "last_login")
        return [{k: v for k, v in o.items() if k not in moving} for o in objects] if isinstance(objects, list) else objects

    for path, earlier in before.items():
        assert comparable(api.get(path)) == comparable(earlier), path
    assert pilothouse.stop() == 0
    assert client.get("key") == "value"
    pilothouse.start()
    assert pilothouse.servers() == servers
    api.change(bdb["uid"], memory_size=80 << 20)
