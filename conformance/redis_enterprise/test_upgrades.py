"""An upgrade to a newer patch loses nothing, also where the data is in memory only."""

import re
import shutil
import subprocess
from pathlib import Path

from support import wait
from support.pilothouse import Pilothouse

SECONDS = 60


def newer_patch(folder):
    """Puts a redis-server there that says it is the next patch, and gives both versions."""
    program = Path(shutil.which("redis-server")).resolve()
    printed = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    series, patch = re.search(r"v=(\d+\.\d+)\.(\d+)", printed).groups()
    present, newer = f"{series}.{patch}", f"{series}.{int(patch) + 1}"
    assert len(present) == len(newer), "the version stands in the binary and must keep its length"
    folder.mkdir()
    copy = folder / "redis-server"
    copy.write_bytes(program.read_bytes().replace(present.encode(), newer.encode()))
    copy.chmod(0o755)
    return present, newer


def test_a_database_in_memory_outlives_an_upgrade():
    with Pilothouse() as pilothouse:
        pilothouse.start()
        api = pilothouse.api
        api.bootstrap()
        bdb = api.create("replicated", replication=True)
        uid = bdb["uid"]
        pilothouse.client(bdb).set("key", "value")
        pilothouse.kill()
        folder = pilothouse.home / "bin"
        _, newer = newer_patch(folder)
        pilothouse.config_path.write_text(f"[engines]\nsearch_path = ['{folder}']\n")
        pilothouse.start()
        api.post(f"/v1/bdbs/{uid}/upgrade")
        assert api.settled(uid, SECONDS)["version"] == newer
        client = pilothouse.client(bdb)
        assert client.get("key") == "value" and client.info("server")["redis_version"] == newer
        # Both copies run it: the replica that took over is followed by the one that led before.
        wait.until("a copy follows", lambda: client.info("replication")["connected_slaves"] == 1, SECONDS)
