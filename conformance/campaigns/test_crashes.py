"""The control plane is killed while it creates, changes, fails over, exports and deletes: at random moments and at every recorded step."""

import os
import re
import threading
import time

import pytest
import redis
import requests

from support import invariants, processes, wait
from support.pilothouse import Pilothouse

PASSWORD = "crash-pass"


class Operator(threading.Thread):
    """Asks for one thing after the other and remembers what was answered."""

    def __init__(self, pilothouse, random, prefix):
        super().__init__(daemon=True)
        self.api = pilothouse.api
        self.pilothouse, self.random, self.prefix = pilothouse, random, prefix
        self.halted = threading.Event()
        # What was answered with 200; what was asked for without an answer may have been done or not.
        self.given, self.deleted, self.unsure = set(), set(), set()
        self.sizes = {}
        self.wrong = []

    def run(self):
        number = 0
        while not self.halted.is_set():
            number += 1
            try:
                self.ask(number)
            except requests.RequestException:
                time.sleep(0.01)
            except Exception as error:  # noqa: BLE001  (the test reports it)
                self.wrong.append(repr(error))
                return

    def ask(self, number):
        known = sorted(self.given - self.deleted - self.unsure)
        choice = self.random.random()
        if len(known) < 2 or (choice < 0.25 and len(known) < 4):
            body = {"name": f"{self.prefix}-{number}", "memory_size": 32 << 20, "authentication_redis_pass": PASSWORD,
                    "replication": self.random.random() < 0.6, "data_persistence": "aof"}
            answer = self.tell("POST", "/v1/bdbs", body)
            if answer.ok:
                self.given.add(answer.json()["uid"])
                self.sizes[answer.json()["uid"]] = {32 << 20}
            return
        uid = self.random.choice(known)
        if choice < 0.5:
            size = self.random.randrange(16, 64) << 20
            before = self.sizes[uid]
            self.sizes[uid] = before | {size}
            answer = self.tell("PUT", f"/v1/bdbs/{uid}", {"memory_size": size})
            self.sizes[uid] = {size} if answer.ok else before
        elif choice < 0.7:
            for pids in list(self.pilothouse.servers().values())[:1]:
                processes.kill(pids[0])
        elif choice < 0.85:
            shards = self.tell("GET", f"/v1/bdbs/{uid}/shards")
            masters = [s["uid"] for s in shards.json() if s["role"] == "master"] if shards.ok else []
            if masters:
                self.tell("POST", f"/v1/shards/{masters[0]}/actions/failover", {})
        else:
            self.unsure.add(uid)
            answer = self.tell("DELETE", f"/v1/bdbs/{uid}", None)
            self.unsure.discard(uid)
            if answer.ok:
                self.deleted.add(uid)

    def tell(self, method, path, body=None):
        answer = self.api.call(method, path, body, timeout=20)
        if answer.status_code >= 500 and answer.status_code != 503:
            self.wrong.append(f"{method} {path} {body} -> {answer.status_code} {answer.text[:300]}")
        return answer

    def stop(self):
        self.halted.set()
        self.join(30)
        assert not self.is_alive(), "a request hangs"
        assert not self.wrong, self.wrong


def test_killed_at_random_moments(seeded, size):
    with Pilothouse() as pilothouse:
        pilothouse.start()
        pilothouse.api.bootstrap()
        for run in range(size(10, 200)):
            operator = Operator(pilothouse, seeded, f"run-{run}")
            before = pilothouse.api.get("/v1/bdbs")
            operator.given |= {bdb["uid"] for bdb in before}
            operator.sizes |= {bdb["uid"]: {bdb["memory_size"]} for bdb in before}
            operator.start()
            time.sleep(seeded.uniform(0.005, 0.6))
            pilothouse.kill()
            if seeded.random() < 0.3:  # a second kill, during the recovery from the first
                pilothouse.spawn()
                time.sleep(seeded.uniform(0.005, 0.3))
                pilothouse.kill()
            operator.stop()
            pilothouse.start()
            there = invariants.check(pilothouse, operator.given - operator.unsure, operator.deleted)
            for bdb in there:
                allowed = operator.sizes.get(bdb["uid"])
                assert allowed is None or bdb["memory_size"] in allowed, f"run {run}: {bdb['uid']} has {bdb['memory_size']}, answered {allowed}"
            assert "panicked at" not in pilothouse.log()
        invariants.no_secrets_in_log(pilothouse, PASSWORD, pilothouse.api.auth[1])
        for bdb in pilothouse.api.get("/v1/bdbs"):
            pilothouse.api.remove(bdb["uid"])
        invariants.check(pilothouse)


CRASHING = os.environ.get("PILOTHOUSE_CRASH_BIN")
PASSED = re.compile(r'point="?([a-z-]+)')


def scenario(pilothouse, directory):
    """Everything that has recorded steps, in one row. Returns what was answered: uids given and deleted. Ends when the control plane dies."""
    api = pilothouse.api
    given, deleted = set(), set()

    def dead():
        return pilothouse.process.poll() is not None

    def step(action):
        if not dead():
            try:
                action()
            except (requests.RequestException, redis.RedisError, OSError, AssertionError):
                # Only the death that was ordered excuses an error.
                wait.until("the control plane is dead", dead, 5)

    def create():
        answer = api.call("POST", "/v1/bdbs", {"name": "crash", "memory_size": 32 << 20, "authentication_redis_pass": PASSWORD,
                                               "replication": True, "data_persistence": "aof"})
        given.add(answer.json()["uid"])
        api.settled(uid())

    def uid():
        return max(given)

    def change():
        api.change(uid(), memory_size=40 << 20, data_persistence="snapshot", snapshot_policy=[{"secs": 900, "writes": 1}])

    def write():
        with pilothouse.client(api.bdb(uid())) as client:
            client.set("written", "before")

    def fail_over():
        processes.kill(pilothouse.server_pids(uid())["master"])
        # Asked for again as long as the old primary is not back in sync.
        api.action(wait.until("a failover is accepted", ask_for_failover, 15)["action_uid"])

    def ask_for_failover():
        master = next(s["uid"] for s in api.get(f"/v1/bdbs/{uid()}/shards") if s["role"] == "master")
        answer = api.call("POST", f"/v1/shards/{master}/actions/failover", {})
        assert answer.status_code in (200, 400, 406, 409), answer.text
        return answer.json() if answer.ok else None

    def export():
        api.post(f"/v1/bdbs/{uid()}/actions/export", {"export_location": {"type": "mount_point", "path": str(directory)}})
        wait.until("exported", lambda: api.bdb(uid())["export_status"] in ("succeeded", "failed"), 20)

    def load():
        path = next(directory.glob("*.rdb*"))
        api.post(f"/v1/bdbs/{uid()}/actions/import", {"dataset_import_sources": [{"type": "mount_point", "path": str(path)}]})
        wait.until("imported", lambda: api.bdb(uid())["import_status"] in ("succeeded", "failed"), 20)

    def flush():
        api.put(f"/v1/bdbs/{uid()}/flush")
        api.settled(uid())

    def delete():
        api.call("DELETE", f"/v1/bdbs/{uid()}")
        deleted.add(uid())
        wait.until("gone", lambda: api.call("GET", f"/v1/bdbs/{uid()}").status_code == 404, 10)

    step(create)
    if given:
        for action in (write, change, fail_over, export, load, flush, delete):
            step(action)
    return given, deleted, dead()


@pytest.mark.skipif(CRASHING is None, reason="PILOTHOUSE_CRASH_BIN: no program with crash points")
def test_killed_at_every_recorded_step(seeded, size):
    with Pilothouse(program=CRASHING) as pilothouse:
        target = pilothouse.home / "exports"
        target.mkdir(mode=0o777)
        target.chmod(0o777)
        pilothouse.start(PILOTHOUSE_SERVER__LOG="info,pilothouse_control::fault=trace")
        pilothouse.api.bootstrap()
        begun = len(pilothouse.log())
        _, _, died = scenario(pilothouse, target)
        assert not died
        points = PASSED.findall(pilothouse.log()[begun:])
        assert len(points) > 30, points
        invariants.check(pilothouse)
        pilothouse.kill()

        # Every passage of every point in the long run; a few of them, of different points, in the small one.
        passages = [(name, count) for name in sorted(set(points)) for count in range(1, min(points.count(name), 10) + 1)]
        names = sorted(set(points))
        few = [(name, seeded.randint(1, min(points.count(name), 3))) for name in seeded.sample(names, min(8, len(names)))]
        chosen = few if size(1, 0) else passages
        reached = []
        for name, count in chosen:
            # A start passes points as well, and may be the one that dies.
            if pilothouse.start_or_die(PILOTHOUSE_CRASH_AT=f"{name}:{count}"):
                given, deleted, died = scenario(pilothouse, target)
            else:
                given, deleted, died = set(), set(), True
            if died:
                reached.append(name)
            else:
                pilothouse.kill()
            pilothouse.start()
            there = invariants.check(pilothouse, given - deleted if not died else (), deleted if not died else ())
            for uid in {bdb["uid"] for bdb in there}:
                pilothouse.api.remove(uid)
            assert invariants.check(pilothouse, (), given) == [], f"{name}:{count}"
            pilothouse.kill()
            for left in target.iterdir():
                left.unlink()
        print(f"{len(reached)} kills at {len(set(reached))} of {len(names)} points: {sorted(set(reached))}; never: {sorted(set(names) - set(reached))}")
        # How often a point is passed differs a little from run to run.
        assert len(reached) >= len(chosen) * 0.75
        if not size(1, 0):
            assert len(set(reached)) >= 0.9 * len(names)
