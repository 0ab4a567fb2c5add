"""The device that a job computes on, and the numeric environment that makes its numbers repeatable."""

import fcntl
import os
import sys
import tempfile
from contextlib import suppress
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
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # whatever was set: part of what makes two runs equal
    # The same switch as use_deterministic_algorithms(True), which first imports the compiler: 2 s and 150 MB a job.
    torch.set_deterministic_debug_mode("error")
    deterministic = cast(Any, torch.utils.deterministic)  # which its annotations do not know
    deterministic.fill_uninitialized_memory = False  # nothing here reads memory it has not written
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False  # which TORCH_ALLOW_TF32_CUBLAS_OVERRIDE would turn on
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # NumPy's and SciPy's linear algebra, which whitening uses
    return selected


@cache
def claim_gpu(count: int) -> int:
    """The first of the `count` visible GPUs that no other job of this user has; 0 if all are taken.

    One for the whole process, however often it is asked.

    A scheduler shows each job its own GPUs only; without one (profile local-gpu) the jobs must agree among themselves.
    The claim ends with this process, however it ends.

    Raises LautumError when the folder of the claims is somebody else's: anyone may have made it.
    """
    if count < 2:
        return 0
    folder = _private_folder(Path(tempfile.gettempdir()) / f"lautum-gpus-{os.getuid()}")
    for number in range(count):
        claim = _opened(str(number), os.O_CREAT | os.O_RDWR, folder)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number  # the open file is the claim
        except BlockingIOError:
            os.close(claim)
    print(f"all {count} GPUs are taken by other jobs; sharing the first", file=sys.stderr)
    return 0


def _private_folder(path: Path) -> int:
    """An open folder, made if need be, that nobody but this user can write to; raises LautumError for another one."""
    with suppress(OSError):  # it may be there; else the next line fails
        path.mkdir(mode=0o700)
    folder = _opened(str(path), os.O_RDONLY | os.O_DIRECTORY)
    status = os.fstat(folder)
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        os.close(folder)
        raise LautumError(f"{path} belongs to others, too (mode {status.st_mode & 0o777:o}); remove it")
    return folder


def _opened(path: str, flags: int, folder: int | None = None) -> int:
    """What is at `path` (in `folder`), opened if it is no link; raises LautumError if that cannot be."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    except OSError as error:
        raise LautumError(f"{path} cannot say who has which GPU ({error.strerror}); remove it") from error
