"""The processor that jobs run on, as far as it matters to them. Free of torch, so that the graph can ask too."""

import platform
import re
from pathlib import Path

# The widest first; "bf16" is what ARM calls its own.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
WIDTHS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}


def describe() -> str:
    """Its model, and the instructions that decide how fast it trains, e.g. "AMD EPYC (AVX2, no bfloat16)"."""
    found = re.search(r"^model name\s*:(.*)$", _cpuinfo(), flags=re.MULTILINE)
    model = found[1].strip() if found else platform.processor() or platform.machine()
    flags = _flags()
    if not flags:
        return model
    width = next((name for flag, name in WIDTHS.items() if flag in flags), "no AVX2")
    return f"{model} ({width}, {'bfloat16' if BFLOAT16 & flags else 'no bfloat16'})"


def has_bfloat16() -> bool:
    """Whether it has instructions for bfloat16; without them bfloat16 is ten times slower than float32.

    True where that cannot be known.
    """
    flags = _flags()
    return not flags or bool(BFLOAT16 & flags)


def _flags() -> set[str]:
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _cpuinfo(), flags=re.MULTILINE)
    return set(found[1].split()) if found else set()


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
