"""A Pilothouse that speaks the Redis Cloud API, and clients of its accounts."""

import pytest

from support.cloud import Cloud
from support.pilothouse import Pilothouse, free_port

# A removed subscription is shown for some seconds and counts towards the limit meanwhile: each test has accounts of its own.
NAMES = [f"account-{number}" for number in range(1, 41)]
SETTINGS = """
[redis_cloud]
rate_limit_per_minute = 0
capacity_step_gb = 1
"""
ACCOUNTS = "".join(
    f'[[redis_cloud.accounts]]\nname = "{name}"\naccess_key = "access-of-the-{name}"\nsecret_key = "secret-of-the-{name}"\n'
    for name in NAMES
)


@pytest.fixture(scope="module")
def pilothouse():
    port = free_port()
    with Pilothouse(configuration=SETTINGS + ACCOUNTS, PILOTHOUSE_LISTEN__REDIS_CLOUD=f"127.0.0.1:{port}") as pilothouse:
        pilothouse.cloud_port = port
        pilothouse.accounts = iter(NAMES)
        yield pilothouse.start()


@pytest.fixture
def cloud(pilothouse):
    return Cloud(pilothouse.cloud_port, next(pilothouse.accounts))


@pytest.fixture
def other(pilothouse):
    return Cloud(pilothouse.cloud_port, next(pilothouse.accounts))
