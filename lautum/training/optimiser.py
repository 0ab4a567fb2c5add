"""Adam (Kingma & Ba 2015), step by step identical to `torch.optim.Adam(..., fused=True)`."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    """PyTorch's functional Adam with the bookkeeping this suite needs: rate and beta1 for each step, a flat state.

    The class `torch.optim.Adam` imports the compiler when it is built, which costs each job 2 s and 150 MB; its
    functional form does not.
    """

    def __init__(self, network: nn.Module, beta2: float = 0.999, eps: float = 1e-8):
        self.parameters: list[Tensor] = list(network.parameters())
        self.beta2, self.eps = beta2, eps
        # zeros_like keeps the memory layout (channels_last), by which the fused kernel walks parameter and moments.
        self.moments = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float, beta1: float) -> None:
        """One update from the gradients; every parameter must have one."""
        adam(
            self.parameters,
            cast(list[Tensor], [parameter.grad for parameter in self.parameters]),
            self.moments,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=self.beta2,
            lr=learning_rate,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Moments and step counts, `<quantity><parameter number>` -> tensor."""
        parts = {"moment": self.moments, "square": self.squares, "step": self.steps}
        return {f"{name}{number}": tensor for name, part in parts.items() for number, tensor in enumerate(part)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        for key, tensor in self.state_dict().items():
            tensor.copy_(state[key])
