"""Alerts: each is provoked by what it is about, seen in the API and in the log, and goes when its cause is gone."""

import socket
import threading

import pytest

from support import wait

# An evaluation every five seconds, of samples that are up to five seconds old.
SECONDS = 25


class Alerts:
    """The alerts of one database."""

    def __init__(self, api, uid):
        self.api, self.uid = api, uid

    def enable(self, **thresholds):
        wanted = {name: {"enabled": True, "threshold": str(threshold)} for name, threshold in thresholds.items()}
        shown = self.api.post(f"/v1/bdbs/alerts/{self.uid}", wanted)
        assert all(shown[name]["enabled"] and shown[name]["threshold"] == wanted[name]["threshold"] for name in wanted)

    def holding(self):
        alerts = self.api.get("/v1/bdbs/alerts")[str(self.uid)]
        return {name for name, alert in alerts.items() if alert["state"]}

    def fires(self, name):
        wait.until(f"{name} fires", lambda: name in self.holding(), SECONDS)
        alert = self.api.get(f"/v1/bdbs/alerts/{self.uid}/{name}")
        assert alert["change_value"]["state"] is True and alert["change_time"].endswith("Z"), alert
        wait.until(f"the log tells of {name}", lambda: True in self.told(name), 5)

    def clears(self, name):
        wait.until(f"{name} clears", lambda: name not in self.holding(), SECONDS)
        wait.until(f"the log tells the end of {name}", lambda: self.told(name)[-1] is False, 5)

    def told(self, name):
        """States of the alert in the order in which the log tells them."""
        entries = self.api.get("/v1/logs?limit=1000")
        return [e["state"] for e in entries if e["type"] == name.removeprefix("bdb_") and e.get("bdb_uid") == self.uid]


class Busy:
    """A client that keeps a database busy until the end of the block."""

    def __init__(self, client, *command):
        self.client, self.command, self.over = client, command, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            self.client.execute_command(*self.command)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *error):
        self.over.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_size(pilothouse, api):
    bdb = api.create("sized", eviction_policy="noeviction")
    alerts = Alerts(api, bdb["uid"])
    alerts.enable(bdb_size=20, bdb_ram_dataset_overhead=5)
    assert not alerts.holding()
    client = pilothouse.client(bdb)
    client.set("big", b"x" * (20 << 20))
    alerts.fires("bdb_size")
    assert float(api.get(f"/v1/bdbs/alerts/{bdb['uid']}/bdb_size")["change_value"]["value"]) > 20
    client.flushdb()
    alerts.clears("bdb_size")
    # Small values: what keeps them in order is most of what they need.
    with client.pipeline(transaction=False) as pipe:
        for n in range(100_000):
            pipe.set(f"k{n}", "")
        pipe.execute()
    alerts.fires("bdb_ram_dataset_overhead")
    client.flushdb()
    alerts.clears("bdb_ram_dataset_overhead")


def test_throughput_and_latency(pilothouse, api):
    bdb = api.create("measured")
    alerts = Alerts(api, bdb["uid"])
    alerts.enable(bdb_low_throughput=5, bdb_high_throughput=20, bdb_high_latency=20_000)
    alerts.fires("bdb_low_throughput")
    with Busy(pilothouse.client(bdb), "SET", "key", "value"):
        alerts.fires("bdb_high_throughput")
        alerts.clears("bdb_low_throughput")
    alerts.clears("bdb_high_throughput")
    slow = "local n = 0; for i = 1, 1e7 do n = n + i end; return n"
    with Busy(pilothouse.client(bdb), "EVAL", slow, "0"):
        alerts.fires("bdb_high_latency")
    alerts.clears("bdb_high_latency")


def test_replica_source(pilothouse, api):
    source = api.create("source-of-alerts")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        nobody = f"redis://127.0.0.1:{reserved.getsockname()[1]}"
        target = api.create("follower-of-alerts", replica_sources=[{"uri": nobody}], replica_sync="enabled")
        alerts = Alerts(api, target["uid"])
        names = [f"bdb_replica_src_syncer_{kind}_error" for kind in ("connection", "general")]
        alerts.enable(**{name: 0 for name in names}, bdb_syncer_connection_error=0)
        alerts.fires("bdb_replica_src_syncer_connection_error")
        alerts.fires("bdb_syncer_connection_error")
        assert names[1] not in alerts.holding()
    address = f"127.0.0.1:{source['port']}"
    api.change(target["uid"], replica_sources=[{"uri": f"redis://admin:wrong@{address}"}])
    alerts.fires("bdb_replica_src_syncer_general_error")
    alerts.clears("bdb_replica_src_syncer_connection_error")
    api.change(target["uid"], replica_sources=[{"uri": f"redis://admin:{source['authentication_admin_pass']}@{address}"}])
    alerts.clears("bdb_replica_src_syncer_general_error")
    wait.until("in sync", lambda: api.bdb(target["uid"])["replica_sources"][0]["status"] == "in-sync", 20)


def test_a_disabled_alert_is_neither_shown_nor_told(pilothouse, api):
    bdb = api.create("disabled")
    alerts = Alerts(api, bdb["uid"])
    path = f"/v1/bdbs/alerts/{bdb['uid']}"
    wait.until("it holds", lambda: api.get(f"{path}?ignore_settings=true")["bdb_low_throughput"]["state"], SECONDS)
    assert "bdb_low_throughput" not in alerts.holding() and not alerts.told("bdb_low_throughput")
    alerts.enable(bdb_low_throughput=1)
    alerts.fires("bdb_low_throughput")


def test_what_still_holds_is_not_told_again_after_a_restart(pilothouse, api):
    bdb = api.create("restarted")
    alerts = Alerts(api, bdb["uid"])
    alerts.enable(bdb_low_throughput=5)
    alerts.fires("bdb_low_throughput")
    since = api.get(f"/v1/bdbs/alerts/{bdb['uid']}/bdb_low_throughput")["change_time"]
    before = alerts.told("bdb_low_throughput")
    pilothouse.restart()
    wait.until("it holds again", lambda: "bdb_low_throughput" in alerts.holding(), SECONDS)
    # Another alert that fires shows that everything was judged meanwhile.
    alerts.enable(bdb_size=1)
    pilothouse.client(bdb).set("big", b"x" * (20 << 20))
    alerts.fires("bdb_size")
    assert alerts.told("bdb_low_throughput") == before
    assert api.get(f"/v1/bdbs/alerts/{bdb['uid']}/bdb_low_throughput")["change_time"] == since


@pytest.mark.parametrize("name, scope", [
    ("cluster_too_few_nodes_for_replication", "cluster"), ("cluster_ram_overcommit", "cluster"),
    ("node_memory", "nodes"), ("node_persistent_storage", "nodes"), ("node_cpu_utilization", "nodes"),
])
def test_cluster_and_nodes(pilothouse, api, name, scope):
    plain = name.startswith("cluster_")
    if name == "cluster_ram_overcommit":
        large = api.create("overcommitted", memory_size=api.get("/v1/nodes/1")["total_memory"] + (1 << 30))

    def state():
        alerts = api.get("/v1/cluster/alerts") if scope == "cluster" else api.get("/v1/nodes/alerts")["1"]
        return alerts[name]["state"]

    def told():
        return [e["state"] for e in api.get("/v1/logs?limit=1000") if e["type"] == name.split("_", 1)[1]]

    threshold = {"enabled": True, "threshold": "0.1"}
    api.put("/v1/cluster", {"alert_settings": {name: True if plain else threshold}})
    wait.until(f"{name} fires", state, SECONDS)
    wait.until("the log tells it", lambda: told()[-1:] == [True], SECONDS)
    if name == "cluster_ram_overcommit":
        api.remove(large["uid"])
    elif plain:
        api.put("/v1/cluster", {"alert_settings": {name: False}})
    else:
        api.put("/v1/cluster", {"alert_settings": {name: {"enabled": True, "threshold": "100"}}})
    wait.until(f"{name} clears", lambda: not state(), SECONDS)
