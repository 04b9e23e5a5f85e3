"""The flow that every client of this API goes through: subscription, databases, data, change, removal."""

import json

import pytest
import redis

from support.cloud import Cloud, database, subscription

LIVES = "/subscriptions/{}/databases/{}"


def test_the_documented_flow(pilothouse, cloud):
    number = cloud.done("POST", "/subscriptions", subscription("shop", database("cart", quantity=1)))
    shop = cloud.until(f"/subscriptions/{number}", "active")
    assert shop["numberOfDatabases"] == 1 and shop["cloudDetails"][0]["regions"][0]["networking"][0]["deploymentCIDR"] == "10.0.0.0/24"
    listed = cloud.get(f"/subscriptions/{number}/databases?offset=0&limit=100")
    assert [part["subscriptionId"] for part in listed["subscription"]] == [number]
    cart = listed["subscription"][0]["databases"][0]
    assert "password" not in cart["security"], "passwords are not listed"
    assert cloud.get(f"/subscriptions/{number}/databases?offset=100")["subscription"][0]["databases"] == []

    made = cloud.done("POST", f"/subscriptions/{number}/databases/", database("sessions", datasetSizeInGb=0.2, replication=True, dataPersistence="aof-every-1-second"))
    path = LIVES.format(number, made)
    sessions = cloud.until(path, "active")
    assert sessions["memoryLimitInGb"] == 0.4 and sessions["datasetSizeInGb"] == 0.2 and len(sessions["security"]["password"]) == 32
    with cloud.client(sessions) as client:
        assert client.ping() and client.set("k", "v") and client.wait(1, 500) == 1

    cloud.done("PUT", path, {"dataEvictionPolicy": "allkeys-lru", "name": "sessions-2", "password": "another-password", "sourceIp": ["127.0.0.0/8"]})
    changed = cloud.until(path, "active")
    assert changed["dataEvictionPolicy"] == "allkeys-lru" and changed["name"] == "sessions-2" and changed["security"]["sourceIps"] == ["127.0.0.0/8"]
    with cloud.client(changed) as client:
        assert client.get("k") == "v", "nothing was restarted or lost"
    with pytest.raises(redis.AuthenticationError):
        cloud.client(sessions).ping()
    before = pilothouse.servers()
    cloud.done("PUT", path, {"name": "sessions-2", "replicaOf": [], "alerts": [], "password": "another-password"})
    assert cloud.get(path)["status"] == "active" and pilothouse.servers() == before, "an update that changes nothing restarts nothing"

    assert cloud.refused("DELETE", f"/subscriptions/{number}")["type"] == "SUBSCRIPTION_IN_USE"
    for uid in (cart["databaseId"], made):
        cloud.done("DELETE", LIVES.format(number, uid))
        cloud.gone(LIVES.format(number, uid))
    assert cloud.get(f"/subscriptions/{number}")["numberOfDatabases"] == 0
    cloud.done("DELETE", f"/subscriptions/{number}")
    assert cloud.get(f"/subscriptions/{number}")["status"] == "deleting"
    cloud.gone(f"/subscriptions/{number}")
    assert pilothouse.servers() == {}, "no process is left"


def test_tls_flush_slow_log_certificate_and_tags(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("extras", database("secure", enableTls=True)))
    cloud.until(f"/subscriptions/{number}", "active")
    listed = cloud.get(f"/subscriptions/{number}/databases")
    path = LIVES.format(number, listed["subscription"][0]["databases"][0]["databaseId"])
    secure = cloud.get(path)
    chain = cloud.get(f"{path}/certificate")["publicCertificatePEMString"]
    with cloud.client(secure, ssl=True, ssl_ca_data=chain, ssl_check_hostname=False) as client:
        client.set("k", "v")
        cloud.done("PUT", f"{path}/flush")
        cloud.until(path, "active")
        assert client.dbsize() == 0
    assert isinstance(cloud.get(f"{path}/slow-log")["entries"], list)
    assert cloud.get(f"{path}/tags")["tags"] == []
    tags = cloud.call("PUT", f"{path}/tags", {"tags": [{"key": "costCenter", "value": "b12"}]}, 200).json()["tags"]
    assert [(tag["key"], tag["value"]) for tag in tags] == [("costcenter", "b12")]
    cloud.call("POST", f"{path}/tags", {"key": "team", "value": "red"}, 200)
    cloud.call("PUT", f"{path}/tags/team", {"value": "blue"}, 200)
    assert {tag["key"]: tag["value"] for tag in cloud.get(f"{path}/tags")["tags"]} == {"costcenter": "b12", "team": "blue"}
    assert cloud.call("DELETE", f"{path}/tags/team", expect=200).json() == {}
    assert cloud.get(f"/subscriptions/{number}/maintenance-windows") == {"mode": "automatic"}
    assert cloud.get(f"/subscriptions/{number}/pricing")["pricing"][0]["quantity"] == 1
    cloud.done("PUT", f"/subscriptions/{number}/cidr", {"cidrIps": ["10.1.0.0/16"]})
    task = cloud.task(cloud.submit("GET", f"/subscriptions/{number}/cidr"))
    assert task["response"]["resource"]["cidr_ips"] == ["10.1.0.0/16"]
    with pytest.raises(redis.ConnectionError):
        cloud.client(secure, ssl=True, ssl_ca_data=chain, ssl_check_hostname=False).ping()


def test_what_was_made_elsewhere_is_seen_in_a_subscription_of_its_own(cloud):
    assert cloud.get("/subscriptions/1")["name"] == "pilothouse"
    assert cloud.refused("DELETE", "/subscriptions/1")["type"] == "SUBSCRIPTION_IN_USE"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "1bad"}, "DATABASE_INVALID_NAME"),
        ({"name": "a" * 41}, "DATABASE_NAME_TOO_LONG"),
        ({"datasetSizeInGb": 0.01}, "DATABASE_SIZE_TOO_SMALL"),
        ({"datasetSizeInGb": None}, "DATABASE_SIZE_LIMIT_NOT_DEFINED"),
        ({"memoryLimitInGb": 1}, "DATABASE_SIZE_LIMIT_INVALID_TOO_MANY_MEMORY_SPECIFICATIONS"),
        ({"password": "x" * 50}, "DATABASE_PASSWORD_IS_TOO_LONG"),
        ({"password": " "}, "DATABASE_PASSWORD_IS_BLANK"),
        ({"port": 80}, "DATABASE_PORT_INVALID_VALUE"),
        ({"redisVersion": "3.2"}, "DATABASE_REDIS_VERSION_INVALID_VALUE"),
        ({"modules": [{"name": "RediSearch"}]}, "DATABASE_MODULE_NOT_SUPPORTED"),
        ({"throughputMeasurement": {"by": "number-of-shards", "value": 3}}, "DATABASE_INVALID_SHARDS_COUNT"),
        ({"alerts": [{"name": "dataset-size", "value": 200}]}, "DATABASE_INVALID_ALERT_VALUE"),
        ({"sourceIp": ["here"]}, "DATABASE_INVALID_SIP"),
        ({"protocol": "memcached"}, "DATABASE_FEATURE_NOT_SUPPORTED"),
    ],
)
def test_what_cannot_be_had_is_refused_in_the_task(cloud, fields, code):
    error = cloud.refused("POST", "/subscriptions", subscription("refused", database("db") | fields))
    assert error["type"] == code and error["status"].split()[0].isdigit(), error


def test_malformed_requests_are_told_at_once(cloud, pilothouse):
    assert cloud.call("POST", "/subscriptions", {"name": 5}).status_code == 400
    assert cloud.call("POST", "/subscriptions", subscription("x", database("db", dataPersistence="never"))).status_code == 400
    assert cloud.call("GET", "/subscriptions/abc").status_code == 400
    assert cloud.call("GET", "/nothing").status_code == 404
    assert cloud.call("DELETE", "/tasks/00000000-0000-0000-0000-000000000000").status_code == 405
    missing = cloud.call("GET", "/subscriptions/4711")
    assert missing.status_code == 404 and missing.json()["error"] == "Not Found" and missing.json()["path"] == "/v1/subscriptions/4711"
    cloud.session.headers["x-api-secret-key"] = "secret-of-the-account-40"
    assert cloud.call("GET", "/").status_code == 401, "the keys of two accounts do not go together"


def test_accounts_are_made_and_listed_by_the_operator(pilothouse):
    def run(*words):
        made = pilothouse.run("redis-cloud", "account", *words, "-o", "json")
        return made.returncode, made.stdout and json.loads(made.stdout), made.stderr

    code, issued, _ = run("create", "team-a")
    assert code == 0 and issued["account"]["tenant"] == "team-a"
    cloud = Cloud(pilothouse.cloud_port, "nobody")
    cloud.session.headers.update({"x-api-key": issued["access_key"], "x-api-secret-key": issued["secret_key"]})
    assert cloud.get("/")["account"]["name"] == "team-a"
    code, _, error = run("create", "team-a")
    assert code == 5 and "taken" in error
    code, listed, _ = run("list")
    assert code == 0 and "team-a" in [account["name"] for account in listed] and issued["secret_key"] not in json.dumps(listed)


def test_further_keys_are_made_with_roles_and_addresses(pilothouse, cloud):
    name = cloud.get("/")["account"]["name"]

    def run(*words):
        return pilothouse.run("redis-cloud", "key", *words, "-o", "json")

    def holder(*words):
        made = run("create", name, *words)
        assert made.returncode == 0, made.stderr
        other = cloud.again()
        other.session.headers["x-api-secret-key"] = json.loads(made.stdout)["secret_key"]
        return other

    viewer, logs, away = holder("viewer-1", "--role", "viewer"), holder("logs-1", "--role", "logs-viewer"), holder("away-1", "--source", "10.0.0.0/8")
    assert viewer.get("/")["account"]["key"]["name"] == "viewer-1"
    refused = viewer.call("POST", "/subscriptions", subscription("x", database("db")))
    assert refused.status_code == 403 and refused.json()["error"] == "Forbidden"
    assert logs.call("GET", "/logs").status_code == 200 and logs.call("GET", "/subscriptions").status_code == 403
    assert away.call("GET", "/").status_code == 403, "the address is not one of its own"
    for wrong in (("create", name, "viewer-1"), ("create", "nobody", "x"), ("create", name, "a b"), ("create", name, "x", "--source", "here"),
                  ("delete", name, "nobody")):
        answer = run(*wrong)
        assert answer.returncode != 0 and answer.stderr, wrong
    assert run("delete", name, "owner").returncode == 0, "away-1 may do everything as well"
    assert cloud.call("GET", "/").status_code == 401, "a removed key is unknown at once"
    assert run("delete", name, "away-1").returncode != 0, "the last that may do everything stays"
