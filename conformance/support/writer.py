"""A client that writes all the time and remembers what it was promised."""

import threading
import time

import redis


class Writer(threading.Thread):
    """Writes `w:<n>` = n, one after the other, each followed by WAIT 1.

    `acknowledged` holds what the server answered with OK, with the times of question and answer; `confirmed` what a replica has as well.
    Errors are what a client sees when a connection breaks: it connects again, to the same address.
    """

    def __init__(self, connect, wait_ms=100, prefix="w"):
        super().__init__(daemon=True)
        self.connect, self.wait_ms, self.prefix = connect, wait_ms, prefix
        self.acknowledged, self.confirmed, self.errors, self.failures = [], set(), 0, []
        self.halted = threading.Event()

    def run(self):
        client, number = None, 0
        while not self.halted.is_set():
            number += 1
            began = time.monotonic()
            try:
                client = client or self.connect()
                client.set(f"{self.prefix}:{number}", number)
                self.acknowledged.append((began, time.monotonic(), number))
                if self.wait_ms and client.wait(1, self.wait_ms) >= 1:
                    self.confirmed.add(number)
            except (redis.RedisError, OSError) as error:
                self.errors += 1
                self.failures.append((time.monotonic(), repr(error)[:120]))
                if client is not None:
                    client.close()
                client = None
                time.sleep(0.001)
        if client is not None:
            client.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        self.halted.set()
        self.join(30)
        assert not self.is_alive(), "the writer hangs"

    def first_after(self, moment):
        """Seconds from a moment to the first write that was begun after it and acknowledged; `None` until then."""
        later = [ended for began, ended, _ in self.acknowledged if began >= moment]
        return later[0] - moment if later else None

    def longest_gap(self, since):
        """The longest time without an acknowledged write since a moment, seconds."""
        times = [since] + [ended for _, ended, _ in self.acknowledged if ended >= since]
        return max((b - a for a, b in zip(times, times[1:])), default=float("inf"))

    def lost(self, client):
        """What is missing or wrong: (confirmed writes, other acknowledged writes)."""
        numbers = [number for _, _, number in self.acknowledged]
        missing = set()
        for at in range(0, len(numbers), 500):
            part = numbers[at : at + 500]
            values = client.mget([f"{self.prefix}:{n}" for n in part])
            missing |= {n for n, value in zip(part, values) if value != str(n)}
        return sorted(missing & self.confirmed), sorted(missing - self.confirmed)
