"""What a training stage can be told beside its objective's own settings: optimiser, length, what is trained, from where
it starts, and the networks that it leaves on the way.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from pydantic import ValidationError
from scipy import stats
from test_wiring import (
    LABELS,
    SEED,
    STEPS,
    TASK,
    campaign,
    cell,
    double,
    equal,
    numerics,
    run,
    settings_of,
    stage_data,
)

from lautum.data import datasets
from lautum.data.transforms import InputTransform
from lautum.errors import Damaged, LautumError
from lautum.files import read_arrays
from lautum.objectives import PRETRAIN, TRANSFER, supervised
from lautum.objectives.settings import keyed, setting
from lautum.pipeline import run_record
from lautum.pipeline.evaluate import evaluate
from lautum.pipeline.run_record import RunRecord
from lautum.pipeline.train import pretrain, transfer
from lautum.schema import SEAL, write
from lautum.training import checkpoint, networks

__all__ = ["campaign", "double", "numerics"]  # fixtures


@pytest.mark.parametrize(
    "changed",
    [
        {"optimiser": "sgd"},
        {"optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0},
        {"weight_decay": 0.0},
        {"clip_norm": None},
        {"steps": None, "labelled_epochs": 3},
    ],
    ids=lambda changed: " ".join(changed),
)
def test_training_equals_the_plain_loop(changed, tmp_path, double):
    settings = settings_of("supervised", **{"clip_norm": 0.05} | changed)
    if "clip_norm" in changed:
        settings = settings.model_copy(update={"clip_norm": None})
    weights, outcome = run("supervised", settings, tmp_path)
    expected, curve, images = reference.train("supervised", stage_data(), settings, seed=3)
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, rtol=0, atol=1e-8)
    assert outcome.images == images
    assert outcome.curve.keys() == curve.keys()
    for key, values in curve.items():
        assert outcome.curve[key] == pytest.approx(values, abs=1e-8), key


def test_the_share_of_clipped_steps_is_that_since_the_last_point(tmp_path):
    settings = settings_of("source_only", steps=7)
    _, whole = run("source_only", settings, tmp_path)
    norms = np.array(whole.curve["gradient_norm"])
    between = settings.model_copy(update={"clip_norm": float(np.median(norms)) * 1.0001})
    _, whole = run("source_only", between, tmp_path)
    clipped = (np.array(whole.curve["gradient_norm"]) > between.clip_norm).astype(float)
    assert 0 < clipped.sum() < 7
    assert whole.curve["clipped_share"] == clipped.tolist()
    _, thin = run("source_only", between, tmp_path, log_points=2)
    assert thin.curve["clipped_share"] == pytest.approx([clipped[:3].mean(), clipped[3:6].mean(), clipped[6]])


@pytest.mark.parametrize(
    ("trained", "moved"),
    [
        ("all", {"conv1", "conv2", "hidden", "head"}),
        ("hidden", {"hidden", "head"}),
        ("head", {"head"}),
    ],
)
def test_only_what_is_trained_moves(trained, moved, campaign):
    layout = campaign("standard", validation=True, transfer=STEPS | {"trained": trained, "weight_decay": 0.1})
    start, _ = checkpoint.load(pretrain(layout, TASK, "standard", LABELS, SEED))
    end, _ = checkpoint.load(transfer(layout, cell("standard")))
    changed = {name for name, weight in end["network"].items() if not torch.equal(weight, start["network"][name])}
    assert changed == {f"{layer}.{part}" for layer in moved for part in ("weight", "bias")}


def test_frozen_batch_normalisation_keeps_its_statistics():
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for trained, moves in (("head", False), ("hidden", False), ("all", True)):
        network = networks.build("wide-resnet-16-4", (1, 16, 16), 10, 0)
        network.set_trained(trained)
        before = network.norm.running_mean.clone()
        network.train()(images)
        assert torch.equal(network.norm.running_mean, before) != moves
        assert all(weight.requires_grad for weight in network.head.parameters())


def test_truncated_normal_weights_have_their_distribution_and_come_from_the_seed():
    network = networks.build("conv32-64-fc512", (1, 28, 28), 10, 3, initialisation="truncated-normal")
    cut = stats.truncnorm(-2, 2, scale=0.1)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            assert (weight == 0.1).all()
        else:
            assert stats.kstest(weight.detach().flatten()[:2000].double().numpy(), cut.cdf).pvalue > 1e-3
    again = networks.build("conv32-64-fc512", (1, 28, 28), 10, 3, initialisation="truncated-normal")
    assert equal(network.state_dict(), again.state_dict())
    networks.reinitialise_head(network, 5, 3, "truncated-normal")
    assert network.head.out_features == 5 and (network.head.bias == 0.1).all()
    assert 0.1 < float(network.head.weight.detach().abs().max()) <= 0.2


def test_initialisation_and_scaling_of_a_campaign_reach_the_network(campaign):
    told = {"scaling": "unit", "initialisation": "truncated-normal"}
    layout = campaign("target_only", pretrain=told, transfer={"head": "reinitialise"} | STEPS, validation=True)
    state, _ = checkpoint.load(pretrain(layout, TASK, "target_only", LABELS, SEED))
    expected = networks.build("conv16-32-fc128", (1, 16, 16), 10, SEED, "bfloat16", "truncated-normal")
    assert equal(state["network"], expected.state_dict())
    assert float(state["transform"]["mean"].abs().max()) == 0 and float(state["transform"]["std"].min()) == 255
    end, _ = checkpoint.load(transfer(layout, cell("target_only")))
    networks.reinitialise_head(expected, 10, SEED, "truncated-normal")
    # Adam moves no weight further than its rate in a step.
    assert float((end["network"]["head.weight"] - expected.head.weight).detach().abs().max()) < 1.1 * 3 * 0.01


def test_unit_scaling_is_a_division_by_255():
    images = torch.arange(256).reshape(4, 1, 8, 8).byte()
    scaled = InputTransform.for_source(images, "none", "unit")(images)
    assert torch.equal(scaled, images.float() / 255)


def test_settings_that_came_later_leave_the_keys_of_earlier_results_alone():
    for schema in (PRETRAIN | TRANSFER).values():
        later = {name for name, field in schema.model_fields.items() if "silent" in field.json_schema_extra}
        assert {"optimiser", "momentum", "weight_decay"} <= later
        assert keyed(schema()).keys() == schema.model_fields.keys() - later
    assert keyed(TRANSFER["supervised"](trained="head", snapshots=(3,)))["trained"] == "head"
    assert keyed(TRANSFER["supervised"](snapshots=(3,)))["snapshots"] == [3]


def test_another_default_of_a_setting_that_came_later_moves_the_keys():
    """What is silent is what was done before, whatever the default becomes."""

    class Changed(TRANSFER["supervised"]):
        momentum: float = setting(0.5, "-", "chosen: x", "of the optimiser", silent=0.9)

    assert keyed(Changed())["momentum"] == 0.5 and "momentum" not in keyed(Changed(momentum=0.9))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"labelled_epochs": 3, "steps": 5}, "give one"),
        ({"labelled_epochs": 3, "snapshots": (1,)}, "give one"),
        ({"steps": 5, "snapshots": (2, 1)}, "must increase"),
        ({"steps": 5, "snapshots": (1, 1)}, "must increase"),
        ({"steps": 5, "snapshots": (5,)}, "end before the stage's 5 steps"),
        ({"steps": 5, "snapshots": (0,)}, "greater than 0"),
    ],
)
def test_lengths_that_contradict_each_other_are_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        supervised.Settings(**settings)


SHORT, LONG = {**STEPS, "steps": 2}, {**STEPS, "steps": 5}


def test_a_snapshot_is_the_network_of_a_shorter_stage(campaign):
    one = campaign("standard", transfer=LONG | {"snapshots": [2, 4]})
    pretrain(one, TASK, "standard", LABELS, SEED)
    transfer(one, cell("standard"))
    taken, _ = checkpoint.load(one.snapshots(cell("standard")))
    assert taken.keys() == {"2", "4"}
    short = campaign("standard", transfer=SHORT)
    shorter, _ = checkpoint.load(transfer(short, cell("standard")))
    assert equal(taken["2"], shorter["network"])
    plain = campaign("standard", transfer=LONG)
    at_the_end, _ = checkpoint.load(transfer(plain, cell("standard")))
    last, _ = checkpoint.load(one.transferred(cell("standard")))
    assert equal(last["network"], at_the_end["network"])
    assert not equal(taken["4"], last["network"])


def test_snapshots_are_evaluated_and_then_removed(campaign):
    layout, run_of = campaign("standard", transfer=LONG | {"snapshots": [2, 4]}), cell("standard")
    pretrain(layout, TASK, "standard", LABELS, SEED)
    transfer(layout, run_of)
    path = evaluate(layout, run_of)
    assert not layout.snapshots(run_of).exists()
    record, _, labels, _ = run_record.read(layout, run_of)
    arrays, _ = read_arrays(path.with_suffix(".safetensors"))
    assert [snapshot.steps for snapshot in record.snapshots] == [2, 4]
    short = campaign("standard", transfer=SHORT)
    transfer(short, run_of)
    evaluate(short, run_of)
    expected, *_ = run_record.read(short, run_of)
    assert record.snapshots[0].correct == expected.correct == (arrays["step2"] == labels).sum()
    assert record.snapshots[0].predictions_sha256 == expected.predictions_sha256
    assert record.row()["accuracy"] == record.accuracy
    # Nothing is done again, and a lost record comes back the same.
    before = path.read_bytes()
    network = layout.transferred(run_of).stat().st_mtime_ns
    transfer(layout, run_of)
    evaluate(layout, run_of)
    assert (path.read_bytes(), layout.transferred(run_of).stat().st_mtime_ns) == (before, network)
    path.unlink()
    transfer(layout, run_of)
    evaluate(layout, run_of)
    again, *_ = run_record.read(layout, run_of)
    assert again.snapshots == record.snapshots and again.predictions_sha256 == record.predictions_sha256


def test_a_damaged_record_with_snapshots_is_set_aside_and_made_again(campaign):
    layout, run_of = campaign("standard", transfer=LONG | {"snapshots": [2]}), cell("standard")
    pretrain(layout, TASK, "standard", LABELS, SEED)
    transfer(layout, run_of)
    path = evaluate(layout, run_of)
    whole = json.loads(path.read_text())
    whole["snapshots"][0]["correct"] += 1
    write(path, RunRecord(**{name: value for name, value in whole.items() if name != SEAL}))
    with pytest.raises(Damaged, match="after 2 steps"):
        run_record.read(layout, run_of)
    transfer(layout, run_of)
    with pytest.raises(Damaged) as found:
        evaluate(layout, run_of)
    assert found.value.path == path
    path.unlink()
    with pytest.raises(LautumError, match="does not exist"):
        evaluate(layout, run_of)
    transfer(layout, run_of)
    evaluate(layout, run_of)
    assert run_record.read(layout, run_of)[0].snapshots[0].correct == whole["snapshots"][0]["correct"] - 1


def test_outputs_that_are_not_finite_end_the_stage_before_anything_is_written(campaign):
    """The weights are, so are the loss and the gradient of the only step."""
    layout = campaign("standard", validation=True, pretrain={"steps": 1, "learning_rate": 1e15})
    with pytest.raises(LautumError, match="its outputs are not finite after the last step; lower learning_rate"):
        pretrain(layout, TASK, "standard", LABELS, SEED)
    assert not layout.pretrained(TASK, "standard", LABELS, SEED).exists()


def test_what_a_stage_leaves_behind_is_measured_on_its_first_labelled_images(campaign):
    layout = campaign("standard", validation=True)
    path = pretrain(layout, TASK, "standard", LABELS, SEED)
    cost = json.loads(path.with_suffix(".json").read_text())
    source = datasets.load(Path("data/digits-train.safetensors"), "digits", "train")
    state, _ = checkpoint.load(path)
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, 0, "bfloat16")
    network.load_state_dict(state["network"])
    network.eval()
    mean, std = state["transform"]["mean"], state["transform"]["std"]
    with torch.no_grad():
        logits = network((torch.from_numpy(source.images).float() - mean) / std).numpy()
    assert cost["accuracy"] == pytest.approx((logits.argmax(axis=1) == source.labels).mean(), abs=1e-3)
    assert cost["logit_scale"] == pytest.approx(np.sqrt(logits.var(axis=1).mean()), rel=1e-2)
