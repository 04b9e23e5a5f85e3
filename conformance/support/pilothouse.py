"""A Pilothouse of one's own: data directory, ports, process; everything is ended and erased at the end."""

import atexit
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from . import processes, wait
from .api import Api

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def binary():
    """The program under test: PILOTHOUSE_BIN, else the debug build of this checkout; see `reachable`."""
    return reachable(os.environ.get("PILOTHOUSE_BIN") or str(ROOT / "target/debug/pilothouse"))


@functools.cache
def reachable(program):
    """The program, where the account of the servers reaches it. In a checkout below a closed folder such as /root it does not, and
    every data directory of a test would get a copy of its own, for which a small one has no room."""
    path = Path(program).resolve()
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in path.parents):
        return str(program)
    home = Path(tempfile.mkdtemp(prefix="pilothouse-program-"))
    home.chmod(0o755)
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    copy = home / "pilothouse"
    shutil.copy2(path, copy)
    copy.chmod(0o755)
    return str(copy)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pilothouse:
    """One control plane with its data directory. The gateway and the database servers are found through that directory."""

    def __init__(self, base=None, program=None, configuration="", **environment):
        # mkdtemp makes 0700; the account of the servers has to get through.
        self.home = Path(tempfile.mkdtemp(prefix="pilothouse-conformance-", dir=base))
        self.home.chmod(0o755)
        self.data = self.home / "data"
        self.program = reachable(program) if program else binary()
        self.log_path = self.home / "serve.log"
        self.port, self.http_port = free_port(), free_port()
        window = random.randrange(0, 95) * 100
        self.environment = {
            "PILOTHOUSE_LISTEN__REDIS_ENTERPRISE": f"127.0.0.1:{self.port}",
            "PILOTHOUSE_LISTEN__REDIS_ENTERPRISE_HTTP": f"127.0.0.1:{self.http_port}",
            "PILOTHOUSE_LISTEN__REDIS_CLOUD": "off",
            "PILOTHOUSE_LISTEN__METRICS": "off",
            "PILOTHOUSE_ENDPOINTS__PORT_RANGE": f"{10000 + window}-{10299 + window}",
            "PILOTHOUSE_ENDPOINTS__SERVER_PORT_RANGE": f"{20000 + window}-{20499 + window}",
            "PILOTHOUSE_SERVER__LOG": os.environ.get("PILOTHOUSE_SERVER__LOG", "info"),
            **environment,
        }
        self.config_path = self.home / "pilothouse.toml"
        self.config_path.write_text(configuration)
        self.process = None
        self.api = Api(f"https://127.0.0.1:{self.port}")

    # ------------------------------------------------------------------------------------------------ life of the control plane

    def spawn(self, **environment):
        """Starts `serve` without waiting for it."""
        assert self.process is None or self.process.poll() is not None
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PILOTHOUSE_")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--config", str(self.config_path), "--data-dir", str(self.data)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=self.home, start_new_session=True,
                env={**kept, **self.environment, **environment},
            )
        self._ready = threading.Event()
        threading.Thread(target=self._read, args=(self.process.stdout, self._ready), daemon=True).start()

    @staticmethod
    def _read(pipe, ready):
        with pipe:
            for line in pipe:
                if line.startswith(b"pilothouse ready"):
                    ready.set()

    def start(self, seconds=30, **environment):
        """Starts `serve` and waits for the line that says it is ready."""
        ready = self.start_or_die(seconds, **environment)
        assert ready, f"serve ended with {self.process.returncode}:\n{self.log()[-3000:]}"
        return self

    def start_or_die(self, seconds=30, **environment):
        """Starts `serve`; whether it got ready before it ended."""
        self.spawn(**environment)
        wait.until("the control plane is ready or gone", lambda: self._ready.is_set() or self._ended(), seconds)
        return self._ready.is_set()

    def _ended(self):
        return self.process.poll() is not None

    def kill(self):
        """kill -9 of the control plane alone."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """An orderly end of the control plane alone; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def restart(self):
        self.kill()
        return self.start()

    def destroy(self):
        """Ends everything that lives in the data directory and erases it."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        processes.end_all(self.data)
        if os.environ.get("PILOTHOUSE_KEEP"):
            print(f"kept: {self.home}")
        else:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if error[0] is not None:
            # What a failure that is seen once leaves behind.
            print(self.log()[-4000:])
        self.destroy()

    # ------------------------------------------------------------------------------------------------ looking at it

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def servers(self):
        return processes.servers(self.data)

    def gateway(self):
        return processes.gateway(self.data)

    def run(self, *arguments, timeout=60):
        """Another command of the program on the same data directory."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PILOTHOUSE_")}
        return subprocess.run(
            [self.program, *arguments, "--data-dir", str(self.data)],
            capture_output=True, text=True, timeout=timeout, env={**kept, **self.environment},
        )

    def client(self, bdb, password=None, username=None, **options):
        """A real Redis client of a database, through the address that its object shows; it retries nothing by itself."""
        endpoint = bdb["endpoints"][0]
        password = bdb.get("authentication_redis_pass") if password is None else password
        options = {"socket_timeout": 10, "socket_connect_timeout": 10, "decode_responses": True, "retry": Retry(NoBackoff(), 0), **options}
        return redis.Redis(endpoint["addr"][0], endpoint["port"], username=username, password=password or None, **options)

    def cluster_client(self, bdb, password=None, **options):
        """A real cluster-aware client: it asks the published endpoint once and follows the servers from there."""
        endpoint = bdb["endpoints"][0]
        password = bdb.get("authentication_redis_pass") if password is None else password
        options = {"socket_timeout": 10, "socket_connect_timeout": 10, "decode_responses": True, **options}
        return redis.RedisCluster(host=endpoint["addr"][0], port=endpoint["port"], password=password or None, **options)

    def server_pids(self, uid):
        """Main processes of a database by role: {"master": pid, "slave": pid}, as the API tells the roles."""
        roles = {}
        for shard in self.api.get(f"/v1/bdbs/{uid}/shards?extra_info_keys=process_id"):
            pid = shard["redis_info"].get("process_id")
            if pid:
                roles[shard["role"]] = pid
        return roles
