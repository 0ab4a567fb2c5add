"""The worked examples: Mean Teacher and Deep CORAL against plain references, and resumed as if never stopped."""

from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from test_wiring import stage_data

from lautum.experiment import config
from lautum.pipeline.train import optimiser
from lautum.training.checkpoint import Checkpoints
from lautum.training.interruption import Interrupted
from lautum.training.loop import train

ROOT = Path(__file__).parent.parent
SEED = 3


@pytest.fixture(scope="module")
def campaign() -> config.Config:
    return config.load(ROOT / "examples/examples.yaml")


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def run(campaign: config.Config, name: str, path: Path, settings, **options) -> tuple[dict, dict]:
    """Weights and curve after a stage on `stage_data`."""
    network = reference.Tiny()
    objective = campaign.catalogue.objectives[name].Objective(network, stage_data(), settings, SEED)
    checkpoints = Checkpoints(path, "test", name, options.pop("interval", 60.0))
    outcome = train(network, objective, optimiser(network, settings), settings.clip_norm, SEED, checkpoints)
    return network.state_dict(), outcome.curve


SETTINGS = {"batch_size": 8, "learning_rate": 0.02, "clip_norm": 100.0, "steps": 6, "weight": 0.5}
MEAN_TEACHER = SETTINGS | {"ramp_up": 0.5, "teacher_decay": 0.6}


def mean_teacher(settings) -> tuple[dict, list[float]]:
    """The method as its authors write it: two networks, two augmentations, two noises."""
    data = stage_data()
    student, teacher = (reference.Stage(data, settings, SEED) for _ in range(2))
    teacher.noise = teacher.stream("dropout", "mean teacher")
    labelled, unlabelled = student.orders(20, "labelled"), student.orders(30, "unlabelled")
    # Passes of 20 and 30 images in batches of 8, what does not fill a batch dropped: two and three batches each.
    batches = [order[start : start + 8] for order in (next(labelled) for _ in range(3)) for start in (0, 8)]
    others = [order[start : start + 8] for order in (next(unlabelled) for _ in range(2)) for start in (0, 8, 16)]
    augmentations = [student.stream("augmentation", name) for name in ("labelled", "mean teacher")]
    adam, losses = torch.optim.Adam(student.weights.values(), lr=settings.learning_rate), []
    averages = {name: weight.detach().clone() for name, weight in student.weights.items()}
    for step, (index, other) in enumerate(zip(batches, others, strict=True)):
        images = torch.cat([data.labelled.images[index], data.unlabelled[other]])
        logits = student.network(student.inputs(images, augmentations[0])).logits
        teacher.weights = averages
        with torch.no_grad():
            target = teacher.network(teacher.inputs(images, augmentations[1])).logits.softmax(dim=1)
        weight = settings.weight * (np.exp(-5 * (1 - step / 3) ** 2) if step < 3 else 1)
        loss = -logits.log_softmax(dim=1)[range(8), data.labelled.labels[index]].mean()
        loss = loss + weight * (logits.softmax(dim=1) - target).square().sum() / (16 * 3)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        decay = min(1 - 1 / (step + 2), settings.teacher_decay)
        averages = {name: decay * averages[name] + (1 - decay) * student.weights[name].detach() for name in averages}
    return averages, losses


def test_mean_teacher_ends_with_the_average_of_the_reference(campaign, tmp_path):
    settings = campaign.catalogue.transfer["mean_teacher"](**MEAN_TEACHER)
    weights, curve = run(campaign, "mean_teacher", tmp_path / "state.safetensors", settings)
    expected, losses = mean_teacher(settings)
    assert curve["loss"] == pytest.approx(losses, rel=1e-8)
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-8, atol=1e-10)


def test_deep_coral_is_the_distance_of_covariances(campaign):
    coral_loss = campaign.catalogue.objectives["deep_coral"].coral_loss
    # By hand: covariances ((2, 0), (0, 0)) and ((0, 0), (0, 8)), so (4 + 64) / (4 * 2^2).
    source, target = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([[5.0, 2.0], [5.0, -2.0]])
    assert coral_loss(source, target).item() == pytest.approx(68 / 16)
    source, target = (torch.randn(size, 4, requires_grad=True) for size in (7, 9))
    one, other = (np.cov(x.detach().numpy().T) for x in (source, target))
    assert coral_loss(source, target).item() == pytest.approx(((one - other) ** 2).sum() / 64)
    assert torch.autograd.gradcheck(coral_loss, (source, target))


def test_deep_coral_trains_as_the_plain_loop(campaign, tmp_path, monkeypatch):
    def term(source, target):
        one, other = (
            sum(torch.outer(x - stream.logits.mean(0), x - stream.logits.mean(0)) for x in stream.logits) / 7
            for stream in (source, target)
        )
        value = (one - other).square().sum() / 36
        return 0.5 * value, {"coral": value}

    monkeypatch.setitem(
        reference.OBJECTIVES, "deep_coral", lambda stage: reference.supervised(stage, "source", "target", term)
    )
    settings = campaign.catalogue.pretrain["deep_coral"](**SETTINGS)
    weights, curve = run(campaign, "deep_coral", tmp_path / "state.safetensors", settings)
    expected, values, _ = reference.train("deep_coral", stage_data(), settings, SEED)
    assert curve["loss"] == pytest.approx(values["loss"], rel=1e-8)
    assert curve["coral"] == pytest.approx(values["coral"], rel=1e-8)
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["mean_teacher", "deep_coral"])
def test_a_resumed_stage_equals_an_uninterrupted_one(name, campaign, tmp_path, monkeypatch):
    schema = (campaign.catalogue.pretrain | campaign.catalogue.transfer)[name]
    known = {key: value for key, value in MEAN_TEACHER.items() if key in schema.model_fields}
    settings = schema(**known)
    whole, curve = run(campaign, name, tmp_path / "whole.safetensors", settings)
    path, objective = tmp_path / "state.safetensors", campaign.catalogue.objectives[name].Objective
    step = objective.step

    def stop(self, number):
        if number == 4:
            raise Interrupted("in the middle")
        return step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(objective, "step", stop)
        with pytest.raises(Interrupted):
            run(campaign, name, path, settings, interval=-1.0)  # a checkpoint after every step
    weights, resumed = run(campaign, name, path, settings)
    assert resumed == curve and all(torch.equal(weights[key], whole[key]) for key in whole)
