"""Waiting for a condition, with a deadline."""

import time


def until(what, condition, seconds=20.0, every=0.02):
    """The first true value of `condition()`; fails with `what` and the last value seen when time is up."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
        except (AssertionError, LookupError) as error:
            last = None
            seen = error
        else:
            seen = last
        if last:
            return last
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {seen!r}")
        time.sleep(every)
