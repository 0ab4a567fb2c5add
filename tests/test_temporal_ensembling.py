"""Temporal Ensembling against a slow NumPy transcription of Laine & Aila's algorithm, written from their paper."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from lautum.data.transforms import InputTransform
from lautum.objectives.temporal_ensembling import Objective, Settings
from lautum.training.batches import Labelled, StageData

LABELLED, UNLABELLED, CLASSES, BATCH, EPOCHS = 4, 7, 3, 5, 12


class Linear(nn.Module):
    """Logits linear in the pixels: its gradient can be written down."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, CLASSES, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.linspace(-1, 1, 12).view(3, 4))

    def forward(self, x):
        return self.head(x.flatten(1))


def build(settings: Settings) -> Objective:
    images = torch.randint(0, 256, (LABELLED + UNLABELLED, 1, 2, 2), generator=torch.Generator().manual_seed(0)).byte()
    transform = InputTransform("none", torch.tensor([[[128.0]]]), torch.tensor([[[64.0]]]))
    labelled = Labelled(images[:LABELLED], torch.tensor([0, 1, 2, 1]))
    return Objective(Linear(), StageData(transform, labelled, images[LABELLED:]), settings, seed=0)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


# What is left over of 11 images: three, two, none, or a single one, which is not a batch of its own.
@pytest.mark.parametrize("sizes", [(4, 4, 3), (3, 3, 3, 2), (11,), (5, 6), (2, 2, 2, 2, 3)])
def test_losses_of_a_whole_run_equal_the_transcription(sizes):
    settings = Settings(batch_size=sizes[0], epochs=EPOCHS, weight=30.0, learning_rate=0.1)
    objective = build(settings)
    images = torch.cat([objective.data.labelled.images, objective.data.unlabelled])
    x = ((images.double() - 128) / 64).flatten(1).numpy()
    y = [0, 1, 2, 1] + [None] * UNLABELLED
    total = LABELLED + UNLABELLED
    ensemble, target = np.zeros((total, CLASSES)), np.zeros((total, CLASSES))
    step = 0
    for epoch in range(EPOCHS):
        ramp_length = EPOCHS * 80 / 300
        ramp = math.exp(-5 * (1 - epoch / ramp_length) ** 2) if epoch < ramp_length else 1
        weight = 0 if epoch == 0 else 30 * LABELLED / total * ramp
        z, seen = np.zeros((total, CLASSES)), []
        for size in sizes:
            matrix = objective.network.head.weight.detach().double().numpy().copy()
            loss, shown, scalars = objective.step(step)
            assert shown == size
            indices = objective.order[len(seen) : len(seen) + size].tolist()
            seen += indices
            probabilities = softmax(x[indices] @ matrix.T)
            z[indices] = probabilities
            pairs = zip(indices, probabilities, strict=True)
            cross_entropy = -sum(math.log(p[y[i]]) for i, p in pairs if y[i] is not None)
            squared = ((probabilities - target[indices]) ** 2).mean()
            assert loss.item() == pytest.approx(cross_entropy / len(indices) + weight * squared, rel=1e-4, abs=1e-6)
            assert scalars["consistency_weight"].item() == pytest.approx(weight, rel=1e-6)
            loss.backward()
            with torch.no_grad():
                objective.network.head.weight -= 0.05 * objective.network.head.weight.grad
            objective.network.head.weight.grad = None
            step += 1
        assert sorted(seen) == list(range(total))
        ensemble = 0.6 * ensemble + 0.4 * z
        target = ensemble / (1 - 0.6 ** (epoch + 1))
    assert step == objective.steps


def test_a_network_whose_normalisation_sees_one_value_of_each_image_is_trained_to_the_end():
    objective = build(Settings(batch_size=BATCH, epochs=2))
    assert (LABELLED + UNLABELLED) % BATCH == 1
    objective.network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, CLASSES))
    assert sum(objective.step(step).images for step in range(objective.steps)) == 2 * (LABELLED + UNLABELLED)


def test_rate_and_beta1_follow_the_published_schedule():
    # 300 epochs as published: ramp-up over 80, ramp-down over the last 50, beta1 from 0.9 to 0.5 with it.
    settings = Settings(batch_size=BATCH, epochs=300, learning_rate=0.003)
    objective = build(settings)

    def at(epoch):
        return objective.schedule(epoch * objective.batches)

    assert at(0) == (pytest.approx(0.003 * math.exp(-5)), pytest.approx(0.9))
    assert at(40) == (pytest.approx(0.003 * math.exp(-1.25)), pytest.approx(0.9))
    assert at(80) == at(200) == at(250) == (pytest.approx(0.003), pytest.approx(0.9))
    assert at(275) == (pytest.approx(0.003 * math.exp(-12.5 * 0.25)), pytest.approx(0.5 + 0.4 * math.exp(-12.5 * 0.25)))


def test_resumed_objective_continues_the_ensemble():
    settings = Settings(batch_size=BATCH, epochs=4)
    one, other = build(settings), build(settings)
    losses = [one.step(step).loss.item() for step in range(5)]
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert [one.step(step).loss.item() for step in range(5, one.steps)] == [
        other.step(step).loss.item() for step in range(5, one.steps)
    ]
    assert len(losses) == 5
