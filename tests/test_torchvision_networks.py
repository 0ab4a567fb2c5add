"""torchvision's models as networks: adapted inputs, explicit seeds, noise from the stage's generator."""

import pytest
import torch

from lautum.errors import LautumError
from lautum.experiment.catalogue import BUILT_IN
from lautum.training import networks
from lautum.training.torchvision_networks import TorchvisionNetwork


@pytest.mark.parametrize(
    ("name", "shape", "factor", "features"),
    [
        ("resnet18", (3, 16, 16), 1, 512),
        ("vgg11", (3, 32, 32), 1, 4096),  # five poolings
        ("vgg11", (1, 16, 16), 2, 4096),
        ("vit_b_32", (1, 28, 28), 8, 768),  # 224 pixels, no others
        ("googlenet", (3, 32, 32), 1, 1024),
    ],
)
def test_the_input_is_adapted_until_the_model_runs(name, shape, factor, features):
    with torch.device("meta"):  # shapes alone
        network = TorchvisionNetwork(name, shape, 7).eval()
        assert network.body(torch.empty(2, *shape)).shape == (2, features)
    assert (network.factor, network.head.weight.shape) == (factor, (7, features))
    said = [f"enlarged to {factor * shape[1]} x {factor * shape[2]} pixels"] * (factor > 1)
    said += ["repeated in three channels"] * (shape[0] == 1)
    assert all(text in network.adaptation for text in said) and bool(said) == bool(network.adaptation)


@pytest.fixture(scope="module")
def network():
    return networks.build("torchvision:mobilenet_v3_small", (1, 16, 16), 10, seed=3)


def test_the_seed_alone_decides_the_weights(network):
    torch.manual_seed(5)
    again = networks.build("torchvision:mobilenet_v3_small", (1, 16, 16), 10, seed=3)
    assert networks.sha256_of_weights(again) == networks.sha256_of_weights(network)


def test_what_is_random_in_it_comes_from_the_stages_generator(network):
    x = torch.randn(8, 1, 16, 16)

    def passes(seed: int) -> list[torch.Tensor]:
        network.train()
        noise = torch.Generator().manual_seed(seed)
        networks.set_dropout_generator(network, noise)
        return [network.features(x), network.features(x)]

    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = passes(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    assert all(torch.equal(one, other) for one, other in zip(first, passes(1), strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], passes(2)[0])
    network.eval()
    assert torch.equal(network.features(x), network.features(x))


def test_names_that_torchvision_does_not_have_are_refused():
    BUILT_IN.require_network("torchvision:resnet18")
    for name in ("torchvision:resnet19", "torchvision:squeezenet1_0", "torchvision:fcn_resnet50"):
        with pytest.raises(LautumError, match=f"unknown network '{name}'; .*allowed: torchvision:alexnet, "):
            BUILT_IN.require_network(name)
    with pytest.raises(LautumError, match="unknown network 'resnet18'; .*allowed: .*torchvision:MODEL"):
        BUILT_IN.require_network("resnet18")
