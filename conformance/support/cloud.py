"""A client of the Redis Cloud API that does what its documentation tells clients to do."""

import time

import redis
import requests

FINAL = {"processing-completed", "processing-error"}


class Cloud:
    def __init__(self, port, account):
        self.base = f"http://127.0.0.1:{port}/v1"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"x-api-key": f"access-of-the-{account}", "x-api-secret-key": f"secret-of-the-{account}"})

    def again(self):
        """Another connection of the same account."""
        other = Cloud.__new__(Cloud)
        other.base, other.session = self.base, requests.Session()
        other.session.trust_env = False
        other.session.headers.update(self.session.headers)
        return other

    def call(self, method, path, body=None, expect=None):
        response = self.session.request(method, self.base + path, json=body, timeout=30)
        if expect is not None:
            assert response.status_code == expect, (method, path, response.status_code, response.text[:400])
        return response

    def get(self, path, expect=200):
        return self.call("GET", path, expect=expect).json()

    def submit(self, method, path, body=None):
        """Sends a change; returns the task as it was answered, which must be readable already."""
        response = self.call(method, path, body)
        assert response.status_code in (200, 202), response.text
        task = response.json()
        assert task["status"] == "received" and task["links"][0]["rel"] == "task", task
        assert self.get(f"/tasks/{task['taskId']}")["taskId"] == task["taskId"]
        return task

    def task(self, task, seconds=30):
        """Polls the task to its end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = self.get(f"/tasks/{task['taskId']}")
            if seen["status"] in FINAL:
                assert "description" in seen and "response" in seen, seen
                return seen
            assert seen["status"] in ("received", "processing-in-progress"), seen
            time.sleep(0.005)
        raise AssertionError(f"the task does not end: {seen}")

    def done(self, method, path, body=None):
        """Sends a change and polls its task, which must succeed; returns the id of what it made."""
        ended = self.task(self.submit(method, path, body))
        assert ended["status"] == "processing-completed", ended
        assert "error" not in ended["response"]
        return ended["response"].get("resourceId")

    def refused(self, method, path, body=None):
        """Sends a change and polls its task, which must fail; returns the error."""
        ended = self.task(self.submit(method, path, body))
        assert ended["status"] == "processing-error", ended
        return ended["response"]["error"]

    def until(self, path, status, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = self.get(path)
            if seen["status"] == status:
                return seen
            time.sleep(0.01)
        raise AssertionError(f"{path} does not become {status}: {seen}")

    def gone(self, path, seconds=30):
        """Polls until 404; before that only `deleting` may be seen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            response = self.call("GET", path)
            if response.status_code == 404:
                assert response.json()["error"] == "Not Found"
                return
            assert response.json()["status"] == "deleting", response.text
            time.sleep(0.02)
        raise AssertionError(f"{path} stays")

    @staticmethod
    def client(database, **options):
        host, port = database["publicEndpoint"].split(":")
        return redis.Redis(host=host, port=int(port), password=database["security"].get("password"), decode_responses=True, **options)

    @staticmethod
    def cluster_client(database, **options):
        """A real cluster-aware client, which starts at the endpoint."""
        host, port = database["publicEndpoint"].split(":")
        return redis.RedisCluster(host=host, port=int(port), password=database["security"].get("password"), decode_responses=True, **options)


def subscription(name, *databases, **fields):
    """The body of the documentation's first example."""
    return {
        "name": name,
        "paymentMethodId": 1,
        "cloudProviders": [{"provider": "AWS", "cloudAccountId": 1,
                            "regions": [{"region": "us-east-1", "networking": {"deploymentCIDR": "10.0.0.0/24"}}]}],
        "databases": list(databases) or [database("first")],
        **fields,
    }


def database(name, **fields):
    return {"name": name, "protocol": "redis", "datasetSizeInGb": 0.1, "replication": False, "dataPersistence": "none", **fields}
