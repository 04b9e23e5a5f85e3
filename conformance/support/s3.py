"""A real S3-compatible service on a directory, and a connection to it that can be cut."""

import contextlib
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from . import wait
from .pilothouse import free_port

ACCESS_KEY = "AKIAOFCONFORMANCE"
SECRET_KEY = "the/secret+key-of-conformance"
PART = ".rclone_temp_multipart"


class S3:
    """`rclone serve s3`: buckets are directories, objects are files."""

    def __init__(self, *buckets):
        self.home = Path(tempfile.mkdtemp(prefix="pilothouse-s3-"))
        self.root = self.home / "buckets"
        for bucket in buckets:
            (self.root / bucket).mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        program = Path(sys.executable).with_name("rclone")
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [program, "serve", "s3", self.root, "--addr", f"127.0.0.1:{self.port}", "--config", "/dev/null", "--dir-cache-time", "0s"],
                env={"RCLONE_AUTH_KEY": f'"{ACCESS_KEY},{SECRET_KEY}"'}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        wait.until("the service answers", self._answers)
        return self

    def _answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()

    def files(self, bucket):
        """Objects of a bucket by their keys."""
        root = self.root / bucket
        return {str(file.relative_to(root)): file for file in root.rglob("*") if file.is_file() and not file.name.startswith(PART)}

    def parts(self, bucket):
        """What the service keeps of uploads that are not finished."""
        return list((self.root / bucket).rglob(f"{PART}*"))

    def newest(self, bucket):
        return max(self.files(bucket), default=None)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


class Line:
    """A TCP connection to the service, which breaks for good after that many bytes towards it."""

    def __init__(self, port, cut_after):
        self.target, self.left = port, cut_after
        self.lock = threading.Lock()
        line = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                line.carry(self.request)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def carry(self, client):
        if self.left <= 0:
            return
        with socket.create_connection(("127.0.0.1", self.target)) as service:
            back = threading.Thread(target=self._pump, args=(service, client), daemon=True)
            back.start()
            while self.left > 0 and (piece := self._receive(client)):
                with self.lock:
                    self.left -= len(piece)
                service.sendall(piece)
            cut = self.left <= 0
            for end in (service, client) if cut else (service,):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR if cut else socket.SHUT_WR)
            back.join()

    def _pump(self, service, client):
        try:
            while piece := self._receive(service):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def _receive(end):
        try:
            return end.recv(1 << 16)
        except OSError:
            return b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
