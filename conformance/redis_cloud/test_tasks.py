"""Tasks, rule by rule: one at a time in order, accounts independent, limits, and nothing lost or doubled by kill -9."""

import threading
import time

from support import wait
from support.cloud import FINAL, database, subscription


def wait_all(cloud, tasks):
    return [cloud.task(task) for task in tasks]


def empty(cloud, number):
    for part in cloud.get(f"/subscriptions/{number}/databases")["subscription"]:
        paths = [f"/subscriptions/{number}/databases/{each['databaseId']}" for each in part["databases"]]
        for path in paths:
            cloud.done("DELETE", path)
        for path in paths:
            cloud.gone(path)


def remove(cloud, *numbers):
    """Removes subscriptions with all that is in them."""
    for number in numbers:
        empty(cloud, number)
    for number in numbers:
        cloud.done("DELETE", f"/subscriptions/{number}")
        assert cloud.get(f"/subscriptions/{number}")["status"] == "deleting"


def test_order_one_in_processing_and_parallel_provisioning(cloud):
    number = cloud.done("POST", "/subscriptions", subscription("order", database("first")))
    cloud.until(f"/subscriptions/{number}", "active")
    most, halt = [0], threading.Event()

    def watch():
        while not halt.is_set():
            tasks = cloud_two.get("/tasks")["tasks"]
            most[0] = max(most[0], sum(task["status"] == "processing-in-progress" for task in tasks))

    cloud_two = cloud.again()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        begun = time.monotonic()
        tasks = [cloud.submit("POST", f"/subscriptions/{number}/databases", database(f"db-{n}", datasetSizeInGb=0.1)) for n in range(8)]
        ended = wait_all(cloud, tasks)
        made = [task["response"]["resourceId"] for task in ended]
        for uid in made:
            cloud.until(f"/subscriptions/{number}/databases/{uid}", "active")
        took = time.monotonic() - begun
    finally:
        halt.set()
        watcher.join()
    assert made == sorted(made), "first come, first served"
    assert most[0] <= 1, "one task of an account is processed at a time"
    assert took < 10, "what was processed is provisioned in parallel"
    names = [cloud.get(f"/subscriptions/{number}/databases/{uid}")["name"] for uid in made]
    assert names == [f"db-{n}" for n in range(8)]
    remove(cloud, number)


def test_growth_turns_the_subscription_pending_and_what_follows_is_refused(cloud):
    """The documentation's worked case: the second create meets a subscription that is not active."""
    number = cloud.done("POST", "/subscriptions", subscription("growth", database("first", datasetSizeInGb=0.5)))
    cloud.until(f"/subscriptions/{number}", "active")
    path = f"/subscriptions/{number}/databases"
    fits = cloud.submit("POST", path, database("fits", datasetSizeInGb=0.2))
    grows = cloud.submit("POST", path, database("grows", datasetSizeInGb=0.9, replication=True))
    late = cloud.submit("POST", path, database("late", datasetSizeInGb=0.1))
    fits, grows, late = wait_all(cloud, [fits, grows, late])
    assert fits["status"] == grows["status"] == "processing-completed"
    assert late["response"]["error"]["type"] == "SUBSCRIPTION_NOT_ACTIVE" and late["response"]["error"]["status"] == "403 FORBIDDEN"
    cloud.until(f"/subscriptions/{number}", "active")
    assert cloud.get(f"{path}/{grows['response']['resourceId']}")["status"] == "active"
    late = cloud.done("POST", path, database("late", datasetSizeInGb=0.1))
    cloud.until(f"{path}/{late}", "active")
    remove(cloud, number)


def test_a_fourth_pending_subscription_is_refused_and_a_fifth_works_later(cloud, other):
    slow = [database(f"db-{n}", datasetSizeInGb=0.1, replication=True) for n in range(3)]
    tasks = [cloud.submit("POST", "/subscriptions", subscription(f"limit-{n}", *slow)) for n in range(4)]
    beside = other.done("POST", "/subscriptions", subscription("beside", database("db")))
    ended = wait_all(cloud, tasks)
    codes = [task["response"].get("error", {}).get("type") for task in ended]
    assert codes == [None, None, None, "TOO_MANY_PENDING_SUBSCRIPTIONS"], codes
    assert ended[3]["response"]["error"]["status"] == "429 TOO_MANY_REQUESTS"
    numbers = [task["response"]["resourceId"] for task in ended[:3]]
    for number in numbers:
        cloud.until(f"/subscriptions/{number}", "active")
    fifth = cloud.done("POST", "/subscriptions", subscription("limit-5", database("db")))
    cloud.until(f"/subscriptions/{fifth}", "active")
    other.until(f"/subscriptions/{beside}", "active")
    assert other.call("GET", f"/subscriptions/{fifth}").status_code == 404, "accounts do not see each other"
    remove(other, beside)
    remove(cloud, *numbers)
    empty(cloud, fifth)
    assert cloud.refused("DELETE", f"/subscriptions/{fifth}")["type"] == "TOO_MANY_PENDING_SUBSCRIPTIONS", "three are being removed"


def test_kill_with_tasks_in_every_state(pilothouse, cloud):
    number = cloud.done("POST", "/subscriptions", subscription("kills", database("first")))
    cloud.until(f"/subscriptions/{number}", "active")
    path = f"/subscriptions/{number}/databases"
    tasks = [cloud.submit("POST", path, database(f"db-{n}", datasetSizeInGb=0.1, port=0 or None)) for n in range(6)]
    pilothouse.kill()
    pilothouse.start()
    ended = wait_all(cloud, tasks)
    assert all(task["status"] in FINAL for task in ended)
    made = [task["response"]["resourceId"] for task in ended if task["status"] == "processing-completed"]
    assert len(made) == 6 and len(set(made)) == 6, "none lost, none twice"
    for uid in made:
        shown = cloud.until(f"{path}/{uid}", "active")
        with cloud.client(shown) as client:
            assert client.ping()
    names = [each["name"] for each in cloud.get(path)["subscription"][0]["databases"]]
    assert sorted(names) == sorted(["first", *(f"db-{n}" for n in range(6))])
    wait.until("as many servers as databases", lambda: len(pilothouse.servers()) == 7)
    remove(cloud, number)
    wait.until("nothing is left", lambda: pilothouse.servers() == {})


def test_active_means_that_the_first_ping_is_answered(cloud):
    numbers = []
    for run in range(3):
        number = cloud.done("POST", "/subscriptions", subscription(f"promise-{run}", database("db")))
        while True:
            shown = cloud.get(f"/subscriptions/{number}/databases")["subscription"][0]["databases"][0]
            if shown["status"] == "active":
                break
            assert shown["status"] == "pending" and "publicEndpoint" not in shown, shown
        shown = cloud.get(f"/subscriptions/{number}/databases/{shown['databaseId']}")
        with cloud.client(shown) as client:
            assert client.ping()
        numbers.append(number)
    remove(cloud, *numbers)
