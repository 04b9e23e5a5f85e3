"""Replica Of: a source that cannot be followed is told with its reason, and a database is never its own source."""

import os
import socket
import socketserver
import subprocess
import threading

import pytest
import redis

from support import wait
from support.pilothouse import free_port

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


class Elsewhere:
    """A redis-server that Pilothouse does not run."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen(
            ["redis-server", "--save", "", "--dir", str(folder), *map(str, arguments)], cwd=folder, stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


def test_how_far_a_sync_is_and_when_the_source_was_heard(pilothouse, api, tmp_path):
    port = free_port()
    with Elsewhere(tmp_path, "--port", port):
        with redis.Redis(port=port, socket_timeout=10) as client:
            wait.until("the source answers", lambda: answers(client), SECONDS)
            # Too much for one gulp, in which a server answers nobody, and sent slowly.
            client.mset({f"key-{n}": os.urandom(20_000) for n in range(2000)})
            client.config_set("rdb-key-save-delay", 3000)
        uid = api.create("slow", memory_size=256 << 20)["uid"]
        follow(api, uid, f"redis://127.0.0.1:{port}")
        part = wait.until("a part has come", lambda: (now := shown(api, uid))["rdb_transferred"] and now, SECONDS)
        assert part["status"] in ("syncing", "in-sync") and part["rdb_transferred"] < 41_000_000
        assert "last_update" in part
        done = wait.until("in sync", lambda: (now := shown(api, uid))["status"] == "in-sync" and now, 2 * SECONDS)
        assert done["rdb_transferred"] >= part["rdb_transferred"] and done["last_error"] == ""
        later = wait.until("it is heard again", lambda: (now := shown(api, uid))["last_update"] > done["last_update"] and now, 2 * SECONDS)
        assert later["lag"] <= 15_000


def answers(client):
    try:
        return client.ping()
    except redis.exceptions.ConnectionError:
        return False


def test_a_source_over_tls_shows_the_certificate_that_was_given(pilothouse, api, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=elsewhere", "-days", "2",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    port = free_port()
    with Elsewhere(tmp_path, "--port", 0, "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key,
                   "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"):
        with redis.Redis(port=port, ssl=True, ssl_cert_reqs="none", socket_timeout=10) as client:
            wait.until("the source answers", lambda: answers(client), SECONDS)
            client.set("key", "encrypted")
        bdb = api.create("encrypted")
        uid = bdb["uid"]
        source = {"uri": f"rediss://127.0.0.1:{port}"}
        api.change(uid, replica_sources=[source], replica_sync="enabled")
        lost = wait.until("the stranger is refused", lambda: (now := shown(api, uid))["last_error"] and now, SECONDS)
        assert lost["status"] == "out-of-sync"
        pem = certificate.read_text()
        api.change(uid, replica_sources=[{**source, "server_cert": pem}])
        synced = wait.until("in sync", lambda: (now := shown(api, uid))["status"] == "in-sync" and now, SECONDS)
        assert synced["server_cert"] == pem and synced["encryption"] is True
        assert pilothouse.client(bdb).get("key") == "encrypted"
        body = {"tls_mode": "enabled", "authentication_ssl_client_certs": [{"client_cert": pem}]}
        api.expect(406, "PUT", f"/v1/bdbs/{uid}", body, code="invalid_replica_sources")
        api.change(uid, replica_sources=[], replica_sync="disabled")
        pilothouse.client(bdb).set("key", "own")


class Unreadable(socketserver.BaseRequestHandler):
    """A source whose data format nobody knows yet."""

    def handle(self):
        for line in self.request.makefile("rb"):
            word = line.strip().upper()
            if word == b"PING":
                self.request.sendall(b"+PONG\r\n")
            elif word == b"REPLCONF":
                self.request.sendall(b"+OK\r\n")
            elif word == b"PSYNC":
                data = b"REDIS0099" + b"\xff" * 9
                self.request.sendall(b"+FULLRESYNC %s 0\r\n$%d\r\n" % (b"f" * 40, len(data)) + data)
                self.server.syncs += 1


def test_a_source_that_can_never_be_loaded_is_given_up(pilothouse, api, source):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Unreadable) as server:
        server.daemon_threads, server.syncs = True, 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uid = api.create("unreadable")["uid"]
        follow(api, uid, f"redis://127.0.0.1:{server.server_address[1]}")
        wait.until("it is stopped", lambda: api.bdb(uid)["replica_sync"] == "stopped", SECONDS)
        assert "newer data format" in shown(api, uid)["last_error"]
        wait.until("it stands by itself", lambda: api.bdb(uid)["status"] == "active", SECONDS)
        pilothouse.restart()
        assert "newer data format" in shown(api, uid)["last_error"] and api.bdb(uid)["replica_sync"] == "stopped"
        before = server.syncs
        api.change(uid, replica_sync="enabled")
        wait.until("it is tried again, and stopped again", lambda: server.syncs > before and api.bdb(uid)["replica_sync"] == "stopped", SECONDS)
        api.settled(uid)
        follow(api, uid, f"redis://admin:{source['authentication_admin_pass']}@127.0.0.1:{source['port']}")
        wait.until("in sync", lambda: shown(api, uid)["status"] == "in-sync", SECONDS)
        server.shutdown()
