"""The quickstart script: it removes what it made, and nothing else."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import processes
from support.pilothouse import ROOT, Pilothouse, binary


class Checkout:
    """A checkout with nothing in it but the script and the program, and a cargo that has built it already."""

    def __init__(self, home):
        self.path = home / "checkout"
        release = self.path / "target/release"
        release.mkdir(parents=True)
        shutil.copy(ROOT / "quickstart", self.path)
        (release / "pilothouse").symlink_to(Path(binary()).resolve())
        tools = home / "tools"
        tools.mkdir()
        (tools / "cargo").write_text("#!/bin/sh\n")
        (tools / "cargo").chmod(0o755)
        self.search = f"{tools}:{os.environ['PATH']}"

    def run(self, pilothouse, *arguments):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PILOTHOUSE_")}
        environment = {**pilothouse.environment, "PILOTHOUSE_SERVER__DATA_DIR": str(pilothouse.data), "PATH": self.search}
        return subprocess.run(
            [self.path / "quickstart", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env={**kept, **environment},
        )


@pytest.fixture
def unstarted():
    with Pilothouse() as pilothouse:
        yield pilothouse


def test_an_installation_of_somebody_else_is_left_alone(pilothouse, api):
    production = api.create("prod")
    checkout = Checkout(pilothouse.home)
    for arguments, word in [(["--down"], "left alone"), (["--down", "--yes"], "left alone"), (["--stop"], "left running"), (["--yes"], "left alone")]:
        done = checkout.run(pilothouse, *arguments)
        assert word in done.stdout + done.stderr, (arguments, done)
        assert not (checkout.path / ".quickstart").exists(), arguments
        assert api.bdb(production["uid"])["status"] == "active"
    assert pilothouse.process.poll() is None


def test_up_stop_and_down(unstarted):
    checkout = Checkout(unstarted.home)
    for arguments in (["--down"], ["--stop"]):
        done = checkout.run(unstarted, *arguments)
        assert done.returncode == 0 and "nothing to" in done.stdout, done
    done = checkout.run(unstarted, "--yes")
    assert done.returncode == 0 and "SET and GET" in done.stdout, done
    assert checkout.run(unstarted, "--yes").returncode == 0, "run again, it goes on"
    # What the README says about connecting.
    assert (checkout.path / ".quickstart/data").read_text().strip() == str(unstarted.data)
    password = unstarted.run("db", "password", "quickstart").stdout
    shown = json.loads(unstarted.run("db", "show", "quickstart", "--password", "-o", "json").stdout)
    assert password == shown["password"] + "\n" and len(password) > 1
    assert shown["tenant"] == "default"

    assert "is stopped" in checkout.run(unstarted, "--stop").stdout
    assert "no control plane runs" in checkout.run(unstarted, "--stop").stdout

    assert checkout.run(unstarted, "--yes").returncode == 0
    made = unstarted.run("db", "create", "precious", "--memory", "32mb", "--wait")
    assert made.returncode == 0, made
    refused = checkout.run(unstarted, "--down")
    assert refused.returncode == 1 and "precious" in refused.stderr, refused
    assert "precious" in unstarted.run("db", "list").stdout

    done = checkout.run(unstarted, "--down", "--yes")
    assert done.returncode == 0, done
    assert not unstarted.data.exists() and not processes.of_directory(unstarted.data)
