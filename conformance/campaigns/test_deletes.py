"""Deleting at the worst moments: nothing is left, and no state is for ever."""

import signal

import pytest

from support import invariants, processes, wait


def gone(pilothouse, *uids):
    for uid in uids:
        wait.until(f"{uid} is unknown", lambda: pilothouse.api.call("GET", f"/v1/bdbs/{uid}").status_code == 404, 10)
    invariants.check(pilothouse, deleted=uids)


@pytest.mark.parametrize("replication", [False, True])
def test_create_and_delete_at_once(pilothouse, api, size, replication):
    uids = []
    for run in range(size(5, 50)):
        made = api.post("/v1/bdbs", {"name": f"brief-{run}", "memory_size": 32 << 20, "replication": replication})
        uids.append(made["uid"])
        answer = api.call("DELETE", f"/v1/bdbs/{made['uid']}")
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 409:  # refused while it is made: the client comes again
            wait.until("the delete is taken", lambda: api.call("DELETE", f"/v1/bdbs/{made['uid']}").ok, 20)
    gone(pilothouse, *uids)


def test_delete_twice(pilothouse, api):
    uid = api.create("twice", replication=True)["uid"]
    api.delete(f"/v1/bdbs/{uid}")
    assert api.call("DELETE", f"/v1/bdbs/{uid}").status_code in (200, 404, 409)
    gone(pilothouse, uid)
    api.expect(404, "DELETE", f"/v1/bdbs/{uid}")


def test_delete_during_a_change(pilothouse, api):
    uid = api.create("changing")["uid"]
    api.put(f"/v1/bdbs/{uid}", {"replication": True, "data_persistence": "aof"})
    wait.until("the delete is taken", lambda: api.call("DELETE", f"/v1/bdbs/{uid}").ok, 20)
    gone(pilothouse, uid)


def test_delete_during_a_failover(pilothouse, api, size):
    for run in range(size(3, 30)):
        uid = api.create(f"dying-{run}", replication=True)["uid"]
        processes.kill(pilothouse.server_pids(uid)["master"])
        wait.until("the delete is taken", lambda: api.call("DELETE", f"/v1/bdbs/{uid}").ok, 20)
        gone(pilothouse, uid)


@pytest.mark.parametrize("replication", [False, True])
def test_delete_of_a_hung_database(pilothouse, api, replication):
    uid = api.create("hung", replication=replication)["uid"]
    pids = pilothouse.server_pids(uid).values()
    for pid in pids:
        processes.kill(pid, signal.SIGSTOP)
    wait.until("the delete is taken", lambda: api.call("DELETE", f"/v1/bdbs/{uid}").ok, 20)
    gone(pilothouse, uid)
    assert not any(map(processes.alive, pids))
