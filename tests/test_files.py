"""Files are there whole or not at all, and nothing is left beside them."""

import os
import signal
import subprocess
import sys

import pytest

from lautum.errors import LautumError
from lautum.files import remove_litter, write_text

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
