"""Persistence: what limits of the log of writes do."""

import os

from support import wait


def log_of(api, uid):
    keys = ("aof_current_size", "aof_base_size", "aof_rewrites", "aof_rewrite_in_progress")
    (shard,) = api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys={','.join(keys)}")
    return shard["redis_info"]


def fill(client, mebibytes, keys):
    """Writes that many values of a mebibyte, none of which can be compressed, over and over to the same keys."""
    for n in range(mebibytes):
        client.set(f"key:{n % keys}", os.urandom(1 << 20))


def rewritten(api, uid, before):
    def look():
        log = log_of(api, uid)
        return log if log["aof_rewrites"] > before["aof_rewrites"] and not log["aof_rewrite_in_progress"] else None

    return wait.until("the log is made anew", look, 20)


def test_a_log_above_max_aof_file_size_is_made_anew_before_it_has_doubled(pilothouse, api):
    bdb = api.create("large-log", memory_size=256 << 20, data_persistence="aof")
    uid = bdb["uid"]
    client = pilothouse.client(bdb, decode_responses=False)
    fill(client, 70, keys=60)
    # The engine itself does it at 64 MiB, and then at twice what it is then.
    before = wait.until("the engine made it anew", lambda: settled(api, uid), 20)
    base = before["aof_base_size"]
    assert base > 50 << 20
    fill(client, 20, keys=60)
    assert log_of(api, uid)["aof_rewrites"] == before["aof_rewrites"]
    assert api.change(uid, max_aof_file_size=70 << 20)["max_aof_file_size"] == 70 << 20
    after = rewritten(api, uid, before)
    assert after["aof_current_size"] < 70 << 20, after
    assert client.dbsize() == 60


def settled(api, uid):
    log = log_of(api, uid)
    return log if log["aof_rewrites"] and not log["aof_rewrite_in_progress"] else None


def test_a_log_that_would_take_too_long_to_load_is_made_anew(pilothouse, api):
    bdb = api.create("slow-log", memory_size=64 << 20, data_persistence="aof", max_aof_load_time=1)
    uid = bdb["uid"]
    assert bdb["max_aof_load_time"] == 1
    client = pilothouse.client(bdb, decode_responses=False)
    before = log_of(api, uid)
    fill(client, 40, keys=4)
    assert rewritten(api, uid, before)["aof_current_size"] < 8 << 20
    assert client.dbsize() == 4
