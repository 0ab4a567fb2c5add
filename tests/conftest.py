import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported: on a busy machine threads that wait for each other cost many times what they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from lautum.data import datasets


@pytest.fixture(scope="session")
def offline_folder() -> Path:
    """Folder with original data set files, LAUTUM_OFFLINE or ../shared/data; without one the test is skipped."""
    folder = Path(os.environ.get("LAUTUM_OFFLINE") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no original data set files: {folder} does not exist; set LAUTUM_OFFLINE")
    return folder


@pytest.fixture(scope="session")
def builtin_data(tmp_path_factory) -> Path:
    """A folder with the prepared files of the two built-in data sets; not to be written to."""
    folder = tmp_path_factory.mktemp("builtin_data")
    for name in ("digits", "letters"):
        datasets.prepare(name, folder, None)
    return folder


@pytest.fixture(scope="session")
def forked() -> Iterator[dict[str, str]]:
    """Variables with which `snakemake` and its jobs are forked from one process that has imported all (`forking`)."""
    root = Path(__file__).parent
    with tempfile.TemporaryDirectory() as name:
        names = ["lautum", "snakemake"]
        paths = [str(root.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        server = subprocess.Popen([sys.executable, root / "forking.py", name, *names], env=environment)
        try:
            while not (Path(name) / names[-1]).exists():
                assert server.poll() is None, "the process that commands are forked from has ended"
                time.sleep(0.05)
            # In the graph's jobs the commands of the driver's environment come first in PATH: a function goes before.
            function = {"BASH_FUNC_lautum%%": f'() {{ {shlex.quote(f"{name}/lautum")} "$@"; }}'}
            yield {"PATH": f"{name}:{Path(sys.executable).parent}:{os.environ['PATH']}"} | function
        finally:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def processes():
    """`processes.Process(target=, args=)` is a process of its own, forked from one that has imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "lautum.pipeline.train"])
    return context
