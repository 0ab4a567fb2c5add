"""What a record says about the machine and the code that made it."""

import os
import platform
import resource
import subprocess
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
        commit=_commit(),
    )


def peak_memory_mb(device: torch.device) -> float:
    """Peak resident memory of this process, or of the GPU's allocator, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


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
