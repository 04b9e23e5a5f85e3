"""Requests that nobody should send, at every listener: each is answered with 4xx in the shape of the dialect, or the connection is closed."""

import base64
import json
import os
import random
import re
import socket
import ssl

import pytest

from support.api import PASSWORD, USER, check_error_shape

LONG = os.environ.get("PILOTHOUSE_CAMPAIGN") == "long"
COUNT = 20_000 if LONG else 1_200

SEEDS = [
    ("POST", "/v1/bdbs", {"name": "hostile", "memory_size": 64 << 20, "replication": True, "snapshot_policy": [{"secs": 1, "writes": 1}],
                          "endpoints": [], "tags": [{"key": "a", "value": "b"}], "roles_permissions": [{"role_uid": 1, "redis_acl_uid": 1}]}),
    ("PUT", "/v1/bdbs/1", {"memory_size": 1 << 26, "eviction_policy": "noeviction", "backup_location": {"type": "mount_point", "path": "/x"}}),
    ("POST", "/v1/bdbs/1/command", {"command": "GET", "args": ["a"]}),
    ("POST", "/v1/bdbs/1/actions/export", {"export_location": {"type": "mount_point", "path": "/nowhere"}}),
    ("POST", "/v1/bdbs/1/actions/import", {"dataset_import_sources": [{"type": "url", "url": "http://127.0.0.1:1/x"}]}),
    ("PUT", "/v1/bdbs/1/passwords", {"password": "x"}),
    ("POST", "/v1/users", {"email": "a@b.c", "password": "Abcdef-1", "name": "n", "role": "db_viewer", "role_uids": [1]}),
    ("POST", "/v1/roles", {"name": "r", "management": "none"}),
    ("POST", "/v1/redis_acls", {"name": "a", "acl": "+@read ~*"}),
    ("PUT", "/v1/cluster", {"email_alerts": False, "alert_settings": {"node_memory": {"enabled": True, "threshold": "70"}}}),
    ("PUT", "/v1/cluster/policy", {"default_shards_placement": "dense"}),
    ("PUT", "/v1/cluster/update_cert", {"name": "proxy", "certificate": "x", "key": "y"}),
    ("POST", "/v1/bdbs/alerts/1", {"bdb_size": {"enabled": True, "threshold": "80"}}),
    ("POST", "/v1/users/authorize", {"ttl": 60}),
    ("POST", "/v1/bootstrap/create_cluster", {"cluster": {"name": "x"}, "credentials": {"username": "a", "password": "b"}}),
    ("PUT", "/v1/nodes/1", {"rack_id": "r"}),
    ("POST", "/v1/shards/actions/failover", {"shard_uids": ["1"]}),
    ("GET", "/v1/bdbs/stats?interval=1sec&stime=2024-01-01T00:00:00Z", None),
    ("GET", "/v1/logs?limit=5&order=asc&offset=1", None),
    ("GET", "/v1/bdbs?fields=uid,name", None),
]
VALUES = [None, True, -1, 0, 1.5, 1e308, 2**63, 2**64, 10**40, "", "x" * 5000, "\u0000", "\ud7ff\U0001f600", "../../etc/passwd", [], [[]], {}, {"a": {"b": []}}, [None, 1, "x"]]


def mutate(random, value):
    """One place of a JSON value is replaced, removed, doubled or wrapped."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        copy = dict(value)
        what = random.random()
        if what < 0.15:
            del copy[key]
        elif what < 0.25:
            copy[random.choice(["", "x" * 300, key.upper(), key + "\t", "__proto__"])] = value[key]
        else:
            copy[key] = mutate(random, value[key])
        return copy
    if isinstance(value, list) and value and random.random() < 0.5:
        at = random.randrange(len(value))
        return value[:at] + [mutate(random, value[at])] + value[at + 1 :] * random.choice([1, 1, 50])
    return random.choice(VALUES)


def head(random, method, path, length, authorisation):
    types = ["application/json"] * 6 + ["application/json;charset=utf-8", "text/plain", "application/xml", "multipart/form-data; boundary=x", "", "application/json; charset=\"", "*/*"]
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Type: {random.choice(types)}", f"Content-Length: {length}"]
    if authorisation:
        lines.append(f"Authorization: {authorisation}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode(errors="surrogatepass")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


GOOD = basic(USER, PASSWORD)
LOGINS = [GOOD] * 14 + [None, basic(USER, "wrong"), basic("", ""), "Basic !!!", "Basic", "Bearer x.y.z", "JWT " + "a" * 9000, "Digest x", basic("x" * 4000, "y")]
PATHS = ["/v1/bdbs/../cluster", "/v1/bdbs/%2e%2e/%2e%2e/etc/passwd", "/v1//bdbs", "/v1/bdbs/-1", "/v1/bdbs/99999999999999999999999", "/v1/bdbs/1%00", "/v1/bdbs/%ff",
         "/v1/bdbs/1/2/3/4/5", "/" + "a" * 9000, "/v1/bdbs?" + "a=b&" * 2000, "/v1/bdbs?fields=%zz", "/v1/bdbs/1;x=y", "/v1/users/1/../../bdbs", "//v1/bdbs", "/v1/bdbs/１",
         "/v1/nodes/stats?interval=1sec&stime=yesterday", "/v1/logs?limit=-1", "/v1/logs?limit=99999999999999999999", "*", "http://elsewhere/v1/bdbs", "/v3/bdbs", "/v1/actions/not-a-uuid"]


def request(random):
    """Bytes of one hostile request, and whether they are a whole request."""
    method, path, body = random.choice(SEEDS)
    kind = random.random()
    data = json.dumps(body).encode() if body is not None else b""
    whole = True
    if kind < 0.45 and body is not None:
        for _ in range(random.randint(1, 3)):
            body = mutate(random, body)
        data = json.dumps(body).encode(errors="surrogatepass")
    elif kind < 0.55:
        data = data[: random.randrange(len(data) + 1)]
    elif kind < 0.62:
        depth = random.choice([10, 200, 5000, 100_000])
        data = random.choice([b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth])
    elif kind < 0.70:
        data = bytearray(data or b"{}")
        for _ in range(random.randint(1, 8)):
            data[random.randrange(len(data))] = random.randrange(256)
        data = bytes(data)
    elif kind < 0.76:
        data = random.choice([b"\xff\xfe\x00", b'"\xc3\x28"', b'{"name":"\xed\xa0\x80"}', b"NaN", b"1e999", b'{"memory_size":1e400}', b"\x00", b'{"name":"a","name":"b"}', b"null", b"[]", b'"text"', b"7"])
    elif kind < 0.86:
        path = random.choice(PATHS)
        method = random.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    elif kind < 0.92:
        method = random.choice(["DELETE", "PATCH", "TRACE", "CONNECT", "BREW", "get", "G" * 300])
    elif kind < 0.95:
        data = b"x" * random.choice([100_000, 2_000_000, 20_000_000])
    login = random.choice(LOGINS)
    length = len(data)
    if random.random() < 0.03:
        length, whole = random.choice([length + 10, -1, "many", 10**30, ""]), False
    return head(random, method, path, length, login) + data, whole


GARBAGE = [b"\x16\x03\x01\x00\x05hello", b"GET", b"\r\n\r\n", b"\x00" * 1000, b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-x\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
           b"POST /v1/bdbs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST /v1/bdbs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
           b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 50]


def exchange(pilothouse, tls, data, finish):
    """Sends bytes; returns everything that comes back until the connection is closed."""
    port = pilothouse.port if tls else pilothouse.http_port
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    if tls:
        context = ssl._create_unverified_context()
        connection = context.wrap_socket(connection)
    with connection:
        received = b""
        try:
            connection.sendall(data)
            if finish and not tls:
                connection.shutdown(socket.SHUT_WR)
            elif finish:
                connection.settimeout(0.5)
            while part := connection.recv(65536):
                received += part
        except TimeoutError:
            if not finish:
                raise
        except OSError:  # closed before all was sent, which is an answer too
            pass
    return received


def judge(data, answer):
    shown = f"{data[:400]!r}… -> {answer[:600]!r}"
    if not answer:
        return
    match = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    assert match, f"no HTTP: {shown}"
    status = int(match[1])
    assert status < 500 or status == 505, shown
    header, _, body = answer.partition(b"\r\n\r\n")
    if status >= 400 and body and b"application/json" in header.lower():

        class Answer:
            text = body.decode()

            @staticmethod
            def json():
                return json.loads(body)

        check_error_shape(Answer)
    assert b"<html" not in body.lower() and b"panicked" not in body, shown


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_mutated_requests(pilothouse, api, listener):
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(1 << 32)))
    print(f"seed: PILOTHOUSE_SEED={seed}")
    dice = random.Random(seed)
    api.create("target")
    wrong, silent = [], 0
    for _ in range(COUNT):
        data, whole = request(dice)
        try:
            answer = exchange(pilothouse, listener == "tls", data, not whole)
            # A body over the limit is refused before it was sent whole; the reset that follows may overtake the answer.
            silent += whole and not answer and len(data) < 65_536
            judge(data, answer)
        except (AssertionError, TimeoutError, ValueError) as error:
            wrong.append(f"{error!r} for {data[:300]!r}"[:1200])
            if len(wrong) > 12:
                break
    assert not wrong, "\n\n".join(wrong)
    assert silent == 0, f"{silent} whole requests were not answered"
    # The target may have been deleted: that request was in order.
    with pilothouse.client(api.create("healthy"), "") as client:
        assert client.ping()
    for bdb in api.get("/v1/bdbs"):
        api.remove(bdb["uid"])
    assert pilothouse.process.poll() is None and "panicked at" not in pilothouse.log()


@pytest.mark.parametrize("listener", ["tls", "plain"])
def test_garbage(pilothouse, listener):
    for data in GARBAGE:
        judge(data, exchange(pilothouse, listener == "tls", data, True))
    with socket.create_connection(("127.0.0.1", pilothouse.port), timeout=10) as raw:  # no TLS at a TLS listener
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.settimeout(10)
        try:
            assert b"HTTP/1.1 2" not in raw.recv(4096)
        except ConnectionError:
            pass
    assert pilothouse.api.get("/v1/cluster")


def test_endpoint_and_local_socket_take_garbage(pilothouse, api):
    bdb = api.create("garbage", authentication_redis_pass="x")
    targets = [lambda: socket.create_connection(("127.0.0.1", bdb["port"]), timeout=5)]

    def local():
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(str(pilothouse.data / "control.sock"))
        return connection

    targets.append(local)
    for connect in targets:
        for data in GARBAGE:
            with connect() as connection:
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.recv(4096)
                except (ConnectionError, TimeoutError):
                    continue
                assert not re.match(rb"HTTP/1\.[01] 5", answer) or b" 505" in answer[:20], (data[:100], answer[:200])
    with pilothouse.client(bdb) as client:
        assert client.ping()
    assert pilothouse.run("db", "list").returncode == 0
