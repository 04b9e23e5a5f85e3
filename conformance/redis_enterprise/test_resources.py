"""What a database can be made to do: TLS, exports and imports, backups, Replica Of, upgrade, statistics, alerts, certificates, curl."""

import datetime
import functools
import gzip
import http.server
import io
import json
import shutil
import ssl
import subprocess
import tarfile
import threading
import time

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import wait
from support.api import PASSWORD, USER


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def room(pilothouse):
    """A directory that the account of the servers may write to."""
    path = pilothouse.home / "room"
    path.mkdir()
    path.chmod(0o777)
    return path


def filled(pilothouse, name, count=500, **fields):
    bdb = pilothouse.api.create(name, authentication_redis_pass="fill-pass", **fields)
    with pilothouse.client(bdb) as client:
        client.mset({f"key:{n}": n for n in range(count)})
    return bdb


def self_signed(directory, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=30)).sign(key, hashes.SHA256()))
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / f"{name}.crt").write_bytes(pem)
    (directory / f"{name}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return pem.decode()


TLS = {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}


def test_tls_without_and_with_client_certificates(pilothouse, api, tmp_path):
    bdb = api.create("tls", authentication_redis_pass="tls-pass", tls_mode="enabled", replication=True)
    assert bdb["ssl"] is True
    with pilothouse.client(bdb, **TLS) as client:
        assert client.set("a", "b") and client.get("a") == "b"
    with pytest.raises(redis.RedisError), pilothouse.client(bdb) as client:
        client.get("a")

    trusted = self_signed(tmp_path, "trusted")
    self_signed(tmp_path, "stranger")
    api.change(bdb["uid"], enforce_client_authentication="enabled", authentication_ssl_client_certs=[{"client_cert": trusted}])

    def reaches(name):
        files = {"ssl_certfile": str(tmp_path / f"{name}.crt"), "ssl_keyfile": str(tmp_path / f"{name}.key")} if name else {}
        try:
            with pilothouse.client(bdb, **TLS, **files) as client:
                return client.get("a") == "b"
        except (redis.RedisError, OSError):
            return False

    assert wait.until("the trusted certificate is accepted", lambda: reaches("trusted"), 5)
    assert not reaches("stranger") and not reaches(None)
    api.change(bdb["uid"], tls_mode="disabled")
    with pilothouse.client(api.bdb(bdb["uid"])) as client:
        assert client.get("a") == "b"
    api.remove(bdb["uid"])


def transfer(api, uid, kind, body):
    api.post(f"/v1/bdbs/{uid}/actions/{kind}", body)

    def ended():
        bdb = api.bdb(uid)
        return bdb if bdb[f"{kind}_status"] in ("succeeded", "failed") and bdb["status"] == "active" else None

    return wait.until(f"the {kind} has ended", ended, 30)


@pytest.mark.parametrize("replication", [False, True])
def test_export_and_import(pilothouse, api, room, replication):
    source = filled(pilothouse, "source", replication=replication)
    place = room / f"exports-{replication}"
    place.mkdir()
    place.chmod(0o777)
    done = transfer(api, source["uid"], "export", {"export_location": {"type": "mount_point", "path": str(place)}})
    assert done["export_status"] == "succeeded" and done["export_progress"] == 100.0 and done["last_export_time"].endswith("Z"), done
    (file,) = place.iterdir()
    assert file.name.endswith(".rdb.gz") and gzip.open(file).read(5) == b"REDIS"

    target = filled(pilothouse, "target", 3, replication=replication)
    with pilothouse.client(target) as client:
        client.set("only-here", "x")
    done = transfer(api, target["uid"], "import", {"dataset_import_sources": [{"type": "mount_point", "path": str(file)}]})
    assert (done["import_status"], done["import_failure_reason"]) == ("succeeded", ""), done
    with pilothouse.client(target) as client:
        assert client.dbsize() == 500 and client.get("key:499") == "499" and client.get("only-here") is None
    if replication:
        with pilothouse.client(target) as client:
            client.set("after", "x")
            assert client.wait(1, 5000) == 1

    handler = functools.partial(Quiet, directory=str(place))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        with pilothouse.client(target) as client:
            client.flushall()
        done = transfer(api, target["uid"], "import", {"dataset_import_sources": [{"type": "url", "url": url}]})
        assert done["import_status"] == "succeeded", done
        with pilothouse.client(target) as client:
            assert client.dbsize() == 500
        done = transfer(api, target["uid"], "import", {"dataset_import_sources": [{"type": "url", "url": url + ".missing"}]})
        assert (done["import_status"], done["import_failure_reason"]) == ("failed", "download-error")
        server.shutdown()
    (place / "broken.rdb").write_bytes(b"REDIS0009 nothing of the kind" * 10)
    done = transfer(api, target["uid"], "import", {"dataset_import_sources": [{"type": "mount_point", "path": str(place / "broken.rdb")}]})
    assert (done["import_status"], done["import_failure_reason"]) == ("failed", "file-corrupted")
    with pilothouse.client(target) as client:
        assert client.dbsize() == 500, "a failed import loses nothing"
    api.put(f"/v1/bdbs/{target['uid']}/actions/import_reset_status")
    assert api.bdb(target["uid"])["import_failure_reason"] == ""
    done = transfer(api, source["uid"], "export", {"export_location": {"type": "mount_point", "path": str(place / "nowhere")}})
    assert (done["export_status"], done["export_failure_reason"]) == ("failed", "wrong-file-path")
    api.expect(406, "POST", f"/v1/bdbs/{source['uid']}/actions/export", {"export_location": {"type": "gs"}}, code="unsupported_location")
    api.expect(400, "POST", f"/v1/bdbs/{source['uid']}/actions/import", {"dataset_import_sources": [], "surprise": 1})
    for bdb in (source, target):
        api.remove(bdb["uid"])


def test_scheduled_backup(pilothouse, api, room):
    place = room / "backups"
    place.mkdir()
    place.chmod(0o777)
    bdb = filled(pilothouse, "backed-up", replication=True)
    api.expect(406, "PUT", f"/v1/bdbs/{bdb['uid']}", {"backup": True, "backup_interval": 300, "backup_location": {
        "type": "mount_point", "path": str(room / "nowhere")}})
    changed = api.change(bdb["uid"], backup=True, backup_interval=300,
                         backup_location={"type": "mount_point", "path": str(place)})
    assert changed["backup"] is True and changed["backup_location"]["path"] == str(place)
    api.change(bdb["uid"], backup=False)
    api.remove(bdb["uid"])


def test_replica_of(pilothouse, api):
    source = filled(pilothouse, "origin")
    uri = f"redis://admin:{source['authentication_admin_pass']}@127.0.0.1:{source['port']}"
    target = api.create("follower", authentication_redis_pass="t", replica_sources=[{"uri": uri}], replica_sync="enabled")

    def size():
        with pilothouse.client(target, "t") as client:
            return client.dbsize()

    wait.until("the data has arrived", lambda: size() == 500, 20)
    wait.until("in sync", lambda: api.bdb(target["uid"])["replica_sources"][0]["status"] == "in-sync", 20)
    with pilothouse.client(source) as client:
        client.set("more", "1")
    wait.until("writes arrive", lambda: size() == 501, 10)
    api.change(target["uid"], replica_sync="paused")
    with pilothouse.client(target, "t") as client:
        wait.until("the paused copy takes writes", lambda: attempt(lambda: client.set("mine", "1")), 10)
    assert source["authentication_admin_pass"] not in pilothouse.log()
    api.change(target["uid"], replica_sources=[], replica_sync="disabled")
    for bdb in (source, target):
        api.remove(bdb["uid"])


def attempt(action):
    try:
        return action()
    except redis.RedisError:
        return None


def test_upgrade_by_restart(pilothouse, api):
    for replication in (False, True):
        bdb = filled(pilothouse, "upgraded", data_persistence="aof", replication=replication)
        before = set(pilothouse.server_pids(bdb["uid"]).values())
        made = api.post(f"/v1/bdbs/{bdb['uid']}/upgrade", {"force_restart": True})
        api.settled(made["uid"])
        after = set(pilothouse.server_pids(bdb["uid"]).values())
        assert not before & after, "every server was restarted"
        with pilothouse.client(bdb) as client:
            assert client.dbsize() == 500
        api.remove(bdb["uid"])
    bdb = filled(pilothouse, "volatile")
    api.expect(406, "POST", f"/v1/bdbs/{bdb['uid']}/upgrade", {"force_restart": True})
    assert api.get(f"/v1/bdbs/{bdb['uid']}/actions/recover")["data_files"] == []
    api.expect(409, "POST", f"/v1/bdbs/{bdb['uid']}/actions/recover", {})
    api.remove(bdb["uid"])


STATS = """conns egress_bytes ingress_bytes evicted_objects expired_objects instantaneous_ops_per_sec last_req_time last_res_time used_memory mem_size_lua
mem_frag_ratio mem_not_counted_for_evict monitor_sessions_count no_of_keys no_of_expires other_req other_res read_req read_res write_req write_res total_req
total_res read_hits read_misses write_hits write_misses total_connections_received pubsub_channels pubsub_patterns fork_cpu_system fork_cpu_user
main_thread_cpu_system main_thread_cpu_user shard_cpu_system shard_cpu_user""".split()


def test_statistics(pilothouse, api):
    bdb = filled(pilothouse, "measured", replication=True)
    uid = str(bdb["uid"])
    last = wait.until("statistics of the database", lambda: api.get("/v1/bdbs/stats/last").get(uid), 15)
    assert not set(STATS) - set(last), set(STATS) - set(last)
    wait.until("the keys are counted", lambda: api.get(f"/v1/bdbs/stats/last/{uid}")[uid]["no_of_keys"] == 500, 15)
    whole = api.get(f"/v1/bdbs/stats/{uid}?interval=1sec")
    assert whole["uid"] == uid and whole["intervals"] and whole["intervals"][0]["interval"] == "1sec"
    for path in ("/v1/bdbs/stats", "/v1/nodes/stats", "/v1/shards/stats", "/v1/endpoints/stats"):
        assert all(entry["uid"] and "intervals" in entry for entry in api.get(path)), path
    assert api.get("/v1/cluster/stats")["intervals"]
    assert api.get("/v1/cluster/stats/last")["interval"]
    assert "1" in api.get("/v1/nodes/stats/last")
    shard = str(bdb["shard_list"][0])
    assert shard in api.get(f"/v1/shards/stats/last/{shard}")
    api.expect(400, "GET", "/v1/bdbs/stats?interval=2sec")
    api.expect(404, "GET", "/v1/bdbs/stats/4711")
    for moment in (last["stime"], last["etime"]):
        datetime.datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ")
    api.remove(bdb["uid"])


def test_alerts_and_logs(pilothouse, api):
    bdb = api.create("alarming", memory_size=64 << 20, eviction_policy="noeviction")
    uid = bdb["uid"]
    alerts = api.post(f"/v1/bdbs/alerts/{uid}", {"bdb_size": {"enabled": True, "threshold": "10"}})
    assert alerts["bdb_size"]["enabled"] is True and alerts["bdb_size"]["threshold"] == "10"
    with pilothouse.client(bdb, "") as client:
        client.set("big", b"x" * (8 << 20))
    fired = wait.until("the alert fires", lambda: (a := api.get(f"/v1/bdbs/alerts/{uid}/bdb_size"))["state"] and a, 30)
    assert fired["change_value"]["state"] is True and fired["change_time"].endswith("Z")
    entries = api.get("/v1/logs?order=desc&limit=50")
    assert any(e.get("bdb_uid") == uid and e["type"] == "bdb_created" for e in api.get("/v1/logs"))
    assert entries[0]["time"] >= entries[-1]["time"]
    wait.until("the log tells it", lambda: [e for e in api.get("/v1/logs") if e.get("bdb_uid") == uid and e["type"] == "size"], 30)
    assert len(api.get("/v1/logs?limit=2")) == 2
    api.expect(406, "POST", f"/v1/bdbs/alerts/{uid}", {"bdb_size": {"enabled": True, "threshold": "many"}})
    api.expect(404, "GET", f"/v1/bdbs/alerts/{uid}/no_such_alert")
    api.remove(uid)


def test_certificates(pilothouse, api, tmp_path):
    before = api.get("/v1/cluster/certificates")
    api.post("/v1/cluster/certificates/rotate")
    after = api.get("/v1/cluster/certificates")
    assert set(after) == set(before) and after != before
    pem = self_signed(tmp_path, "own")
    key = (tmp_path / "own.key").read_text()
    api.put("/v1/cluster/update_cert", {"name": "api", "certificate": pem, "key": key})
    served = wait.until("the listener shows it", lambda: (c := ssl.get_server_certificate(("127.0.0.1", pilothouse.port))).strip() == pem.strip() and c, 5)
    assert served
    api.expect(400, "PUT", "/v1/cluster/update_cert", {"name": "api", "certificate": "no", "key": key})
    api.expect(403, "DELETE", "/v1/cluster/certificates/proxy")


def curl(*arguments):
    done = subprocess.run(["curl", "-sk", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True, timeout=30, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_documented_curl_lines(pilothouse, api):
    url = f"https://127.0.0.1:{pilothouse.port}"
    login = ["-u", f"{USER}:{PASSWORD}"]
    status, body = curl(*login, f"{url}/v1/bdbs")
    assert (status, body[0]) == (200, "[")
    status, body = curl("-X", "POST", *login, "-H", "Content-Type: application/json", "-d",
                        '{"name": "curl", "type": "redis", "memory_size": 104857600}', f"{url}/v1/bdbs")
    assert status == 200, body
    uid = json.loads(body)["uid"]
    api.settled(uid)
    assert curl("-X", "PUT", *login, "-H", "cache-control: no-cache", "-H", "Content-type: application/json", "-d",
                '{"eviction_policy": "allkeys-lru"}', f"{url}/v1/bdbs/{uid}")[0] == 200
    api.settled(uid)
    # Without a content type, as scripts do.
    assert curl("-X", "PUT", *login, "-d", '{"memory_size": 209715200}', f"{url}/v1/bdbs/{uid}/")[0] == 200
    assert api.settled(uid)["memory_size"] == 209715200
    assert curl(*login, "-X", "POST", "-d", '{"command": "PING"}', f"{url}/v1/bdbs/{uid}/command") == (200, '{"response":true}')
    assert curl("-X", "OPTIONS", *login, f"{url}/v1/bdbs")[0] == 200
    assert curl("-I", *login, f"{url}/v1/bdbs")[0] == 200
    assert curl(*login, "-X", "DELETE", "-H", "Content-Type: application/json", "-d", "{}", f"{url}/v1/bdbs/{uid}")[0] == 200
    assert curl("-u", "nobody:nothing", f"{url}/v1/bdbs")[0] == 401
    assert curl(*login, "-H", "X-API-Version: 99", f"{url}/v1/bdbs")[0] == 505
    assert curl(*login, f"http://127.0.0.1:{pilothouse.http_port}/v1/bootstrap")[0] == 200


def test_every_safe_get_answers(pilothouse, api):
    """The statuses that an ordinary cluster of the advertised version gives."""
    bdb = api.create("plain")
    uid = bdb["uid"]
    for path in """/v1/actions /v2/actions /v1/bdb_groups /v1/bdbs /v1/bdbs/alerts /v1/bdbs/stats /v1/bdbs/stats/last /v1/bootstrap /v1/cluster /v1/cluster/actions
    /v1/cluster/alerts /v1/cluster/auditing/db_conns /v1/cluster/certificates /v1/cluster/check /v1/cluster/debuginfo /v1/cluster/ldap /v1/cluster/module-capabilities
    /v1/cluster/policy /v1/cluster/services_configuration /v1/cluster/stats /v1/cluster/stats/last /v1/cluster/witness_disk /v1/cm_settings /v1/crdb_tasks /v1/crdbs
    /v1/diagnostics /v1/endpoints/stats /v1/job_scheduler /v1/jsonschema /v1/ldap_mappings /v1/license /v1/local/node/master_healthcheck /v1/local/services /v1/logs
    /v1/modules /v1/nodes /v1/nodes/1 /v1/nodes/1/actions /v1/nodes/1/snapshots /v1/nodes/1/status /v1/nodes/actions /v1/nodes/alerts /v1/nodes/check/1 /v1/nodes/stats
    /v1/nodes/stats/last /v1/nodes/status /v1/nodes/wd_status /v1/ocsp /v1/ocsp/status /v1/proxies /v1/proxies/1 /v1/redis_acls /v1/roles /v1/shards /v1/shards/stats
    /v1/shards/stats/last /v1/suffixes /v1/usage_report /v1/users /v1/users/permissions /v1/users/role /v4/cluster/health""".split():
        assert api.call("GET", path).status_code == 200, path
    for path, status in ((f"/v1/bdbs/{uid}/availability", 200), (f"/v1/local/bdbs/{uid}/endpoint/availability", 200), (f"/v1/bdbs/{uid}/peer_stats", 406),
                         (f"/v1/bdbs/{uid}/sync_source_stats", 200), (f"/v1/bdbs/{uid}/sync_source_stats/1", 404), (f"/v1/bdbs/{uid}/syncer_state", 404),
                         ("/v1/boostrap", 404), ("/v1/cluster/sso", 404), ("/v1/metrics_config", 404), ("/v1/alerts", 404), (f"/v1/actions/bdb/{uid}", 200)):
        assert api.call("GET", path).status_code == status, path
    api.remove(uid)


def test_debug_packages_are_made_where_the_cluster_says(pilothouse, api):
    api.create("packed")
    folder = pilothouse.home / "packages"
    folder.mkdir()
    (folder / "file").write_text("no directory")
    for bad in ("/does/not/exist", str(folder / "file"), "relative", ""):
        api.expect(400, "PUT", "/v1/cluster", {"debuginfo_path": bad}, code="bad_debuginfo_path")
    assert api.put("/v1/cluster", {"debuginfo_path": str(folder)})["debuginfo_path"] == str(folder)
    package = api.call("GET", "/v1/cluster/debuginfo")
    assert package.headers["content-type"] == "application/x-gzip"
    with tarfile.open(fileobj=io.BytesIO(package.content)) as opened:
        assert "debuginfo/node.json" in opened.getnames()
    # Nothing stays there, and without the directory there is no package.
    assert [file.name for file in folder.iterdir()] == ["file"]
    shutil.rmtree(folder)
    api.expect(500, "GET", "/v1/cluster/debuginfo", code="internal_error")
    api.put("/v1/cluster", {"debuginfo_path": "/tmp"})
    api.get("/v1/cluster/debuginfo")
