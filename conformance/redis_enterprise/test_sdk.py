"""`redis-enterprise-python` 1.0.3, the generated SDK, unchanged: its models with all that they always send."""

import inspect

import pytest
import swagger_client
from swagger_client.rest import ApiException

from support import wait
from support.api import PASSWORD, USER


@pytest.fixture(scope="module")
def sdk(pilothouse):
    configuration = swagger_client.Configuration()
    configuration.host = f"https://127.0.0.1:{pilothouse.port}"
    configuration.username, configuration.password = USER, PASSWORD
    configuration.verify_ssl = False
    client = swagger_client.ApiClient(configuration)
    # The generated operations name a security scheme that the package does not define, so credentials go into a header.
    client.set_default_header("Authorization", configuration.get_basic_auth_token())
    return client


@pytest.fixture(scope="module")
def bdbs(sdk):
    return swagger_client.BdbsApi(sdk)


def model(**fields):
    """A database as the SDK builds it: every field with a default is sent."""
    return swagger_client.Bdb(**fields)


def active(api, uid):
    return api.settled(uid)


def test_bootstrap_by_the_sdk(fresh):
    """The package has no bootstrap operation of its own; its client carries the request."""
    configuration = swagger_client.Configuration()
    configuration.host, configuration.verify_ssl = f"https://127.0.0.1:{fresh.port}", False
    client = swagger_client.ApiClient(configuration)
    body = {"action": "create_cluster", "cluster": {"name": "sdk.local"}, "credentials": {"username": USER, "password": PASSWORD}}
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer, status, _ = client.call_api(
        "/v1/bootstrap/create_cluster", "POST", {}, [], headers, body=body, response_type="object")
    assert status == 200 and answer["bootstrap_status"]["state"] != "idle"
    headers["Authorization"] = fresh_token(configuration)

    def completed():
        try:
            answer, _, _ = client.call_api("/v1/bootstrap", "GET", {}, [], headers, response_type="object")
        except ApiException as error:
            assert error.status == 401
            return False
        return answer["bootstrap_status"]["state"] == "completed"

    wait.until("the bootstrap is completed", completed, 15)
    answer, _, _ = client.call_api("/v1/bdbs", "GET", {}, [], headers, response_type="list[Bdb]")
    assert answer == []


def fresh_token(configuration):
    configuration.username, configuration.password = USER, PASSWORD
    return configuration.get_basic_auth_token()


def test_create_list_change_read_delete(pilothouse, api, bdbs, sdk):
    made = bdbs.post_v1_bdbs(body=model(name="sdk-db", memory_size=100 << 20, authentication_redis_pass="sdk-pass"))
    assert isinstance(made, swagger_client.Bdb) and made.uid and made.status == "pending"
    active(api, made.uid)

    read = bdbs.get_v1_bdbs_uid(made.uid)
    assert (read.name, read.status, read.memory_size) == ("sdk-db", "active", 100 << 20)
    assert read.created_time.year >= 2024 and read.endpoints[0].port == read.port
    with pilothouse.client(api.bdb(made.uid)) as client:
        client.set("from", "sdk")

    listed = bdbs.get_v1_bdbs()
    assert made.uid in [bdb.uid for bdb in listed]
    some = bdbs.get_v1_bdbs(fields="uid,name")
    assert all(bdb.uid and bdb.name for bdb in some)

    # A change built from the model carries every default of the model, `memory_size` among them when it is not set.
    read.memory_size, read.eviction_policy = 120 << 20, "allkeys-lru"
    changed = bdbs.put_v1_bdbs_uid(made.uid, body=read)
    assert changed is not None
    active(api, made.uid)
    read = bdbs.get_v1_bdbs_uid(made.uid)
    assert (read.memory_size, read.eviction_policy) == (120 << 20, "allkeys-lru")

    bdbs.put_v1_bdbs_uid(made.uid, body=model(
        name="sdk-renamed", memory_size=120 << 20, replication=True, data_persistence="aof", authentication_redis_pass="sdk-pass"))
    active(api, made.uid)
    read = bdbs.get_v1_bdbs_uid(made.uid)
    assert (read.name, read.replication, read.data_persistence) == ("sdk-renamed", True, "aof")
    with pilothouse.client(api.bdb(made.uid)) as client:
        assert client.get("from") == "sdk"

    swagger_client.DefaultApi(sdk).delete_v1_bdbs_uid(made.uid)

    def gone():
        try:
            bdbs.get_v1_bdbs_uid(made.uid)
        except ApiException as error:
            return error.status == 404
        return False

    wait.until("404 after the delete", gone, 6)


def test_the_key_with_a_tab_is_tolerated(sdk):
    keys = swagger_client.Bdb.attribute_map.values()
    assert any(key != key.strip() for key in keys), "the SDK no longer sends what this test is about"


def test_actions_of_the_sdk(pilothouse, api, bdbs, sdk, tmp_path_factory):
    made = bdbs.post_v1_bdbs(body=model(name="sdk-actions", memory_size=100 << 20))
    uid = active(api, made.uid)["uid"]
    answer = bdbs.post_v1_bdbs_uid_command(uid, body={"command": "SET", "args": ["a", "1"]})
    assert answer is not None
    assert pilothouse.client(api.bdb(uid), "").get("a") == "1"
    bdbs.put_v1_bdbs_uid_action(uid, "flush", body={})
    active(api, uid)
    assert pilothouse.client(api.bdb(uid), "").dbsize() == 0
    before = api.bdb(uid)["authentication_admin_pass"]
    bdbs.put_v1_bdbs_uid_action(uid, "reset_admin_pass", body={})
    active(api, uid)
    assert api.bdb(uid)["authentication_admin_pass"] != before
    bdbs.get_v1_bdbs_uid_actions_recover(uid)
    bdbs.get_v1_bdbs_uid_actions_optimize_shards_placement(uid)
    bdbs.put_v1_bdbs_uid_actions_backup_reset_status(uid)
    bdbs.put_v1_bdbs_uid_actions_export_reset_status(uid)
    swagger_client.DefaultApi(sdk).put_v1_bdbs_uid_passwords(uid, body={"password": "p1"})
    bdbs.post_v1_bdbs_uid_passwords(uid, body={"password": "p2"})
    for password in ("p1", "p2"):
        assert pilothouse.client(api.settled(uid), password).ping()
    bdbs.delete_v1_bdbs_uid_passwords(uid, body={"password": "p1"})
    assert pilothouse.client(api.settled(uid), "p2").ping()


def test_cluster_users_and_absent_features(sdk, api):
    cluster = swagger_client.ClusterApi(sdk)
    cluster.get_v1_cluster_certificates()
    cluster.post_v1_cluster_certificates_rotate()
    with pytest.raises(ApiException) as refused:
        cluster.put_v1_cluster_update_cert()
    assert refused.value.status == 400
    with pytest.raises(ApiException) as refused:
        cluster.delete_v1_cluster_certificates_certificate_name("proxy")
    assert refused.value.status == 403

    users = swagger_client.UsersApi(sdk)
    made = users.post_v1_users(body=swagger_client.User(email="sdk@conformance.local", password="Secret-123", name="sdk", role="db_viewer"))
    assert made.role == "db_viewer"
    # The model of the SDK has no uid.
    uid = next(user["uid"] for user in api.get("/v1/users") if user["email"] == made.email)
    assert users.get_v1_users(uid).email == "sdk@conformance.local"
    api.as_user("sdk@conformance.local", "Secret-123").get("/v1/bdbs")
    with pytest.raises(ApiException) as refused:
        users.delete_v1_users_password()
    assert refused.value.status == 400
    users.delete_v1_users(uid)
    with pytest.raises(ApiException) as refused:
        users.get_v1_users(uid)
    assert refused.value.status == 404

    crdbs = swagger_client.CrdbsApi(sdk)
    with pytest.raises(ApiException) as refused:
        crdbs.post_v1_crdbs(body={"name": "no"})
    assert refused.value.status == 406


def test_every_operation_of_the_sdk_is_known(sdk):
    """No operation that the package offers meets an unknown path or a method that is not registered."""
    unknown = []
    for name, kind in inspect.getmembers(swagger_client, inspect.isclass):
        if not name.endswith("Api"):
            continue
        for operation, _ in inspect.getmembers(kind, inspect.isfunction):
            if operation.startswith("_") or operation.endswith("_with_http_info"):
                continue
            arguments = {p: {"uid": 4711, "action": "flush", "certificate_name": "none"}[p]
                         for p in list(inspect.signature(getattr(kind, operation)).parameters)[1:] if p != "kwargs"}
            try:
                getattr(kind(sdk), operation)(**arguments)
            except ApiException as error:
                if error.status == 405 or error.status >= 500 or (error.status == 404 and "not_found" in str(error.body)):
                    unknown.append((name, operation, error.status, error.body))
            except (ValueError, TypeError) as error:
                unknown.append((name, operation, repr(error)))
    assert not unknown, unknown
