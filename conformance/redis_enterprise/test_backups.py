"""Scheduled backups: they begin by themselves, go on after a failover, and tell when they fail."""

import gzip
import shutil

import pytest

from support import processes, wait
from support.pilothouse import Pilothouse

SECONDS = 30


@pytest.fixture
def place(pilothouse):
    """A directory for backups that the account of the servers can reach."""
    place = pilothouse.home / "backups"
    place.mkdir()
    place.chmod(0o777)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def newest(place):
    files = sorted(place.glob("*.rdb.gz"), key=lambda file: file.stat().st_mtime)
    return files[-1].name if files else None


def another(place, before):
    return wait.until("another backup", lambda: (name := newest(place)) != before and name, SECONDS)


def test_a_schedule_is_kept_through_failovers_and_failures(pilothouse, api, place):
    bdb = api.create("scheduled", replication=True)
    uid = bdb["uid"]
    client = pilothouse.client(bdb)
    client.set("kept", "before")
    api.post(f"/v1/bdbs/alerts/{uid}", {"bdb_backup_delayed": {"enabled": True, "threshold": "5"}})
    api.put(f"/v1/bdbs/{uid}", {"backup": True, "backup_interval": 2, "backup_interval_offset": 0,
                                "backup_location": {"type": "mount_point", "path": str(place)}})
    first = another(place, None)
    second = another(place, first)
    assert gzip.open(place / second).read().startswith(b"REDIS")
    shown = api.bdb(uid)
    assert shown["backup"] is True and shown["last_backup_time"].endswith("Z") and shown["backup_failure_reason"] == ""

    processes.kill(pilothouse.server_pids(uid)["master"])
    wait.until("a new primary", lambda: api.bdb(uid)["topology_epoch"] > bdb["topology_epoch"], SECONDS)
    last = another(place, newest(place))
    another(place, last)

    # The place is gone: the failure is shown, told and, when it lasts, an alert.
    shutil.rmtree(place)
    failed = wait.until("a failure", lambda: (now := api.bdb(uid))["backup_failure_reason"] and now, SECONDS)
    assert failed["backup_failure_reason"] in ("wrong-file-path", "no-permission"), failed["backup_failure_reason"]
    assert failed["status"] == "active"
    assert any(e["type"] == "backup_failed" and e["severity"] == "ERROR" for e in logs(api, uid))
    alert = f"/v1/bdbs/alerts/{uid}/bdb_backup_delayed"
    wait.until("the alert fires", lambda: api.get(alert)["state"], SECONDS)
    wait.until("the log tells it", lambda: any(e["type"] == "backup_delayed" and e["state"] for e in logs(api, uid)), 5)

    place.mkdir()
    place.chmod(0o777)
    another(place, None)
    wait.until("the alert clears", lambda: not api.get(alert)["state"], SECONDS)
    wait.until("it succeeds again", lambda: api.bdb(uid)["backup_failure_reason"] == "", SECONDS)
    wait.until("the schedule ends", lambda: api.call("PUT", f"/v1/bdbs/{uid}", {"backup": False}).status_code == 200, SECONDS)


@pytest.fixture(scope="module")
def confined():
    """A Pilothouse whose backups, exports and imports stay below one directory."""
    with Pilothouse() as confined:
        root = confined.home / "root"
        root.mkdir()
        root.chmod(0o777)
        confined.root = root
        confined.start(PILOTHOUSE_BACKUP__LOCAL_ROOT=str(root))
        confined.api.bootstrap()
        yield confined


def export(api, uid, path):
    """What became of an export: "" when it succeeded."""
    api.post(f"/v1/bdbs/{uid}/actions/export", {"export_location": {"type": "mount_point", "path": str(path)}})
    done = wait.until("the export ends", lambda: (now := api.bdb(uid))["export_status"] in ("succeeded", "failed") and now, SECONDS)
    return done["export_failure_reason"]


def test_exports_have_the_rights_of_servers_and_stay_out_of_the_data_directory(pilothouse, api, place):
    uid = api.create("exported")["uid"]
    server = next((pilothouse.data / "servers").glob("*/data")).parent
    (place / "link").symlink_to(server)
    for path in ("/etc", pilothouse.data, pilothouse.data / "servers", server / "data", place / "link"):
        assert export(api, uid, path) == "no-permission", path
    assert not list(pilothouse.data.rglob("*.rdb.gz"))
    assert export(api, uid, place) == ""
    written = place / newest(place)
    assert written.stat().st_uid == server.stat().st_uid


def test_nothing_leads_out_of_the_root(confined):
    api, root = confined.api, confined.root
    uid = api.create("inside")["uid"]
    outside = confined.home / "outside"
    for directory in (outside, root / "in"):
        directory.mkdir()
        directory.chmod(0o777)
    (root / "link").symlink_to(outside)
    assert export(api, uid, root / "in") == ""
    for path in (outside, root / "link", "/tmp"):
        assert export(api, uid, path) == "no-permission", path
    api.expect(400, "POST", f"/v1/bdbs/{uid}/actions/export",
               {"export_location": {"type": "mount_point", "path": f"{root}/in/../../outside"}}, code="invalid_schema")
    assert not list(outside.iterdir())

    shutil.copy(root / "in" / newest(root / "in"), outside / "dump.rdb.gz")
    (outside / "dump.rdb.gz").chmod(0o644)
    for path, reason in ((root / "in" / newest(root / "in"), ""), (root / "link" / "dump.rdb.gz", "download-error")):
        api.post(f"/v1/bdbs/{uid}/actions/import", {"dataset_import_sources": [{"type": "mount_point", "path": str(path)}]})
        done = wait.until("the import ends", lambda: (now := api.bdb(uid))["import_status"] in ("succeeded", "failed") and now, SECONDS)
        assert done["import_failure_reason"] == reason, path


def logs(api, uid):
    return [entry for entry in api.get("/v1/logs?limit=1000&order=desc") if entry.get("bdb_uid") == uid]


def test_a_schedule_outlives_the_control_plane(pilothouse, api, place):
    bdb = api.create("outliving")
    uid = bdb["uid"]
    api.put(f"/v1/bdbs/{uid}", {"backup": True, "backup_interval": 2, "backup_interval_offset": 1,
                                "backup_location": {"type": "mount_point", "path": str(place)}})
    last = another(place, None)
    pilothouse.restart()
    another(place, last)
    assert api.bdb(uid)["backup_interval"] == 2
