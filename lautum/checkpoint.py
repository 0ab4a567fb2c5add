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
    """What `save` wrote. Raises LautumError when the file is missing, truncated or foreign, with `remedy` as the
    advice.
    """
    arrays, metadata = read_arrays(path, remedy)
    try:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, json.loads(metadata["json"])
    except (KeyError, json.JSONDecodeError) as error:
        raise LautumError(f"{path} was not written by this program; {remedy}") from error


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's per-parameter state as a flat dictionary, `<parameter number>/<quantity>` -> tensor."""
    state = optimiser.state_dict()["state"]
    return {f"{number}/{name}": value for number, values in state.items() for name, value in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """Load what `optimiser_state` returned."""
    state = optimiser.state_dict()
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for key, value in flat.items():
        number, name = key.split("/")
        parameter = parameters[int(number)]
        # A file holds tensors in C order, but the fused kernels walk parameter and state by memory: strides must agree.
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state["state"].setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(state)
