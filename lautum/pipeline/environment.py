"""The machine a job runs on: device, determinism, and what is recorded of them."""

import fcntl
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import lautum
from lautum.errors import LautumError
from lautum.experiment.config import Config


def select_device(config: Config) -> torch.device:
    """The device of the configuration, with threads and deterministic kernels set for this process.

    Raises LautumError when CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise LautumError(
            "device: cuda is configured but this machine offers no CUDA device; use `device: auto` or `cpu`"
        )
    device = torch.device("cpu")
    if available and config.device != "cpu":
        device = torch.device("cuda", claim_gpu(torch.cuda.device_count()))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same switch as use_deterministic_algorithms(True), which first imports the compiler: 2 s and 150 MB a job.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads memory it has not written
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(config.threads)
    return device


def claim_gpu(count: int) -> int:
    """The first of the `count` visible GPUs that no other job of this user has; 0 if all are taken.

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


def describe(device: torch.device, threads: int) -> dict[str, str | int]:
    """What a record says about where it was made."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lautum": lautum.__version__,
        "commit": _commit(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The suite's git commit, with "+changes" when the working tree differs; "unknown" outside a checkout."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--abbrev=12",
        "--dirty=+changes",
        "--exclude=*",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    return result.stdout.strip() if result.returncode == 0 else "unknown"
