"""What belongs to an account: its log, its cloud accounts, and features that are not offered, each refused in its own way."""

import pytest

from support.cloud import database, subscription

LIVES = "/subscriptions/{}/databases/{}"


def test_the_log_tells_who_did_what(cloud, other):
    number = cloud.done("POST", "/subscriptions", subscription("logged", database("db")))
    cloud.until(f"/subscriptions/{number}", "active")
    uid = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]["databaseId"]
    cloud.refused("DELETE", f"/subscriptions/{number}")
    entries = cloud.get("/logs")["entries"]
    ids = [entry["id"] for entry in entries]
    assert ids == sorted(ids, reverse=True) and len(set(ids)) == len(ids), "newest first"
    told = [(entry["type"], entry["description"].split(":")[0]) for entry in reversed(entries)]
    assert told[0] == ("Task", "subscriptionCreateRequest was received")
    assert ("Task", "subscriptionCreateRequest was processed") in told and ("Task", "subscriptionDeleteRequest was refused") in told
    made = next(entry for entry in entries if entry.get("resourceId") == number)
    assert made["type"] == "Subscription" and made["resource"] == "logged" and made["apiKeyName"] == made["originator"] == "owner"
    of_database = cloud.get(f"/logs?resourceId={uid}")["entries"]
    assert of_database and {entry["resourceId"] for entry in of_database} == {uid}
    assert any(entry["originator"] == "reconcile" and "apiKeyName" not in entry for entry in of_database), "what happens by itself has no key"
    assert cloud.get("/logs?offset=1&limit=1")["entries"] == entries[1:2]
    assert cloud.get("/logs?startTime=2999-01-01T00:00:00Z")["entries"] == []
    assert len(cloud.get("/logs?endTime=2999-01-01T00:00:00Z&limit=1000")["entries"]) == len(entries)
    for bad in ("limit=0", "limit=1001", "startTime=yesterday", "offset=x", "resourceId=x"):
        assert cloud.call("GET", f"/logs?{bad}").status_code == 400, bad
    assert other.get("/logs")["entries"] == [], "accounts have logs of their own"
    assert cloud.get("/session-logs?limit=100")["entries"] == [] and cloud.call("GET", "/session-logs?limit=101").status_code == 400


def test_cloud_accounts_are_recorded_and_named_by_subscriptions(cloud):
    assert [each["id"] for each in cloud.get("/cloud-accounts")["cloudAccounts"]] == [1]
    body = {"name": "mine", "provider": "AWS", "accessKeyId": "AKIA1", "accessSecretKey": "hidden-1", "consoleUsername": "me",
            "consolePassword": "hidden-2", "signInLoginUrl": "https://example.org/login"}
    number = cloud.done("POST", "/cloud-accounts", body)
    mine = cloud.call("GET", f"/cloud-accounts/{number}", expect=200)
    assert mine.json()["status"] == "active" and mine.json()["accessKeyId"] == "AKIA1" and "hidden" not in mine.text
    assert cloud.refused("POST", "/cloud-accounts", body)["type"] == "CLOUD_ACCOUNT_NAME_EXISTS"
    assert cloud.refused("POST", "/cloud-accounts", body | {"name": "else"})["type"] == "CLOUD_ACCOUNT_ACCESS_KEY_EXISTS"
    assert cloud.refused("POST", "/cloud-accounts", {"name": "bare"})["type"] == "BAD_REQUEST"
    cloud.done("PUT", f"/cloud-accounts/{number}", body | {"name": "renamed", "accessKeyId": "AKIA2"})
    assert cloud.get(f"/cloud-accounts/{number}")["name"] == "renamed"
    wanted = subscription("on-mine", database("db"))
    wanted["cloudProviders"][0]["cloudAccountId"] = 4711
    assert cloud.refused("POST", "/subscriptions", wanted)["type"] == "CLOUD_ACCOUNT_NOT_FOUND"
    wanted["cloudProviders"][0]["cloudAccountId"] = number
    sid = cloud.done("POST", "/subscriptions", wanted)
    shown = cloud.until(f"/subscriptions/{sid}", "active")
    assert shown["cloudDetails"][0]["cloudAccountId"] == number
    assert cloud.refused("DELETE", f"/cloud-accounts/{number}")["type"] == "CLOUD_ACCOUNT_USED"
    for method in ("PUT", "DELETE"):
        assert cloud.refused(method, "/cloud-accounts/1", body)["type"] == "CLOUD_ACCOUNT_USED", "our own machines stay"
        missing = cloud.refused(method, "/cloud-accounts/4711", body)
        assert (missing["type"], missing["status"]) == ("CLOUD_ACCOUNT_NOT_FOUND", "404 NOT_FOUND")
    spare = cloud.done("POST", "/cloud-accounts", body | {"name": "spare", "accessKeyId": "AKIA3"})
    cloud.done("DELETE", f"/cloud-accounts/{spare}")
    assert cloud.call("GET", f"/cloud-accounts/{spare}").status_code == 404
    assert cloud.done("POST", "/cloud-accounts", body | {"name": "later", "accessKeyId": "AKIA4"}) > spare, "ids are not given twice"


@pytest.fixture
def lone(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("lone", database("db")))
    cloud.until(f"/subscriptions/{number}", "active")
    uid = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]["databaseId"]
    return f"/subscriptions/{number}", uid


def test_what_is_not_offered_is_refused_in_its_own_way(cloud, lone):
    path, uid = lone
    assert cloud.task(cloud.submit("GET", f"{path}/peerings"))["response"]["resource"] == {"peerings": []}
    assert cloud.task(cloud.submit("GET", f"{path}/peerings/vpc"))["response"]["resource"] == {"peerings": []}
    for method, end, code, status in [
        ("POST", "peerings", "VPC_PEERING_GENERAL_ERROR", "400 BAD_REQUEST"),
        ("PUT", "peerings/7", "VPC_PEERING_NOT_FOUND", "404 NOT_FOUND"),
        ("DELETE", "peerings/vpc/7", "VPC_PEERING_NOT_FOUND", "404 NOT_FOUND"),
        ("GET", "regions/peerings", "GETTING_ACTIVE_ACTIVE_SUBSCRIPTION_VPC_PEERINGS_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION", "400 BAD_REQUEST"),
        ("GET", "private-link", "PRIVATE_LINK_NOT_FOUND", "404 NOT_FOUND"),
        ("GET", "private-link/endpoint-script", "PRIVATE_LINK_NOT_FOUND", "404 NOT_FOUND"),
        ("GET", "regions/3/private-link", "PRIVATE_LINK_NOT_FOUND", "404 NOT_FOUND"),
        ("GET", "private-service-connect", "PSC_SERVICE_NOT_FOUND", "404 NOT_FOUND"),
        ("GET", "transitGateways", "TGW_DOES_NOT_EXIST", "404 NOT_FOUND"),
        ("GET", "transitGateways/invitations", "TGW_DOES_NOT_EXIST", "404 NOT_FOUND"),
        ("POST", "regions", "ADDING_REGION_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION", "400 BAD_REQUEST"),
        ("DELETE", "regions/", "DELETING_REGION_IS_NOT_ALLOWED_WITH_SINGLE_REGION_SUBSCRIPTION", "400 BAD_REQUEST"),
    ]:
        error = cloud.refused(method, f"{path}/{end}", {} if method != "GET" else None)
        assert (error["type"], error["status"]) == (code, status), (method, end)
    assert cloud.refused("GET", "/subscriptions/4711/private-link")["type"] == "SUBSCRIPTION_NOT_FOUND"
    for method, end in [
        ("POST", f"{path}/private-link"), ("DELETE", f"{path}/private-link/principals"), ("POST", f"{path}/private-service-connect"),
        ("PUT", f"{path}/private-service-connect/1/endpoints/2"), ("POST", f"{path}/transitGateways/1/attachment"),
        ("PUT", f"{path}/regions/1/transitGateways/invitations/2/accept"), ("POST", f"{path}/regions/peerings"),
        ("POST", f"{path}/data-integration-workspace"), ("PATCH", f"{path}/data-integration-workspace/pipelines"),
        ("POST", "/endpoint-redirections"), ("POST", "/cost-report"),
    ]:
        answer = cloud.call(method, end, {})
        assert answer.status_code == 412 and answer.json()["error"] == "Precondition Failed", (method, end, answer.text)
    assert cloud.get("/data-integration-workspaces") == {}
    for end in ("data-integration-workspace", "regions", f"databases/{uid}/traffic", f"databases/{uid}/upgrade", f"databases/{uid}/redis-version-upgrade-status"):
        assert cloud.call("GET", f"{path}/{end}").status_code == 404, end
    assert cloud.get(f"{path}/databases/{uid}/available-target-versions") == {"targets": []}
    assert cloud.refused("POST", f"{path}/databases/{uid}/upgrade", {"targetRedisVersion": "1.0"})["type"] == "DATABASE_UPGRADE_INVALID_REDIS_VERSION"


def test_the_slow_log_is_that_of_every_shard(cloud):
    wanted = database("slow", supportOSSClusterApi=True, throughputMeasurement={"by": "number-of-shards", "value": 2}, datasetSizeInGb=0.2)
    number = cloud.done("POST", "/subscriptions", subscription("slow", wanted))
    cloud.until(f"/subscriptions/{number}", "active", 60)
    uid = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]["databaseId"]
    path = LIVES.format(number, uid)
    shown = cloud.until(path, "active", 60)
    slow = "local n = 0; for i = 1, 4000000 do n = n + i end; return n"
    with cloud.cluster_client(shown) as client:
        for key in ("a", "b"):
            client.eval(slow, 1, key)
    entries = cloud.get(f"{path}/slow-log")["entries"]
    asked = {entry["arguments"].split()[-1] for entry in entries if entry["arguments"].startswith("EVAL")}
    assert asked == {"a", "b"}, "keys of different shards"
    assert [entry["startTime"] for entry in entries] == sorted((entry["startTime"] for entry in entries), reverse=True)
