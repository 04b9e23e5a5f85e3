"""Backups to buckets of a real S3-compatible service, and imports from there."""

import gzip
import json

import pytest

from support import wait
from support.cloud import Cloud, database, subscription
from support.pilothouse import Pilothouse, free_port
from support.s3 import ACCESS_KEY, S3, SECRET_KEY

SECONDS = 60
ACCOUNT, OTHER = "backup", "other"
KEYS = """
[[redis_cloud.accounts]]
name = "{name}"
access_key = "access-of-the-{name}"
secret_key = "secret-of-the-{name}"
"""
BUCKET = """
[[backup.s3]]
name = "{name}"
bucket = "{bucket}"
endpoint = "{url}"
access_key = "{access}"
secret_key = "{secret}"
"""


@pytest.fixture(scope="module")
def s3():
    with S3("daily", "more") as s3:
        yield s3


@pytest.fixture(scope="module")
def pilothouse(s3):
    """Serves with four buckets: one by its own name, one by another, one that does not exist, and one whose secret is wrong."""
    buckets = [("daily", "daily", SECRET_KEY), ("second", "more", SECRET_KEY), ("absent", "absent", SECRET_KEY), ("locked", "daily", "wrong")]
    configuration = "".join(BUCKET.format(name=name, bucket=bucket, url=s3.url, access=ACCESS_KEY, secret=secret) for name, bucket, secret in buckets)
    configuration += "[redis_cloud]\nrate_limit_per_minute = 0\n" + "".join(KEYS.format(name=name) for name in (ACCOUNT, OTHER))
    port = free_port()
    with Pilothouse(configuration=configuration, PILOTHOUSE_LISTEN__REDIS_CLOUD=f"127.0.0.1:{port}") as pilothouse:
        pilothouse.cloud_port = port
        yield pilothouse.start()


def account(pilothouse, name):
    """The account, with a subscription."""
    cloud = Cloud(pilothouse.cloud_port, name)
    cloud.number = cloud.done("POST", "/subscriptions", subscription("buckets", database("first")))
    cloud.until(f"/subscriptions/{cloud.number}", "active")
    return cloud


@pytest.fixture(scope="module")
def cloud(pilothouse):
    return account(pilothouse, ACCOUNT)


def made(cloud, name, **fields):
    """The path of a new database."""
    uid = cloud.done("POST", f"/subscriptions/{cloud.number}/databases", database(name, **fields))
    path = f"/subscriptions/{cloud.number}/databases/{uid}"
    cloud.until(path, "active")
    return path


def remote(path, **more):
    return {"active": True, "interval": "every-1-hours", "storageType": "aws-s3", "storagePath": path, **more}


def status(cloud, path, what):
    return cloud.task(cloud.submit("GET", f"{path}/{what}"))["response"]["resource"]


def ended(cloud, path, what):
    def looked():
        seen = status(cloud, path, what)
        return seen.get("status") in ("success", "failed") and seen

    return wait.until(f"the {what} ends", looked, SECONDS)


def test_a_dataset_travels_through_a_bucket(pilothouse, cloud, s3):
    source = made(cloud, "source", remoteBackup=remote("s3://daily/kept here"))
    shown = cloud.get(source)
    assert shown["backup"] == {"enableRemoteBackup": True, "interval": "every-1-hours", "destination": "s3://daily/kept here"}
    with cloud.client(shown) as client:
        client.mset({f"key:{n}": f"value {n}" for n in range(1000)})
    assert status(cloud, source, "backup") == {}
    for body, bucket, prefix in ((None, "daily", "kept here/"), ({"adhocBackupPath": "s3://second"}, "more", "")):
        cloud.done("POST", f"{source}/backup", body)
        assert ended(cloud, source, "backup")["status"] == "success"
        key = s3.newest(bucket)
        assert key.startswith(f"{prefix}source-1_of_1-") and gzip.open(s3.files(bucket)[key]).read().startswith(b"REDIS")
        cloud.until(source, "active")

    target = made(cloud, "target")
    for uri in (f"s3://daily/{s3.newest('daily')}", f"s3://second/{s3.newest('more')}"):
        cloud.done("POST", f"{target}/import", {"sourceType": "aws-s3", "importFromUri": [uri]})
        assert ended(cloud, target, "import")["status"] == "success"
        with cloud.client(cloud.until(target, "active")) as client:
            assert client.dbsize() == 1000 and client.get("key:7") == "value 7"
            client.flushall()
    assert SECRET_KEY not in pilothouse.log() + json.dumps(cloud.get("/tasks"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("s3://nowhere/x", "no bucket nowhere is configured"),
        ("s3://absent/x", "NoSuchBucket"),
        ("s3://locked/x", "SignatureDoesNotMatch"),
        ("s3://daily/a/../b", "no part that is empty"),
        ("s3://", "the name of the bucket"),
    ],
)
def test_a_bucket_that_cannot_be_written_to_is_refused(cloud, path, words):
    error = cloud.refused("POST", f"/subscriptions/{cloud.number}/databases", database("refused", remoteBackup=remote(path)))
    assert error["type"] == "DATABASE_INVALID_BACKUP_PATH" and error["status"] == "400 BAD_REQUEST" and words in error["description"], error
    names = [each["name"] for each in cloud.get(f"/subscriptions/{cloud.number}/databases")["subscription"][0]["databases"]]
    assert "refused" not in names


def test_what_is_no_backup_is_told(cloud, s3):
    path = made(cloud, "odd")
    (s3.root / "daily" / "noise.rdb").write_bytes(b"REDIS0011 and then nothing that makes sense")
    for uri, reason in (("s3://daily/noise.rdb", "cannot be loaded"), ("s3://daily/missing.rdb", "NoSuchKey"), ("s3://locked/noise.rdb", "SignatureDoesNotMatch")):
        cloud.done("POST", f"{path}/import", {"sourceType": "aws-s3", "importFromUri": [uri]})
        seen = ended(cloud, path, "import")
        assert seen["status"] == "failed" and reason in json.dumps(seen), seen
        cloud.until(path, "active")
    for uri in ("s3://nowhere/x", "http://127.0.0.1/x", "daily/x"):
        assert cloud.refused("POST", f"{path}/import", {"sourceType": "aws-s3", "importFromUri": [uri]})["type"] == "DATABASE_IMPORT_S3_BAD_URI"


def test_an_account_is_not_given_the_backup_of_another(pilothouse, cloud, s3):
    source = made(cloud, "private")
    with cloud.client(cloud.get(source)) as client:
        client.set("k", "v")
    cloud.done("POST", f"{source}/backup", {"adhocBackupPath": "s3://daily/private"})
    assert ended(cloud, source, "backup")["status"] == "success"
    key = next(key for key in s3.files("daily") if key.startswith("private/"))

    other = account(pilothouse, OTHER)
    target = made(other, "curious")
    other.done("POST", f"{target}/import", {"sourceType": "aws-s3", "importFromUri": [f"s3://daily/{key}"]})
    seen = ended(other, target, "import")
    assert seen["status"] == "failed" and "another tenant" in seen["failureReason"], seen
    with other.client(other.until(target, "active")) as client:
        assert client.dbsize() == 0


def test_the_schedule_is_kept(pilothouse, cloud, s3):
    """This API has no interval below an hour, so the other one shortens it."""
    made(cloud, "hourly", remoteBackup=remote("s3://daily/hourly"))
    pilothouse.api.bootstrap()
    uid = next(bdb["uid"] for bdb in pilothouse.api.get("/v1/bdbs") if bdb["name"] == "hourly")
    pilothouse.api.put(f"/v1/bdbs/{uid}", {"backup_interval": 2, "backup_interval_offset": 0})
    wait.until("two backups", lambda: sum(key.startswith("hourly/") for key in s3.files("daily")) >= 2, SECONDS)
    wait.until("the schedule ends", lambda: pilothouse.api.call("PUT", f"/v1/bdbs/{uid}", {"backup": False}).status_code == 200, SECONDS)
