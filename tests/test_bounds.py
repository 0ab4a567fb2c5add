"""The bounds and the label-frugal protocol, from the built-in data to a table: who is shown which labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from lautum import objectives
from lautum.data import datasets
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.pipeline.evaluate import evaluate
from lautum.pipeline.split import split
from lautum.pipeline.train import pretrain, transfer
from lautum.report import tables
from lautum.results import collected, records, selection

ROOT = Path(__file__).parent.parent


def layout(folder: Path, builtin_data: Path, **values) -> Layout:
    shutil.copytree(builtin_data, folder / "data")
    quick = {"label_counts": [20], "pretrain": {"steps": 3, "batch_size": 32}, "transfer": {"steps": 3}}
    base = {"extends": str(ROOT / "config/config.yaml"), "name": "mine", "device": "cpu", "comparisons": []}
    (folder / "mine.yaml").write_text(yaml.safe_dump(base | {"tasks": {"digits-letters": quick}} | values))
    return Layout(config.load("mine.yaml"))


def run(campaign: Layout) -> None:
    for cell in campaign.cells():
        split(campaign, cell.task, cell.labels, cell.seed)
        pretrain(campaign, cell.task, cell.method, cell.labels, cell.seed)
        transfer(campaign, cell)
        evaluate(campaign, cell)


def test_who_is_shown_which_labels(tmp_path, monkeypatch, builtin_data):
    monkeypatch.chdir(tmp_path)
    methods = ["standard", "target_only", "all_target_labels"]
    campaign = layout(
        tmp_path, builtin_data, grid={"tasks": ["digits-letters"], "methods": methods, "seeds": 1}, comparisons=[]
    )
    shown, build = [], objectives.build

    def spy(name, network, data, *rest):
        shown.append((name, data.labelled))
        return build(name, network, data, *rest)

    monkeypatch.setattr(objectives, "build", spy)
    run(campaign)
    target = datasets.load(Path("data/letters-train.safetensors"), "letters", "train")
    drawn = json.loads(campaign.split("digits-letters", 20, 0).read_text())
    # In the grid's order: the second supervised transfer is that of target_only.
    lower = [labelled for name, labelled in shown if name == "supervised"][1]
    upper = [labelled for name, labelled in shown if name == "supervised_all_labels"][0]
    for labelled, index in ((lower, drawn["labelled"]), (upper, drawn["labelled"] + drawn["unlabelled"])):
        assert np.array_equal(labelled.images.numpy(), target.images[index])
        assert np.array_equal(labelled.labels.numpy(), target.labels[index])
    records.collect(campaign)
    results = records.read(campaign)
    table = tables.accuracy_table(
        tables.grid(results.runs, [(c.task, c.method, c.labels, c.seed) for c in campaign.cells()]),
        campaign.config.tasks,
    )
    assert list(table["method"]) == methods and table["mean"].between(0, 1).all()
    # What was not trained has no curve and cost nothing.
    assert set(results.curves.loc[results.curves["stage"] == "pretrain", "methods"]) == {"standard+all_target_labels"}
    assert results.runs.set_index("method").loc["target_only", "pretrain_images_per_second"] == 0


def test_the_frugal_protocol_from_split_to_winners(tmp_path, monkeypatch, builtin_data):
    monkeypatch.chdir(tmp_path)
    rate = {"learning_rate": {"low": 1e-3, "high": 1e-2, "source": "chosen: for the test"}}
    campaign = layout(
        tmp_path,
        builtin_data,
        grid={"tasks": ["digits-letters"], "methods": ["standard"], "seeds": [5, 6]},
        evaluate={"part": "validation", "validation_images": 10, "validation_from": "labelled"},
        search={"trials": 2, "rungs": [2], "space": {"standard": {"transfer": rate}}},
    )
    run(campaign)
    # Ten of the twenty labelled images are held out, other ones for each seed.
    drawn = [json.loads(campaign.split("digits-letters", 20, seed).read_text()) for seed in (5, 6)]
    assert all(len(one["labelled"]) == len(one["validation"]) == 10 for one in drawn)
    assert drawn[0]["validation"] != drawn[1]["validation"]
    records.collect(campaign, selection.cells(campaign))
    trials, _ = selection.write_trials("mine.yaml")
    table = selection.read_trials(trials)
    assert table["runs"].tolist() == [2, 2] and table["selected"].sum() == 1
    assert set(table["n_images"]) == {10}


def test_validation_images_of_each_seed_have_their_own_truth():
    first, second = np.arange(10, dtype=np.uint8), np.arange(10, dtype=np.uint8)[::-1]
    cells = [("t", "m", 20, 0, "validation"), ("t", "m", 20, 1, "validation")]
    runs = pd.DataFrame(cells, columns=["task", "method", "labels", "seed", "part"])
    predictions = {"t/m/n20/seed0": first, "t/m/n20/seed1": second}
    predictions |= {"t/n20/seed0/labels": first, "t/n20/seed1/labels": second}
    assert collected.Results(runs, predictions, {}, pd.DataFrame(), {}).correct(runs).all()
