"""Files are there whole or not at all, and nothing is left beside them."""

import builtins
import errno
import fcntl
import gzip
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from lautum import files
from lautum.cli import main
from lautum.data import by_path, formats, notmnist
from lautum.errors import Damaged, LautumError
from lautum.files import read_arrays, read_bytes, remove_litter, require_folder, write_arrays, write_text

WRITER = """
import sys, time
from lautum.files import write_atomically
write_atomically(sys.argv[1], lambda path: (print(path, flush=True), time.sleep(60)))
"""


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path):
    targets = [tmp_path / "a/one.json", tmp_path / "a/b/two.json"]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE, text=True)
        for target in targets
    ]
    left, live = (writer.stdout.readline().strip() for writer in writers)
    writers[0].send_signal(signal.SIGKILL)
    writers[0].communicate()
    foreign = tmp_path / "a/.partial-00000000-x.json"  # of another machine, whose processes are not known here
    for path in (foreign, tmp_path / "a/partial.json", tmp_path / "a/.hidden"):
        path.write_text("")
    assert os.path.exists(left)
    remove_litter(tmp_path)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".hidden", foreign.name, "b", "partial.json"]
    assert [str(path) for path in (tmp_path / "a/b").iterdir()] == [live]
    writers[1].kill()
    writers[1].communicate()
    remove_litter(tmp_path / "a/b")
    remove_litter(tmp_path / "nowhere")
    assert not list((tmp_path / "a/b").iterdir())


def test_litter_is_removed_where_locks_are_posix_ones_and_of_other_machines_when_it_is_old(tmp_path, monkeypatch):
    """As on NFS, where a file that is open for reading only cannot be locked."""
    young, old, own = (tmp_path / f".partial-{name}.json" for name in ("0-a", "0-b", f"{files._machine()}-c"))
    for path in (young, old, own):
        path.write_text("")
    os.utime(old, (time.time() - 2 * files.DAY,) * 2)

    def flock(file, operation: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", flock)
    remove_litter(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("wrapped", [False, True])
def test_no_space_is_said_of_the_device_and_of_the_user(tmp_path, number, wrapped):
    def write(path: Path) -> None:
        error = OSError(number, os.strerror(number))
        raise SafetensorError(f"I/O error: {error}") if wrapped else error

    reason = "no space left on the device" if number == errno.ENOSPC else ".*Disk quota exceeded"
    with pytest.raises(LautumError, match=f"cannot write .*a.json: {reason}; free some space"):
        files.write_atomically(tmp_path / "a.json", write)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named_with_what_is_in_its_place(tmp_path):
    (tmp_path / "data").symlink_to(tmp_path / "gone")
    with pytest.raises(LautumError, match=f"{tmp_path}/data is a link to {tmp_path}/gone, where there is no folder"):
        write_text(tmp_path / "data/mnist/a.txt", "")
    (tmp_path / "data").unlink()
    (tmp_path / "data").write_text("")
    with pytest.raises(LautumError, match=f"{tmp_path}/data is where a folder belongs; move it away"):
        write_text(tmp_path / "data/a.txt", "")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    write_text(tmp_path / "link/b/a.txt", "through a link")
    assert (tmp_path / "folder/b/a.txt").read_text() == "through a link"


@pytest.mark.parametrize(
    "refusal", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOTCONN, errno.ETIMEDOUT]
)
@pytest.mark.parametrize("name", ["a.safetensors", "a.safetensors.gz"])
def test_what_the_system_refuses_to_read_is_not_called_damaged(name, refusal, tmp_path, monkeypatch):
    path = tmp_path / name
    write_arrays(path, {"x": np.zeros(3)}, {})
    actual = os.open

    def refusing(file, *arguments, **named):
        if os.fspath(file) == str(path):
            raise OSError(refusal, os.strerror(refusal), str(file))
        return actual(file, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)
    for read in (read_arrays, read_bytes):
        with pytest.raises(OSError, match=os.strerror(refusal)) as caught:
            read(path)
        assert caught.value.filename == str(path)


def test_what_is_not_there_is_missing_whatever_is_in_its_place(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "no.json", tmp_path / "file/below/no.json"):
        with pytest.raises(LautumError, match="does not exist") as caught:
            read_bytes(path)
        assert not isinstance(caught.value, Damaged)


def test_a_closed_folder_is_named_by_whatever_command_meets_it(tmp_path, monkeypatch, capsys):
    look = os.stat

    def closed(path, *arguments, **named):
        if str(path).startswith(str(tmp_path)):  # not what Python itself imports
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", closed)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        require_folder(tmp_path / "results")
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"lautum: error: {tmp_path}" in told and "Permission denied; check that" in told


def test_a_folder_that_another_job_makes_at_the_same_moment_is_no_obstacle(tmp_path, monkeypatch):
    """It appears just after this job has looked and found nothing."""
    folder, look = tmp_path / "results" / "transferred", os.stat

    def missed(path, *arguments, **options):
        try:
            return look(path, *arguments, **options)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            raise

    monkeypatch.setattr(os, "stat", missed)
    require_folder(folder)
    write_text(folder / "first.txt", "whole")
    assert (folder / "first.txt").read_text(encoding="utf-8") == "whole"


def test_what_is_compressed_has_the_same_header_on_every_python(monkeypatch):
    content = bytes(range(256)) * 9
    here = files.gzipped(content)
    assert gzip.decompress(here) == content and here[:4] + here[8:10] == b"\x1f\x8b\x08\0\x02\x03"
    newer = gzip.compress(content, mtime=0)
    monkeypatch.setattr(gzip, "compress", lambda content, mtime: newer[:9] + b"\xff" + newer[10:])
    assert files.gzipped(content) == here


@pytest.mark.parametrize("kind", ["image", "array", "idx", "cifar", "notmnist"])
def test_original_data_that_may_not_be_read_is_not_called_damaged(kind, tmp_path, monkeypatch):
    name = {"image": "a/x.png", "array": "x.npy", "idx": "x.gz", "cifar": "x.tar.gz", "notmnist": "x.zip"}[kind]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    read = {
        "image": lambda: by_path.read_folder(tmp_path, (1, 4, 4), ("a",)),
        "array": lambda: by_path.read_pair(path, path, 2),
        "idx": lambda: formats.read_idx(path, 3),
        "cifar": lambda: formats.read_tar(path, ["x"]),
        "notmnist": lambda: notmnist.read(path, notmnist.Published({"A": 1}, "")),
    }[kind]
    with pytest.raises(LautumError):
        read()
    actual = builtins.open

    def refusing(file, *arguments, **named):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return actual(file, *arguments, **named)

    monkeypatch.setattr(builtins, "open", refusing)
    monkeypatch.setattr(io, "open", refusing)
    with pytest.raises(PermissionError):
        read()
