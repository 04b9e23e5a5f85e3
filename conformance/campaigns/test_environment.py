"""A full disk, a port that is taken, a missing binary, a directory that is not ours: the reason is told, nothing is left, and it works
again when the cause is gone."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

from support import invariants, wait
from support.pilothouse import Pilothouse

ROOT = os.geteuid() == 0


def failed_create(pilothouse, **fields):
    """Asks for a database that cannot be made; returns what the API says, all of it, as one text."""
    api = pilothouse.api
    answer = api.call("POST", "/v1/bdbs", {"name": "impossible", "memory_size": 32 << 20, **fields})
    if not answer.ok:
        assert 400 <= answer.status_code < 500 or answer.status_code == 503, answer.text
        return answer.text
    made = answer.json()
    wait.until("the creation has failed", lambda: api.bdb(made["uid"])["status"] == "creation-failed", 60)
    action = api.get(f"/v1/actions/{made['action_uid']}")
    assert action["status"] == "failed", action
    logs = [entry for entry in api.get("/v1/logs") if entry.get("bdb_uid") == made["uid"]]
    api.remove(made["uid"])
    return f"{action} {logs}"


def test_port_taken(pilothouse, api):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        api.expect(406, "POST", "/v1/bdbs", {"name": "taken", "memory_size": 32 << 20, "port": port}, code="port_unavailable")
        assert api.get("/v1/bdbs") == []
        invariants.check(pilothouse)
    bdb = api.create("taken", port=port)
    assert bdb["port"] == port
    api.remove(bdb["uid"])


def put_other_series(binary):
    """Puts a redis-server there that says it is of a series that is installed nowhere else."""
    installed = shutil.which("redis-server")
    printed = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v=(\d+\.\d+\.\d+)", printed).group(1)
    major, minor, patch = version.split(".")
    other = f"{major}.{(int(minor) + 5) % 10}.{patch}"
    assert len(other) == len(version), "the version stands in the binary and must keep its length"
    binary.write_bytes(Path(installed).read_bytes().replace(version.encode(), other.encode()))
    binary.chmod(0o755)
    return other


def test_missing_binary():
    with Pilothouse() as pilothouse:
        binaries = pilothouse.home / "bin"
        binaries.mkdir()
        version = put_other_series(binaries / "redis-server")
        nowhere = pilothouse.home / "empty"
        nowhere.mkdir()
        pilothouse.environment |= {"PILOTHOUSE_ENGINES__SEARCH_PATH": str(binaries), "PATH": str(nowhere)}
        pilothouse.start()
        pilothouse.api.bootstrap()
        pilothouse.api.remove(pilothouse.api.create("fine", version=version)["uid"])
        # Another patch of its series would do; there is none.
        (binaries / "redis-server").rename(binaries / "elsewhere")
        said = failed_create(pilothouse, version=version)
        assert "redis-server" in said or "redis" in said, said
        invariants.check(pilothouse)
        (binaries / "elsewhere").rename(binaries / "redis-server")
        wait.until("the binary is found again", lambda: pilothouse.api.call("POST", "/v1/bdbs", {
            "name": "fine-again", "memory_size": 32 << 20, "version": version}).ok, 20)


@pytest.mark.skipif(not ROOT, reason="mounting a small file system needs root")
def test_disk_full():
    home = Pilothouse()
    mount = home.home / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=755", "tmpfs", str(mount)], check=True)
    home.data = mount / "data"
    try:
        with home as pilothouse, contextlib.ExitStack() as stack:
            pilothouse.start()
            pilothouse.api.bootstrap()
            first = pilothouse.api.create("first", authentication_redis_pass="x", replication=True, data_persistence="aof")
            connection = stack.enter_context(pilothouse.client(first))
            assert connection.ping()
            before = pilothouse.gateway()
            filler = mount / "filler"
            fill(filler, 65536)
            for name in invariants.gateway_directory(pilothouse):
                fill(pilothouse.data / "servers" / name / "server.log", 1)
            said = failed_create(pilothouse)
            assert "space" in said.lower() or "full" in said.lower(), said
            assert pilothouse.api.get("/v1/bdbs")[0]["uid"] == first["uid"], "reads go on"
            # The gateway goes on without its log and its copy of the table, for as long as it would take it to notice.
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                assert connection.ping(), "an open connection lives"
                time.sleep(0.2)
            gateway = pilothouse.gateway()
            assert gateway == before, "the gateway lives"
            os.kill(gateway, signal.SIGKILL)
            wait.until("a killed gateway comes back", lambda: pilothouse.gateway() not in (None, gateway), 20)
            wait.until("the endpoint accepts", lambda: answers(pilothouse, first), 20)
            filler.unlink()
            pilothouse.api.settled(first["uid"])
            second = wait.until("creating works again", lambda: attempt(pilothouse), 30)
            invariants.check(pilothouse, {first["uid"], second["uid"]})
            with pilothouse.client(pilothouse.api.bdb(first["uid"])) as client:
                assert wait.until("writes work again", lambda: client.set("a", "b"), 20)
            pilothouse.restart()
            invariants.check(pilothouse, {first["uid"], second["uid"]})
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
        shutil.rmtree(home.home, ignore_errors=True)


def fill(path, step):
    """Appends to a file until nothing more goes in."""
    with open(path, "ab", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"\0" * step)


def answers(pilothouse, bdb):
    try:
        with pilothouse.client(bdb) as client:
            return client.ping()
    except redis.ConnectionError:
        return False


def attempt(pilothouse):
    answer = pilothouse.api.call("POST", "/v1/bdbs", {"name": "second", "memory_size": 32 << 20})
    return pilothouse.api.settled(answer.json()["uid"]) if answer.ok else None


def refused(pilothouse, *expected):
    pilothouse.spawn()
    code = pilothouse.process.wait(20)
    log = pilothouse.log()
    assert code not in (0, -6, -11) and "panicked" not in log, log
    for word in expected:
        assert word in log, f"{word!r} is not in: {log}"
    return code


def test_directory_in_use(pilothouse):
    with Pilothouse() as second:
        second.data = pilothouse.data
        assert refused(second, str(pilothouse.process.pid)) == 3
        second.data = second.home / "data"
    assert pilothouse.api.get("/v1/bdbs") == []


def test_directories_that_are_not_ours():
    with Pilothouse() as one:
        one.data.write_text("a file")
        refused(one, str(one.data))
        assert one.data.read_text() == "a file"
        one.data.unlink()

        one.data.mkdir()
        (one.data / "store.redb").write_bytes(b"somebody else's store" * 1000)
        refused(one, "store.redb")
        assert (one.data / "store.redb").read_bytes().startswith(b"somebody else's")
        shutil.rmtree(one.data)

        if ROOT:
            one.home.chmod(0o700)
            refused(one, str(one.home))
            one.home.chmod(0o755)
        one.start()
        one.api.bootstrap()
        one.api.create("works")


def test_servers_directory_of_a_stranger(pilothouse, api):
    """What others put among the servers' directories is neither adopted nor erased."""
    bdb = api.create("neighbour")
    foreign = pilothouse.data / "servers" / "not-a-server"
    foreign.mkdir()
    (foreign / "precious").write_text("keep")
    pilothouse.restart()
    api.settled(bdb["uid"])
    assert (foreign / "precious").read_text() == "keep"
    shutil.rmtree(foreign)
    api.remove(bdb["uid"])


def test_listener_port_taken():
    with Pilothouse() as pilothouse, socket.socket() as holder:
        holder.bind(("127.0.0.1", pilothouse.port))
        holder.listen()
        refused(pilothouse, str(pilothouse.port), "listen.redis_enterprise")
        holder.close()
        pilothouse.start()
        pilothouse.api.bootstrap()
