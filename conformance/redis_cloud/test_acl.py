"""Access control lists: rules, roles and users of an account are logins with exactly those rights on its databases."""

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from support import processes, wait
from support.cloud import database, subscription

LIVES = "/subscriptions/{}/databases/{}"
PASSWORD = "a-good-Passw0rd"


def login(shown, user, password=PASSWORD):
    host, port = shown["publicEndpoint"].split(":")
    return redis.Redis(host, int(port), username=user, password=password, decode_responses=True, retry=Retry(NoBackoff(), 0))


def gets_in(shown, user, password=PASSWORD):
    try:
        with login(shown, user, password) as client:
            client.execute_command("ACL", "WHOAMI")
    except redis.AuthenticationError:
        return False
    except NoPermissionError:
        return True
    return True


def may(shown, user, *command, password=PASSWORD):
    try:
        with login(shown, user, password) as client:
            client.execute_command(*command)
    except NoPermissionError:
        return False
    return True


@pytest.fixture
def two(cloud):
    """Two databases, one of them with a replica, each as (subscription, number, object)."""
    number = cloud.done("POST", "/subscriptions", subscription("acl", database("single"), database("pair", replication=True)))
    cloud.until(f"/subscriptions/{number}", "active")
    listed = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"]
    return [(number, each["databaseId"], cloud.get(LIVES.format(number, each["databaseId"]))) for each in listed]


def named(cloud, what, name):
    return next(each for each in cloud.get(f"/acl/{what}")[what] if each["name"] == name)


def active(cloud, what, name):
    return wait.until(f"{name} is active", lambda: named(cloud, what, name)["status"] == "active" and named(cloud, what, name))


def on(*databases):
    return [{"subscriptionId": sid, "databaseId": did, "regions": []} for sid, did, _ in databases]


def test_a_user_logs_in_with_exactly_the_rights_of_its_rule(pilothouse, cloud, two):
    single, pair = two
    defaults = cloud.get("/acl/redisRules")["redisRules"]
    assert [(each["name"], each["acl"], each["isDefault"], each["status"]) for each in defaults] == [
        ("Full-Access", "+@all ~*", True, "active"), ("Read-Only", "+@read ~*", True, "active"), ("Read-Write", "+@all -@dangerous ~*", True, "active")]
    rule = cloud.done("POST", "/acl/redisRules", {"name": "orders", "redisRule": "+@read +set ~orders:*"})
    assert named(cloud, "redisRules", "orders") == {"id": rule, "name": "orders", "acl": "+@read +set ~orders:*", "isDefault": False, "status": "active"}
    role = cloud.done("POST", "/acl/roles", {"name": "clerk", "redisRules": [{"ruleName": "orders", "databases": on(single)}, {"ruleName": "Read-Only", "databases": on(pair)}]})
    active(cloud, "roles", "clerk")
    user = cloud.done("POST", "/acl/users", {"name": "ada", "role": "clerk", "password": PASSWORD})
    active(cloud, "users", "ada")
    assert cloud.get(f"/acl/users/{user}") == {"id": user, "name": "ada", "role": "clerk", "status": "active", "links": []}
    clerk = named(cloud, "roles", "clerk")
    assert clerk["id"] == role and clerk["users"] == [{"id": user, "name": "ada"}] and clerk["redisRules"][0] == {
        "ruleId": rule, "ruleName": "orders",
        "databases": [{"subscriptionId": single[0], "databaseId": single[1], "databaseName": "single", "regions": []}]}

    assert may(single[2], "ada", "SET", "orders:1", "x") and not may(single[2], "ada", "SET", "else", "x") and not may(single[2], "ada", "DEL", "orders:1")
    assert may(pair[2], "ada", "GET", "any") and not may(pair[2], "ada", "SET", "any", "x")
    assert not gets_in(single[2], "ada", "another password")

    # Each change is in force once the object is active again.
    cloud.done("PUT", f"/acl/redisRules/{rule}", {"name": "orders", "redisRule": "+@read +del ~orders:*"})
    active(cloud, "redisRules", "orders")
    assert may(single[2], "ada", "DEL", "orders:1") and not may(single[2], "ada", "SET", "orders:1", "x")
    cloud.done("PUT", f"/acl/roles/{role}", {"name": "clerk", "redisRules": [{"ruleName": "Full-Access", "databases": on(pair)}]})
    active(cloud, "roles", "clerk")
    assert may(pair[2], "ada", "SET", "any", "x")
    wait.until("the database is closed again", lambda: not gets_in(single[2], "ada"))
    cloud.done("PUT", f"/acl/users/{user}", {"password": "Another-passw0rd"})
    active(cloud, "users", "ada")
    assert gets_in(pair[2], "ada", "Another-passw0rd") and not gets_in(pair[2], "ada")

    # Nothing that dies takes a login along.
    pilothouse.restart()
    for pids in pilothouse.servers().values():
        processes.kill(pids[0])

    def back():
        try:
            return gets_in(pair[2], "ada", "Another-passw0rd") and not gets_in(pair[2], "ada")
        except redis.ConnectionError:
            return False

    wait.until("the login is back with its servers", back)

    assert cloud.refused("DELETE", f"/acl/roles/{role}")["type"] == "ACL_ROLE_HAS_ACTIVE_USERS_AND_CANNOT_BE_DELETED"
    cloud.done("DELETE", f"/acl/users/{user}")
    wait.until("the login is gone", lambda: not gets_in(pair[2], "ada", "Another-passw0rd"))
    assert cloud.call("GET", f"/acl/users/{user}").status_code == 404
    cloud.done("DELETE", f"/acl/roles/{role}")
    cloud.done("DELETE", f"/acl/redisRules/{rule}")
    assert len(cloud.get("/acl/redisRules")["redisRules"]) == 3 and cloud.get("/acl/roles")["roles"] == [] and cloud.get("/acl/users")["users"] == []


def test_what_is_wrong_is_told_in_the_task(cloud, two):
    single, _ = two

    def refused(method, path, body=None):
        error = cloud.refused(method, f"/acl/{path}", body)
        return error["type"], error["status"]

    rule = cloud.done("POST", "/acl/redis-rules", {"name": "mine", "rule": "+@read ~*"})
    assert refused("POST", "redisRules", {"name": "mine", "redisRule": "+@read"}) == ("ACL_REDIS_RULE_NAME_ALREADY_EXISTS", "409 CONFLICT")
    assert refused("POST", "redisRules", {"name": "Full-Access", "redisRule": "+@read"})[0] == "ACL_REDIS_RULE_NAME_ALREADY_EXISTS"
    for bad in ("+nosuchcommand", "on", ">password", "nopass", "+@read ~* reset", "%Q~a", "(+get"):
        assert refused("POST", "redisRules", {"name": "bad", "redisRule": bad}) == ("ACL_REDIS_RULE_PATTERN_NOT_VALID", "400 BAD_REQUEST"), bad
    assert refused("POST", "redisRules", {"redisRule": "+@read"})[0] == "ACL_REDIS_RULE_NAME_IS_MISSING"
    assert refused("PUT", "redisRules/1", {"name": "x", "redisRule": "+@read"})[0] == "ACL_REDIS_RULE_CANNOT_UPDATE_DEFAULT"
    assert refused("DELETE", "redisRules/1")[0] == "ACL_REDIS_RULE_CANNOT_DELETE_DEFAULT"
    assert refused("DELETE", "redisRules/4711") == ("ACL_REDIS_RULE_NOT_FOUND", "404 NOT_FOUND")

    grant = [{"ruleName": "mine", "databases": on(single)}]
    assert refused("POST", "roles", {"name": "r", "redisRules": [{"ruleName": "none", "databases": on(single)}]})[0] == "ACL_REDIS_RULE_DOES_NOT_EXISTS"
    assert refused("POST", "roles", {"name": "r", "redisRules": grant + grant})[0] == "ACL_ROLE_REDIS_RULE_MUST_BE_DEFINED_ONLY_ONCE_PER_DATABASE"
    nowhere = [{"ruleName": "mine", "databases": [{"subscriptionId": 4711, "databaseId": 1}]}]
    assert refused("POST", "roles", {"name": "r", "redisRules": nowhere}) == ("SUBSCRIPTION_NOT_FOUND", "404 NOT_FOUND")
    nothing = [{"ruleName": "mine", "databases": [{"subscriptionId": single[0], "databaseId": 1}]}]
    assert refused("POST", "roles", {"name": "r", "redisRules": nothing}) == ("DATABASE_NOT_FOUND", "404 NOT_FOUND")
    role = cloud.done("POST", "/acl/roles", {"name": "r", "redis_rules": grant})
    assert refused("POST", "roles", {"name": "r", "redisRules": grant}) == ("ACL_ROLE_NAME_ALREADY_EXISTS", "409 CONFLICT")
    assert refused("DELETE", f"redisRules/{rule}")[0] == "ACL_REDIS_RULE_CANNOT_DELETE_WHEN_ASSOCIATED_WITH_ROLES"
    assert refused("DELETE", "roles/4711") == ("ACL_ROLE_NOT_FOUND", "404 NOT_FOUND")

    ada = {"name": "ada", "role": "r", "password": PASSWORD}
    for bad in ("short", "a" * 20, "x" * 129):
        task = cloud.task(cloud.submit("POST", "/acl/users", ada | {"password": bad}))
        assert task["response"]["error"]["type"] == "ACL_USER_PASSWORD_NOT_VALID" and task["response"]["additionalInfo"]
    assert refused("POST", "users", ada | {"role": "none"}) == ("ACL_ROLE_DOES_NOT_EXISTS", "400 BAD_REQUEST")
    for taken in ("default", "admin"):
        assert refused("POST", "users", ada | {"name": taken})[0] == "ACL_USER_NAME_ALREADY_EXISTS"
    assert refused("POST", "users", ada | {"name": "a b"})[0] == "ACL_USER_NAME_NOT_VALID"
    user = cloud.done("POST", "/acl/users", ada)
    assert refused("POST", "users", ada) == ("ACL_USER_NAME_ALREADY_EXISTS", "409 CONFLICT")
    assert refused("DELETE", "users/4711") == ("ACL_USER_NOT_FOUND", "404 NOT_FOUND")

    # A database that goes leaves its roles as they are, without it.
    sid, did, _ = single
    cloud.done("DELETE", LIVES.format(sid, did))
    cloud.gone(LIVES.format(sid, did))
    assert named(cloud, "roles", "r")["redisRules"] == [{"ruleId": rule, "ruleName": "mine", "databases": []}]
    for path in (f"users/{user}", f"roles/{role}", f"redisRules/{rule}"):
        cloud.done("DELETE", f"/acl/{path}")


def test_accounts_have_rules_roles_and_users_of_their_own(pilothouse, cloud, other, two):
    single, _ = two
    mine = cloud.done("POST", "/acl/redisRules", {"name": "same", "redisRule": "+@read ~*"})
    theirs = other.done("POST", "/acl/redisRules", {"name": "same", "redisRule": "+@all ~*"})
    assert mine != theirs and other.refused("DELETE", f"/acl/redisRules/{mine}")["type"] == "ACL_REDIS_RULE_NOT_FOUND"
    foreign = {"name": "thief", "redisRules": [{"ruleName": "same", "databases": on(single)}]}
    assert other.refused("POST", "/acl/roles", foreign)["type"] == "SUBSCRIPTION_NOT_FOUND"
    cloud.done("POST", "/acl/roles", {"name": "same", "redisRules": [{"ruleName": "same", "databases": on(single)}]})
    cloud.done("POST", "/acl/users", {"name": "same", "role": "same", "password": PASSWORD})
    assert other.refused("POST", "/acl/users", {"name": "same", "role": "same", "password": PASSWORD})["type"] == "ACL_ROLE_DOES_NOT_EXISTS"
    active(cloud, "users", "same")
    assert may(single[2], "same", "GET", "k") and other.get("/acl/users")["users"] == []
    pilothouse.api.bootstrap()
    assert "same" not in [role["name"] for role in pilothouse.api.get("/v1/roles")], "the operator's own list"
    assert pilothouse.api.as_user("same", PASSWORD).call("GET", "/v1/users").status_code == 401, "a login in databases is none in an API"
