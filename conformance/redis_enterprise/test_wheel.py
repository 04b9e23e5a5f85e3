"""The `redis-enterprise` wheel, a typed client: whatever it asks for, it can decode."""

import inspect

import pytest
import redis_enterprise

from support.api import PASSWORD, USER


@pytest.fixture(scope="module")
def wheel(pilothouse):
    # No tags: the types of the wheel take them for texts, the product and its documentation for objects.
    pilothouse.api.create("wheel-plain")
    pilothouse.api.create("wheel-full", replication=True, data_persistence="aof", authentication_redis_pass="x")
    return redis_enterprise.EnterpriseClient(f"https://127.0.0.1:{pilothouse.port}", USER, PASSWORD, insecure=True)


def test_every_getter_decodes_its_answer(wheel, api):
    failed = {}
    tried = []
    for name, method in inspect.getmembers(wheel):
        if name.startswith("_") or not name.endswith("_sync") or name.split("_")[0] in ("get", "post", "delete", "put"):
            continue
        needs = len([p for p in inspect.signature(method).parameters])
        for arguments in ([()] if needs == 0 else [(1,), (2,)] if name.startswith("database") else [(1,)]):
            tried.append(name)
            try:
                assert method(*arguments) is not None
            except Exception as error:  # noqa: BLE001  (all failures are shown together)
                failed[name] = repr(error)
    assert not failed, failed
    assert len(tried) >= 7, tried


@pytest.mark.parametrize("path", [
    "/v1/actions", "/v1/bdbs", "/v1/bdbs/1", "/v1/bdbs/1/shards", "/v1/bdbs/stats", "/v1/bdbs/stats/last", "/v1/bdbs/alerts", "/v1/bootstrap",
    "/v1/cluster", "/v1/cluster/alerts", "/v1/cluster/certificates", "/v1/cluster/policy", "/v1/cluster/stats/last", "/v1/cm_settings",
    "/v1/crdb_tasks", "/v1/crdbs", "/v1/jsonschema", "/v1/ldap_mappings", "/v1/license", "/v1/logs", "/v1/modules", "/v1/nodes", "/v1/nodes/1",
    "/v1/nodes/stats", "/v1/nodes/status", "/v1/proxies", "/v1/redis_acls", "/v1/roles", "/v1/shards", "/v1/shards/stats", "/v1/suffixes",
    "/v1/users", "/v2/actions",
])
def test_plain_get(wheel, path):
    assert wheel.get_sync(path) is not None


def test_create_and_delete(wheel, api):
    made = wheel.post_sync("/v1/bdbs", {"name": "by-wheel", "memory_size": 64 << 20})
    api.settled(made["uid"])
    assert wheel.database_sync(made["uid"])["name"] == "by-wheel"
    wheel.delete_sync(f"/v1/bdbs/{made['uid']}")


def test_an_unknown_database_is_not_found(wheel):
    with pytest.raises(ValueError, match="not found"):
        wheel.database_sync(4711)
