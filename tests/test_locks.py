"""One holder at a time, and none that holds for ever."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from lautum.errors import LautumError
from lautum.pipeline import locks


@pytest.fixture
def quick(monkeypatch):
    """Beats and waits of fractions of a second."""
    for name, seconds in (("BEAT", 0.05), ("STALE", 0.5), ("POLL", 0.01)):
        monkeypatch.setattr(locks, name, seconds)


def test_a_free_lock_is_taken_and_given_back(tmp_path):
    path = tmp_path / "below" / "a.lock"
    with locks.lock(path) as waited:
        assert not waited and json.loads(path.read_text())["pid"] == os.getpid()
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


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path):
    path = tmp_path / "a.lock"
    code = (
        "import sys, pathlib, time; from lautum.pipeline import locks\n"
        "with locks.lock(pathlib.Path(sys.argv[1])): time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)])
    while not path.exists():
        time.sleep(0.01)
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with locks.lock(path):
        assert time.monotonic() - began < locks.STALE / 2
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_holder_elsewhere_is_dead_when_it_stops_touching_the_lock(tmp_path, quick):
    path = tmp_path / "a.lock"
    path.write_text(json.dumps({"machine": ["elsewhere"], "pid": 1, "started": "0", "id": "x"}))
    os.utime(path, (2**33, 2**33))  # its clock is in the next century
    began = time.monotonic()
    with locks.lock(path) as waited:
        assert waited and time.monotonic() - began >= locks.STALE


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
    with locks.lock(path) as waited:
        assert waited and freed.is_set()
    holder.join()
    assert "waiting for" in capsys.readouterr().err


def test_the_holder_touches_its_lock(tmp_path, quick):
    path = tmp_path / "a.lock"
    with locks.lock(path):
        os.utime(path, (0, 0))
        time.sleep(0.3)
        assert path.stat().st_mtime > 0


def test_a_lock_that_is_not_one_is_removed_when_stale(tmp_path, quick):
    (tmp_path / "a.lock").write_text("not JSON")
    with locks.lock(tmp_path / "a.lock") as waited:
        assert waited


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LautumError, match="cannot write .*a.lock: .*; check space, owner and permissions"):
        with locks.lock(tmp_path / "file" / "a.lock"):
            pass


def test_jobs_of_one_machine_take_different_gpus(tmp_path):
    """Three live processes and two GPUs; when the first is killed its GPU is free again."""
    code = "from lautum.training.device import claim_gpu; print(claim_gpu(2), flush=True); input()"

    def job():
        values = os.environ | {"TMPDIR": str(tmp_path)}
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=values, text=True)
        return process, int(process.stdout.readline())

    jobs = [job() for _ in range(3)]
    assert [number for _, number in jobs] == [0, 1, 0]
    jobs[1][0].kill()
    jobs[1][0].wait()
    jobs.append(job())
    assert jobs[3][1] == 1
    for process, _ in jobs:
        process.kill()
        process.communicate()
