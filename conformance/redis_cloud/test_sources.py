"""Who may connect: lists of databases and of their subscription, enforced for each connection."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support import wait
from support.cloud import database, subscription

LIVES = "/subscriptions/{}/databases/{}"


def answers(cloud, shown):
    try:
        with cloud.client(shown, retry=Retry(NoBackoff(), 0)) as client:
            return client.ping()
    except redis.ConnectionError:
        return False


def test_the_list_of_a_subscription_covers_all_its_databases_at_once(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("sources", database("one"), database("two", quantity=2)))
    cloud.until(f"/subscriptions/{number}", "active")
    numbers = [each["databaseId"] for each in cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"]]
    shown = [cloud.get(LIVES.format(number, uid)) for uid in numbers]
    assert len(shown) == 3 and all(answers(cloud, each) for each in shown)

    cloud.done("PUT", f"/subscriptions/{number}/cidr", {"cidrIps": ["10.1.0.0/16"]})
    wait.until("nobody of this machine gets in", lambda: not any(answers(cloud, each) for each in shown))
    cloud.done("PUT", f"/subscriptions/{number}/cidr", {"cidrIps": ["10.1.0.0/16", "127.0.0.1"]})
    wait.until("this machine gets in", lambda: all(answers(cloud, each) for each in shown))
    assert cloud.get(LIVES.format(number, numbers[0]))["security"]["sourceIps"] == ["0.0.0.0/0"], "the databases say the same as before"

    added = cloud.done("POST", f"/subscriptions/{number}/databases", database("three", sourceIp=["127.0.0.0/8"]))
    three = cloud.until(LIVES.format(number, added), "active")
    assert answers(cloud, three)
    refused = cloud.refused("PUT", f"/subscriptions/{number}/cidr", {"cidrIps": ["10.1.0.0/16"]})
    assert refused["type"] == "DATABASE_INVALID_SIP", "three would be closed to everybody"
    assert all(answers(cloud, each) for each in shown), "what failed changed nothing, not even one of them"
    task = cloud.task(cloud.submit("GET", f"/subscriptions/{number}/cidr"))
    assert task["response"]["resource"]["cidr_ips"] == ["10.1.0.0/16", "127.0.0.1"]


def test_without_public_access_private_addresses_get_in(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("private", database("db"), publicEndpointAccess=False))
    cloud.until(f"/subscriptions/{number}", "active")
    listed = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]
    path = LIVES.format(number, listed["databaseId"])
    shown = cloud.get(path)
    assert shown["security"]["sourceIps"][0] == "10.0.0.0/8" and shown["publicEndpoint"]
    assert not answers(cloud, shown), "loopback is no private range"
    cloud.done("PUT", f"/subscriptions/{number}", {"publicEndpointAccess": True})
    assert cloud.get(f"/subscriptions/{number}")["publicEndpointAccess"] is True
    wait.until("everybody gets in", lambda: answers(cloud, shown))
    assert cloud.get(path)["security"]["sourceIps"] == ["0.0.0.0/0"]
