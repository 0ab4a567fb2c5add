"""The loss of my_objective by hand, and that it trains: `python -m pytest test_my_objective.py`."""

from pathlib import Path

import pytest
import torch

from lautum.data.transforms import InputTransform
from lautum.experiment import plugins
from lautum.objectives.two_stream import Stream
from lautum.training import networks
from lautum.training.batches import Labelled, StageData

my_objective = plugins.load(str(Path(__file__).with_name("my_objective.py")))


@pytest.fixture
def objective():
    """Over a small network, 30 labelled source and 30 unlabelled target images."""
    images = torch.randint(0, 256, (60, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    labelled = Labelled(images[:30], torch.arange(30) % 10)
    data = StageData(InputTransform.for_source(images[:30], "none"), labelled, images[30:])
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, seed=0)
    return my_objective.Objective(network, data, my_objective.Settings(batch_size=8, weight=0.5), seed=0)


def test_the_term_by_hand(objective):
    inputs, logits = torch.zeros(2, 1, 16, 16), torch.zeros(2, 10)
    source = Stream(inputs, torch.tensor([[1.0, 0.0], [3.0, 4.0]]), logits)  # mean features (2, 2)
    target = Stream(inputs, torch.tensor([[0.0, 1.0], [0.0, 1.0]]), logits)  # mean features (0, 1)
    term, logged = objective.term(source, target)
    assert term.item() == pytest.approx(0.5 * (2**2 + 1**2))
    assert logged["distance"].item() == pytest.approx(5)


def test_a_step_has_a_gradient_for_every_weight(objective):
    objective.step(0).loss.backward()
    assert all(weight.grad.isfinite().all() for weight in objective.network.parameters())
