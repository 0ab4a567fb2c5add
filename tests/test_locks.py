"""One holder at a time, and none that holds for ever."""

import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lautum.errors import LautumError
from lautum.pipeline import locks
from lautum.training.device import claim_gpu
from lautum.training.interruption import Interrupted, stop_requests


@pytest.fixture
def quick(monkeypatch):
    """Beats and waits of fractions of a second."""
    for name, seconds in (("BEAT", 0.05), ("STALE", 0.5), ("POLL", 0.01)):
        monkeypatch.setattr(locks, name, seconds)


def test_a_free_lock_is_taken_and_given_back(tmp_path):
    path = tmp_path / "below" / "a.lock"
    with locks.lock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def add_one(path, lock_path):
    for _ in range(20):
        with locks.lock(lock_path):
            value = int(path.read_text())
            time.sleep(0.001)
            path.write_text(str(value + 1))


def test_two_processes_never_hold_it_together(tmp_path, quick):
    path = tmp_path / "counter"
    path.write_text("0")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_one, args=(path, tmp_path / "a.lock")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert path.read_text() == "80"
    assert list(tmp_path.iterdir()) == [path]


def hold(path, held, seconds):
    with locks.lock(path):
        held.set()
        time.sleep(seconds)


def holder(path, seconds):
    """A process that holds the lock for a time, once it has it; its constants are those of this process."""
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=hold, args=(path, held, seconds))
    process.start()
    assert held.wait(10)
    return process


@pytest.mark.parametrize("reaped", [True, False])
def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path, reaped):
    path = tmp_path / "a.lock"
    process = holder(path, 60)
    process.kill()
    if reaped:
        process.join()
    began = time.monotonic()
    with locks.lock(path):
        assert time.monotonic() - began < locks.STALE / 10
        assert json.loads(path.read_text())["pid"] == os.getpid()
    process.join()


def test_a_suspended_holder_that_lost_its_lock_leaves_the_next_ones(tmp_path, quick):
    path = tmp_path / "a.lock"
    process = holder(path, 1)
    os.kill(process.pid, signal.SIGSTOP)
    with locks.lock(path):
        token = path.read_text()
        os.kill(process.pid, signal.SIGCONT)
        process.join()
        assert process.exitcode == 0
        assert path.read_text() == token and json.loads(token)["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_holder_elsewhere_is_dead_when_it_stops_touching_the_lock(tmp_path, quick):
    path = tmp_path / "a.lock"
    path.write_text(json.dumps({"machine": ["elsewhere"], "pid": 1, "started": "0", "id": "x"}))
    os.utime(path, (2**33, 2**33))  # its clock is in the next century
    began = time.monotonic()
    with locks.lock(path):
        assert time.monotonic() - began >= locks.STALE


def test_a_holder_elsewhere_that_touches_the_lock_is_waited_for(tmp_path, quick, capsys):
    path = tmp_path / "a.lock"
    path.write_text(json.dumps({"machine": ["elsewhere"], "pid": 1, "started": "0", "id": "x"}))

    freed = threading.Event()

    def live():
        for number in range(20):  # twice as long as STALE, and with a clock that goes backwards
            os.utime(path, (1000 - number, 1000 - number))
            time.sleep(0.05)
        freed.set()
        path.unlink()

    holder = threading.Thread(target=live)
    holder.start()
    with locks.lock(path):
        assert freed.is_set()
    holder.join()
    assert "waiting for" in capsys.readouterr().err


def test_a_holder_of_whom_the_system_says_no_more_than_that_it_is_there_is_waited_for(tmp_path, quick, monkeypatch):
    """Another user's, where /proc is mounted with hidepid."""
    path = tmp_path / "a.lock"
    process = holder(path, 60)
    real = locks._started
    monkeypatch.setattr(locks, "_started", lambda pid: "unknown" if pid == process.pid else real(pid))
    assert locks.is_held(path, time.time()) and not locks._is_gone(path.read_text())
    process.kill()
    process.join()


@pytest.mark.parametrize("before", [True, False])
def test_a_request_to_stop_is_heard_while_a_lock_is_waited_for(tmp_path, quick, before, monkeypatch):
    """Within a job that remembers such requests until its training sees to them, too."""
    path, create = tmp_path / "a.lock", locks._create
    process = holder(path, 60)
    held = path.read_text()

    def stopped(*arguments) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return create(*arguments)

    with stop_requests() as stop_requested:
        if before:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            monkeypatch.setattr(locks, "_create", stopped)
        with pytest.raises(Interrupted, match="stopped by SIGTERM while waiting for .*a.lock"), locks.lock(path):
            pass
        assert stop_requested() == "SIGTERM"
    assert path.read_text() == held and list(tmp_path.iterdir()) == [path]
    process.kill()
    process.join()


def test_the_holder_touches_its_lock(tmp_path, quick):
    path = tmp_path / "a.lock"
    with locks.lock(path):
        os.utime(path, (0, 0))
        time.sleep(0.3)
        assert path.stat().st_mtime > 0


def token(**changes) -> bytes:
    """What a live process of this machine, this one, has in its lock, with changes."""
    ours = {"machine": locks._machine(), "pid": os.getpid(), "started": locks._started(os.getpid()), "id": "x"}
    return json.dumps(ours | changes).encode()


GARBAGE = {
    "empty": b"",
    "not JSON": b"not JSON",
    "not UTF-8": b"\xff\xfe\x00\x80" * 5000,
    "nested too deep": b"[" * 100_000,
    "a list": b'[{"machine": "a list"}]',
    "other types": b'{"machine": {}, "pid": [1], "started": null}',
    "huge pid": token(pid=10**30),
    "huge negative pid": token(pid=-(10**30)),
    "pid a path": token(pid="../self"),
    "pid null": token(pid=None),
    "started a dictionary": token(started={}),
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_whatever_is_in_the_file_is_removed_when_stale(tmp_path, quick, content):
    path = tmp_path / "a.lock"
    path.write_bytes(content)
    began = time.monotonic()
    with locks.lock(path):
        assert time.monotonic() - began < 4 * locks.STALE
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to(path.parent),
        os.mkfifo,
    ],
    ids=["dangling link", "link to itself", "link to a folder", "named pipe"],
)
def test_whatever_is_in_the_files_place_is_removed_when_stale(tmp_path, quick, make):
    path = tmp_path / "a.lock"
    make(path)
    began = time.monotonic()
    with locks.lock(path):
        assert time.monotonic() - began < 4 * locks.STALE
        assert json.loads(path.read_text())["pid"] == os.getpid() and not path.is_symlink()
    assert list(tmp_path.iterdir()) == []


def test_the_message_of_waiting_is_one_line_whatever_is_in_the_file(tmp_path, quick, capsys):
    (tmp_path / "a.lock").write_bytes(b"two\nlines\x1b[0m\xff")
    with locks.lock(tmp_path / "a.lock"):
        pass
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "\x1b" not in message


def test_a_folder_in_the_files_place_is_an_error_and_stays(tmp_path):
    (tmp_path / "a.lock").mkdir()
    with pytest.raises(LautumError, match="a.lock is a folder where a lock file belongs; move it away"):
        with locks.lock(tmp_path / "a.lock"):
            pass
    assert list(tmp_path.iterdir()) == [tmp_path / "a.lock"]


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LautumError, match="cannot write .*a.lock: .*; check space, owner and permissions"):
        with locks.lock(tmp_path / "file" / "a.lock"):
            pass


def test_a_stale_lock_that_cannot_be_removed_is_an_error(tmp_path, quick, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")  # another user's file in a folder with the sticky bit

    (tmp_path / "a.lock").write_text("")
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(LautumError, match="cannot remove .*a.lock.*Operation not permitted; remove it"):
        with locks.lock(tmp_path / "a.lock"):
            pass


def test_a_lock_that_cannot_be_given_back_does_not_fail_the_work(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied")

    with locks.lock(tmp_path / "a.lock"):
        monkeypatch.setattr(Path, "unlink", refuse)


def test_a_process_takes_the_first_gpu_that_is_free_and_shares_the_first_when_none_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    claims = []
    for count in (1, 2, 2, 2):
        claim_gpu.cache_clear()  # as another process would begin
        claims.append((claim_gpu(count), claim_gpu(count)))  # a process that asks twice has one
    claim_gpu.cache_clear()
    assert claims == [(0, 0), (0, 0), (1, 1), (0, 0)]
    assert "all 2 GPUs are taken by other jobs; sharing the first" in capsys.readouterr().err
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_claims_are_not_made_where_others_can_write(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    claims, elsewhere = tmp_path / f"lautum-gpus-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)

    def refused(match):
        claim_gpu.cache_clear()
        with pytest.raises(LautumError, match=match):
            claim_gpu(2)

    claims.symlink_to(elsewhere)
    refused(f"{claims} cannot say who has which GPU .*; remove it")
    claims.unlink()
    claims.mkdir()
    claims.chmod(0o777)
    refused(f"{claims} belongs to others, too .mode 777.; remove it")
    claims.chmod(0o700)
    (claims / "0").symlink_to(elsewhere / "made")
    refused("0 cannot say who has which GPU")
    assert not list(elsewhere.iterdir())
    another = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: another)
    claims.rename(tmp_path / f"lautum-gpus-{another}")
    refused("belongs to others, too")
    claim_gpu.cache_clear()


def claim(folder: Path, answer) -> None:
    tempfile.tempdir = str(folder)
    answer.send(claim_gpu(2))
    answer.recv()  # as long as the test runs


def test_jobs_of_one_machine_take_different_gpus(tmp_path, processes):
    """Three live processes and two GPUs; when the first is killed its GPU is free again."""

    def job():
        answer, theirs = processes.Pipe()
        process = processes.Process(target=claim, args=(tmp_path, theirs), daemon=True)
        process.start()
        theirs.close()  # so that an end without an answer is an error here
        return process, answer, answer.recv()

    jobs = [job() for _ in range(3)]
    assert [number for _, _, number in jobs] == [0, 1, 0]
    jobs[1][0].kill()
    jobs[1][0].join()
    jobs.append(job())
    assert jobs[3][2] == 1
    for process, _, _ in jobs:
        process.kill()
        process.join()
