"""Thousands of calls that nobody would write by hand: each is answered, in form, and the control plane is as well as before.

With PILOTHOUSE_REDIS_CLOUD_OPENAPI naming the service's own OpenAPI description, its answers are validated against that as well; see
docs/dialects/redis-cloud.md for where to get it.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import wait
from support.cloud import FINAL, Cloud, database, subscription

LONG = os.environ.get("PILOTHOUSE_CAMPAIGN") == "long"
SEED = int(os.environ.get("PILOTHOUSE_SEED", "20261121"))
DESCRIPTION = os.environ.get("PILOTHOUSE_REDIS_CLOUD_OPENAPI")
CALLS = 20_000 if LONG else 4_000
JSON = "application/json"

ROOTS = ["", "/payment-methods", "/regions", "/database-modules", "/data-persistence", "/query-performance-factors", "/session-logs", "/logs",
         "/cost-report", "/tasks", "/tasks/{task}", "/cloud-accounts", "/cloud-accounts/{id}", "/users", "/users/{id}", "/redis-versions",
         "/subscriptions", "/subscriptions/redis-versions", "/acl/redisRules", "/acl/redisRules/{id}", "/acl/roles", "/acl/roles/{id}",
         "/acl/users", "/acl/users/{id}", "/fixed/plans", "/fixed/plans/{id}", "/fixed/subscriptions", "/data-integration-workspaces",
         "/endpoint-redirections", "/nothing", "//", "/subscriptions/"]
OF_SUBSCRIPTION = ["", "/cidr", "/maintenance-windows", "/pricing", "/resource-tags", "/regions", "/peerings", "/databases", "/databases/{did}/x/y"]
OF_DATABASE = ["", "/backup", "/import", "/flush", "/certificate", "/slow-log", "/available-target-versions", "/upgrade", "/tags", "/tags/{key}",
               "/traffic", "/regions", "/backup-status", "/import-status"]
PATHS = ROOTS + [f"{kind}/{{sid}}{rest}" for kind in ("/subscriptions", "/fixed/subscriptions")
                 for rest in OF_SUBSCRIPTION + [f"/databases/{{did}}{last}" for last in OF_DATABASE]]
METHODS = ["GET"] * 4 + ["POST"] * 3 + ["PUT"] * 3 + ["DELETE", "PATCH", "OPTIONS"]
ODD = [None, True, 0, -1, 2**31, 2**63, 2**64, 1.5, 1e308, "", " ", "x", "x" * 5000, "ünï\u0000", "../..", "null", [], [None], {}, {"a": {"b": []}}]
ODD_IDS = ["0", "-1", "2147483648", "18446744073709551616", "abc", "%00", "..%2f..", "1.5", "%F0%9F%90%BF", "x" * 3000, "1;2", "%"]
BODIES = [
    subscription("generated", database("db")),
    database("generated", replication=True, sourceIp=["10.0.0.0/8"], alerts=[{"name": "dataset-size", "value": 80}]),
    {"name": "changed", "datasetSizeInGb": 0.1, "remoteBackup": {"active": True, "interval": "every-1-hours", "storagePath": "s3://none/x"}},
    {"sourceType": "http", "importFromUri": ["http://127.0.0.1:9/x"]},
    {"tags": [{"key": "k", "value": "v"}]},
    {"key": "k", "value": "v"},
    {"cidrIps": ["10.0.0.0/8"]},
    {"mode": "manual", "windows": [{"startHour": 2, "durationInHours": 4, "days": ["Monday"]}]},
    {"name": "rule", "redisRule": "+@read ~*"},
    {"name": "role", "redisRules": [{"ruleName": "Read-Only", "databases": [{"subscriptionId": 1, "databaseId": 1}]}]},
    {"name": "user", "role": "role", "password": "Generated-1!"},
    {"targetRedisVersion": "7.0"},
    {"name": "fixed", "planId": 1},
]


class Generator:
    def __init__(self, seed, known):
        self.random, self.known = random.Random(seed), known

    def call(self):
        path = re.sub(r"{(\w+)}", lambda name: self.identifier(name[1]), self.random.choice(PATHS))
        query = self.random.choice(["", "", "", "?offset=0&limit=1", "?limit=-1", "?offset=x", "?limit=99999999999999999999", "?subscriptionId=%00", "?dryRun=maybe&&=="])
        headers, body = self.body()
        return self.random.choice(METHODS), path + query, headers, body

    def identifier(self, name):
        if name in self.known and self.random.random() < 0.7:
            return str(self.known[name])
        return self.random.choice(ODD_IDS)

    def body(self):
        kind = self.random.random()
        if kind < 0.15:
            return {}, None
        whole = json.dumps(self.mutated(json.loads(json.dumps(self.random.choice(BODIES)))))
        if kind < 0.20:
            return {"content-type": self.random.choice(["text/plain", "application/xml", "", "application/json; charset=latin1"])}, whole
        if kind < 0.25:
            return {"content-type": JSON}, whole[: self.random.randrange(len(whole))]
        if kind < 0.28:
            return {"content-type": JSON}, self.random.choice(["[" * 5000, "{}{}", "\x00", "\ufeff{}", "nul", '"text"', "[]", "1", '{"a":1,"a":2}'])
        return {"content-type": JSON}, whole

    def mutated(self, value):
        """The value with some of its leaves replaced, left out or wrapped."""
        if isinstance(value, dict):
            changed = {key: self.mutated(each) for key, each in value.items() if self.random.random() > 0.03}
            if self.random.random() < 0.05:
                changed[self.random.choice(["dryRun", "unknown", "", "port", "quantity", "planId"])] = self.random.choice(ODD)
            return changed
        if isinstance(value, list):
            return [self.mutated(each) for each in value] * self.random.choice([1] * 9 + [0])
        return self.random.choice(ODD) if self.random.random() < 0.08 else value


def check(method, path, response):
    shown = f"{method} {path[:200]} -> {response.status_code} {response.text[:500]}"
    assert response.status_code < 500, shown
    if not response.content:
        assert method == "OPTIONS" or response.status_code == 204, f"an answer says something: {shown}"
        return
    assert response.headers["content-type"].split(";")[0] == JSON, shown
    answer = response.json()
    if response.status_code >= 400:
        assert {"timestamp", "status", "error", "path"} <= answer.keys() and answer["status"] == response.status_code, shown


@pytest.fixture
def known(cloud):
    """Ids of things that exist."""
    sid = cloud.done("POST", "/subscriptions", subscription("known", database("db")))
    cloud.until(f"/subscriptions/{sid}", "active")
    did = cloud.get(f"/subscriptions/{sid}/databases")["subscription"][0]["databases"][0]["databaseId"]
    return {"sid": sid, "did": did, "id": 1, "key": "k", "task": cloud.get("/tasks")["tasks"][0]["taskId"]}


def settled(cloud):
    return all(task["status"] in FINAL for task in cloud.get("/tasks")["tasks"])


def test_generated_calls_are_answered_in_form(pilothouse, cloud, known):
    print(f"seed {SEED}")
    generator = Generator(SEED, known)
    for _ in range(CALLS):
        method, path, headers, body = generator.call()
        response = cloud.session.request(method, cloud.base + path, headers=headers, data=body and body.encode("utf-8", "surrogatepass"), timeout=30)
        check(method, path, response)
    wait.until("every task ends", lambda: settled(cloud), 60)
    fresh = Cloud(pilothouse.cloud_port, next(pilothouse.accounts))
    number = fresh.done("POST", "/subscriptions", subscription("after", database("db")))
    fresh.until(f"/subscriptions/{number}", "active")


@pytest.mark.skipif(not DESCRIPTION, reason="PILOTHOUSE_REDIS_CLOUD_OPENAPI names no OpenAPI description; see docs/dialects/redis-cloud.md")
def test_answers_are_as_the_service_describes_them(pilothouse, cloud, known):
    program = Path(sys.executable).with_name("schemathesis")
    url = cloud.base.removesuffix("/v1")
    keys = [f"--header={name}: {cloud.session.headers[name]}" for name in ("x-api-key", "x-api-secret-key")]
    ids = {"subscriptionId": known["sid"], "databaseId": known["did"], "taskId": known["task"]}
    support = Path(__file__).parents[1] / "support"
    run = subprocess.run(
        [program, "run", DESCRIPTION, f"--url={url}", *keys, "--phases=coverage,fuzzing", f"--max-examples={25 if LONG else 5}", f"--seed={SEED}",
         "--checks=not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance",
         "--continue-on-failure", "--generation-database=none", "--suppress-health-check=all", "--warnings=off", "--no-color"],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(support), "PILOTHOUSE_KNOWN_IDS": json.dumps(ids)},
        cwd=pilothouse.home, capture_output=True, text=True, timeout=3600,
    )
    made = re.search(r"(\d+) generated", run.stdout)
    assert made and int(made[1]) > 5000, run.stdout[-3000:] + run.stderr[-3000:]
    assert run.returncode == 0, run.stdout[-12000:]
