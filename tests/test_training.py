"""The training loop: reproducible, resumable to the byte in every objective, and loud when numbers stop being
finite.
"""

import errno
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch

from lautum import objectives
from lautum.data.transforms import InputTransform
from lautum.errors import LautumError
from lautum.objectives import PRETRAIN, TRANSFER, mk_mmd, supervised
from lautum.pipeline.train import optimiser
from lautum.training import checkpoint, networks
from lautum.training.batches import Labelled, ShuffledBatches, StageData
from lautum.training.checkpoint import Checkpoints
from lautum.training.interruption import Interrupted
from lautum.training.loop import train

OBJECTIVES = {
    "source_only": PRETRAIN["source_only"](steps=24, batch_size=16),
    "mk_mmd": PRETRAIN["mk_mmd"](steps=24, batch_size=16),
    "lautum": PRETRAIN["lautum"](steps=24, batch_size=16, rank=8, weight=0.01),
    "mutual_information": PRETRAIN["mutual_information"](steps=24, batch_size=16, rank=8, weight=0.01),
    "lautum_features": PRETRAIN["lautum_features"](steps=24, batch_size=16, rank=8, weight=0.01),
    "lautum_shuffled": PRETRAIN["lautum_shuffled"](steps=24, batch_size=16, rank=8, weight=0.01),
    "lautum_source": PRETRAIN["lautum_source"](steps=24, batch_size=16, rank=8, weight=0.01),
    "entropy": PRETRAIN["entropy"](steps=24, batch_size=16),
    "supervised_lautum": TRANSFER["supervised_lautum"](steps=24, batch_size=16, rank=8, weight=0.01),
    "supervised": TRANSFER["supervised"](steps=24, batch_size=16),
    "supervised_all_labels": TRANSFER["supervised_all_labels"](steps=24, batch_size=16),
    "temporal_ensembling": TRANSFER["temporal_ensembling"](epochs=4, batch_size=16),
}


def stage_data(augmentation: str = "flip-shift") -> StageData:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (240, 1, 16, 16), generator=generator).byte()
    labelled = Labelled(images[:40], torch.arange(40) % 10)
    return StageData(InputTransform.for_source(images, augmentation), labelled, images[40:])


def run(name, path, settings=None, seed=3, stop_at=None, precision="float32", interval=60.0):
    """Train from scratch (or from the checkpoint at `path`); `stop_at` sends this process SIGTERM during that step."""
    settings = settings or OBJECTIVES[name]
    network = networks.build("conv16-32-fc128", (1, 16, 16), 10, seed, precision).to(memory_format=torch.channels_last)
    objective = objectives.build(name, network, stage_data(), settings, seed)
    step = objective.step

    def step_with_signal(number):
        if number == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(number)

    objective.step = step_with_signal
    trained = optimiser(network, settings)
    outcome = train(
        network,
        objective,
        trained,
        settings.clip_norm,
        seed,
        Checkpoints(path, "test", name, interval),
        getattr(settings, "snapshots", ()),
    )
    return network.state_dict(), outcome


def test_no_objective_is_forgotten_here():
    assert {*OBJECTIVES, "untrained"} == {*PRETRAIN, *TRANSFER}  # untrained has no step to be stopped in


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(name, tmp_path):
    path = tmp_path / "state.safetensors"
    expected, uninterrupted = run(name, tmp_path / "unused.safetensors")
    for stop_at in (3, 11):  # stopped twice, in the first and in a later pass over the data
        with pytest.raises(Interrupted, match=f"stopped by SIGTERM after step {stop_at + 1} of"):
            run(name, path, stop_at=stop_at)
    weights, resumed = run(name, path)
    assert resumed.resumed_at == [4, 12]
    assert equal(weights, expected)
    assert resumed.curve == uninterrupted.curve
    assert all(type(step) is int for step in resumed.curve["step"])
    assert resumed.images == uninterrupted.images


def test_in_bfloat16_too_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    expected, _ = run("lautum", tmp_path / "unused.safetensors", precision="bfloat16")
    with pytest.raises(Interrupted):
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


SOURCE, TARGET = {"source_order", "source_augmentation"}, {"target_order", "target_augmentation"}
PARTS = {
    "source_only": SOURCE,
    "mk_mmd": SOURCE | TARGET,
    "entropy": SOURCE | TARGET,
    "lautum": SOURCE | TARGET | {"regularizer"},
    "mutual_information": SOURCE | TARGET | {"regularizer"},
    "lautum_features": SOURCE | TARGET | {"regularizer"},
    "lautum_shuffled": SOURCE | TARGET | {"regularizer", "shuffle"},
    "lautum_source": SOURCE | {"regularizer"},
    "supervised": {"order", "augmentation"},
    "supervised_all_labels": {"order", "augmentation"},
    "supervised_lautum": {"order", "augmentation", "regularizer"} | TARGET,
    "temporal_ensembling": {"order", "order_generator", "augmentation", "ensemble", "epoch_predictions"},
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_checkpoint_has_the_names_that_earlier_versions_wrote(name, tmp_path):
    """So that a run goes on after an update which does not touch what it computes."""
    with pytest.raises(Interrupted):
        run(name, tmp_path / "state.safetensors", stop_at=1)
    state, progress = checkpoint.load(tmp_path / "state.safetensors")
    assert state.keys() == {"network", "optimiser", "objective", "noise", "clipped"}
    assert state["objective"].keys() == PARTS[name]
    assert {key.rstrip("0123456789") for key in state["optimiser"]} == {"moment", "square", "step"}
    assert progress.keys() == {"step", "curve", "seconds", "images", "resumed_at", "identity"}


def test_equal_states_give_equal_bytes_in_whatever_order_their_names_come(tmp_path):
    one, two = torch.ones(2), torch.zeros(3)
    checkpoint.save(tmp_path / "first", {"a": one, "b": {"c": two}}, {"x": 1, "y": 2})
    checkpoint.save(tmp_path / "second", {"b": {"c": two}, "a": one}, {"y": 2, "x": 1})
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize(
    "state", [{"a/b": torch.ones(2)}, {"a/b": {"c": torch.ones(2)}}, {"c": {"a/b": torch.ones(2)}}]
)
def test_a_name_that_would_be_read_back_as_two_is_not_written(state, tmp_path):
    with pytest.raises(ValueError, match="the name 'a/b' of a tensor or of a part must not hold '/'"):
        checkpoint.save(tmp_path / "state", state, {})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_in_the_middle_changes_nothing(tmp_path):
    expected, _ = run("lautum", tmp_path / "none.safetensors")
    with_checkpoints, _ = run("lautum", tmp_path / "each.safetensors", interval=0.0)
    assert (tmp_path / "each.safetensors").exists()
    assert equal(with_checkpoints, expected)


def test_a_disk_that_is_full_for_a_while_costs_a_checkpoint_and_no_more(tmp_path, capsys, monkeypatch):
    expected, _ = run("lautum", tmp_path / "quiet.safetensors")
    calls = []

    def sync(file):
        calls.append(file)
        if len(calls) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    network, _ = run("lautum", tmp_path / "full.safetensors", interval=0.0)
    assert len(calls) == 24  # one after each step
    assert equal(network, expected)
    said = capsys.readouterr().err
    assert said.count("no space left on the device; free some space; going on without this checkpoint") == 19
    assert [path.name for path in tmp_path.iterdir()] == ["full.safetensors"]


def test_a_damaged_or_foreign_checkpoint_is_passed_over(tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    expected, _ = run("supervised", tmp_path / "unused.safetensors")
    with pytest.raises(Interrupted):
        run("supervised", path, stop_at=3)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content, message in (
        (whole[:middle], "state.safetensors cannot be read"),
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "does not have the SHA-256 written in it"),
        (whole.replace(b"test", b"xxxx"), "does not have the SHA-256 written in it"),
        (b"", "state.safetensors cannot be read"),
    ):
        path.write_bytes(content)
        weights, outcome = run("supervised", path)
        assert equal(weights, expected) and outcome.resumed_at == []
        output = capsys.readouterr().err
        assert message in output and "starting from the first step" in output
    path.write_bytes(whole)
    state, progress = checkpoint.load(path)
    checkpoint.save(path, state, progress | {"identity": "another"})
    assert equal(run("supervised", path)[0], expected)
    assert "belongs to another run; starting from the first step" in capsys.readouterr().err


def test_a_whole_checkpoint_that_is_not_a_state_of_the_stage_is_passed_over(tmp_path, capsys):
    path = tmp_path / "state.safetensors"
    expected, _ = run("supervised", tmp_path / "unused.safetensors")
    with pytest.raises(Interrupted):
        run("supervised", path, stop_at=3)
    whole, progress = checkpoint.load(path)
    forged = [whole | {"network": {name: weight[:1] for name, weight in whole["network"].items() if weight.ndim}}]
    forged += [whole | {"optimiser": {name: some.double() for name, some in whole["optimiser"].items()}}]
    forged += [{name: some for name, some in whole.items() if name != left_out} for left_out in ("network", "noise")]
    forged += [whole | {"clipped": torch.zeros(2)}, whole | {"snapshots": {"2": whole["network"]}}, {"noise": {}}]
    for state in forged:
        checkpoint.save(path, state, progress)
        weights, outcome = run("supervised", path)
        assert equal(weights, expected) and outcome.resumed_at == []
        assert "is not its state (its tensors have other names, shapes or types; it is now" in capsys.readouterr().err
    for changed in ({"step": "3"}, {"curve": None}, {"more": 1}, {"resumed_at": [-1]}, {"seconds": True}):
        checkpoint.save(path, whole, progress | changed)
        weights, outcome = run("supervised", path)
        assert equal(weights, expected) and outcome.resumed_at == []
        said = capsys.readouterr().err
        assert "is not its state (" in said and next(iter(changed)) in said
    checkpoint.save(path, whole, progress)
    assert run("supervised", path)[1].resumed_at == [4]


def train_all(folder: Path) -> None:
    """Every objective, whose weights are written when it is trained, with a checkpoint after every step."""
    for name in OBJECTIVES:
        result = folder / f"{name}.safetensors"
        if not result.exists():
            weights, _ = run(name, folder / f"{name}-state.safetensors", interval=0.0)
            checkpoint.save(result, weights, {})


def test_runs_killed_at_random_points_end_with_the_same_weights(tmp_path, processes):
    """SIGKILL, five times over the training of all objectives, which write a checkpoint after every step."""
    waits = random.Random(0)
    kills = 0
    while True:
        process = processes.Process(target=train_all, args=(tmp_path,))
        process.start()
        if kills < 5 and _states(tmp_path, process):
            time.sleep(waits.uniform(0.0, 0.4))
            process.kill()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    assert kills >= 2
    for name in OBJECTIVES:
        weights, _ = checkpoint.load(tmp_path / f"{name}.safetensors")
        assert equal(weights, run(name, tmp_path / "unused.safetensors")[0]), name


def _states(folder: Path, process: BaseProcess) -> bool:
    """Wait until the process has written a new checkpoint; False if it ends first."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*-state.safetensors")}
    while process.is_alive():
        if any(path.stat().st_mtime_ns != before.get(path) for path in folder.glob("*-state.safetensors")):
            return True
        time.sleep(0.005)
    return False


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    settings = PRETRAIN["mk_mmd"](steps=24, batch_size=16, weight=1e38, learning_rate=1e30)
    with pytest.raises(LautumError, match="mk_mmd: .* is (nan|inf) at step .*; lower learning_rate"):
        run("mk_mmd", tmp_path / "state.safetensors", settings)


def test_a_quantity_that_is_logged_from_some_step_on_ends_the_run_there(tmp_path, monkeypatch):
    """Not when all is trained."""
    step = supervised.Objective.step

    def warm(self, number):
        loss, images, scalars = step(self, number)
        return loss, images, scalars | ({"warm": 1.0} if number > 10 else {})

    monkeypatch.setattr(supervised.Objective, "step", warm)
    with pytest.raises(LautumError, match="supervised: warm must be logged at every step or at none; steps 11 and 12 "):
        run("supervised", tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"loss": torch.tensor(7.0)},
            "supervised: loss of the objective is logged already, by it or by the training lo",
        ),
        ({"step": 1.0}, "supervised: step of the objective is logged already"),
        ({"shift": torch.zeros(3)}, "supervised: shift is logged, but is no number: "),
        ({"shift": "0.5"}, "supervised: shift is logged, but is no number: '0.5'"),
        ({"shift": torch.ones((), dtype=torch.complex64)}, "supervised: shift is logged, but is no number: tensor"),
        ({"shift": "large"}, "supervised: shift is logged, but is no number: 'large'"),
    ],
)
def test_what_cannot_be_logged_is_named_when_it_is(said, message, tmp_path, monkeypatch):
    step = supervised.Objective.step
    monkeypatch.setattr(
        supervised.Objective, "step", lambda self, number: (*step(self, number)[:2], step(self, number)[2] | said)
    )
    with pytest.raises(LautumError, match=message):
        run("supervised", tmp_path / "state.safetensors")


def test_a_term_does_not_log_what_the_cross_entropy_logs(tmp_path, monkeypatch):
    term = mk_mmd.Objective.term
    monkeypatch.setattr(
        mk_mmd.Objective, "term", lambda self, *streams: (term(self, *streams)[0], {"source_accuracy": torch.ones(())})
    )
    with pytest.raises(
        ValueError, match="the term logs source_accuracy, as the cross-entropy does; choose another name"
    ):
        run("mk_mmd", tmp_path / "state.safetensors")


def test_numbers_of_any_kind_are_logged_but_each_name_once(tmp_path, monkeypatch):
    step = supervised.Objective.step
    said = {"array": np.array(1.0), "flag": np.bool_(True), "one": torch.ones(1, 1)}
    monkeypatch.setattr(
        supervised.Objective, "step", lambda self, number: (*step(self, number)[:2], step(self, number)[2] | said)
    )
    _, outcome = run("supervised", tmp_path / "state.safetensors")
    assert all(set(outcome.curve[name]) == {1.0} for name in said)
    monkeypatch.setattr(supervised.Objective, "diagnostics", lambda self: {"flag": 2.0})
    with pytest.raises(LautumError, match="supervised: flag of the objective is logged already, by it or by the"):
        run("supervised", tmp_path / "state.safetensors")


class Counting:
    """What has a state, but not of tensors."""

    def state_dict(self):
        return {"count": 3}

    def load_state_dict(self, state):
        pass


OPAQUE = "the part 'mine' must be a tensor .*, got"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (3, f"{OPAQUE} int"),
        (None, f"{OPAQUE} NoneType"),
        (np.random.default_rng(0), f"{OPAQUE} Generator"),
        ({"a": torch.ones(2)}, f"{OPAQUE} dict"),
        (torch.ones(2).bfloat16(), "objective/mine of a stage's state must be a tensor of .*, got torch.bfloat16"),
        (Counting(), "objective/mine/count of a stage's state must be a tensor of .*, got int"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_named_before_the_first_step(part, message, tmp_path, monkeypatch):
    parts = supervised.Objective.parts
    monkeypatch.setattr(supervised.Objective, "parts", lambda self: parts(self) | {"mine": part})
    monkeypatch.setattr(supervised.Objective, "step", lambda self, number: pytest.fail("a step was made"))
    with pytest.raises(ValueError, match=message):
        run("supervised", tmp_path / "state.safetensors")


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
    batches = ShuffledBatches(10, 3, torch.device("cpu"), "test")
    first, second = ([batches.next().tolist() for _ in range(3)] for _ in range(2))
    for one_pass in (first, second):
        assert len({index for batch in one_pass for index in batch}) == 9
    assert first != second
    assert len(ShuffledBatches(10, 64, torch.device("cpu"), "test").next()) == 10
