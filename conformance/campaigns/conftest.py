"""Sizes, seeds and the table of the campaigns."""

import os
import random
import statistics

import pytest

LONG = os.environ.get("PILOTHOUSE_CAMPAIGN") == "long"
ROWS = {}


@pytest.fixture
def size():
    """`size(small, long)`: how often something is repeated."""
    return lambda small, long: long if LONG else small


@pytest.fixture
def seeded():
    """Random numbers from a seed that is printed; PILOTHOUSE_SEED replays."""
    seed = int(os.environ.get("PILOTHOUSE_SEED", random.randrange(1 << 32)))
    print(f"seed: PILOTHOUSE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def row():
    """Adds figures in milliseconds to the table that is printed at the end."""
    return lambda name, seconds: ROWS.setdefault(name, []).append(seconds * 1000)


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    terminalreporter.section("from the fault to the first acknowledged write at the same address, ms")
    terminalreporter.write_line(f"{'fault':<46}{'runs':>6}{'median':>9}{'p99':>9}{'worst':>9}")
    for name, figures in ROWS.items():
        figures.sort()
        p99 = figures[min(len(figures) - 1, int(len(figures) * 0.99))]
        terminalreporter.write_line(f"{name:<46}{len(figures):>6}{statistics.median(figures):>9.1f}{p99:>9.1f}{figures[-1]:>9.1f}")
