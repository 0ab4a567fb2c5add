"""What a training objective is to the loop that trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lautum.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lautum.training.batches import ShuffledBatches

    Part = torch.Generator | ShuffledBatches | nn.Module | Tensor


class Step(NamedTuple):
    """What an objective makes of one training step."""

    loss: Tensor  # scalar, to be minimised
    images: int  # how many images, labelled and unlabelled, went through the network
    scalars: dict[str, Tensor]  # what to log beside the loss, by name, detached


class Objective:
    """The base of all objectives: what a step draws, what its loss is, and what it remembers from step to step.

    A subclass sets `steps` and implements `schedule` and `step`; what it draws and averages it names in `parts`.
    """

    steps: int  # length of the stage

    def schedule(self, step: int) -> tuple[float, float]:
        """Adam's learning rate and beta1 at `step`, counted from 0."""
        raise NotImplementedError

    def step(self, step: int) -> Step:
        """The loss at `step`; called once for each step, in order."""
        raise NotImplementedError

    def finish(self) -> None:
        """Called after the last step, for a stage that ends with other weights than the trained ones: sets them."""

    def diagnostics(self) -> dict[str, float]:
        """Further scalars, computed only when a point of the training curve is written."""
        return {}

    def parts(self) -> Mapping[str, Part]:
        """Everything that the next `step` depends on apart from network, optimiser and dropout, by name.

        Tensors among them keep their shape and are written to in place; a number is kept in one.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The state of all parts, nested by name. Raises ValueError for what is no part."""
        return {name: _state(name, part) for name, part in self.parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        for name, part in self.parts().items():
            if isinstance(part, torch.Generator):
                part.set_state(state[name])
            elif isinstance(part, torch.Tensor):
                part.copy_(state[name])
            else:
                part.load_state_dict(state[name])


def _state(name: str, part: Part) -> Tensor | dict:
    if isinstance(part, torch.Generator):
        return part.get_state()
    if isinstance(part, torch.Tensor):
        return part
    if not (hasattr(part, "state_dict") and hasattr(part, "load_state_dict")):
        raise ValueError(
            f"the part {name!r} must be a tensor (also of one number), a torch.Generator, or have state_dict and "
            f"load_state_dict, got {type(part).__name__}"
        )
    return dict(part.state_dict())
