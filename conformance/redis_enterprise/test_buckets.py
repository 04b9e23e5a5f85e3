"""Exports, imports and scheduled backups in buckets of a real S3-compatible service."""

import gzip
import json
import os

import pytest

from support import wait
from support.pilothouse import Pilothouse
from support.s3 import ACCESS_KEY, S3, SECRET_KEY, Line

SECONDS = 60


@pytest.fixture(scope="module")
def s3():
    with S3("backups", "configured") as s3:
        yield s3


@pytest.fixture(scope="module")
def pilothouse(s3):
    """The cluster's `s3_url` leads to the service, and one bucket is configured."""
    configuration = f"""
[[backup.s3]]
endpoint = "{s3.url}"
bucket = "configured"
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"
"""
    with Pilothouse(configuration=configuration) as pilothouse:
        pilothouse.start()
        pilothouse.api.bootstrap()
        pilothouse.api.put("/v1/cluster", {"s3_url": s3.url})
        yield pilothouse


def bucket(name="backups", **more):
    return {"type": "s3", "bucket_name": name, "subdir": "by hand", "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY,
            "region_name": "us-east-1", **more}


def ended(api, uid, what):
    """The database after the export or import; and why it failed, "" when it succeeded."""
    done = wait.until(f"the {what} ends", lambda: (now := api.bdb(uid))[f"{what}_status"] in ("succeeded", "failed") and now, SECONDS)
    return done[f"{what}_failure_reason"]


def export(api, uid, location):
    api.post(f"/v1/bdbs/{uid}/actions/export", {"export_location": location})
    return ended(api, uid, "export")


def load(api, uid, location):
    api.post(f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [location]})
    return ended(api, uid, "import")


def test_a_dataset_travels_through_a_bucket(pilothouse, api, s3):
    source, target = api.create("source", replication=True), api.create("target")
    pilothouse.client(source).mset({f"key:{n}": f"value {n}" for n in range(1000)})
    pilothouse.client(target).set("old", "data")
    for location in (bucket(), {"type": "s3", "bucket_name": "configured", "subdir": "/a/b/"}):
        name, prefix = location["bucket_name"], location["subdir"].strip("/")
        assert export(api, source["uid"], location) == ""
        key = s3.newest(name)
        assert list(s3.files(name)) == [key] and key.startswith(f"{prefix}/source-1_of_1-")
        assert gzip.open(s3.files(name)[key]).read().startswith(b"REDIS")
        assert load(api, target["uid"], {**location, "filename": key.removeprefix(f"{prefix}/")}) == ""
        with pilothouse.client(target) as client:
            assert client.dbsize() == 1000 and client.get("key:7") == "value 7" and client.get("old") is None
            client.flushall()
    shown = json.dumps([api.bdb(source["uid"]), api.bdb(target["uid"]), api.get("/v1/logs?limit=1000"), api.get("/v2/actions")])
    assert SECRET_KEY not in shown and SECRET_KEY not in pilothouse.log() and "X-Amz-Signature" not in pilothouse.log()


@pytest.mark.parametrize(
    ("location", "exported", "imported"),
    [
        (bucket(secret_access_key="wrong"), "no-permission", "download-error"),
        (bucket(access_key_id="UNKNOWN"), "no-permission", "download-error"),
        (bucket("missing"), "wrong-file-path", "download-error"),
    ],
)
def test_what_the_service_refuses_is_told(pilothouse, api, s3, location, exported, imported):
    uid = api.create("refused")["uid"]
    before = set(s3.files("backups"))
    assert export(api, uid, location) == exported
    assert load(api, uid, {**location, "filename": "x.rdb.gz"}) == imported
    api.expect(406, "PUT", f"/v1/bdbs/{uid}", {"backup": True, "backup_interval": 3600, "backup_location": location},
               code="invalid_backup_location")
    assert load(api, uid, bucket(filename="no such.rdb.gz")) == "download-error"
    assert set(s3.files("backups")) == before
    api.expect(200, "DELETE", f"/v1/bdbs/{uid}")


def test_what_is_no_location_is_refused(api):
    uid = api.create("malformed")["uid"]
    for wrong in ({"bucket_name": ""}, {"subdir": "a/../../b"}, {"access_key_id": ""}, {"secret_access_key": ""}):
        api.expect(400, "POST", f"/v1/bdbs/{uid}/actions/export", {"export_location": {**bucket(), **wrong}}, code="invalid_schema")
    api.expect(400, "POST", f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [bucket()]}, code="invalid_schema")
    for url in ("ftp://127.0.0.1", "http://me:secret@127.0.0.1", "http://127.0.0.1/path"):
        api.expect(406, "PUT", "/v1/cluster", {"s3_url": url}, code="invalid_configuration")


def large(pilothouse, api, name):
    """A database whose backup goes up in several parts."""
    bdb = api.create(name, memory_size=512 << 20)
    with pilothouse.client(bdb) as client:
        for n in range(24):
            client.set(f"noise:{n}", os.urandom(1 << 20))
    return bdb


def test_an_upload_is_taken_up_again_after_a_crash(pilothouse, api, s3):
    uid, before = large(pilothouse, api, "killed")["uid"], set(s3.files("backups"))
    api.post(f"/v1/bdbs/{uid}/actions/export", {"export_location": bucket()})
    wait.until("a part is there", lambda: s3.parts("backups"), SECONDS)
    pilothouse.kill()
    assert set(s3.files("backups")) == before
    pilothouse.start()
    assert ended(api, uid, "export") == ""
    [written] = set(s3.files("backups")) - before
    assert gzip.open(s3.files("backups")[written]).read().startswith(b"REDIS")
    assert not s3.parts("backups"), "what the first attempt sent is removed"


def test_an_upload_that_breaks_off_leaves_no_backup(pilothouse, api, s3):
    bdb = large(pilothouse, api, "broken")
    before = set(s3.files("backups"))
    with Line(s3.port, cut_after=12 << 20) as line:
        api.put("/v1/cluster", {"s3_url": line.url})
        try:
            assert export(api, bdb["uid"], bucket()) == "general-error"
        finally:
            api.put("/v1/cluster", {"s3_url": s3.url})
        assert line.left <= 0, "it broke off while the dataset was on its way"
    assert set(s3.files("backups")) == before and s3.parts("backups")
    assert export(api, bdb["uid"], bucket()) == ""
    assert len(s3.files("backups")) == len(before) + 1
    target = api.create("restored", memory_size=512 << 20)
    written = next(key for key in s3.files("backups") if key not in before)
    assert load(api, target["uid"], bucket(filename=written.removeprefix("by hand/"))) == ""
    assert pilothouse.client(target).dbsize() == 24


def test_a_schedule_writes_to_a_bucket(pilothouse, api, s3):
    uid = api.create("scheduled")["uid"]
    location = bucket(subdir="scheduled")
    schedule = {"backup": True, "backup_interval": 4, "backup_interval_offset": 0, "backup_location": location}
    wait.until("it is set", lambda: api.call("PUT", f"/v1/bdbs/{uid}", schedule).status_code == 200, SECONDS)
    shown = api.bdb(uid)["backup_location"]
    assert shown == {**location, "secret_access_key": ""}

    def count():
        return sum(key.startswith("scheduled/") for key in s3.files("backups"))

    wait.until("two backups", lambda: count() >= 2, SECONDS)
    # What was shown can be sent back.
    again = {"backup_location": shown, "backup_history": 1}
    wait.until("it can be changed", lambda: api.call("PUT", f"/v1/bdbs/{uid}", again).status_code == 200, SECONDS)
    before = count()
    wait.until("another backup", lambda: count() > before, SECONDS)

    s3.stop()
    failed = wait.until("a failure", lambda: (now := api.bdb(uid))["backup_failure_reason"] and now, SECONDS)
    assert failed["backup_failure_reason"] == "general-error" and failed["status"] == "active"
    s3.start()
    before = count()
    wait.until("a backup again", lambda: count() > before, SECONDS)
    assert wait.until("it succeeds again", lambda: api.bdb(uid)["backup_failure_reason"] == "", SECONDS)
    wait.until("the schedule ends", lambda: api.call("PUT", f"/v1/bdbs/{uid}", {"backup": False}).status_code == 200, SECONDS)
