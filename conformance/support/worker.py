"""A cluster-aware client that works all the time and remembers what it was promised."""

import random
import threading
import time

import redis

from . import wait


class Worker(threading.Thread):
    """Sets, reads and counts keys all over the key space with a client that follows redirects. It repeats nothing by itself: whatever such
    a client would show its user is an error here."""

    def __init__(self, client, prefix="k", keys=2000):
        super().__init__(daemon=True)
        self.client, self.prefix, self.keys = client, prefix, keys
        self.random = random.Random(prefix)
        self.values, self.counted, self.errors, self.acknowledged = {}, 0, [], []
        self.halted = threading.Event()

    def run(self):
        number = 0
        while not self.halted.is_set():
            number += 1
            key = f"{self.prefix}:{self.random.randrange(self.keys)}"
            began = time.monotonic()
            try:
                self.client.set(key, number)
                self.values[key] = number
                seen = self.client.get(key)
                if seen != str(number):
                    self.errors.append(f"{key} is {seen}, acknowledged {number}")
                self.client.incr(f"{self.prefix}:counter")
                self.counted += 1
                self.acknowledged.append((began, time.monotonic()))
            except (redis.RedisError, OSError) as error:
                # What was asked may have been done or not.
                self.values.pop(key, None)
                self.errors.append(repr(error)[:200])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.halted.set()
        self.join(30)
        assert not self.is_alive(), "the worker hangs"

    def flowing(self, count=50):
        before = len(self.acknowledged)
        wait.until("commands are answered", lambda: len(self.acknowledged) > before + count, 20)

    def lost(self, client):
        """Acknowledged writes that are not there."""
        return {key: (value, seen) for key, value in self.values.items() if (seen := client.get(key)) != str(value)}
