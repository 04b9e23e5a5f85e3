"""A client of a Model Context Protocol server that runs as a child and speaks over its standard input and output."""

import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path

CLIENTS = Path(__file__).resolve().parents[1] / ".clients"


def installed(package, version):
    """The folder of a package of the npm registry, installed once."""
    folder = CLIENTS / f"{package}-{version}"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, f"{package}@{version}"], check=True, timeout=300)
        (folder / "installed").touch()
    return folder / "node_modules" / package


class Mcp:
    def __init__(self, command, **environment):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        self.lines, self.last = queue.Queue(), 0
        threading.Thread(target=self._read, daemon=True).start()
        self.ask("initialize", {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "conformance", "version": "1"}})
        self._send({"method": "notifications/initialized"})

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def _send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method, parameters):
        self.last += 1
        self._send({"id": self.last, "method": method, "params": parameters})
        while True:
            answer = self.lines.get(timeout=30)
            if answer.get("id") == self.last:
                assert "error" not in answer, answer
                return answer["result"]

    def tool(self, name, /, **arguments):
        """What a tool answers, which must not be an error."""
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert not result.get("isError"), result
        return json.loads(result["content"][0]["text"])

    def refused(self, name, /, **arguments):
        """The text of a tool's error."""
        result = self.ask("tools/call", {"name": name, "arguments": arguments})
        assert result.get("isError"), result
        return result["content"][0]["text"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
