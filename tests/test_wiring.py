"""What is configured is what happens: objectives, settings and jobs, seen from the weights that come out."""

from pathlib import Path

import pytest
import reference
import torch

from lautum import objectives
from lautum.data.transforms import InputTransform
from lautum.objectives import PRETRAIN, TRANSFER, lautum_source
from lautum.training.batches import Labelled, StageData
from lautum.training.checkpoint import Checkpoints
from lautum.training.loop import train

SCHEMAS = PRETRAIN | TRANSFER
# No value is a default. Five steps of 8 images end in the third pass over 20 images, and in the second over 30.
SETTINGS = {"batch_size": 8, "learning_rate": 0.02, "clip_norm": 0.05, "steps": 5, "weight": 0.5}
SETTINGS |= {"rank": 5, "decay": 0.75, "ridge": 0.01}
SETTINGS |= {"epochs": 4, "ensemble_decay": 0.7, "ramp_up": 0.5, "ramp_down": 0.5}


@pytest.fixture
def double():
    """All numbers in float64: Adam divides by gradients however small, so float32 would ask for a loose bound."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def settings_of(name: str, **changed):
    values = SETTINGS | changed
    return SCHEMAS[name](**{key: value for key, value in values.items() if key in SCHEMAS[name].model_fields})


def stage_data() -> StageData:
    images = torch.randint(0, 256, (50, 1, 6, 6), generator=torch.Generator().manual_seed(0)).byte()
    transform = InputTransform("flip-shift", torch.tensor([[[128.0]]]), torch.tensor([[[64.0]]]))
    return StageData(transform, Labelled(images[:20], torch.arange(20) % 3), images[20:])


def run(name: str, settings, folder: Path, training: bool = True, **options):
    network, seed = reference.Tiny().train(training), 3
    objective = objectives.build(name, network, stage_data(), settings, seed)
    checkpoints = Checkpoints(folder / "unused.safetensors", "test", name)
    outcome = train(network, objective, settings.clip_norm, seed, checkpoints, **options)
    return network.state_dict(), outcome


def test_every_objective_has_a_reference():
    assert reference.OBJECTIVES.keys() == SCHEMAS.keys()


# The mode that a network is in when it comes to the loop plays no part.
@pytest.mark.parametrize(("clip_norm", "training"), [(0.05, True), (100.0, False)], ids=["clipped", "not-clipped"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_training_equals_the_plain_loop(name, clip_norm, training, tmp_path, monkeypatch, double):
    monkeypatch.setattr(lautum_source, "POOL", reference.SOURCE_POOL)
    settings = settings_of(name, clip_norm=clip_norm)
    weights, outcome = run(name, settings, tmp_path, training)
    expected, curve, images = reference.train(name, stage_data(), settings, seed=3)
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, rtol=1e-8, atol=1e-10)
    assert outcome.curve.keys() == curve.keys()
    for key, values in curve.items():
        assert outcome.curve[key] == pytest.approx(values, rel=1e-8, abs=1e-12), key
    assert (outcome.step, outcome.images) == (len(curve.get("step", ())), images)
    if curve:  # the case is what it is called
        assert (max(curve["gradient_norm"]) > clip_norm) == (clip_norm < 1)


def test_the_curve_is_thinned_out_and_keeps_the_last_step(tmp_path):
    settings = settings_of("source_only")
    _, whole = run("source_only", settings, tmp_path)
    _, thin = run("source_only", settings, tmp_path, log_points=2)
    assert thin.curve == {name: [values[1], values[3], values[4]] for name, values in whole.curve.items()}


# Another value of every setting.
OTHERS = {"batch_size": 10, "learning_rate": 0.03, "clip_norm": 100.0, "steps": 6, "weight": 1.0, "rank": 4}
OTHERS |= {"decay": 0.5, "ridge": 0.1, "epochs": 5, "ensemble_decay": 0.3, "ramp_up": 0.75, "ramp_down": 0.75}
BY_THE_JOB = {"head"}  # decides what network the objective is given: test_a_transferred_network_is_that_of_the_loop


def test_every_setting_has_another_value():
    assert OTHERS.keys() | BY_THE_JOB == {field for schema in SCHEMAS.values() for field in schema.model_fields}


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, schema in SCHEMAS.items() for field in schema.model_fields if field not in BY_THE_JOB],
)
def test_every_setting_changes_the_trained_weights(name, field, tmp_path):
    one, _ = run(name, settings_of(name), tmp_path)
    other, _ = run(name, settings_of(name, **{field: OTHERS[field]}), tmp_path)
    largest = max(float((one[key] - other[key]).abs().max()) for key in one)
    # Without a single step there is nothing to change.
    assert largest > 1e-4 if name != "untrained" else largest == 0
