"""Results as data frames: what a reader with pandas alone finds in the files, and what docs/results.md says of it."""

import gzip
import json
import re
from pathlib import Path

import committed
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load

import lautum
from lautum.errors import LautumError
from lautum.experiment import config
from lautum.experiment.layout import Layout

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "reports/first-cifar10-cifar100"
DOCS = (ROOT / "docs/results.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results():
    return lautum.load(FOLDER)


def test_frames_hold_what_the_files_do(results):
    table = pd.read_csv(FOLDER / "records.csv", dtype={name: str for name in ("key", "settings", "commit")})
    pd.testing.assert_frame_equal(results.runs, table)
    stored = load(gzip.decompress((FOLDER / "predictions.safetensors.gz").read_bytes()))
    runs = results.predictions.groupby(["task", "method", "labels", "seed"], sort=False, observed=True)
    assert len(runs) == len(table) == 60
    for (task, method, labels, seed), rows in runs:
        assert rows["image"].tolist() == list(range(1000))
        np.testing.assert_array_equal(rows["predicted"], stored[f"{task}/{method}/n{labels}/seed{seed}"])
        np.testing.assert_array_equal(rows["truth"], stored[f"{task}/labels"])
    np.testing.assert_allclose(runs["correct"].mean(), table["accuracy"])
    curves = pd.read_csv(FOLDER / "curves.csv.gz", dtype={"labels": str})
    pd.testing.assert_frame_equal(results.curves, curves)


def test_differences_are_those_of_the_table(results):
    """reports/*/differences.csv was rendered by another way: from the predictions."""
    table = pd.read_csv(FOLDER / "differences.csv")
    assert len(table) > 5
    for row in table.itertuples():
        chosen = results.differences.query(
            "task == @row.task and labels == @row.labels and method == @row.method and baseline == @row.baseline"
        )
        assert len(chosen) == row.n and chosen["seed"].is_unique
        assert chosen["difference"].mean() == pytest.approx(row.mean)
    pairs = results.differences.groupby(["method", "baseline"]).size()
    assert len(pairs) == 12 and set(pairs) == {15}  # four methods, both ways; five seeds and three label counts


@pytest.mark.parametrize("name", [path.parent.name for path in committed.reports("*/records.csv")])
def test_every_campaign_here_opens_without_its_configuration(name):
    results = lautum.load(ROOT / "reports" / name)
    assert len(results.runs) and len(results.curves)


def described(frame: str) -> set[str]:
    section = DOCS.split(f"## `results.{frame}`")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_settings_are_those_that_the_runs_were_made_with(results):
    chosen = results.settings.query("method == 'lautum' and labels == 100").set_index("name")["value"]
    assert (chosen["network"], chosen["pretrain.objective"], chosen["transfer.objective"]) == (
        '"conv32-64-fc512"',
        '"lautum"',
        '"supervised"',
    )
    layout = Layout(config.load(ROOT / "config/first-cifar10-cifar100.yaml"))
    loaded = layout.config.pretrain_settings("cifar10-cifar100", "lautum")
    assert json.loads(chosen["pretrain.rank"]) == loaded.rank
    assert set(results.settings["settings"]) == set(results.runs["settings"]) == set(results.axes)


@pytest.mark.parametrize("frame", ["runs", "differences", "predictions", "settings"])
def test_every_column_is_described(results, frame):
    assert described(frame) == set(getattr(results, frame).columns)


def test_every_quantity_of_the_curves_is_described():
    columns = {name for path in committed.reports("*/curves.csv.gz") for name in pd.read_csv(path, nrows=0).columns}
    section = DOCS.split("## `results.curves`")[1]
    assert [name for name in columns if f"`{name}`" not in section] == []


def test_the_examples_run_as_printed(monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
        exec(code, names)
    assert names["accuracy"].loc[("cifar10-cifar100", 200), "lautum"] == pytest.approx(60.92, abs=0.005)
    table = pd.read_csv(ROOT / "reports/published/differences.csv").set_index(["task", "labels", "method", "baseline"])
    expected = table.loc[("cifar10-cifar100", 200, "lautum", "standard")]
    assert names["comparison"].mean == pytest.approx(expected["mean"])
    assert names["mean_gain"].loc[("cifar10-cifar100", 200), "mean"] == pytest.approx(expected["mean"])
    assert names["worst"] in set("ABCDEFGHIJ") and names["information"].iloc[-1].notna().all()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(LautumError, match="publishd does not exist; did you mean 'published'"):
        lautum.load(ROOT / "reports/publishd")
    with pytest.raises(LautumError, match="records.csv does not exist; run `lautum collect`"):
        lautum.load(tmp_path / "none")
