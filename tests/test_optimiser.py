"""The optimisers against those of torch.optim, to the bit, with a changing rate and channels_last parameters."""

import pytest
import torch
from torch import nn

from lautum.training.optimiser import SGD, Adam

OURS = {
    "adam": (Adam, {}, {"fused": True}),
    "adam with weight decay": (Adam, {"weight_decay": 0.3}, {"fused": True}),
    "sgd": (SGD, {"momentum": 0.8, "weight_decay": 0.2}, {}),
    "sgd without momentum": (SGD, {"momentum": 0.0}, {}),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 4 * 4, 5), nn.Linear(5, 5))
    return layers.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", OURS)
def test_equals_the_library(name):
    kind, arguments, further = OURS[name]
    ours, theirs = network(), network()
    optimiser = kind(ours.parameters(), **arguments)
    reference = getattr(torch.optim, kind.__name__)(theirs.parameters(), lr=1.0, **arguments, **further)
    generator = torch.Generator().manual_seed(1)
    for step in range(20):
        rate, beta1 = 0.01 / (step + 1), 0.9 - 0.02 * step
        for group in reference.param_groups:
            group["lr"] = rate
            if "betas" in group:
                group["betas"] = beta1, 0.999
        inputs = torch.randn(4, 2, 6, 6, generator=generator)
        for module, its in ((ours, optimiser), (theirs, reference)):
            its.zero_grad()
            # The last layer has a part in some steps only, and stays as it is in the others.
            module[: 4 if step % 3 == 1 else 3](inputs).square().mean().backward()
        optimiser.step(rate, beta1)
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not any(torch.equal(ours[number].weight, network()[number].weight) for number in (0, 2, 3))
