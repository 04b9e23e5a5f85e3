"""Packages come and go below running databases: an upgrade loses nothing, and no server stays down because its version went."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from support import wait
from support.pilothouse import Pilothouse

SECONDS = 60


def installed():
    """The series and the patch of the redis-server that is installed."""
    printed = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    series, patch = re.search(r"v=(\d+\.\d+)\.(\d+)", printed).groups()
    return series, int(patch)


def put_newer_patch(folder, steps=1):
    """Puts a redis-server there, in place of the one before, that says it is a later patch; gives its version."""
    series, patch = installed()
    present, newer = f"{series}.{patch}", f"{series}.{patch + steps}"
    assert len(present) == len(newer), "the version stands in the binary and must keep its length"
    folder.mkdir(exist_ok=True)
    program = Path(shutil.which("redis-server")).resolve()
    copy = folder / "redis-server.new"
    copy.write_bytes(program.read_bytes().replace(present.encode(), newer.encode()))
    copy.chmod(0o755)
    copy.rename(folder / "redis-server")
    return newer


@contextlib.contextmanager
def searching_a_folder():
    """A Pilothouse that looks for servers in a folder first, which is not there yet."""
    with Pilothouse() as pilothouse:
        folder = pilothouse.home / "bin"
        pilothouse.config_path.write_text(f"[engines]\nsearch_path = ['{folder}']\n")
        pilothouse.start()
        pilothouse.api.bootstrap()
        yield pilothouse, folder


def test_a_database_in_memory_outlives_an_upgrade():
    with searching_a_folder() as (pilothouse, folder):
        api = pilothouse.api
        bdb = api.create("replicated", replication=True)
        uid = bdb["uid"]
        pilothouse.client(bdb).set("key", "value")
        pilothouse.kill()
        newer = put_newer_patch(folder)
        pilothouse.start()
        api.post(f"/v1/bdbs/{uid}/upgrade")
        assert api.settled(uid, SECONDS)["version"] == newer
        client = pilothouse.client(bdb)
        assert client.get("key") == "value" and client.info("server")["redis_version"] == newer
        # Both copies run it: the replica that took over is followed by the one that led before.
        wait.until("a copy follows", lambda: client.info("replication")["connected_slaves"] == 1, SECONDS)


def test_databases_that_ask_for_it_are_upgraded_one_after_the_other():
    with searching_a_folder() as (pilothouse, folder):
        api = pilothouse.api
        asked = [api.create("replicated", replication=True, auto_upgrade=True),
                 api.create("persisted", data_persistence="aof", auto_upgrade=True)]
        others = [api.create("content", data_persistence="aof"), api.create("volatile", auto_upgrade=True)]
        for bdb in asked + others:
            pilothouse.client(bdb).set("key", "value")
        present = asked[0]["version"]
        # The package arrives while everything runs.
        newer = put_newer_patch(folder)
        for bdb in asked:
            wait.until("the newer patch", lambda: api.bdb(bdb["uid"])["version"] == newer, SECONDS)
            assert pilothouse.client(api.settled(bdb["uid"], SECONDS)).info("server")["redis_version"] == newer
        # A restart would have emptied the last one, and nobody asked for the other.
        assert [api.bdb(bdb["uid"])["version"] for bdb in others] == [present] * 2
        for bdb in asked + others:
            assert pilothouse.client(bdb).get("key") == "value"
        operations = [line for line in api.get("/v1/logs?limit=1000") if "upgrade" in line.get("description", "")]
        assert len(operations) == len(asked), operations


def test_a_server_whose_version_went_comes_back_with_another_patch():
    with searching_a_folder() as (pilothouse, folder):
        api = pilothouse.api
        versions = [put_newer_patch(folder)]
        wait.until("the patch is offered", lambda: offered(api)[0] == versions[0], SECONDS)
        bdb = api.create("persisted", data_persistence="aof", aof_policy="appendfsync-always")
        uid = bdb["uid"]
        assert bdb["version"] == versions[0]
        pilothouse.client(bdb).set("key", "value")

        # The package is replaced by a newer one, then taken away, so that an older one is all there is.
        series, patch = installed()
        for replace in (lambda: put_newer_patch(folder, steps=2), lambda: (folder / "redis-server").unlink()):
            replace()
            # What runs stays as it is, and can be changed.
            assert api.bdb(uid)["version"] == versions[-1]
            os.kill(pilothouse.server_pids(uid)["master"], signal.SIGKILL)
            versions.append(f"{series}.{patch + 2}" if len(versions) == 1 else f"{series}.{patch}")
            wait.until("the other patch", lambda: api.bdb(uid)["version"] == versions[-1], SECONDS)
            client = pilothouse.client(api.settled(uid, SECONDS))
            wait.until("it answers", lambda: answers(client), SECONDS)
            assert client.get("key") == "value" and client.info("server")["redis_version"] == versions[-1]
            api.put(f"/v1/bdbs/{uid}", {"memory_size": 100_000_000 + len(versions)})
            api.settled(uid, SECONDS)

        lines = [line for line in api.get("/v1/logs?limit=1000") if line["type"] == "server_version_replaced"]
        assert [(line["old_val"], line["new_val"]) for line in lines] == list(zip(versions, versions[1:])), lines
        started = [line for line in api.get("/v1/logs?limit=1000") if line["type"] == "shard_ended"]
        assert len(started) == 2, "no server was started twice"


def offered(api):
    """Full versions that a node offers, newest first."""
    found = api.get("/v1/nodes")[0]["supported_database_versions"]
    return sorted((entry["version"] for entry in found if entry["db_type"] == "redis"), reverse=True)


def answers(client):
    with contextlib.suppress(Exception):
        return client.ping()
    return False
