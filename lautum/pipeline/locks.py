"""One process at a time for each result, also across the nodes of a cluster, and never held for ever by a dead one.

A lock is a file that its holder touches every few seconds. Whoever waits watches the file with a clock of its own, so
clocks that differ or jump do no harm: a lock that has not been touched for `STALE` seconds of watching, or whose holder
was a process of this machine that is gone, is taken over. Should two processes after all work on one result (a holder
that was suspended for long), they write the same bytes, each file in one piece.

Whatever else lies in the file's place is held to be a lock, too, and removed when nobody touches it; only a folder is
left to the user. The package filelock (4.3.1, `SoftFileLease`) does not do as much: it waits for ever for an empty file
(what a node that loses power leaves), and where a file system cannot exchange two names (NFS) it takes over no lock.
"""

import json
import os
import socket
import stat
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lautum.errors import LautumError
from lautum.training.interruption import Interrupted, stop_requests

BEAT = 10.0  # seconds between two touches
STALE = 60.0  # seconds without a touch after which a holder counts as dead
POLL = 0.5  # seconds between two looks at a lock that somebody holds


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while inside; waits for whoever holds it (in the main thread, which hears signals).

    Raises LautumError when the folder cannot be written to, or `path` is a folder; Interrupted when the process is
    asked to stop while it waits.
    """
    token = json.dumps(
        {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid()), "id": uuid.uuid4().hex}
    )
    _acquire(path, token)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, token, stop), daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()
        _give_back(path, token)


def is_held(path: Path, now: float) -> bool:
    """Whether somebody holds the lock, as far as one look can tell: `now` is what `clock` says of its file system."""
    holder = _read(path)
    try:
        return holder != "" and not _is_gone(holder) and now - path.lstat().st_mtime < STALE
    except OSError:
        return False


def clock(folder: Path) -> float:
    """The time by which files in `folder` are dated: of its file system, else this machine's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"now")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _acquire(path: Path, token: str) -> None:
    if _create(path, token):
        return
    with stop_requests() as stop_requested:
        _wait(path, token, stop_requested)


def _wait(path: Path, token: str, stop_requested: Callable[[], str | None]) -> None:
    seen, since, waited = None, time.monotonic(), False
    while True:
        taken = _create(path, token)
        if stop_requested():
            if taken:
                _give_back(path, token)
            raise Interrupted(f"stopped by {stop_requested()} while waiting for {path}; run the same command again")
        if taken:
            return
        holder = _read(path)
        with suppress(FileNotFoundError):
            status = path.lstat()  # of a symbolic link itself: its target may not exist
            if stat.S_ISDIR(status.st_mode):
                raise LautumError(f"{path} is a folder where a lock file belongs; move it away")
            state = holder, status.st_mtime_ns
            if state != seen:
                seen, since = state, time.monotonic()
            if _is_gone(holder) or time.monotonic() - since > STALE:
                _remove(path, holder)
                continue
        if not waited:
            print(f"waiting for {path}, held by {holder!r}", file=sys.stderr, flush=True)
        waited = True
        time.sleep(POLL)


def _give_back(path: Path, token: str) -> None:
    if _read(path) == token:
        with suppress(OSError):  # if it stays, it is one of a process that is gone
            path.unlink()


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
    try:
        os.rename(path, taken)
        if _read(taken) != holder:  # another process was quicker and this is its new lock: put it back
            with suppress(FileExistsError):
                os.link(taken, path)
        taken.unlink()
    except FileNotFoundError:  # another process was quicker
        pass
    except OSError as error:
        raise LautumError(
            f"cannot remove {path}, whose holder is gone: {error.strerror}; "
            "remove it, or check owner and permissions of the folder"
        ) from error


def _read(path: Path) -> str:
    """The file's beginning, longer than any token; "" for what is not there or cannot be read."""
    try:
        # Neither the target of a symbolic link nor, for ever, what a named pipe might bring.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.read(file, 4096).decode(errors="replace")
        finally:
            os.close(file)
    except OSError:
        return ""


def _is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that no longer runs; False when that cannot be known."""
    try:
        token = json.loads(holder)
    except (ValueError, RecursionError):
        return False
    match token:
        case {"machine": machine, "pid": int(pid), "started": started}:
            # Of another user's process a system may say nothing but that it is there.
            return machine == _machine() and _started(pid) not in (started, "unknown")
    return False


def _machine() -> list[str]:
    """Where a process number means the same process: host name, boot and process namespace (of a container)."""
    names = [socket.gethostname()]
    for read in (Path("/proc/sys/kernel/random/boot_id").read_text, lambda: os.readlink("/proc/self/ns/pid")):
        with suppress(OSError):
            names.append(read().strip())
    return names


def _started(pid: int) -> str:
    """When a process of this machine started, in the kernel's ticks: tells it from a later one with its number.

    "gone" if it has ended; "unknown" if the machine does not say when it started.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()
        return "gone" if fields[0] in "ZX" else fields[19]  # Z: ended, and its parent has not asked how
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no process has a number so large
        return "gone"
    except PermissionError:
        pass
    return "unknown"  # no /proc: a live process keeps this answer


def _beat(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with suppress(OSError):
            if _read(path) == token:  # not for a process that has taken the lock over
                os.utime(path)
