"""Users, roles and rules: what the API limits, and what a login to a database may do."""

import pytest
import redis

from support import wait
from support.api import Api


@pytest.fixture(scope="module")
def database(pilothouse):
    return pilothouse.api.create("access", authentication_redis_pass="default-pass", replication=True)


def user(api, name, role=None, **fields):
    body = {"email": f"{name}@conformance.local", "name": name, "password": f"{name}-Pass-1", **fields}
    if role:
        body["role"] = role
    return api.post("/v1/users", body)


def login(pilothouse, bdb, name, password=None):
    return pilothouse.client(bdb, password or f"{name}-Pass-1", name)


def test_a_user_has_exactly_the_rights_of_its_rule(pilothouse, api, database):
    role = api.post("/v1/roles", {"name": "app", "management": "none"})
    rule = api.post("/v1/redis_acls", {"name": "app-keys", "acl": "+@read +set -@dangerous ~app:*"})
    made = user(api, "app-user", role_uids=[role["uid"]])
    bdb = api.change(database["uid"], roles_permissions=[{"role_uid": role["uid"], "redis_acl_uid": rule["uid"]}])
    assert bdb["roles_permissions"] == [{"role_uid": role["uid"], "redis_acl_uid": rule["uid"]}]

    client = login(pilothouse, bdb, "app-user")
    assert client.set("app:1", "x") and client.get("app:1") == "x"
    for forbidden in (("GET", "other:1"), ("SET", "other:1", "x"), ("DEL", "app:1"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*forbidden)
    with pytest.raises(redis.AuthenticationError):
        login(pilothouse, bdb, "app-user", "wrong").ping()

    api.put(f"/v1/redis_acls/{rule['uid']}", {"name": "app-keys", "acl": "+@read ~app:*"})
    wait.until("the rule has changed", lambda: denied(login(pilothouse, bdb, "app-user"), "SET", "app:2", "y"), 5)
    assert login(pilothouse, bdb, "app-user").get("app:1") == "x"

    api.put("/v1/users/password", {"username": made["email"], "new_password": "Another-Pass-2"})
    wait.until("the password has changed", lambda: accepted(login(pilothouse, bdb, "app-user", "Another-Pass-2")), 5)
    assert not accepted(login(pilothouse, bdb, "app-user"))

    # A failover takes logins along.
    shards = api.get(f"/v1/bdbs/{bdb['uid']}/shards")
    master = next(s["uid"] for s in shards if s["role"] == "master")
    api.action(api.post(f"/v1/shards/{master}/actions/failover")["action_uid"])
    wait.until("the login works on the new primary", lambda: accepted(login(pilothouse, bdb, "app-user", "Another-Pass-2")), 5)

    api.expect(406, "DELETE", f"/v1/redis_acls/{rule['uid']}")
    api.delete(f"/v1/users/{made['uid']}")
    wait.until("the login is gone", lambda: not accepted(login(pilothouse, bdb, "app-user", "Another-Pass-2")), 5)
    api.delete(f"/v1/roles/{role['uid']}")
    assert api.settled(bdb["uid"])["roles_permissions"] == []


def denied(client, *command):
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    return False


def accepted(client):
    try:
        client.execute_command("GET", "app:1")
    except redis.AuthenticationError:
        return False
    except redis.ConnectionError:
        return False
    return True


@pytest.mark.parametrize("command", [
    "CONFIG GET *", "CONFIG SET maxmemory 1", "CONFIG RESETSTAT", "DEBUG SLEEP 0", "SHUTDOWN", "MODULE LIST", "MODULE LOAD /tmp/x.so", "SAVE", "BGSAVE", "BGREWRITEAOF",
    "LASTSAVE", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "PSYNC ? -1", "SYNC", "REPLCONF capa eof", "FAILOVER", "ROLE", "MIGRATE h 1 k 0 1", "MOVE a 1", "SELECT 1",
    "SWAPDB 0 1", "ACL SETUSER x on", "ACL DELUSER default", "ACL SAVE", "ACL LOAD", "ACL LOG", "CLIENT PAUSE 1", "CLIENT NO-EVICT on", "LATENCY DOCTOR", "MEMORY DOCTOR",
    "MEMORY PURGE", "CLUSTER RESET",
])
@pytest.mark.parametrize("who", ["default", "admin"])
def test_tenants_get_no_administration(pilothouse, database, command, who):
    if who == "admin" and command.split()[0] in ("PSYNC", "REPLCONF"):
        pytest.skip("the login that Replica Of uses may copy")
    password = "default-pass" if who == "default" else pilothouse.api.bdb(database["uid"])["authentication_admin_pass"]
    with pilothouse.client(database, password, who) as client:
        with pytest.raises(redis.ResponseError):
            client.execute_command(*command.split())
        assert client.ping()


def test_management_roles_limit_the_api(pilothouse, api, database):
    uid = database["uid"]
    callers = {role: api.as_user(user(api, f"is-{role.replace('_', '-')}", role)["email"], f"is-{role.replace('_', '-')}-Pass-1")
               for role in ("admin", "cluster_member", "cluster_viewer", "db_member", "db_viewer", "user_manager", "none")}
    everybody = "admin cluster_member cluster_viewer db_member db_viewer user_manager"
    for method, path, body, allowed in [
        ("GET", "/v1/bdbs", None, everybody),
        ("GET", "/v1/cluster", None, everybody),
        ("PUT", f"/v1/bdbs/{uid}?dry_run", {"email_alerts": False}, "admin cluster_member db_member"),
        ("POST", "/v1/bdbs?dry_run", {"name": "dry", "memory_size": 32 << 20}, "admin cluster_member db_member"),
        ("PUT", "/v1/cluster?dry_run", {"email_alerts": False}, "admin"),
        ("GET", "/v1/users", None, "admin user_manager"),
        ("POST", "/v1/roles?dry_run", {"name": "dry", "management": "none"}, "admin user_manager"),
        ("GET", "/v1/cluster/certificates", None, "admin cluster_member user_manager"),
        ("GET", "/v1/logs", None, "admin cluster_member cluster_viewer db_member user_manager"),
    ]:
        for role, caller in callers.items():
            status = caller.call(method, path, body).status_code
            assert status == (200 if role in allowed.split() else 403), f"{role}: {method} {path} -> {status}"
    for role, sees in (("admin", True), ("cluster_member", True), ("cluster_viewer", False), ("db_member", True), ("db_viewer", False), ("user_manager", True)):
        assert bool(callers[role].bdb(uid)["authentication_redis_pass"]) == sees, role


def test_tokens(pilothouse, api):
    token = api.post("/v1/users/authorize", {"ttl": 60})
    assert token["access_token"]
    bearer = Api(api.url, None)
    for scheme in ("Bearer", "JWT"):
        assert bearer.call("GET", "/v1/bdbs", headers={"Authorization": f"{scheme} {token['access_token']}"}).status_code == 200
    fresh = bearer.call("POST", "/v1/users/refresh_jwt", {}, headers={"Authorization": f"Bearer {token['access_token']}"})
    assert fresh.json()["access_token"]
    broken = token["access_token"][:-4] + "AAAA"
    bearer.expect(401, "GET", "/v1/bdbs", headers={"Authorization": f"Bearer {broken}"})
    unsigned = "eyJhbGciOiJub25lIn0." + token["access_token"].split(".")[1] + "."
    bearer.expect(401, "GET", "/v1/bdbs", headers={"Authorization": f"Bearer {unsigned}"})
    api.expect(400, "POST", "/v1/users/authorize", {"ttl": 0})


def test_several_passwords_of_a_person(api):
    made = user(api, "several", "db_viewer")
    api.post("/v1/users/password", {"username": made["email"], "new_password": "Second-Pass-2"})
    for password in ("several-Pass-1", "Second-Pass-2"):
        api.as_user(made["email"], password).get("/v1/bdbs")
    api.delete("/v1/users/password", {"username": made["email"], "old_password": "several-Pass-1"})
    api.as_user(made["email"], "several-Pass-1").expect(401, "GET", "/v1/bdbs")
    api.as_user("several", "Second-Pass-2").get("/v1/bdbs")


def test_user_by_name_only_can_log_in(api):
    made = api.post("/v1/users", {"name": "v_token_x", "password": "Vault-Pass-1", "role_uids": [4], "email_alerts": False, "auth_method": "regular"})
    assert made["email"] == "" and made["role"] == "db_member"
    api.as_user("v_token_x", "Vault-Pass-1").get("/v1/bdbs")
    api.delete(f"/v1/users/{made['uid']}")
    api.as_user("v_token_x", "Vault-Pass-1").expect(401, "GET", "/v1/bdbs")
