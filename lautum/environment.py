"""The machine a job runs on: device, determinism, and what is recorded of them."""

import os
import platform
import subprocess
from pathlib import Path

import torch

import lautum
from lautum.config import Config
from lautum.errors import LautumError


def select_device(config: Config) -> torch.device:
    """The device of the configuration, with threads and deterministic kernels set for this process.

    Raises LautumError when CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise LautumError(
            "device: cuda is configured but this machine offers no CUDA device; use `device: auto` or `cpu`"
        )
    device = torch.device("cuda" if available and config.device != "cpu" else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same switch as use_deterministic_algorithms(True), which first imports the compiler: 2 s and 150 MB a job.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads memory it has not written
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(config.threads)
    return device


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
