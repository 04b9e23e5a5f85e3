"""Essentials: plans from the catalogue, subscriptions of a plan, and databases that the plan limits."""

import pytest
import redis

from support import wait
from support.cloud import database, subscription

LIVES = "/fixed/subscriptions/{}/databases/{}"


def plan(cloud, name, region="us-east-1"):
    plans = cloud.get("/fixed/plans?provider=AWS")["plans"]
    return next(each for each in plans if each["name"] == name and each["region"] == region)


def order(cloud, name, plan_id, **fields):
    number = cloud.done("POST", "/fixed/subscriptions", {"name": name, "planId": plan_id, **fields})
    cloud.until(f"/fixed/subscriptions/{number}", "active")
    return number


def test_the_free_flow(pilothouse, cloud):
    plans = cloud.get("/fixed/plans")["plans"]
    free = next(each for each in plans if each["price"] == 0)
    assert (free["size"], free["sizeMeasurementUnit"], free["connections"], free["supportReplication"]) == (30, "MB", "30", False)
    assert cloud.get(f"/fixed/plans/{free['id']}")["id"] == free["id"] and cloud.call("GET", "/fixed/plans/1").status_code == 404
    assert {each["provider"] for each in cloud.get("/fixed/plans?provider=GCP")["plans"]} == {"GCP"}
    assert cloud.call("GET", "/fixed/plans?provider=XYZ").status_code == 400

    number = order(cloud, "free one", free["id"])
    shown = cloud.get(f"/fixed/subscriptions/{number}")
    assert (shown["planId"], shown["planName"], shown["price"], shown["connections"]) == (free["id"], "30MB", 0, "30")
    assert [each["id"] for each in cloud.get("/fixed/subscriptions")["subscriptions"]] == [number]
    assert number not in [each["id"] for each in cloud.get("/subscriptions")["subscriptions"]], "families are listed apart"
    assert cloud.call("GET", f"/subscriptions/{number}").status_code == 404
    assert cloud.refused("POST", "/fixed/subscriptions", {"name": "two", "planId": free["id"]})["type"] == "FIXED_SUBSCRIPTION_ACCOUNT_ALREADY_HAS_A_FREE_PLAN"

    made = cloud.done("POST", f"/fixed/subscriptions/{number}/databases", {"name": "quick"})
    path = LIVES.format(number, made)
    quick = cloud.until(path, "active")
    assert quick["protocol"] == "stack" and quick["security"]["defaultUserEnabled"] is True and quick["replication"] is False
    assert (quick["planMemoryLimit"], quick["memoryLimitMeasurementUnit"]) == (30, "MB")
    assert "throughputMeasurement" not in quick and quick["backup"] == {"remoteBackupEnabled": False} and quick["alerts"] == quick["modules"] == []
    with cloud.client(quick) as client:
        assert client.set("k", "v") and int(client.info("memory")["maxmemory"]) == 30 << 20
    crowd = []
    with pytest.raises(redis.ConnectionError):
        for _ in range(31):
            crowd.append(cloud.client(quick, single_connection_client=True, socket_timeout=2, retry=None))
            crowd[-1].ping()
    assert 29 <= len(crowd) <= 30, "the plan's limit of connections holds"
    for client in crowd:
        client.close()

    listed = cloud.get(f"/fixed/subscriptions/{number}/databases")
    assert listed["subscription"]["numberOfDatabases"] == 1 and "password" not in listed["subscription"]["databases"][0]["security"]
    assert cloud.get(f"/fixed/subscriptions/{number}/databases?offset=100")["subscription"]["databases"] == []
    assert cloud.call("GET", f"/subscriptions/{number}/databases/{made}").status_code == 404
    for fields, code in [
        ({"name": "more"}, "FIXED_DATABASE_FIXED_SUBSCRIPTION_REACHED_MAX_DATABASES_COUNT"),
        ({"name": "more", "numberOfShards": 2}, "DATABASE_INVALID_SHARDS_COUNT"),
        ({"name": "more", "memoryLimitInGb": 1}, "FIXED_DATABASE_MEMORY_LIMIT_IN_GB_AND_DATA_SET_SIZE_SUPPORTED_ONLY_FOR_PAY_AS_YOU_GO"),
    ]:
        assert cloud.refused("POST", f"/fixed/subscriptions/{number}/databases", fields)["type"] == code
    for fields, code in [
        ({"replication": True}, "FIXED_DATABASE_REPLICATION_IS_NOT_SUPPORTED_IN_REQUESTED_PLAN"),
        ({"dataPersistence": "aof-every-write"}, "FIXED_DATABASE_CLUSTER_DOES_NOT_SUPPORT_DATA_PERSISTENCE"),
        ({"enableTls": True}, "FIXED_DATABASE_ENABLE_TLS_NOT_SUPPORTED_IN_REQUESTED_PLAN"),
        ({"sourceIps": ["10.0.0.1", "10.0.0.2"]}, "FIXED_DATABASE_SOURCE_IPS_LIST_IS_GREATER_THAN_PLAN_MAX_COUNT_ALLOWED_SOURCE_IPS"),
        ({"alerts": [{"name": "dataset-size", "value": 80}]}, "FIXED_DATABASE_ALERT_NOT_SUPPORTED"),
    ]:
        assert cloud.refused("PUT", path, fields)["type"] == code, fields

    cloud.done("PUT", path, {"name": "quicker", "sourceIps": ["127.0.0.1/32"], "dataEvictionPolicy": "noeviction", "enableDefaultUser": True})
    changed = cloud.until(path, "active")
    assert changed["name"] == "quicker" and changed["security"]["sourceIps"] == ["127.0.0.1/32"] and changed["dataEvictionPolicy"] == "noeviction"
    assert cloud.get(f"{path}/tags")["tags"] == [] and isinstance(cloud.get(f"{path}/slow-log")["entries"], list)
    assert cloud.call("POST", f"{path}/tags", {"key": "a", "value": "b"}, 200).json()["key"] == "a"

    assert cloud.refused("DELETE", f"/fixed/subscriptions/{number}")["type"] == "SUBSCRIPTION_IN_USE"
    cloud.done("DELETE", path)
    cloud.gone(path)
    cloud.done("DELETE", f"/fixed/subscriptions/{number}")
    assert cloud.get(f"/fixed/subscriptions/{number}")["status"] == "deleting"
    wait.until("no process is left", lambda: pilothouse.servers() == {})


def test_a_larger_plan_resizes_the_database_at_once(cloud):
    small, large = plan(cloud, "250MB replicated"), plan(cloud, "1GB replicated")
    number = order(cloud, "grows", small["id"], paymentMethodId=1)
    made = cloud.done("POST", f"/fixed/subscriptions/{number}/databases", {"name": "db", "protocol": "redis", "replication": True, "dataPersistence": "aof-every-1-second", "enableTls": False})
    path = LIVES.format(number, made)
    before = cloud.until(path, "active")
    assert before["protocol"] == "redis" and before["planMemoryLimit"] == 250 and before["planDatasetSize"] == 125

    def limit(shown):
        with cloud.client(shown) as client:
            return int(client.info("memory")["maxmemory"])

    assert limit(before) == 125 << 20
    assert large["id"] in [each["id"] for each in cloud.get(f"/fixed/plans/subscriptions/{number}")["plans"]]
    assert cloud.refused("PUT", f"/fixed/subscriptions/{number}", {"planId": 5})["type"] == "FIXED_SUBSCRIPTION_UPDATE_INVALID_PLAN"
    elsewhere = plan(cloud, "1GB replicated", "eu-west-1")
    assert cloud.refused("PUT", f"/fixed/subscriptions/{number}", {"planId": elsewhere["id"]})["type"] == "FIXED_MISMATCH_BETWEEN_REQUEST_PLAN_REGION_AND_SUBSCRIPTION_REGION"
    lesser = plan(cloud, "1GB")
    assert cloud.refused("PUT", f"/fixed/subscriptions/{number}", {"planId": lesser["id"], "name": "lost"})["type"] == "FIXED_SUBSCRIPTION_UPDATE_INVALID_PLAN"
    assert cloud.get(f"/fixed/subscriptions/{number}")["name"] == "grows", "what failed changed nothing"
    cloud.done("PUT", f"/fixed/subscriptions/{number}", {"planId": large["id"], "name": "grown"})
    shown = cloud.get(f"/fixed/subscriptions/{number}")
    assert (shown["name"], shown["planId"], shown["size"], shown["sizeMeasurementUnit"]) == ("grown", large["id"], 1, "GB")
    after = cloud.until(path, "active")
    assert limit(after) == 512 << 20 and after["publicEndpoint"] == before["publicEndpoint"] and after["planDatasetSize"] == 0.5


def test_what_is_wrong_is_told_in_the_task(cloud):
    def refused(body, method="POST", path=""):
        error = cloud.refused(method, f"/fixed/subscriptions{path}", body)
        return error["type"]

    paid, free = plan(cloud, "250MB"), plan(cloud, "30MB")
    assert refused({"planId": paid["id"]}) == "FIXED_SUBSCRIPTION_NAME_NOT_PROVIDED"
    assert refused({"name": "x"}) == "FIXED_SUBSCRIPTION_PLAN_NOT_PROVIDED"
    assert refused({"name": "x", "planId": 5}) == "FIXED_SUBSCRIPTION_CREATE_PLAN_NOT_FOUND"
    assert refused({"name": "x", "planId": paid["id"], "paymentMethodId": 9}) == "SUBSCRIPTION_PI_NOT_FOUND"
    assert refused({"name": "x", "planId": free["id"], "paymentMethodId": 1}) == "FIXED_PAYMENT_INFO_NOT_ALLOWED_IN_FREE_FIXED_PLAN"
    assert cloud.call("POST", "/fixed/subscriptions", {"name": 5}).status_code == 400
    assert cloud.refused("PUT", "/fixed/subscriptions/4711", {"name": "x"})["type"] == "SUBSCRIPTION_NOT_FOUND"
    pro = cloud.done("POST", "/subscriptions", subscription("pro", database("db")))
    assert cloud.call("GET", f"/fixed/subscriptions/{pro}").status_code == 404
    for method, path, code in [
        ("DELETE", f"/{pro}", "DELETING_A_FIXED_SUBSCRIPTION_IS_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION"),
        ("PUT", f"/{pro}", "UPDATING_A_FIXED_SUBSCRIPTION_IS_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION"),
        ("POST", f"/{pro}/databases", "CREATING_FIXED_DATABASE_NOT_ALLOWED_WITH_A_FLEXIBLE_SUBSCRIPTION"),
    ]:
        assert refused({"name": "x"}, method, path) == code
    cloud.until(f"/subscriptions/{pro}", "active")
    fixed = order(cloud, "x", paid["id"])
    assert cloud.refused("DELETE", f"/subscriptions/{fixed}")["type"] == "SUBSCRIPTION_NOT_FOUND"
    assert cloud.refused("POST", f"/subscriptions/{pro}/databases", database("a", alerts=[{"name": "connections-limit", "value": 80}]))["type"] == "FLEXIBLE_DATABASE_ALERT_NOT_SUPPORTED"
    assert cloud.call("POST", f"/subscriptions/{pro}/databases", database("a", protocol="stack")).status_code == 400
