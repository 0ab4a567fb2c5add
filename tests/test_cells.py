"""The job that finishes the cells of one pre-training or several: one by one, none twice, one that fails stops none."""

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
import yaml

from lautum.cli import main
from lautum.data import splits
from lautum.errors import Damaged, LautumError
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.objectives import supervised
from lautum.pipeline import cells, environment, loading, locks, receipt
from lautum.pipeline import evaluate as evaluating
from lautum.pipeline.cells import finish
from lautum.pipeline.split import split
from lautum.pipeline.train import pretrain
from lautum.training import checkpoint
from lautum.training.interruption import Interrupted

ROOT = Path(__file__).parent.parent


@pytest.fixture
def campaign(tmp_path, monkeypatch, builtin_data) -> Layout:
    """Standard and TE at two label counts, pre-trained."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(builtin_data, "data")
    quick = {
        "pretrain": {"steps": 3, "batch_size": 32},
        "transfer": {"steps": 3, "epochs": 2},
        "label_counts": [20, 40],
    }
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "mine", "device": "cpu", "comparisons": []}
    values |= {"grid": {"tasks": ["digits-letters"], "methods": ["standard", "temporal_ensembling"], "seeds": 1}}
    Path("mine.yaml").write_text(yaml.safe_dump(values | {"tasks": {"digits-letters": quick}}))
    layout = Layout(config.load("mine.yaml"))
    for labels in (20, 40):
        split(layout, "digits-letters", labels, 0)
    pretrain(layout, "digits-letters", "standard", 20, 0)
    return layout


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("results").rglob("seed*.safetensors")}


def times() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path("results").rglob("seed*")}


def test_what_is_finished_is_left_alone_and_what_is_lost_is_made_again(campaign):
    (batch,) = campaign.batches(campaign.cells())
    assert finish(campaign, batch) == batch.receipt
    receipt.check(campaign, batch.receipt)
    whole, before = contents(), times()
    finish(campaign, batch)
    changed = {name for name, moment in times().items() if moment != before[name]}
    assert changed == {str(batch.receipt)}

    first, second = batch.cells[:2]
    campaign.record(first).unlink()
    campaign.transferred(second).unlink()
    finish(campaign, batch)
    changed = {name for name, moment in times().items() if moment != before[name]}
    evaluated, trained = campaign.record(first), campaign.transferred(second)
    # The network of the second is the same again, so its record stands.
    made = {evaluated, evaluated.with_suffix(".safetensors"), trained, trained.with_suffix(".json"), batch.receipt}
    assert changed == {str(path) for path in made}
    assert contents() == whole


def test_a_cell_of_two_jobs_is_evaluated_by_one_at_a_time(campaign, monkeypatch):
    (batch,) = campaign.batches(campaign.cells()[:1])
    finish(campaign, batch)
    record, begun, looked, free = campaign.record(batch.cells[0]), threading.Event(), [], threading.Event()
    record.unlink()

    def other() -> None:
        with locks.lock(campaign.checkpoint(record).with_suffix(".lock")):
            begun.set()
            assert free.wait(20)
            looked.append(record.exists())

    wait = locks._wait
    monkeypatch.setattr(locks, "_wait", lambda *arguments: (free.set(), wait(*arguments)))
    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(20)
    finish(campaign, batch)
    thread.join()
    assert looked == [False] and record.exists()


def test_a_record_names_the_commit_at_which_its_job_began(campaign, monkeypatch):
    """Another one is checked out while it trains."""
    (batch,) = campaign.batches(campaign.cells()[:1])
    heads, transfer = ["a" * 12], cells.transfer
    answers = {"--show-toplevel": lambda: str(ROOT), "HEAD": lambda: heads[-1], "lautum": lambda: ""}
    monkeypatch.setattr(environment, "_git", lambda root, *arguments: answers[arguments[-1]]())
    monkeypatch.setattr(cells, "transfer", lambda *arguments: (heads.append("b" * 12), transfer(*arguments)))
    environment.commit_of.cache_clear()
    finish(campaign, batch)
    environment.commit_of.cache_clear()
    record = json.loads(campaign.record(batch.cells[0]).read_text())
    assert record["environment"]["commit"] == "a" * 12 and heads[-1] == "b" * 12


def test_the_cost_of_a_stage_is_what_it_did(campaign):
    (batch,) = campaign.batches(campaign.cells()[:1])
    finish(campaign, batch)
    (cell,) = batch.cells
    pretrained = campaign.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    for path, images in ((pretrained, 3 * 32), (campaign.transferred(cell), 3 * 20)):  # steps x batch
        cost = json.loads(path.with_suffix(".json").read_text())
        assert cost["steps"] == 3 and cost["curve"]["step"] == [1, 2, 3] and cost["resumed_at"] == []
        assert cost["images_per_second"] * cost["seconds"] == pytest.approx(images)
        assert cost["seconds"] > 0 and cost["peak_memory_mb"] > 100 and cost["device"] == "cpu"


def test_a_network_says_what_it_was_trained_on(campaign):
    (batch,) = campaign.batches(campaign.cells()[:1])
    finish(campaign, batch)
    (cell,) = batch.cells
    pretrain(campaign, cell.task, "lautum", cell.labels, cell.seed)
    written = json.loads(campaign.split(cell.task, cell.labels, cell.seed).read_text())
    for method in ("standard", "lautum"):
        _, origin = checkpoint.check(campaign.pretrained(cell.task, method, cell.labels, cell.seed))
        assert origin["key"] == campaign.pretrain_key(cell.task, method, cell.labels) and origin["seed"] == cell.seed
        shown = {"target_train_sha256": written["target_train_sha256"], "split_sha256": written["sha256"]}
        assert {name: origin.get(name) for name in shown} == (shown if method == "lautum" else dict.fromkeys(shown))
    _, origin = checkpoint.check(campaign.transferred(cell))
    assert origin["key"] == campaign.transfer_key(cell.task, cell.method, cell.labels)
    assert {name: origin[name] for name in shown} == shown
    record = json.loads(campaign.record(cell).read_text())
    assert 0 < record["evaluate"]["seconds"] < 60 and record["evaluate"]["peak_memory_mb"] > 100


def test_a_network_is_evaluated_in_the_precision_it_was_trained_in(campaign, monkeypatch):
    values = yaml.safe_load(Path("mine.yaml").read_text())
    values["tasks"]["digits-letters"]["precision"] = "bfloat16"
    Path("mine.yaml").write_text(yaml.safe_dump(values))
    rounded = Layout(config.load("mine.yaml"))
    pretrain(rounded, "digits-letters", "standard", 20, 0)
    used, predict = [], evaluating.predict
    monkeypatch.setattr(evaluating, "predict", lambda network, *rest: used.append(network) or predict(network, *rest))
    (batch,) = rounded.batches(rounded.cells()[:1])
    finish(rounded, batch)
    assert [network.precision for network in used] == ["bfloat16"]


def test_company_and_order_change_no_cell(campaign):
    (batch,) = campaign.batches(campaign.cells())
    finish(campaign, batch)
    together = contents()
    for folder in ("transferred", "evaluated-test"):
        shutil.rmtree(f"results/{folder}")
    for cell in reversed(campaign.cells()):
        (alone,) = campaign.batches([cell])
        assert alone.receipt != batch.receipt
        finish(campaign, alone)
    assert contents() == together


def test_a_cell_that_fails_stops_no_other(campaign, capsys):
    (batch,) = campaign.batches(campaign.cells())
    lost = batch.cells[1]
    path = campaign.split(lost.task, lost.labels, lost.seed)
    path.write_text("{}")
    with pytest.raises(LautumError, match="2 of 4 cells failed; the others are finished"):
        finish(campaign, batch)
    output = capsys.readouterr().err
    assert f"lautum: error: {path} is not a split" in output and f"(it is now {path.name}.damaged)" in output
    assert not batch.receipt.exists()
    assert [campaign.record(cell).exists() for cell in batch.cells] == [
        cell.labels != lost.labels for cell in batch.cells
    ]


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("out of memory"), OSError("no number")])
def test_whatever_ends_a_cell_stops_no_other(error, campaign, monkeypatch, capsys):
    (batch,) = campaign.batches(campaign.cells())

    def failing(layout, cell):
        if cell == batch.cells[0]:
            raise error
        return evaluating.evaluate(layout, cell)

    monkeypatch.setattr(cells, "evaluate", failing)
    with pytest.raises(LautumError, match="1 of 4 cells failed; the others are finished"):
        finish(campaign, batch)
    assert type(error).__name__ in capsys.readouterr().err
    assert [campaign.record(cell).exists() for cell in batch.cells] == [False, True, True, True]


def test_another_version_of_the_data_is_trained_on_anew(campaign):
    (batch,) = campaign.batches(campaign.cells()[:1])
    finish(campaign, batch)
    (cell,) = batch.cells
    before = campaign.transferred(cell).read_bytes()
    # A split that was drawn otherwise, in the place of the one that the network was trained on.
    target, other, classes = loading.target(campaign, cell.task, 40, cell.seed)
    key = campaign.split_key(cell.task, cell.labels)
    splits.write(campaign.split(cell.task, cell.labels, cell.seed), other, target, classes, cell.seed, key)
    finish(campaign, batch)
    assert campaign.transferred(cell).read_bytes() != before
    assert json.loads(campaign.record(cell).read_text())["split_sha256"] == other.sha256


def test_a_request_to_stop_during_the_last_step_of_a_cell_is_heard_before_the_next(campaign, monkeypatch):
    (batch,) = campaign.batches(campaign.cells())
    step = supervised.Objective.step

    def step_with_signal(self, number):
        if number == self.steps - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number)

    monkeypatch.setattr(supervised.Objective, "step", step_with_signal)
    with pytest.raises(Interrupted, match="stopped by SIGTERM before Cell.*standard.*40"):
        finish(campaign, batch)
    assert [campaign.record(cell).exists() for cell in batch.cells] == [True, False, False, False]


def test_a_job_has_as_many_cells_as_the_configuration_says(campaign):
    values = yaml.safe_load(Path("mine.yaml").read_text())
    Path("mine.yaml").write_text(yaml.safe_dump(values | {"cells_per_job": 3}))
    layout = Layout(config.load("mine.yaml"))
    batches = layout.batches(layout.cells())
    assert [len(batch.cells) for batch in batches] == [3, 1] and len({batch.receipt for batch in batches}) == 2
    assert [cell for batch in batches for cell in batch.cells] == layout.cells()
    assert layout.cells() == campaign.cells()  # and the keys of the cells are those of any other size
    assert [layout.record(cell) for cell in layout.cells()] == [campaign.record(cell) for cell in campaign.cells()]


def one_job(seeds: int, pretrainings: int) -> Layout:
    """The campaign with Lautum and more seeds, and so many pre-trainings in a job."""
    values = yaml.safe_load(Path("mine.yaml").read_text())
    values["grid"] |= {"methods": ["standard", "temporal_ensembling", "lautum"], "seeds": seeds}
    values["tasks"]["digits-letters"] |= {"methods": {"lautum": {"pretrain": {"rank": 10}}}, "label_counts": [20]}
    Path("mine.yaml").write_text(yaml.safe_dump(values | {"pretrainings_per_job": pretrainings}))
    return Layout(config.load("mine.yaml"))


def test_a_job_of_several_pretrainings_makes_what_jobs_of_one_make(campaign):
    layout = one_job(seeds=2, pretrainings=4)
    split(layout, "digits-letters", 20, 1)
    (batch,) = layout.batches(layout.cells())
    assert len(layout.networks(batch.cells)) == 4 and len(batch.cells) == 6
    finish(layout, batch)
    receipt.check(layout, batch.receipt)
    together = contents()
    for folder in ("pretrained", "transferred", "evaluated-test"):
        shutil.rmtree(f"results/{folder}")
    alone = one_job(seeds=2, pretrainings=0)
    with pytest.raises(LautumError, match="1 of 1 cells failed"):  # then the pre-training is another job's
        finish(alone, alone.batches(alone.cells())[-1])
    for cell in reversed(alone.cells()):
        pretrain(alone, cell.task, cell.method, cell.labels, cell.seed)
        finish(alone, *alone.batches([cell]))
    assert contents() == together


def test_a_job_has_as_many_pretrainings_as_the_configuration_says_with_all_their_cells(campaign):
    separate = one_job(seeds=3, pretrainings=0)
    layout = one_job(seeds=3, pretrainings=4)
    batches = layout.batches(layout.cells())
    assert [len(layout.networks(batch.cells)) for batch in batches] == [4, 2]
    assert sorted(map(str, (c for batch in batches for c in batch.cells))) == sorted(map(str, layout.cells()))
    assert len({batch.receipt for batch in batches}) == 2
    # Which other seeds are in a job is in its key.
    first, second = ([cell for cell in layout.cells() if cell.seed in (0, seed)] for seed in (1, 2))
    assert layout.batch(first).key != layout.batch(second).key
    # Every file of a cell is where it is without company.
    assert [layout.record(cell) for cell in layout.cells()] == [separate.record(cell) for cell in layout.cells()]


def test_a_pretraining_that_fails_stops_no_other(campaign, capsys):
    layout = one_job(seeds=2, pretrainings=4)  # no split of the second seed
    (batch,) = layout.batches(layout.cells())
    with pytest.raises(LautumError, match="3 of 6 cells failed; the others are finished"):
        finish(layout, batch)
    assert [layout.record(cell).exists() for cell in batch.cells] == [cell.seed == 0 for cell in batch.cells]


def test_several_pretrainings_by_hand(campaign, capsys):
    layout = one_job(seeds=2, pretrainings=2)
    split(layout, "digits-letters", 20, 1)
    batch = layout.batches(layout.cells())[0]
    names = [f"{cell.method}:20:{cell.seed}" for cell in batch.cells]
    assert names == ["standard:20:0", "temporal_ensembling:20:0", "standard:20:1", "temporal_ensembling:20:1"]
    options = ["--config", "mine.yaml", "--task", "digits-letters", "--seed", "0", "--key", batch.key]
    assert main(["cells", *options, *names]) == 0
    assert capsys.readouterr().out == f"{batch.receipt}\n"


def test_a_receipt_is_withdrawn_with_its_records(campaign):
    (batch,) = campaign.batches(campaign.cells())
    finish(campaign, batch)
    files = [campaign.record(cell).with_suffix(suffix) for cell in batch.cells for suffix in (".json", ".safetensors")]
    receipt.withdraw(batch.receipt, files)
    assert batch.receipt.exists()
    record = campaign.record(batch.cells[2])
    record.write_text(record.read_text() + " ")
    with pytest.raises(Damaged, match="is not the receipt of .*seed0.json; run again"):
        receipt.check(campaign, batch.receipt)
    for suffix in (".json", ".safetensors"):
        finish(campaign, batch)
        record.with_suffix(suffix).unlink()
        receipt.withdraw(batch.receipt, files)
        assert not batch.receipt.exists()


def test_a_receipt_that_cannot_be_withdrawn_is_no_secret(tmp_path, monkeypatch):
    receipts = tmp_path / "a file.json", tmp_path / "a folder.json"
    receipts[0].touch()
    receipts[1].mkdir()

    def refusing(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refusing)
    with pytest.raises(PermissionError):
        receipt.withdraw(receipts[0], [tmp_path / "gone"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refusing)
        with pytest.raises(LautumError, match="a folder.json is a folder .* cannot be renamed"):
            receipt.withdraw(receipts[1], [tmp_path / "gone"])
    receipt.withdraw(receipts[1], [tmp_path / "gone"])
    assert receipts[0].exists() and not receipts[1].exists()


def test_a_checkpoint_of_a_finished_stage_goes(campaign):
    """Of a job that was killed when the network was written."""
    (batch,) = campaign.batches(campaign.cells())
    finish(campaign, batch)
    left = [campaign.checkpoint(campaign.transferred(cell)) for cell in batch.cells]
    for path in left:
        path.write_text("left")
    batch.receipt.unlink()
    for cell in batch.cells:
        campaign.record(cell).unlink()
    finish(campaign, batch)
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["standard"], "a cell is written METHOD:LABELS or METHOD:LABELS:SEED, e.g. standard:50, got 'standard'"),
        (["standard:²"], "e.g. standard:50, got 'standard:²'"),
        (["standard:" + "9" * 5000], "e.g. standard:50, got 'standard:999"),
        (["standard:20:0:0"], "e.g. standard:50, got 'standard:20:0:0'"),
        (["standard:30"], "task digits-letters has no label count 30; its label_counts are 20, 40"),
        (["standart:20"], "unknown method 'standart'; did you mean 'standard'?"),
        (["standard:20", "lautum:20"], "standard:20 lautum:20 begin with 2 different pre-trainings; give those of one"),
        (["standard:20", "--key", "0" * 12], "the settings or the code changed since this job was planned"),
    ],
)
def test_mistakes_by_hand_are_named(campaign, capsys, cells, message):
    assert main(["cells", "--config", "mine.yaml", "--task", "digits-letters", "--seed", "0", *cells]) == 1
    assert message in capsys.readouterr().err


def test_by_hand(campaign, capsys):
    assert main(["cells", "--config", "mine.yaml", "--task", "digits-letters", "--seed", "0", "standard:20"]) == 0
    (batch,) = campaign.batches(campaign.cells()[:1])
    assert capsys.readouterr().out == f"{batch.receipt}\n"
