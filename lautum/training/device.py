"""The device that a job computes on, and the numeric environment that makes its numbers repeatable."""

import fcntl
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, cast

import scipy.linalg  # noqa: F401  # loaded here, so that its threads can be limited
import torch
from threadpoolctl import threadpool_limits

from lautum.errors import LautumError


def select_device(device: str, threads: int) -> torch.device:
    """The device to compute on, with threads and deterministic kernels set for this process.

    Args:
        device: "cpu", "cuda", or "auto": CUDA where there is any.
        threads: CPU threads; part of what makes two runs equal byte for byte.

    Raises LautumError when CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise LautumError(
            "device: cuda is configured but this machine offers no CUDA device; use `device: auto` or `cpu`"
        )
    selected = torch.device("cpu")
    if available and device != "cpu":
        selected = torch.device("cuda", claim_gpu(torch.cuda.device_count()))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same switch as use_deterministic_algorithms(True), which first imports the compiler: 2 s and 150 MB a job.
    torch.set_deterministic_debug_mode("error")
    deterministic = cast(Any, torch.utils.deterministic)  # which its annotations do not know
    deterministic.fill_uninitialized_memory = False  # nothing here reads memory it has not written
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # NumPy's and SciPy's linear algebra, which whitening uses
    return selected


@cache
def claim_gpu(count: int) -> int:
    """The first of the `count` visible GPUs that no other job of this user has; 0 if all are taken.

    One for the whole process, however often it is asked.

    A scheduler shows each job its own GPUs only; without one (profile local-gpu) the jobs must agree among themselves.
    The claim ends with this process, however it ends.
    """
    if count < 2:
        return 0
    folder = Path(tempfile.gettempdir()) / f"lautum-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(count):
        claim = os.open(folder / str(number), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number  # the open file is the claim
        except BlockingIOError:
            os.close(claim)
    print(f"all {count} GPUs are taken by other jobs; sharing the first", file=sys.stderr)
    return 0
