"""The training loop: reproducible, resumable to the byte in every objective, and loud when numbers stop being
finite.
"""

import os
import signal

import pytest
import torch

from lautum import networks, objectives, training
from lautum.errors import LautumError
from lautum.inputs import InputTransform
from lautum.settings import PRETRAIN, TRANSFER

OBJECTIVES = {
    "source_only": PRETRAIN["source_only"](steps=24, batch_size=16),
    "mk_mmd": PRETRAIN["mk_mmd"](steps=24, batch_size=16),
    "lautum": PRETRAIN["lautum"](steps=24, batch_size=16, rank=8, weight=0.01),
    "supervised": TRANSFER["supervised"](steps=24, batch_size=16),
    "temporal_ensembling": TRANSFER["temporal_ensembling"](epochs=4, batch_size=16),
}


def stage_data(augmentation: str = "flip-shift") -> training.StageData:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (100, 1, 16, 16), generator=generator).byte()
    labelled = training.Labelled(images[:40], torch.arange(40) % 10)
    return training.StageData(InputTransform.for_source(images, augmentation), labelled, images[40:])


def run(name, path, settings=None, seed=3, stop_at=None, precision="float32", **options):
    """Train from scratch (or from the checkpoint at `path`); `stop_at` sends this process SIGTERM during that step."""
    settings = settings or OBJECTIVES[name]
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, seed, precision).to(memory_format=torch.channels_last)
    objective = objectives.build(name, network, stage_data(), settings, seed)
    loss = objective.loss

    def loss_with_signal(step):
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(step)

    objective.loss = loss_with_signal
    outcome = training.train(network, objective, settings.clip_norm, seed, path, "test", name, **options)
    return network.state_dict(), outcome


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(name, tmp_path):
    path = tmp_path / "state.safetensors"
    expected, uninterrupted = run(name, tmp_path / "unused.safetensors")
    for stop_at in (3, 11):  # stopped twice, in the first and in a later pass over the data
        with pytest.raises(training.Interrupted, match=f"stopped by SIGTERM after step {stop_at + 1} of"):
            run(name, path, stop_at=stop_at)
    weights, resumed = run(name, path)
    assert resumed.resumed_at == [4, 12]
    assert equal(weights, expected)
    assert resumed.curve == uninterrupted.curve
    assert resumed.images == uninterrupted.images


def test_in_bfloat16_too_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    expected, _ = run("lautum", tmp_path / "unused.safetensors", precision="bfloat16")
    with pytest.raises(training.Interrupted):
        run("lautum", tmp_path / "state.safetensors", stop_at=7, precision="bfloat16")
    weights, _ = run("lautum", tmp_path / "state.safetensors", precision="bfloat16")
    assert equal(weights, expected)
    assert not equal(weights, run("lautum", tmp_path / "unused.safetensors")[0])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_seed_decides_everything(name, tmp_path):
    path = tmp_path / "unused.safetensors"
    torch.manual_seed(1)
    expected, _ = run(name, path)
    torch.manual_seed(2)  # the global random state plays no part
    again, _ = run(name, path)
    other, _ = run(name, path, seed=4)
    assert equal(again, expected)
    assert not equal(other, expected)


def test_a_checkpoint_in_the_middle_changes_nothing(tmp_path):
    expected, _ = run("lautum", tmp_path / "none.safetensors")
    with_checkpoints, _ = run("lautum", tmp_path / "each.safetensors", checkpoint_seconds=0.0)
    assert (tmp_path / "each.safetensors").exists()
    assert equal(with_checkpoints, expected)


def test_a_foreign_or_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    with pytest.raises(training.Interrupted):
        run("supervised", path, stop_at=3)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LautumError, match="state.safetensors cannot be read .* delete it and run again"):
        run("supervised", path)
    path.write_bytes(whole.replace(b'\\"identity\\": \\"test\\"', b'\\"identity\\": \\"tset\\"'))
    with pytest.raises(LautumError, match="belongs to another run"):
        run("supervised", path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    settings = PRETRAIN["mk_mmd"](steps=24, batch_size=16, weight=1e38, learning_rate=1e30)
    with pytest.raises(LautumError, match="mk_mmd: .* is (nan|inf) at step .*; lower learning_rate"):
        run("mk_mmd", tmp_path / "state.safetensors", settings)


def test_methods_share_initialisation_and_source_order():
    data = stage_data()
    drawn = {}
    for name in ("source_only", "mk_mmd", "lautum"):
        network = networks.build("conv16-32-fc128", (1, 16, 16), 10, 5)
        objective = objectives.build(name, network, data, OBJECTIVES[name], 5)
        drawn[name] = [network.state_dict()["conv1.weight"], *(objective.source_batch()[0] for _ in range(5))]
    for name in ("mk_mmd", "lautum"):
        assert all(torch.equal(a, b) for a, b in zip(drawn[name], drawn["source_only"], strict=True))


def test_batches_cover_a_pass_without_repetition():
    batches = training.ShuffledBatches(10, 3, torch.device("cpu"), "test")
    first, second = ([batches.next().tolist() for _ in range(3)] for _ in range(2))
    for one_pass in (first, second):
        assert len({index for batch in one_pass for index in batch}) == 9
    assert first != second
    assert len(training.ShuffledBatches(10, 64, torch.device("cpu"), "test").next()) == 10
