"""The state of a running stage on disk: everything the next step depends on, and nothing executable."""

import json
from pathlib import Path

import torch
from torch import Tensor

from lautum.errors import LautumError
from lautum.files import read_arrays, write_arrays


def save(path: Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write named tensors and a JSON-serialisable dictionary atomically as one safetensors file."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    write_arrays(path, arrays, {"json": json.dumps(metadata, sort_keys=True)})


def load(path: Path, remedy: str = "delete it and run again") -> tuple[dict[str, Tensor], dict]:
    """What `save` wrote.

    Raises LautumError when the file is missing, truncated or foreign, with `remedy` as the advice.
    """
    arrays, metadata = read_arrays(path, remedy)
    try:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, json.loads(metadata["json"])
    except (KeyError, json.JSONDecodeError) as error:
        raise LautumError(f"{path} was not written by this program; {remedy}") from error
