"""Processes of one data directory, found in /proc and nowhere else."""

import json
import os
import signal
from pathlib import Path


def _stat(pid):
    """State letter and session id of a process, `None` when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[3])


def alive(pid):
    """Whether a process exists and is not a zombie."""
    found = _stat(pid)
    return found is not None and found[0] not in "ZX"


def state(pid):
    """State letter of a process, as in /proc."""
    found = _stat(pid)
    return found[0] if found else None


def _arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def of_directory(directory):
    """Every living process that names the directory in its arguments, or belongs to the session of one that a server recorded."""
    prefix = str(directory)
    sessions = set()
    for record in Path(directory).glob("servers/*/process.json"):
        try:
            sessions.add(json.loads(record.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            continue
    found = {}
    for pid in _pids():
        arguments = _arguments(pid)
        named = any(a == prefix or a.startswith(prefix + "/") for a in arguments)
        if named:
            sessions.add(pid)
            found[pid] = arguments
    ours = {pid for pid in sessions if pid in found}
    for pid in _pids():
        stat = _stat(pid)
        # A child that changed its title, such as one that writes a snapshot; the leader of its session may be dead already.
        if stat and stat[1] in sessions and pid not in found and (stat[1] in ours or _below(pid, prefix)):
            found[pid] = _arguments(pid)
    return {pid: arguments for pid, arguments in found.items() if alive(pid)}


def _below(pid, prefix):
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(prefix)
    except OSError:
        return False


def servers(directory):
    """Living database servers of the directory: server id -> process ids of the whole session."""
    found = {}
    for pid, arguments in of_directory(directory).items():
        for argument in arguments:
            rest = argument.removeprefix(f"{directory}/servers/")
            if rest != argument and len(arguments) > 1 and "redis-server" in arguments[0]:
                found.setdefault(rest.split("/")[0], []).append(pid)
    return found


def gateway(directory):
    """The process id of the gateway of the directory, or `None`."""
    for pid, arguments in of_directory(directory).items():
        if arguments[1:2] == ["gateway"]:
            return pid
    return None


def kill(pid, how=signal.SIGKILL):
    """Sends a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def end_all(directory):
    """Kills every process of the directory, until none is left."""
    for _ in range(50):
        left = of_directory(directory)
        if not left:
            return
        for pid in left:
            if pid != os.getpid():
                kill(pid)
        for pid in left:
            _reap(pid)
    raise AssertionError(f"processes of {directory} do not end: {left}")


def _reap(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass
    import time

    for _ in range(200):
        if not alive(pid):
            return
        time.sleep(0.005)
