"""What must hold whenever the dust has settled, whatever was killed: design invariants seen from outside."""

import os
from pathlib import Path

from . import processes, wait

TRANSITIONAL = {"pending", "active-change-pending", "import-pending", "delete-pending"}


def check(pilothouse, given=(), deleted=(), seconds=30):
    """Waits until nothing is transitional, then compares objects, processes, directories and ports. Returns the objects.

    `given`: uids that were answered, and must be there. `deleted`: uids whose delete was answered, and must not.
    """
    api = pilothouse.api

    def settled():
        bdbs = api.get("/v1/bdbs")
        moving = [(b["uid"], b["status"], b.get("action_uid")) for b in bdbs if b["status"] in TRANSITIONAL or "action_uid" in b]
        assert not moving, f"still under way: {moving}"
        return [bdbs]

    (bdbs,) = wait.until("every database has settled", settled, seconds)
    there = {b["uid"] for b in bdbs}
    assert set(given) <= there | set(deleted), f"given and not there: {set(given) - there - set(deleted)}"
    assert not set(deleted) & there, f"deleted and there: {set(deleted) & there}"
    failed = [(b["uid"], b["status"]) for b in bdbs if b["status"] not in ("active", "creation-failed")]
    assert not failed, failed

    def matches():
        wanted = {str(uid) for b in api.get("/v1/bdbs") for uid in b["shard_list"] if b["status"] == "active"}
        running = pilothouse.servers()
        alone = {server: pids for server, pids in running.items() if len(pids) != 1}
        assert not alone, f"more than one main process in a directory: {alone}"
        assert len(running) == len(wanted), f"shards {sorted(wanted)}, servers {running}"
        directories = {path.name for path in Path(pilothouse.data).glob("servers/*")} - gateway_directory(pilothouse)
        assert directories == set(running), f"directories without server: {directories - set(running)}"
        assert not list(Path(pilothouse.data).glob("trash/*")), "something in the trash"
        return True

    wait.until("servers, directories and shards agree", matches, seconds)

    active = [b for b in bdbs if b["status"] == "active"]
    ports = listening()
    others = set(processes.of_directory(pilothouse.data)) - {pilothouse.process.pid}
    taken = {port for pid in others for port in ports.get(pid, ())}
    gateway = set(ports.get(pilothouse.gateway(), ()))
    assert gateway == {b["port"] for b in active}, f"gateway listens at {sorted(gateway)}, databases at {sorted(b['port'] for b in active)}"
    assert len(taken) <= len(active) + sum(len(b["shard_list"]) for b in active) * 2
    for bdb in active:
        connect = pilothouse.cluster_client if bdb["oss_cluster"] else pilothouse.client
        with connect(bdb) as client:
            assert client.set("invariant", "holds") and client.get("invariant") == "holds"

        def one_primary(uid=bdb["uid"], wanted=bdb["shards_count"]):
            # A server that was started just now follows nobody yet: it is fenced, and says that it is a primary.
            shards = api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys=role")
            primaries = [shard for shard in shards if shard["redis_info"].get("role") == "master"]
            assert len(primaries) == wanted, f"primaries of {uid}: {primaries}"
            return True

        wait.until("one primary", one_primary, seconds)
    return bdbs


def gateway_directory(pilothouse):
    """The directory that the gateway, a process like a server, has among the servers."""
    names = [path.name for path in Path(pilothouse.data).glob("servers/*")]
    return {name for name in names if bytes.fromhex(name.replace("-", "")).startswith(b"pilothouse-")}


def listening():
    """TCP ports in state LISTEN by process id."""
    sockets = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A":
                sockets[f"socket:[{fields[9]}]"] = int(fields[1].split(":")[1], 16)
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                port = sockets.get(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
                if port:
                    found.setdefault(int(pid), set()).add(port)
        except OSError:
            continue
    return found


def no_secrets_in_log(pilothouse, *secrets):
    log = pilothouse.log()
    for secret in secrets:
        assert secret not in log, "a password is in the log"
