"""The state of a running stage on disk: everything the next step depends on, and nothing executable."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lautum.errors import Damaged
from lautum.files import read_arrays, sha256_of_arrays, write_arrays


def save(path: Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write named tensors, a JSON-serialisable dictionary and their SHA-256 atomically as one safetensors file."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    text = json.dumps(metadata, sort_keys=True)
    write_arrays(path, arrays, {"json": json.dumps([_sha256(arrays, text), text])})


def load(path: Path, remedy: str = "run again") -> tuple[dict[str, Tensor], dict]:
    """What `save` wrote.

    Raises LautumError when the file is missing, Damaged when it is truncated, altered or foreign, with `remedy` as the
    advice.
    """
    arrays, metadata = read_arrays(path, remedy)
    try:
        sha256, text = json.loads(metadata["json"])
    except (KeyError, ValueError) as error:
        raise Damaged(path, f"{path} was not written by this program; {remedy}") from error
    if sha256 != _sha256(arrays, text):
        raise Damaged(path, f"{path} is damaged: its content does not have the SHA-256 written in it; {remedy}")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, json.loads(text)


def _sha256(arrays: dict[str, np.ndarray], text: str) -> str:
    names = sorted(arrays)
    head = np.frombuffer(f"{names}{text}".encode(), dtype=np.uint8)
    return sha256_of_arrays(head, *(arrays[name] for name in names))
