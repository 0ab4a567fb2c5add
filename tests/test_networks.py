"""Networks by name: sizes counted by hand, explicit seeds, dropout from its own generator."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lautum.training import networks


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        # conv 5x5x1x32 + 32, conv 5x5x32x64 + 64, 7x7x64x1024 + 1024, 1024x10 + 10
        ("conv32-64-fc1024", (1, 28, 28), 832 + 51264 + 3212288 + 10250),
        ("conv16-32-fc128", (1, 16, 16), 416 + 12832 + 4 * 4 * 32 * 128 + 128 + 1290),
        ("conv32-64-fc512", (3, 32, 32), 2432 + 51264 + 8 * 8 * 64 * 512 + 512 + 5130),
        # stem, three groups of two blocks (the first with a 1x1 shortcut), norm, head
        ("wide-resnet-16-4", (3, 32, 32), 432 + 121248 + 525184 + 2098944 + 512 + 2570),
    ],
)
def test_parameter_counts(name, shape, expected):
    network = networks.build(name, shape, 10, seed=0)
    assert parameters(network) == expected
    logits = network(torch.zeros(2, *shape))
    assert logits.shape == (2, 10)


def test_the_wide_network_halves_the_image_in_two_of_its_groups():
    network = networks.build("wide-resnet-16-4", (3, 32, 32), 10, seed=0).eval()
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 3, 32, 32))
    assert shapes == [(64, 32, 32)] * 2 + [(128, 16, 16)] * 2 + [(256, 8, 8)] * 2


def test_logits_are_the_head_on_the_features():
    network = networks.build("conv16-32-fc128", (1, 28, 28), 10, seed=0).eval()
    x = torch.randn(3, 1, 28, 28)
    assert network.features(x).shape == (3, 128)
    assert torch.equal(network(x), network.head(network.features(x)))


@pytest.mark.parametrize("name", ["conv16-32-fc128", "wide-resnet-16-4"])
def test_bfloat16_rounds_the_body_and_leaves_the_rest_in_float32(name):
    one, other = (networks.build(name, (3, 16, 16), 10, 0, precision) for precision in ("float32", "bfloat16"))
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    exact, rounded = one.eval().features(x), other.eval().features(x)
    assert rounded.dtype == other(x).dtype == torch.float32
    error = (rounded - exact).norm() / exact.norm()
    assert 1e-4 < error < 3e-2  # bfloat16 keeps 8 bits: 2^-9 for each rounding
    other(x).sum().backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in other.parameters())


def test_pooling_before_the_relu_changes_nothing():
    network = networks.build("conv16-32-fc128", (1, 28, 28), 10, seed=0).eval()
    x = torch.randn(3, 1, 28, 28)
    first = F.max_pool2d(F.relu(network.conv1(x)), 2)
    second = F.max_pool2d(F.relu(network.conv2(first)), 2)
    assert torch.equal(network.features(x), F.relu(network.hidden(second.flatten(1))))


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    one = networks.build("conv16-32-fc128", (1, 28, 28), 10, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    same, other = (networks.build("conv16-32-fc128", (1, 28, 28), 10, seed=seed) for seed in (1, 2))
    assert torch.equal(one.conv1.weight, same.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)


def test_a_fresh_head_leaves_the_rest():
    network = networks.build("conv16-32-fc128", (1, 28, 28), 10, seed=1)
    hidden, head = network.hidden.weight.clone(), network.head.weight.clone()
    networks.reinitialise_head(network, 5, seed=1)
    assert network(torch.zeros(1, 1, 28, 28)).shape == (1, 5)
    assert torch.equal(network.hidden.weight, hidden)
    assert not torch.equal(network.head.weight, head[:5])


def test_dropout_draws_from_its_generator_and_keeps_the_mean():
    network = networks.build("conv16-32-fc128", (1, 28, 28), 10, seed=1)
    networks.set_dropout_generator(network, torch.Generator().manual_seed(3))
    ones = torch.ones(1000, 100)
    dropped = network.dropout(ones)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs(dropped.mean() - 1) < 0.02  # 100,000 draws: standard error 0.003
    networks.set_dropout_generator(network, torch.Generator().manual_seed(3))
    assert torch.equal(network.dropout(ones), dropped)
    assert torch.equal(network.eval().dropout(ones), ones)


@pytest.mark.parametrize("trained", ["all", "hidden", "head"])
def test_what_a_network_freezes_itself_stays_frozen(trained):
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, 0)
    moved = {"all": {"conv1", "conv2", "hidden", "head"}, "hidden": {"hidden", "head"}, "head": {"head"}}[trained]
    network.hidden.bias.requires_grad_(False)
    network.set_trained(trained)
    found = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert found == {f"{layer}.{part}" for layer in moved for part in ("weight", "bias")} - {"hidden.bias"}


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("trained", ["all", "hidden", "head"])
@pytest.mark.parametrize("frozen", [False, True])  # a layer, by the network itself
def test_batch_normalisation_moves_only_where_it_is_trained(kind, affine, trained, frozen):
    class Normalised(networks.Network):
        precision = "float32"

        def __init__(self):
            super().__init__()
            self.norm, self.scale, self.hidden = kind(4, affine=affine), nn.Conv1d(4, 4, 1), nn.Linear(4, 4)
            self.head = nn.Linear(4, 2)
            self.scale.requires_grad_(not frozen)

        def body(self, x):
            x = self.norm(x if kind is nn.BatchNorm1d else x[..., None, None])
            return self.hidden(self.scale(x.flatten(1)[..., None]).flatten(1))

    network = Normalised()
    network.set_trained(trained)
    before = network.norm.running_mean.clone()
    network.train()(torch.randn(8, 4) + 1)
    assert torch.equal(network.norm.running_mean, before) == (trained != "all")
