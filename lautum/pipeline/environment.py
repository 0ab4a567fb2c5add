"""What a record says about the machine and the code that made it."""

import os
import platform
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

import lautum
from lautum.pipeline import processor
from lautum.pipeline.run_record import Environment


def describe(device: torch.device, threads: int) -> Environment:
    """Where a record is being made."""
    return Environment(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        cpu=processor.describe(),
        cores=os.cpu_count() or 1,
        threads=threads,
        python=platform.python_version(),
        torch=str(torch.__version__),
        lautum=lautum.__version__,
        commit=commit(),
    )


def commit() -> str:
    """Of the code that runs, as `commit_of`; a long job asks as it begins, the checkout may have moved when it ends."""
    return commit_of(Path(lautum.__file__).resolve().parents[1])


def peak_memory_mb(device: torch.device) -> float:
    """Peak resident memory of this process, or of the GPU's allocator, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@cache
def commit_of(root: Path) -> str:
    """The git commit of the suite in the folder `root`, with "+changes" when its code differs, also by new files.

    "unknown" when `root` itself is no checkout (one that it lies in has another code's commits) or git cannot tell;
    that is said on stderr, once.
    """
    try:
        top = _git(root, "rev-parse", "--show-toplevel")
        if not os.path.samefile(top, root):
            raise OSError(f"the checkout there is that of {top}")
        changes = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "lautum")
        return _git(root, "rev-parse", "--short=12", "HEAD") + ("+changes" if changes else "")
    except OSError as error:
        print(f"records will not name the commit of {root}: {error}", file=sys.stderr, flush=True)
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    """What git says about the folder itself, whatever repository its environment names; raises OSError if nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment | {"LC_ALL": "C"})
    if result.returncode:
        raise OSError((result.stderr.strip().splitlines() or ["git failed"])[0])
    return result.stdout.removesuffix("\n")
