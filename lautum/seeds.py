"""Random streams named by what they are for, so that a seed means the same thing in every method.

Each stream depends on its axes alone: adding a method, a label count or a stream never shifts another one. Python's
`hash()` is not used because it changes from process to process.
"""

from __future__ import annotations

import hashlib
import json

from lautum.lazy import torch


def derive(*axes: str | int) -> int:
    """A 63-bit integer from named axes, e.g. `derive("batch order", "source", 3)`, equal on every machine."""
    digest = hashlib.sha256(json.dumps(axes, separators=(",", ":")).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*axes: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` seeded by `derive(*axes)`."""
    return torch.Generator(device=device).manual_seed(derive(*axes))
