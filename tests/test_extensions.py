"""The extensions' and controls' losses against NumPy: one step of each on a network without dropout."""

import numpy as np
import pytest
import torch
from torch import nn

from lautum import objectives
from lautum.data.transforms import InputTransform
from lautum.objectives import PRETRAIN, TRANSFER
from lautum.training.batches import Labelled, StageData

IMAGES = torch.randint(0, 256, (300, 1, 3, 3), generator=torch.Generator().manual_seed(0)).byte()
LABELS = torch.arange(100) % 3
RIDGE, WEIGHT = 1e-3, 0.25
TERM = {"batch_size": 64, "weight": WEIGHT, "rank": 9, "decay": 0.0, "ridge": RIDGE}  # decay 0: the batch alone


class Tiny(nn.Module):
    """Three logits from four tanh features of nine pixels."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.body, self.head = nn.Linear(9, 4), nn.Linear(4, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def features(self, x):
        return self.body(x.flatten(1)).tanh()

    def forward(self, x):
        return self.head(self.features(x))


def build(name: str, **settings):
    schema = (PRETRAIN | TRANSFER)[name]
    transform = InputTransform("none", torch.tensor([[[128.0]]]), torch.tensor([[[64.0]]]))
    data = StageData(transform, Labelled(IMAGES[:100], LABELS), IMAGES[100:])
    network = Tiny()
    return network, objectives.build(name, network, data, schema(**settings), seed=0)


def batches(objective, labelled: str, target: str) -> tuple:
    """What the next step will draw: labelled inputs, labels, target inputs."""
    orders = [getattr(objective, name, None) for name in (labelled, target)]
    index = [order.order[: order.batch_size] if order else None for order in orders]
    scaled = [(images.float() - 128) / 64 for images in (IMAGES[:100][index[0]], IMAGES[100:])]
    return scaled[0], LABELS[index[0]], scaled[1][index[1]] if orders[1] else None


def cross_entropy(logits, labels) -> float:
    logits = logits.detach().double().numpy()
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels.numpy()]))


def correlations(x, w) -> np.ndarray:
    """Squared canonical correlations from explicit inverses; the information does not depend on the whitening."""
    x, w = x.flatten(1).double().numpy(), w.detach().double().numpy()
    joint = np.cov(np.concatenate([x, w], axis=1).T)
    sx, sw, sxw = joint[:9, :9], joint[9:, 9:], joint[:9, 9:]
    sw = sw + RIDGE * np.trace(sw) / len(sw) * np.eye(len(sw))
    return np.linalg.eigvals(np.linalg.inv(sx) @ sxw @ np.linalg.inv(sw) @ sxw.T).real


def lautum(x, w) -> float:
    rho2 = correlations(x, w)
    return float(np.sum(rho2 / (1 - rho2) + np.log(1 - rho2) / 2))


@pytest.mark.parametrize("name", ["lautum", "mutual_information", "lautum_features"])
def test_terms_on_target_images(name):
    network, objective = build(name, **TERM)
    source, labels, target = batches(objective, "source_order", "target_order")
    loss = objective.step(0).loss
    information = {
        "lautum": lautum(target, network(target)),
        "mutual_information": -float(np.sum(-np.log(1 - correlations(target, network(target))) / 2)),
        "lautum_features": lautum(target, network.features(target)),
    }[name]
    assert loss.item() == pytest.approx(cross_entropy(network(source), labels) - WEIGHT * information, rel=1e-4)


def test_shuffled_placebo_pairs_each_logit_with_another_image():
    network, objective = build("lautum_shuffled", **TERM)
    order = torch.randperm(64, generator=torch.Generator().set_state(objective.shuffle.get_state()))
    source, labels, target = batches(objective, "source_order", "target_order")
    loss, _, scalars = objective.step(0)
    others = dict(zip(order.tolist(), order.roll(1).tolist(), strict=True))
    assert all(image != other for image, other in others.items())
    expected = lautum(target[[others[number] for number in range(64)]], network(target))
    assert loss.item() == pytest.approx(cross_entropy(network(source), labels) - WEIGHT * expected, rel=1e-4)
    assert expected < 0.2 * lautum(target, network(target))  # what is left is the bias of a small batch
    assert float(scalars["lautum_information"]) == pytest.approx(expected, rel=1e-4)


def test_source_placebo_sees_no_target():
    network, objective = build("lautum_source", **TERM)
    source, labels, _ = batches(objective, "source_order", "none")
    loss, images, scalars = objective.step(0)
    expected = cross_entropy(network(source), labels) - WEIGHT * lautum(source, network(source))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert images == 64
    assert not PRETRAIN["lautum_source"].needs_target


def test_entropy_placebo():
    network, objective = build("entropy", batch_size=64, weight=WEIGHT)
    source, labels, target = batches(objective, "source_order", "target_order")
    loss = objective.step(0).loss
    p = network(target).detach().double().softmax(dim=1).numpy()
    entropy = -(p * np.log(p)).sum(axis=1).mean()
    assert loss.item() == pytest.approx(cross_entropy(network(source), labels) + WEIGHT * entropy, rel=1e-5)


def test_lautum_in_the_post_transfer_stage():
    network, objective = build("supervised_lautum", **TERM)
    labelled, labels, target = batches(objective, "order", "target_order")
    loss = objective.step(0).loss
    expected = cross_entropy(network(labelled), labels) - WEIGHT * lautum(target, network(target))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_lower_and_the_upper_bound():
    _, objective = build("untrained")
    assert objective.steps == 0
    assert TRANSFER["supervised_all_labels"].all_labels
    assert not any(schema.all_labels for name, schema in TRANSFER.items() if name != "supervised_all_labels")
