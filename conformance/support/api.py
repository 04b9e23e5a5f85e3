"""The Redis Enterprise API with plain HTTP: what tests need beside the real clients."""

import requests
import urllib3

from . import wait

urllib3.disable_warnings()

USER = "admin@conformance.local"
PASSWORD = "Conformance-1!"
SETTLED = {"active", "creation-failed", "recovery"}


class Api:
    """A caller of the API. Methods return the decoded body and fail on any status but the expected one."""

    def __init__(self, url, user=USER, password=PASSWORD):
        self.url = url
        self.auth = (user, password) if user else None
        self.session = requests.Session()
        self.session.verify = False
        self.session.trust_env = False

    def as_user(self, user, password):
        return Api(self.url, user, password)

    def call(self, method, path, body=None, timeout=30, **more):
        """Any request; returns the response."""
        if body is not None:
            more["json"] = body
        return self.session.request(method, self.url + path, auth=self.auth, timeout=timeout, **more)

    def expect(self, status, method, path, body=None, code=None, **more):
        """A request whose status is known; returns the decoded body. Errors have the shape of the dialect."""
        answer = self.call(method, path, body, **more)
        shown = f"{method} {path} {body!r} -> {answer.status_code} {answer.text[:600]}"
        assert answer.status_code == status, f"expected {status}: {shown}"
        if status >= 400 and answer.text:
            check_error_shape(answer)
            if code is not None:
                assert answer.json()["error_code"] == code, shown
        if "json" in answer.headers.get("content-type", "") and answer.text:
            return answer.json()
        return answer

    def get(self, path, **more):
        return self.expect(200, "GET", path, **more)

    def post(self, path, body=None, **more):
        return self.expect(200, "POST", path, {} if body is None else body, **more)

    def put(self, path, body=None, **more):
        return self.expect(200, "PUT", path, {} if body is None else body, **more)

    def delete(self, path, body=None, **more):
        return self.expect(200, "DELETE", path, body, **more)

    # ------------------------------------------------------------------------------------------------ databases

    def bdb(self, uid):
        return self.get(f"/v1/bdbs/{uid}")

    def create(self, name, seconds=30, **fields):
        """Creates a database and waits until it is active."""
        made = self.post("/v1/bdbs", {"name": name, "memory_size": 64 << 20, **fields})
        return self.settled(made["uid"], seconds)

    def change(self, uid, seconds=30, **fields):
        """Changes a database and waits until it is active again."""
        self.put(f"/v1/bdbs/{uid}", fields)
        return self.settled(uid, seconds)

    def settled(self, uid, seconds=30):
        """Waits until a database is active and nothing runs for it."""

        def look():
            bdb = self.bdb(uid)
            assert bdb["status"] not in ("creation-failed",), bdb
            return bdb if bdb["status"] == "active" and "action_uid" not in bdb else None

        return wait.until(f"database {uid} is active", look, seconds)

    def action(self, action_uid, seconds=30):
        """Waits for the end of an action and returns it."""

        def look():
            action = self.get(f"/v1/actions/{action_uid}")
            return action if action["status"] in ("completed", "failed") else None

        return wait.until(f"action {action_uid} ends", look, seconds)

    def remove(self, uid, seconds=10):
        """Deletes a database and waits until it is unknown."""
        answer = self.call("DELETE", f"/v1/bdbs/{uid}")
        assert answer.status_code in (200, 404), answer.text
        wait.until(f"database {uid} is gone", lambda: self.call("GET", f"/v1/bdbs/{uid}").status_code == 404, seconds)

    def bootstrap(self, name="conformance.local", user=USER, password=PASSWORD):
        """The documented bootstrap, until it is completed."""
        body = {"action": "create_cluster", "cluster": {"name": name}, "credentials": {"username": user, "password": password}}
        nobody = Api(self.url, None)
        nobody.expect(200, "POST", "/v1/bootstrap/create_cluster", body)

        def completed():
            answer = self.call("GET", "/v1/bootstrap")
            return answer.ok and answer.json()["bootstrap_status"]["state"] == "completed"

        wait.until("the bootstrap is completed", completed, 15)


def check_error_shape(answer):
    """An error of this dialect: JSON with a code in snake case and a sentence, twice."""
    body = answer.json()
    assert isinstance(body, dict), answer.text
    assert body["error_code"].replace("_", "").isalnum() and body["error_code"].islower(), answer.text
    assert body["description"] and body["description"] == body["message"], answer.text
