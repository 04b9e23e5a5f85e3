"""Replica Of: a source that cannot be followed is told with its reason, and a database is never its own source."""

import socket

import pytest

from support import wait

SECONDS = 15


@pytest.fixture(scope="module")
def source(pilothouse):
    return pilothouse.api.create("followed", authentication_redis_pass="right")


def follow(api, uid, uri):
    api.change(uid, replica_sources=[{"uri": uri}], replica_sync="enabled")


def shown(api, uid):
    return api.bdb(uid)["replica_sources"][0]


def told(api, uid):
    lines = [line for line in api.get("/v1/logs?limit=1000") if line.get("bdb_uid") == uid]
    return [line for line in lines if line["type"].startswith("replica_source_")]


def test_the_reason_is_shown_and_told_once_for_each_change(pilothouse, api, source):
    follower = api.create("follower")
    uid = follower["uid"]
    address = f"127.0.0.1:{source['port']}"

    follow(api, uid, f"redis://:hunter2@{address}")
    lost = wait.until("the refusal is shown", lambda: (now := shown(api, uid))["last_error"] and now, SECONDS)
    assert lost["status"] == "out-of-sync" and "WRONGPASS" in lost["last_error"] and "hunter2" not in lost["last_error"]

    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        follow(api, uid, f"redis://127.0.0.1:{reserved.getsockname()[1]}")
        wait.until("nobody there is shown", lambda: "refused" in shown(api, uid)["last_error"], SECONDS)

    pilothouse.restart()
    follow(api, uid, f"redis://admin:{source['authentication_admin_pass']}@{address}")
    pilothouse.client(source).set("key", "value")
    wait.until("in sync", lambda: shown(api, uid)["status"] == "in-sync", SECONDS)
    wait.until("the end is told", lambda: told(api, uid)[-1]["type"] == "replica_source_followed", SECONDS)
    assert shown(api, uid)["last_error"] == ""
    assert pilothouse.client(follower).get("key") == "value"
    lines = told(api, uid)
    assert [line["type"] for line in lines] == ["replica_source_lost"] * 2 + ["replica_source_followed"], lines
    assert "WRONGPASS" in lines[0]["description"] and lines[0]["severity"] == "ERROR"


def test_nobody_follows_itself(pilothouse, api, source):
    uid, port = source["uid"], source["port"]
    name = source["endpoints"][0]["dns_name"]
    for host in ("127.0.0.1", "localhost", name):
        body = {"replica_sources": [{"uri": f"redis://admin:x@{host}:{port}"}], "replica_sync": "enabled"}
        answer = api.call("PUT", f"/v1/bdbs/{uid}", body)
        assert (answer.status_code, answer.json()["error_code"]) == (406, "invalid_replica_sources"), answer.text
    follower = api.create("second", replica_sources=[{"uri": f"redis://admin:{source['authentication_admin_pass']}@127.0.0.1:{port}"}],
                          replica_sync="enabled")
    ring = {"replica_sources": [{"uri": f"redis://127.0.0.1:{follower['port']}"}]}
    assert api.call("PUT", f"/v1/bdbs/{uid}", ring).status_code == 406
    assert api.bdb(uid)["replica_sources"] == []
