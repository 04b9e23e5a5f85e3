"""One Pilothouse for each file of tests, bootstrapped; its processes end with the file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support.pilothouse import Pilothouse  # noqa: E402  (the path has to be set first)


@pytest.fixture(scope="module")
def fresh():
    """A Pilothouse that was never bootstrapped."""
    with Pilothouse() as pilothouse:
        yield pilothouse.start()


@pytest.fixture(scope="module")
def pilothouse():
    """A bootstrapped Pilothouse, shared by the tests of one file."""
    with Pilothouse() as pilothouse:
        pilothouse.start()
        pilothouse.api.bootstrap()
        yield pilothouse


@pytest.fixture
def api(pilothouse):
    return pilothouse.api


@pytest.fixture(autouse=True)
def no_panic(request):
    """No test passes over a panic of the control plane."""
    yield
    for name in ("pilothouse", "fresh"):
        if name in request.fixturenames:
            log = request.getfixturevalue(name).log()
            assert "panicked at" not in log, log[log.index("panicked at") - 300 :][:2000]
