"""One process at a time for each result, also across the nodes of a cluster, and never held for ever by a dead one.

A lock is a file that its holder touches every few seconds. Whoever waits watches the file with a clock of its own, so
clocks that differ or jump do no harm: a lock that has not been touched for `STALE` seconds of watching, or whose holder
was a process of this machine that is gone, is taken over. Should two processes after all work on one result (a holder
that was suspended for long), they write the same bytes, each file in one piece.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lautum.errors import LautumError

BEAT = 10.0  # seconds between two touches
STALE = 60.0  # seconds without a touch after which a holder counts as dead
POLL = 0.5  # seconds between two looks at a lock that somebody holds


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` while inside; yields whether another process held it first.

    Raises LautumError when the folder cannot be written to.
    """
    token = json.dumps(
        {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid()), "id": uuid.uuid4().hex}
    )
    waited = _acquire(path, token)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, token, stop), daemon=True)
    heart.start()
    try:
        yield waited
    finally:
        stop.set()
        heart.join()
        if _read(path) == token:
            path.unlink(missing_ok=True)


def _acquire(path: Path, token: str) -> bool:
    seen, since, waited = None, time.monotonic(), False
    while not _create(path, token):
        holder = _read(path)
        with suppress(FileNotFoundError):
            state = holder, path.stat().st_mtime_ns
            if state != seen:
                seen, since = state, time.monotonic()
            if _is_gone(holder) or time.monotonic() - since > STALE:
                _remove(path, holder)
                continue
        if not waited:
            print(f"waiting for {path}, held by {holder}", file=sys.stderr, flush=True)
        waited = True
        time.sleep(POLL)
    return waited


def _create(path: Path, token: str) -> bool:
    """Create the lock file with its content in one step; False if there is one already."""
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(token)
        with suppress(FileExistsError):
            os.link(draft, path)  # fails if `path` exists, also on a network file system
            return True
    except OSError as error:
        raise LautumError(
            f"cannot write {path}: {error.strerror}; check space, owner and permissions of the folder, "
            "and that its file system has hard links"
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return False


def _remove(path: Path, holder: str) -> None:
    """Remove the lock of a dead holder; of several waiting processes one succeeds."""
    taken = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        os.rename(path, taken)
        if _read(taken) != holder:  # another process was quicker and this is its new lock: put it back
            with suppress(FileExistsError):
                os.link(taken, path)
        taken.unlink()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that no longer runs; False when that cannot be known."""
    try:
        token = json.loads(holder)
        return token["machine"] == _machine() and _started(token["pid"]) != token["started"]
    except (ValueError, KeyError, TypeError):
        return False


def _machine() -> list[str]:
    """Where a process number means the same process: host name, boot and process namespace (of a container)."""
    names = [socket.gethostname()]
    for read in (Path("/proc/sys/kernel/random/boot_id").read_text, lambda: os.readlink("/proc/self/ns/pid")):
        with suppress(OSError):
            names.append(read().strip())
    return names


def _started(pid: int) -> str:
    """When a process of this machine started, in the kernel's ticks: tells it from a later one with its number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    return "unknown"  # no /proc: a live process keeps this answer


def _beat(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with suppress(OSError):
            if _read(path) == token:  # not for a process that has taken the lock over
                os.utime(path)
