"""Alerts: thresholds are watched, and each crossing is one entry in the log of the account, also over a restart."""

from support import wait
from support.cloud import database, subscription

LIVES = "/subscriptions/{}/databases/{}"


def entries(cloud, uid, alert):
    told = [entry["description"] for entry in cloud.get(f"/logs?resourceId={uid}&limit=1000")["entries"]]
    return [text for text in reversed(told) if text.startswith(f"alert {alert} ")]


def test_each_crossing_is_told_once(pilothouse, cloud):
    alerts = [{"name": "dataset-size", "value": 50}, {"name": "throughput-higher-than", "value": 1000000}]
    number = cloud.done("POST", "/subscriptions", subscription("watched", database("db")))
    cloud.until(f"/subscriptions/{number}", "active")
    uid = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]["databaseId"]
    path = LIVES.format(number, uid)
    cloud.done("PUT", path, {"alerts": alerts})
    shown = cloud.until(path, "active")
    assert [(each["id"], each["name"], each["value"]) for each in shown["alerts"]] == [
        (f"{uid}-1", "dataset-size", 50), (f"{uid}-2", "throughput-higher-than", 1000000)]
    with cloud.client(shown) as client:
        for part in range(60):
            client.set(f"k{part}", "x" * (1 << 20))
        raised = wait.until("the size is told", lambda: entries(cloud, uid, "dataset-size"), 30)
        assert len(raised) == 1 and "is raised at " in raised[0]
        pilothouse.restart()
        client.flushall()
    wait.until("the end is told", lambda: len(entries(cloud, uid, "dataset-size")) == 2, 30)
    assert "is over" in entries(cloud, uid, "dataset-size")[1] and entries(cloud, uid, "throughput-higher-than") == []
    cloud.done("PUT", path, {"alerts": []})
    assert cloud.until(path, "active")["alerts"] == []


def test_a_database_that_no_host_can_hold_is_refused(cloud):
    for dry in (True, False):
        error = cloud.refused("POST", "/subscriptions", subscription("huge", database("db", datasetSizeInGb=60000), dryRun=dry))
        assert error["type"] == "PLANNER_INVALID_SIZE"
    task = cloud.task(cloud.submit("POST", "/subscriptions", subscription("dry", database("db", replication=True), dryRun=True)))
    assert task["response"]["resource"]["pricing"][0]["quantity"] == 2 and "resourceId" not in task["response"]
    sharded = database("db", replication=True, supportOSSClusterApi=True, throughputMeasurement={"by": "number-of-shards", "value": 3})
    task = cloud.task(cloud.submit("POST", "/subscriptions", subscription("dry", sharded, dryRun=True)))
    assert task["response"]["resource"]["pricing"][0]["quantity"] == 6, "three shards, each with a replica"
    assert [each["name"] for each in cloud.get("/subscriptions")["subscriptions"]] == ["pilothouse"], "a dry run makes nothing"
