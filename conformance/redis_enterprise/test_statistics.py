"""Statistics: what real commands of a real client do to the numbers, and what survives a restart."""

from datetime import datetime

import pytest
import redis

from support import wait


def newest(api, uid):
    return api.get(f"/v1/bdbs/stats/last/{uid}")[str(uid)]


def summed(api, uid, metric):
    """What happened at all while the finest samples reach back, from rates and the seconds that they speak for."""
    total = 0.0
    for sample in api.get(f"/v1/bdbs/stats/{uid}?interval=1sec")["intervals"]:
        begin, end = (datetime.fromisoformat(sample[key].replace("Z", "+00:00")) for key in ("stime", "etime"))
        total += sample[metric] * max((end - begin).total_seconds(), 1)
    return total


def test_hits_and_misses_of_reads_and_writes(pilothouse, api):
    bdb = api.create("hits")
    uid = bdb["uid"]
    wait.until("a first sample", lambda: newest(api, uid)["used_memory"] > 0, 10)
    client = pilothouse.client(bdb)
    for n in range(40):
        client.set(f"new:{n}", n)
    for n in range(10):
        client.set(f"new:{n}", "again")
    for n in range(20):
        client.get(f"new:{n}")
    for n in range(5):
        client.get(f"absent:{n}")
    client.delete("new:39")
    client.delete("absent")
    # Times are shown in whole seconds and samples are up to five apart, so sums are no more than roughly right.
    expected = {"write_misses": 41, "write_hits": 11, "read_hits": 20, "read_misses": 5}
    wait.until("all four are seen", lambda: all(summed(api, uid, name) > 0 for name in expected), 15)
    found = {name: summed(api, uid, name) for name in expected}
    for name, count in expected.items():
        assert count * 0.5 <= found[name] <= count * 2, found
    assert found["write_misses"] > found["write_hits"], found


def test_the_last_request_stays_known_without_traffic_and_over_a_restart(pilothouse, api):
    bdb = api.create("quiet")
    uid = bdb["uid"]
    wait.until("a first sample", lambda: newest(api, uid)["used_memory"] > 0, 10)
    assert newest(api, uid)["last_req_time"] == "1970-01-01T00:00:00Z"
    pilothouse.client(bdb).set("key", "value")
    last = wait.until("the request", lambda: fresh(newest(api, uid)["last_req_time"]), 15)
    seen = newest(api, uid)["etime"]
    wait.until("a later sample", lambda: newest(api, uid)["etime"] > seen, 15)
    assert newest(api, uid)["last_req_time"] == last
    assert pilothouse.stop() == 0
    pilothouse.start()
    assert wait.until("the request is known again", lambda: fresh(newest(api, uid)["last_req_time"]), 15) == last


def fresh(time):
    return None if time.startswith("1970") else time


def test_endpoints_count_logins_and_commands(pilothouse, api):
    bdb = api.create("counted", authentication_redis_pass="secret")
    uid = bdb["uid"]
    wait.until("a first sample", lambda: newest(api, uid)["used_memory"] > 0, 10)

    def shown():
        (endpoint,) = [entry for entry in api.get("/v1/endpoints/stats?interval=1sec") if entry["uid"].startswith(f"{uid}:")]
        return {name: max(sample[name] for sample in endpoint["intervals"]) for name in names}

    names = ("auth_cmds", "auth_errors", "cmd_get", "cmd_set", "cmd_flush", "cmd_touch")
    assert not any(shown()[name] for name in names if name.startswith("cmd"))
    for _ in range(40):
        with pytest.raises(redis.AuthenticationError), pilothouse.client(bdb, "wrong") as client:
            client.get("key")
    with pilothouse.client(bdb) as client:
        pipe = client.pipeline(transaction=False)
        for n in range(100):
            pipe.set(f"key:{n}", n).get(f"key:{n}").touch(f"key:{n}").flushdb()
        pipe.execute()

    def every_one():
        counted = shown()
        assert all(counted.values()), counted
        return True

    wait.until("every counter", every_one, 15)


def test_info_of_shards_is_asked_for_when_it_is_wanted(pilothouse, api):
    bdb = api.create("asked", replication=True)
    client = pilothouse.client(bdb)

    def processed():
        shards = api.get(f"/v1/bdbs/{bdb['uid']}/shards?extra_info_keys=total_commands_processed&extra_info_keys=run_id")
        assert all(len(shard["redis_info"]["run_id"]) == 40 for shard in shards)
        return {shard["role"]: shard["redis_info"]["total_commands_processed"] for shard in shards}

    for _ in range(3):
        before = processed()
        for _ in range(100):
            client.ping()
        after = processed()
        assert after["master"] >= before["master"] + 100, (before, after)


def test_sessions_that_watch_every_command_are_counted(pilothouse, api):
    bdb = api.create("watched")
    client = pilothouse.client(bdb)
    assert newest(api, bdb["uid"])["monitor_sessions_count"] == 0
    with client.monitor(), client.monitor():
        wait.until("two sessions", lambda: newest(api, bdb["uid"])["monitor_sessions_count"] == 2, 15)
    wait.until("none", lambda: newest(api, bdb["uid"])["monitor_sessions_count"] == 0, 15)
