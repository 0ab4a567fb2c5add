"""Named tensors on disk: the state of a running stage, and the networks that stages end with. Nothing executable."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lautum.errors import Damaged, LautumError
from lautum.files import read_arrays, set_aside, write_arrays
from lautum.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def save(path: Path, state: Mapping[str, Tensor | Mapping], metadata: Mapping) -> None:
    """Write a nested mapping of tensors and a JSON-serialisable one, with their SHA-256, as one safetensors file.

    Atomically. Raises ValueError for a name that holds "/", which in the file stands between names, and for what is no
    tensor or of a type that NumPy lacks.
    """
    write_arrays(path, {name: tensor.detach().cpu().numpy() for name, tensor in _flat(state).items()}, metadata)


def load(path: Path, remedy: str = "run again") -> tuple[dict, dict]:
    """The state and the metadata that `save` wrote.

    Raises as `check`.
    """
    arrays, metadata = check(path, remedy)
    try:
        return _nested({name: torch.from_numpy(array) for name, array in arrays.items()}), metadata
    except TypeError as error:  # a type that torch lacks, or a name that is another's folder
        raise Damaged(path, f"{path} is no state of a training ({error}); {remedy}") from error


def check(path: Path, remedy: str = "run again") -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the metadata that `save` wrote.

    Raises LautumError when the file is missing, Damaged when it is truncated, altered or foreign, with `remedy` as the
    advice.
    """
    arrays, metadata = read_arrays(path, remedy)
    if not isinstance(metadata, dict):
        raise Damaged(path, f"{path} is no state of a training; {remedy}")
    return arrays, metadata


class Checkpoints:
    """The file in which a stage keeps its state while it runs.

    Args:
        path: of the file; whoever has the stage's result safe removes it.
        identity: what the state belongs to (settings, data, seed, the network it starts from); that of anything else
            is passed over.
        name: of the stage, for messages.
        interval: at least this many seconds between two checkpoints.
    """

    def __init__(self, path: Path, identity: str, name: str, interval: float):
        self.path, self.identity, self.name, self.interval = path, identity, name, interval
        self.saved = time.perf_counter()

    def due(self) -> bool:
        """Whether the last checkpoint (or the start) is longer ago than the interval."""
        return time.perf_counter() - self.saved > self.interval

    def save(self, state: Mapping[str, Tensor | Mapping], progress: Mapping) -> None:
        """Replace the checkpoint by this state.

        Where that fails (a full disk) it is said, and the stage goes on: it needs no disk before its end, and tries
        again when the next checkpoint is due.
        """
        try:
            save(self.path, state, {**progress, "identity": self.identity})
        except LautumError as error:
            print(f"{self.name}: {error}; going on without this checkpoint", file=sys.stderr, flush=True)
        self.saved = time.perf_counter()

    def load(self) -> tuple[dict, dict] | None:
        """State and progress; None without a checkpoint, or when it is damaged or another run's."""
        if not self.path.exists():
            return None
        try:
            state, progress = load(self.path)
        except Damaged as error:
            self._say(f"{error} ({set_aside(self.path)})")
            return None
        if progress.pop("identity", None) != self.identity:
            self._say(f"{self.path} belongs to another run")
            return None
        return state, progress

    def pass_over(self, reason: str) -> None:
        """Set aside a checkpoint that is whole but no state of this stage."""
        self._say(f"{self.path} is not its state ({reason}; {set_aside(self.path)})")

    def _say(self, what: str) -> None:
        print(f"{self.name}: {what}; starting from the first step", file=sys.stderr, flush=True)


def forms(state: Mapping[str, Tensor | Mapping]) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of every tensor of a state, by its name in the file."""
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in _flat(state).items()}


def _flat(state: Mapping[str, Tensor | Mapping], prefix: str = "") -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for name, value in state.items():
        if "/" in name:
            raise ValueError(f"the name {name!r} of a tensor or of a part must not hold '/'")
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        elif _can_be_kept(value):
            flat[f"{prefix}{name}"] = value
        else:
            form = str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f"{prefix}{name} of a stage's state must be a tensor of a type that NumPy has, got {form}")
    return flat


def _can_be_kept(value: object) -> bool:
    try:
        return isinstance(value, torch.Tensor) and value.new_empty(0).cpu().numpy().size == 0
    except TypeError:  # e.g. of bfloat16
        return False


def _nested(flat: Mapping[str, Tensor]) -> dict:
    nested: dict = {}
    for path, tensor in flat.items():
        *folders, name = path.split("/")
        inner = nested
        for folder in folders:
            inner = inner.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise TypeError(f"{path} lies in a tensor")
        inner[name] = tensor
    return nested
