"""Adam against torch.optim.Adam, to the bit, with changing rate and beta1 and with channels_last parameters."""

import torch
from torch import nn

from lautum.training.optimiser import Adam


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 4 * 4, 5))
    return layers.to(memory_format=torch.channels_last)


def test_equals_the_library():
    ours, theirs = network(), network()
    adam, reference = Adam(ours), torch.optim.Adam(theirs.parameters(), fused=True)
    generator = torch.Generator().manual_seed(1)
    for step in range(20):
        rate, beta1 = 0.01 / (step + 1), 0.9 - 0.02 * step
        for group in reference.param_groups:
            group["lr"], group["betas"] = rate, (beta1, 0.999)
        inputs = torch.randn(4, 2, 6, 6, generator=generator)
        for module, optimiser in ((ours, adam), (theirs, reference)):
            optimiser.zero_grad()
            module(inputs).square().sum().backward()
        adam.step(rate, beta1)
        reference.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not torch.equal(ours[0].weight, network()[0].weight)
