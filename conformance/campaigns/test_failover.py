"""Real servers killed, stopped and emptied under a client that writes all the time."""

import shutil
import signal
import subprocess
import threading
import time

import pytest
import redis

from support import invariants, processes, wait
from support.writer import Writer

PASSWORD = "campaign-pass"


@pytest.fixture
def replicated(pilothouse):
    """A replicated database with a log of writes, made anew for each test."""
    bdb = pilothouse.api.create("campaign", authentication_redis_pass=PASSWORD, replication=True, data_persistence="aof")
    yield bdb
    pilothouse.api.remove(bdb["uid"])


def connecting(pilothouse, bdb, **options):
    return lambda: pilothouse.client(bdb, **{"socket_timeout": 15, **options})


def healthy(pilothouse, uid, seconds=20):
    """Waits until both shards serve and the replica is in sync; returns the process ids by role."""

    def look():
        shards = pilothouse.api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys=process_id")
        if len(shards) != 2 or any(s["status"] != "active" or s["detailed_status"] != "ok" for s in shards):
            raise AssertionError(shards)
        roles = {s["role"]: s for s in shards}
        if roles["slave"]["sync"]["status"] != "idle" or any("process_id" not in s["redis_info"] for s in shards):
            raise AssertionError(shards)
        return {role: s["redis_info"]["process_id"] for role, s in roles.items()}

    return wait.until("both shards serve", look, seconds)


def flowing(writer, since=None):
    """Waits until writes are confirmed."""
    count = len(writer.confirmed)
    wait.until("writes are confirmed", lambda: len(writer.confirmed) > count + 20, 20)


def nothing_lost(pilothouse, bdb, writer):
    with pilothouse.client(pilothouse.api.bdb(bdb["uid"])) as client:
        confirmed, other = writer.lost(client)
    assert not confirmed, f"{len(confirmed)} of {len(writer.confirmed)} confirmed writes are lost: {confirmed[:10]}"
    return other


def events(pilothouse, uid):
    return [entry["type"] for entry in pilothouse.api.get("/v1/logs") if entry.get("bdb_uid") == uid]


def test_primary_killed(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for _ in range(size(5, 100)):
        pids = healthy(pilothouse, uid)
        epoch = pilothouse.api.bdb(uid)["topology_epoch"]
        with Writer(connecting(pilothouse, replicated), prefix=f"kill{epoch}") as writer:
            flowing(writer)
            killed = time.monotonic()
            processes.kill(pids["master"])
            row("kill -9 of the primary", wait.until("a write", lambda: writer.first_after(killed), 9))
            healthy(pilothouse, uid)
            flowing(writer)
        nothing_lost(pilothouse, replicated, writer)
        assert pilothouse.api.bdb(uid)["topology_epoch"] > epoch
    assert events(pilothouse, uid).count("failover_completed") >= size(5, 100)
    invariants.check(pilothouse)


def test_replica_killed(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for run in range(size(2, 20)):
        pids = healthy(pilothouse, uid)
        epoch = pilothouse.api.bdb(uid)["topology_epoch"]
        with Writer(connecting(pilothouse, replicated), prefix=f"replica{run}") as writer:
            flowing(writer)
            killed = time.monotonic()
            processes.kill(pids["slave"])
            row("kill -9 of the replica", wait.until("a write", lambda: writer.first_after(killed), 9))
            after = healthy(pilothouse, uid)
            flowing(writer)
        assert writer.errors == 0, writer.failures[:5]
        assert after["master"] == pids["master"] and after["slave"] != pids["slave"]
        assert pilothouse.api.bdb(uid)["topology_epoch"] == epoch
        assert not nothing_lost(pilothouse, replicated, writer)


def test_both_killed_at_once(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for run in range(size(2, 20)):
        pids = healthy(pilothouse, uid)
        with Writer(connecting(pilothouse, replicated), prefix=f"both{run}") as writer:
            flowing(writer)
            killed = time.monotonic()
            for pid in pids.values():
                processes.kill(pid)
            row("kill -9 of both", wait.until("a write", lambda: writer.first_after(killed), 30))
            healthy(pilothouse, uid, 30)
            flowing(writer)
        nothing_lost(pilothouse, replicated, writer)


def test_primary_stopped(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for run in range(size(2, 20)):
        pids = healthy(pilothouse, uid)
        with Writer(connecting(pilothouse, replicated), prefix=f"stop{run}") as writer:
            flowing(writer)
            stopped = time.monotonic()
            processes.kill(pids["master"], signal.SIGSTOP)
            try:
                row("SIGSTOP of the primary", wait.until("a write", lambda: writer.first_after(stopped), 9))
                assert not processes.alive(pids["master"]), "the old primary was not fenced"
            finally:
                processes.kill(pids["master"], signal.SIGCONT)
            healthy(pilothouse, uid)
            flowing(writer)
        nothing_lost(pilothouse, replicated, writer)


def test_gateway_killed(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for run in range(size(2, 20)):
        pids = healthy(pilothouse, uid)
        gateway = pilothouse.gateway()
        with Writer(connecting(pilothouse, replicated), prefix=f"gateway{run}") as writer:
            flowing(writer)
            killed = time.monotonic()
            processes.kill(gateway)
            row("kill -9 of the gateway", wait.until("a write", lambda: writer.first_after(killed), 9))
            flowing(writer)
        assert pilothouse.gateway() not in (None, gateway)
        assert healthy(pilothouse, uid) == pids
        assert not nothing_lost(pilothouse, replicated, writer)


def test_control_plane_killed(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for run in range(size(2, 20)):
        pids = healthy(pilothouse, uid)
        with Writer(connecting(pilothouse, replicated), prefix=f"control{run}") as writer:
            flowing(writer)
            killed = time.monotonic()
            pilothouse.kill()
            flowing(writer)
            pilothouse.start()
            flowing(writer)
            row("kill -9 and restart of the control plane (gap)", writer.longest_gap(killed))
        assert writer.errors == 0, writer.failures[:5]
        assert healthy(pilothouse, uid) == pids
        assert not nothing_lost(pilothouse, replicated, writer)


def test_primary_dies_while_the_control_plane_is_down(pilothouse, replicated, row):
    uid = replicated["uid"]
    pids = healthy(pilothouse, uid)
    with Writer(connecting(pilothouse, replicated, socket_timeout=3), prefix="down") as writer:
        flowing(writer)
        pilothouse.kill()
        killed = time.monotonic()
        processes.kill(pids["master"])
        time.sleep(1.0)  # what must not happen has this long to happen
        assert writer.first_after(killed) is None
        assert len(pilothouse.servers()) == 1, "a crashed server stays down"
        began = time.monotonic()
        pilothouse.start()
        wait.until("a write", lambda: writer.first_after(began), 9)
        row("start of the control plane with a dead primary", writer.first_after(began))
        healthy(pilothouse, uid)
        flowing(writer)
    nothing_lost(pilothouse, replicated, writer)


def test_long_script_causes_no_failover(pilothouse, replicated):
    uid = replicated["uid"]
    pids = healthy(pilothouse, uid)
    epoch = pilothouse.api.bdb(uid)["topology_epoch"]
    script = "local t = redis.call('TIME') local e = t[1] + 4 repeat t = redis.call('TIME') until tonumber(t[1]) >= e return 'done'"
    with pilothouse.client(replicated, socket_timeout=30) as client:
        assert client.eval(script, 0) == "done"
    assert healthy(pilothouse, uid) == pids
    assert pilothouse.api.bdb(uid)["topology_epoch"] == epoch


def test_stalled_replica_is_drained_before_it_is_promoted(pilothouse, replicated, size, row):
    uid = replicated["uid"]
    for run in range(size(2, 20)):
        pids = healthy(pilothouse, uid)
        with Writer(connecting(pilothouse, replicated), wait_ms=0, prefix=f"drain{run}") as writer:
            wait.until("writes", lambda: len(writer.acknowledged) > 50)
            processes.kill(pids["slave"], signal.SIGSTOP)
            threading.Timer(0.15, processes.kill, (pids["slave"], signal.SIGCONT)).start()
            time.sleep(0.1)  # writes pile up in the replica's socket
            killed = time.monotonic()
            processes.kill(pids["master"])
            row("kill -9 of the primary, replica stalled 150 ms", wait.until("a write", lambda: writer.first_after(killed), 9))
            healthy(pilothouse, uid)
        lost = nothing_lost(pilothouse, replicated, writer)
        # The server answers the client and feeds the replica in one turn, in that order: a kill in between takes at most that write.
        assert len(lost) <= 1, f"{len(lost)} writes that had reached the machine of the replica are lost"


def data_directory(pilothouse, pid):
    server = next(server for server, pids in pilothouse.servers().items() if pid in pids)
    return pilothouse.data / "servers" / server


def empty(directory):
    for path in (directory / "data").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_primary_comes_back_empty(pilothouse, replicated):
    uid = replicated["uid"]
    pids = healthy(pilothouse, uid)
    with Writer(connecting(pilothouse, replicated), prefix="empty") as writer:
        flowing(writer)
        directory = data_directory(pilothouse, pids["master"])
        processes.kill(pids["master"])
        empty(directory)
        killed = time.monotonic()
        wait.until("a write", lambda: writer.first_after(killed), 9)
        healthy(pilothouse, uid)
        flowing(writer)
    nothing_lost(pilothouse, replicated, writer)


def test_empty_primary_started_by_a_stranger(pilothouse, replicated):
    """While the control plane is down, the killed primary loses its data and somebody starts it again."""
    uid = replicated["uid"]
    pids = healthy(pilothouse, uid)
    with Writer(connecting(pilothouse, replicated, socket_timeout=2), prefix="stranger") as writer:
        flowing(writer)
        directory = data_directory(pilothouse, pids["master"])
        pilothouse.kill()
        account = directory.stat().st_uid, directory.stat().st_gid
        processes.kill(pids["master"])
        wait.until("the primary is dead", lambda: not processes.alive(pids["master"]))
        empty(directory)
        configuration = next(directory.glob("*.conf"))
        stranger = subprocess.Popen(["redis-server", str(configuration)], cwd=directory, user=account[0], group=account[1],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(1.5)  # the replica tries to connect every second
            written = len(writer.acknowledged)
            time.sleep(0.5)
            assert len(writer.acknowledged) == written, "a server that nobody released takes writes"
        finally:
            stranger.kill()
            stranger.wait()
        pilothouse.start()
        wait.until("writes", lambda: len(writer.acknowledged) > written + 5, 20)
        healthy(pilothouse, uid)
    nothing_lost(pilothouse, replicated, writer)


def test_failover_in_the_first_second(pilothouse, size, row):
    for run in range(size(3, 20)):
        bdb = pilothouse.api.create(f"young-{run}", authentication_redis_pass=PASSWORD, replication=True)
        with pilothouse.client(bdb) as client:
            client.set("kept", run)
            # Active means that the replica is fed already: it needs no second to hear of the first write.
            assert client.wait(1, 300) == 1
        killed = time.monotonic()
        processes.kill(pilothouse.server_pids(bdb["uid"])["master"])

        def writes():
            try:
                with pilothouse.client(bdb) as client:
                    return client.set("after", "1") and [client.get("kept")]
            except redis.RedisError:
                return None

        assert wait.until("a write", writes, 9, every=0.001) == [str(run)]
        row("kill -9 of the primary at once after active", time.monotonic() - killed)
        pilothouse.api.remove(bdb["uid"])


def test_snapshot_child_outlives_its_parent(pilothouse, size):
    """The child is stopped in the middle of its work, so that it would finish after its parent's successor has begun to write."""
    bdb = pilothouse.api.create("snapshot", authentication_redis_pass=PASSWORD, data_persistence="snapshot",
                                snapshot_policy=[{"secs": 1, "writes": 1}], memory_size=512 << 20)
    uid = bdb["uid"]
    try:
        client = pilothouse.client(bdb)
        for number in range(0, 60000, 1000):
            client.mset({f"big:{n}": "x" * 1000 for n in range(number, number + 1000)})
        wait.until("a snapshot is whole", lambda: settled_snapshot(client), 30)
        parent = pilothouse.server_pids(uid)["master"]
        client.set("touch", "1")
        child = wait.until("a snapshot is being written", lambda: children(parent), 20, every=0.001)[0]
        processes.kill(child, signal.SIGSTOP)
        processes.kill(parent)

        def back():
            now = pilothouse.server_pids(uid).get("master")
            return now if now and now != parent else None

        successor = wait.until("the successor runs", back, 20)
        assert not processes.alive(child), f"the child of {parent} lives beside {successor}"
        processes.kill(child, signal.SIGCONT)

        def readable():
            try:
                return pilothouse.client(bdb).dbsize()
            except redis.RedisError:
                return None

        assert wait.until("the data is back", readable, 20) >= 60000
    finally:
        pilothouse.api.remove(uid)


def settled_snapshot(client):
    info = client.info("persistence")
    return info["rdb_bgsave_in_progress"] == 0 and info["rdb_last_save_time"] and info["rdb_changes_since_last_save"] == 0


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []
