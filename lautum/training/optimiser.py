"""PyTorch's functional optimisers with the bookkeeping this suite needs: rate and beta1 for each step, a flat state.

The classes of `torch.optim` import the compiler when they are built, which costs each job 2 s and 150 MB; their
functional forms do not.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class Optimiser:
    """What both share: the parameters that are trained, and named tensors of state, a list for each quantity."""

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float):
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.state: dict[str, list[Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def in_use(self) -> tuple[list[Tensor], list[Tensor], dict[str, list[Tensor]]]:
        """The parameters that the loss depends on, their gradients and their state; the others stay as they are."""
        used = [number for number, parameter in enumerate(self.parameters) if parameter.grad is not None]
        parameters = [self.parameters[number] for number in used]
        state = {name: [part[number] for number in used] for name, part in self.state.items()}
        return parameters, cast(list[Tensor], [parameter.grad for parameter in parameters]), state

    def step(self, learning_rate: float, beta1: float) -> None:
        """One update from the gradients."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Tensor]:
        """`<quantity><parameter number>` -> tensor."""
        return {f"{name}{number}": tensor for name, part in self.state.items() for number, tensor in enumerate(part)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        for key, tensor in self.state_dict().items():
            tensor.copy_(state[key])


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015), step by step identical to `torch.optim.Adam(..., fused=True)`.

    Args:
        weight_decay: an L2 penalty; its gradient, weight_decay * parameter, passes through the moments.
    """

    def __init__(
        self, parameters: Iterable[Tensor], weight_decay: float = 0.0, beta2: float = 0.999, eps: float = 1e-8
    ):
        super().__init__(parameters, weight_decay)
        self.beta2, self.eps = beta2, eps
        # zeros_like keeps the memory layout (channels_last), by which the fused kernel walks parameter and moments.
        moments = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        squares = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]
        self.state = {"moment": moments, "square": squares, "step": steps}

    @torch.no_grad()
    def step(self, learning_rate: float, beta1: float) -> None:
        parameters, gradients, state = self.in_use()
        adam(
            parameters,
            gradients,
            state["moment"],
            state["square"],
            [],
            state["step"],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=self.beta2,
            lr=learning_rate,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )


class SGD(Optimiser):
    """Stochastic gradient descent with momentum, step by step identical to `torch.optim.SGD`; it has no beta1."""

    def __init__(self, parameters: Iterable[Tensor], momentum: float = 0.9, weight_decay: float = 0.0):
        super().__init__(parameters, weight_decay)
        self.momentum = momentum
        # From zeros the first step's momentum is its gradient, as in PyTorch.
        self.state = {"momentum": [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]}

    @torch.no_grad()
    def step(self, learning_rate: float, beta1: float) -> None:
        parameters, gradients, state = self.in_use()
        sgd(
            parameters,
            gradients,
            list(state["momentum"]),  # PyTorch declares that some may be None
            has_sparse_grad=False,
            foreach=False,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
