"""Fields whose effect is seen outside of the object that has them."""

import os
import signal
from pathlib import Path

from support import wait

SECONDS = 15


def test_external_addresses_are_what_clients_outside_are_told(api):
    bdb = api.create("outside")
    uid, port, cluster = bdb["uid"], bdb["port"], api.get("/v1/cluster")["name"]
    assert [e["addr_type"] for e in bdb["endpoints"]] == ["external"]
    api.expect(400, "PUT", "/v1/nodes/1", {"external_addr": ["no-address"]}, code="invalid_schema")
    assert api.put("/v1/nodes/1", {"external_addr": ["203.0.113.7"]})["external_addr"] == ["203.0.113.7"]
    outer, inner = api.bdb(uid)["endpoints"]
    assert (outer["addr_type"], outer["addr"], outer["dns_name"]) == ("external", ["203.0.113.7"], f"redis-{port}.{cluster}")
    assert (inner["addr_type"], inner["addr"]) == ("internal", bdb["endpoints"][0]["addr"])
    assert inner["dns_name"] == f"redis-{port}.internal.{cluster}" and inner["port"] == port
    api.put("/v1/nodes/1", {"external_addr": []})
    assert api.bdb(uid)["endpoints"] == bdb["endpoints"]


def test_limits_of_a_node_are_shown_as_they_are(pilothouse, api):
    node = api.get("/v1/nodes/1")
    for key, name, ports in (("max_listeners", "PORT_RANGE", 1), ("max_redis_servers", "SERVER_PORT_RANGE", 2)):
        first, last = map(int, pilothouse.environment[f"PILOTHOUSE_ENDPOINTS__{name}"].split("-"))
        assert node[key] == (last + 1 - first) // ports
    room = node["shard_count"] + 1
    api.put("/v1/nodes/1", {"max_redis_servers": room})
    last = api.create("last")
    api.expect(406, "POST", "/v1/bdbs", {"name": "more", "memory_size": 10_000_000}, code="insufficient_resources")
    api.put("/v1/nodes/1", {"max_redis_servers": node["max_redis_servers"]})
    api.remove(last["uid"])


def test_the_log_tells_of_a_server_that_ended(pilothouse, api):
    bdb = api.create("crashing")
    shard = api.get(f"/v1/bdbs/{bdb['uid']}/shards")[0]["uid"]
    os.kill(pilothouse.server_pids(bdb["uid"])["master"], signal.SIGKILL)

    def told():
        return [e for e in api.get("/v1/logs?limit=1000") if e["type"] == "shard_ended" and e.get("bdb_uid") == bdb["uid"]]

    line = wait.until("the log tells it", told, SECONDS)[0]
    assert line["shard_uid"] == str(shard) and line["severity"] in ("WARNING", "ERROR") and line["bdb_name"] == "crashing"
    assert "signal 9" in line["description"]


def test_a_database_is_recovered_from_the_chosen_files(pilothouse, api):
    bdb = api.create("recovered", data_persistence="aof", aof_policy="appendfsync-always")
    uid = bdb["uid"]
    pilothouse.client(bdb).set("key", "value")
    pid = pilothouse.server_pids(uid)["master"]
    data = Path(os.readlink(f"/proc/{pid}/cwd"))
    data = data if data.name == "data" else data / "data"
    away = pilothouse.home / "away"
    away.mkdir()
    pilothouse.kill()
    os.kill(pid, signal.SIGKILL)
    # As if a disk were not mounted: the files are elsewhere, and come back.
    names = [entry.name for entry in data.iterdir()]
    for name in names:
        (data / name).rename(away / name)
    pilothouse.start()
    wait.until("it waits for recovery", lambda: api.bdb(uid)["status"] == "recovery", 30)
    for name in names:
        (away / name).rename(data / name)
    plan = api.get(f"/v1/bdbs/{uid}/actions/recover")
    assert plan["status"] == "ready" and plan["data_files"]
    path = f"/v1/bdbs/{uid}/actions/recover"
    gone = [{**plan["data_files"][0], "filename": "gone.rdb"}]
    api.expect(409, "POST", path, {"data_files": gone}, code="missing_files")
    api.post(path, {"data_files": gone + plan["data_files"], "ignore_errors": True})
    wait.until("it is active", lambda: api.bdb(uid)["status"] == "active", 30)
    assert pilothouse.client(api.bdb(uid)).get("key") == "value"


def test_a_change_of_name_or_settings_alone_is_told_in_the_log(api):
    uid = api.create("former")["uid"]

    def told(kind):
        return [line for line in api.get("/v1/logs?limit=1000") if line["type"] == kind and line.get("bdb_uid") == uid]

    api.put(f"/v1/bdbs/{uid}", {"name": "present"})
    (line,) = told("bdb_name_updated")
    assert (line["old_val"], line["new_val"], line["originator_uid"]) == ("former", "present", 1)
    assert not told("bdb_updated")
    changed = api.bdb(uid)["last_changed_time"]
    for _ in range(2):
        # What is as it was is no change.
        api.put(f"/v1/bdbs/{uid}", {"email_alerts": True})
    (line,) = told("bdb_updated")
    assert line["bdb_name"] == "present" and api.bdb(uid)["last_changed_time"] >= changed


def test_an_endpoint_that_is_not_there_cannot_be_changed(api):
    uid = api.create("endpoints")["uid"]
    api.expect(406, "PUT", f"/v1/bdbs/{uid}", {"endpoint": f"{uid + 1}:1", "proxy_policy": "all-nodes"}, code="invalid_configuration")
    assert api.put(f"/v1/bdbs/{uid}", {"endpoint": f"{uid}:1", "proxy_policy": "all-nodes"})["proxy_policy"] == "all-nodes"


def test_what_cannot_be_honoured_of_a_backup_or_a_node_is_refused(api):
    uid = api.create("offsets")["uid"]
    api.expect(406, "PUT", f"/v1/bdbs/{uid}", {"backup_interval_offset": 90_000}, code="invalid_configuration")
    api.put(f"/v1/bdbs/{uid}", {"backup_interval_offset": 90_000, "backup_interval": 100_000})
    api.expect(406, "PUT", "/v1/nodes/1", {"recovery_path": "/var/recovery"}, code="invalid_configuration")
    api.put("/v1/nodes/1", {"recovery_path": ""})
