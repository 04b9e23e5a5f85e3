"""Unchanged clients of the service, pointed at us and nothing else: over TLS, as they speak to the service itself."""

import datetime
import ipaddress
import json
import os
import subprocess
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import wait
from support.mcp import CLIENTS, Mcp, installed
from support.pilothouse import Pilothouse, free_port
from support.s3 import ACCESS_KEY, S3, SECRET_KEY

ACCESS, SECRET = "access-of-the-clients", "secret-of-the-clients"


def certificate(folder):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis-cloud.conformance")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cloud.crt", folder / "cloud.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    secret.chmod(0o600)
    return cert, secret


@pytest.fixture(scope="module")
def s3():
    with S3("nightly") as s3:
        yield s3


@pytest.fixture(scope="module")
def pilothouse(s3, tmp_path_factory):
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    configuration = f"""
[[redis_cloud.accounts]]
name = "clients"
access_key = "{ACCESS}"
secret_key = "{SECRET}"

[[backup.s3]]
bucket = "nightly"
endpoint = "{s3.url}"
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"

[tls.redis_cloud]
cert = "{cert}"
key = "{key}"
"""
    port = free_port()
    with Pilothouse(configuration=configuration, PILOTHOUSE_LISTEN__REDIS_CLOUD=f"127.0.0.1:{port}") as pilothouse:
        pilothouse.url, pilothouse.certificate = f"https://127.0.0.1:{port}/v1", cert
        yield pilothouse.start()


@pytest.fixture
def mcp(pilothouse):
    package = installed("mcp-redis-cloud", "1.0.0")
    environment = {"PATH": os.environ["PATH"], "API_KEY": ACCESS, "SECRET_KEY": SECRET, "BASE_URL": pilothouse.url,
                   "NODE_EXTRA_CA_CERTS": str(pilothouse.certificate)}
    with Mcp(["node", package / "dist" / "index.js"], **environment) as mcp:
        yield mcp


def ended(mcp, task):
    def look():
        seen = mcp.tool("get-task-by-id", taskId=task["taskId"])
        return seen["status"].startswith("processing-") and seen["status"] != "processing-in-progress" and seen

    return wait.until("the task ends", look)


def test_mcp_redis_cloud(pilothouse, mcp):
    """The npm package `mcp-redis-cloud`, every tool of its Pro part."""
    assert mcp.tool("get-current-account")["account"]["id"] > 0
    assert mcp.tool("get-current-payment-methods")["paymentMethods"]
    assert "modules" in mcp.tool("get-database-modules")
    region = mcp.tool("get-pro-plans-regions")["regions"][0]
    asked = {"name": "by-mcp", "paymentMethodId": 1,
             "cloudProviders": [{"provider": region["provider"], "cloudAccountId": 1,
                                 "regions": [{"region": region["name"], "networking": {"deploymentCIDR": "10.0.0.0/24"}}]}],
             "databases": [{"name": "first", "protocol": "redis", "datasetSizeInGb": 0.1}]}
    task = mcp.tool("create-pro-subscription", **asked)
    number = ended(mcp, task)["response"]["resourceId"]
    wait.until("it is active", lambda: mcp.tool("get-pro-subscription", subscriptionId=number)["status"] == "active")
    assert number in [each["id"] for each in mcp.tool("get-pro-subscriptions")["subscriptions"]]
    task = mcp.tool("create-pro-database", subscriptionId=number, name="second", protocol="redis", datasetSizeInGb=0.1, replication=True, password="of-the-second")
    uid = ended(mcp, task)["response"]["resourceId"]

    def active():
        databases = mcp.tool("get-pro-databases", subscriptionId=number)["subscription"][0]["databases"]
        return next((each for each in databases if each["databaseId"] == uid and each["status"] == "active"), None)

    host, port = wait.until("the database is active", active)["publicEndpoint"].split(":")
    with redis.Redis(host=host, port=int(port), password="of-the-second", decode_responses=True) as client:
        client.set("k", "v")
        assert client.get("k") == "v"
    assert task["taskId"] in [each["taskId"] for each in mcp.tool("get-tasks")["tasks"]]

    failed = ended(mcp, mcp.tool("create-pro-database", subscriptionId=number, name="second", protocol="redis", datasetSizeInGb=0.1))
    assert failed["status"] == "processing-error" and failed["response"]["error"]["type"] == "DATABASE_NAME_EXISTS"
    assert "Not Found" in mcp.refused("get-pro-subscription", subscriptionId=4711)


def test_keys_are_not_sent_to_a_listener_that_nobody_vouches_for(pilothouse):
    package = installed("mcp-redis-cloud", "1.0.0")
    environment = {"PATH": os.environ["PATH"], "API_KEY": ACCESS, "SECRET_KEY": SECRET, "BASE_URL": pilothouse.url}
    with Mcp(["node", package / "dist" / "index.js"], **environment) as mcp:
        assert "fetch failed" in mcp.refused("get-current-account")


@pytest.fixture(scope="module")
def typed(pilothouse):
    """The crate `redis-cloud`, built once; a call runs one step of clients/redis-cloud and returns what it prints."""
    folder = Path(__file__).parents[1] / "clients" / "redis-cloud"
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--manifest-path", folder / "Cargo.toml", "--target-dir", CLIENTS / "target"], check=True, timeout=900)
    environment = {"BASE_URL": pilothouse.url, "API_KEY": ACCESS, "SECRET_KEY": SECRET, "SSL_CERT_FILE": str(pilothouse.certificate)}

    def step(*words):
        run = subprocess.run([CLIENTS / "target" / "debug" / "conformance-redis-cloud", *map(str, words)], env=environment, capture_output=True, text=True, timeout=90)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    return step


def connected(database):
    host, port = database["endpoint"].split(":")
    return redis.Redis(host=host, port=int(port), password=database["password"], decode_responses=True)


def test_redis_cloud_rs(pilothouse, s3, typed):
    """The typed client that decodes every answer, from a subscription to a backup and an import; data are read back."""
    made = typed("make")
    source, target = made["source"], made["target"]
    assert source["replication"] is True
    with connected(source) as client:
        client.mset({f"key:{n}": f"value {n}" for n in range(1000)})
    assert typed("backup", made["subscription"], source["id"], "s3://nightly/typed")["status"] == "success"
    [key] = s3.files("nightly")
    assert key.startswith("typed/source-")
    assert typed("import", made["subscription"], target["id"], f"s3://nightly/{key}")["status"] == "success"
    with connected(target) as client:
        assert client.dbsize() == 1000 and client.get("key:7") == "value 7"
    typed("remove", made["subscription"], source["id"], target["id"])
    assert pilothouse.log().count("panicked") == 0
