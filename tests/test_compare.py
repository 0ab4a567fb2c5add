"""Two campaigns side by side: against SciPy's paired test, and against what is known of the committed ones."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import lautum
from lautum.cli import main
from lautum.errors import LautumError
from lautum.results import compare

ROOT = Path(__file__).parent.parent
CELL = ["task", "method", "labels"]


@pytest.fixture(scope="module")
def campaigns():
    return {name: lautum.load(ROOT / "reports" / name) for name in ("first", "published")}


def test_cells_are_paired_by_seed(campaigns):
    first, second = campaigns["first"], campaigns["published"]
    table = compare.cells(first, second).set_index(CELL)
    assert len(table) == 24 and (table["n"] == 5).sum() == 12  # one task, five seeds, four methods and three counts
    for cell in [("mnist-notmnist10k", "lautum", 50), ("mnist-notmnist10k", "standard", 200)]:
        runs = [
            some.runs.set_index([*CELL, "seed"]).sort_index().loc[cell, "accuracy"].loc[:4].to_numpy()
            for some in (first, second)
        ]
        expected = stats.ttest_rel(runs[1], runs[0])
        interval = expected.confidence_interval(0.95)
        row = table.loc[cell]
        assert (row["mean"], row["low"], row["high"]) == pytest.approx(
            (np.mean(runs[1] - runs[0]), interval.low, interval.high)
        )
        assert row["mean_first"] == pytest.approx(runs[0].mean()) and row["n_second"] == 10
    alone = table.loc[("cifar10-cifar100", "lautum", 100)]
    assert alone["n_first"] == alone["n"] == 0 and alone[["mean_first", "mean", "low", "p"]].isna().all()


def test_runs_on_other_images_are_no_pair(campaigns):
    first = campaigns["first"]
    for column in compare.PAIRED[:4]:
        runs = first.runs.copy()
        runs.loc[runs["seed"] == 3, column] = "other"
        table = compare.cells(first, replace(first, runs=runs))
        assert set(table["n"]) == {4} and set(table["same"]) == {4}
    text = compare.text(first, replace(first, runs=runs.assign(split_sha256="other")), ("a", "b"))
    assert "without a difference: no seed in common with the same labelled and evaluated images" in text
    assert "runs differ in split_sha256: " in text and "no setting differs in the cells in common" in text


def test_settings_that_differ_are_named(campaigns):
    first, second = campaigns["first"], campaigns["published"]
    differing = compare.settings(first, second)
    assert not differing.duplicated([*CELL, "name"]).any()
    lautum_50 = differing.query("method == 'lautum' and labels == 50").set_index("name")[["first", "second"]]
    assert lautum_50.loc["precision"].tolist() == ['"float32"', '"bfloat16"']
    # As in config/first.yaml and the winners of the search.
    assert lautum_50.loc["transfer.steps"].tolist() == ["400", "1850"]
    assert "transfer.objective" not in lautum_50.index and "network" not in lautum_50.index
    assert compare.settings(second, second).empty
    text = compare.text(first, second, ("first", "published"))
    assert 'setting precision: "float32" -> "bfloat16"  (mnist-notmnist10k standard, temporal_ensembling' in text
    assert "only in the second: cifar10-cifar100 standard, temporal_ensembling, mk_mmd, lautum at 100, 200, 500" in text


def test_a_method_is_named_with_its_own_label_counts(campaigns):
    whole = campaigns["first"]
    runs = whole.runs[whole.runs["method"].isin(["standard", "lautum"]) & (whole.runs["labels"] < 200)]
    standard = runs["method"] == "standard"
    # Sorted the other way round: label counts are named in their order all the same.
    first = replace(whole, runs=runs.sort_values("labels", ascending=False))
    second = replace(whole, runs=runs[standard & (runs["labels"] == 50)])
    text = compare.text(first, second, ("a", "b"))
    assert "only in the first: mnist-notmnist10k standard at 100 and lautum at 50, 100\n" in text
    axes = deepcopy(whole.axes)
    for key in runs.loc[~(standard & (runs["labels"] == 50)), "settings"]:
        axes[key]["network"] = "another"
    text = compare.text(first, replace(first, axes=axes), ("a", "b"))
    assert '"another"  (mnist-notmnist10k standard at 100 and lautum at 50, 100)' in text


def test_the_controls_repeat_the_published_runs(capsys):
    folders = [str(ROOT / "reports" / name) for name in ("published", "controls")]
    assert main(["compare", *folders]) == 0
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines() if line.split()[1:2] in (["standard"], ["lautum"])]
    assert [row[-2:] for row in rows] == [["10", "10"]] * 6  # all pairs have the same predictions
    assert "no setting differs in the cells in common" in output
    assert "runs differ in torch: 2.15.0+cu132 -> 2.14.1+cu130" in output and "sha256" not in output


def test_folders_that_do_not_do(tmp_path, capsys):
    assert main(["compare", str(ROOT / "reports/published"), str(ROOT / "reports/contrls")]) == 1
    assert "contrls does not exist; did you mean 'controls'?" in capsys.readouterr().err
    copy = tmp_path / "first"
    shutil.copytree(ROOT / "reports/first", copy, ignore=shutil.ignore_patterns("*.p*", "*.svg", "*.html"))
    settings = json.loads((copy / "settings.json").read_text())
    settings[next(iter(settings))]["split"]["labels"] = 60
    (copy / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(LautumError, match="settings.json is not what was written there"):
        lautum.load(copy)
    (copy / "settings.json").unlink()
    text = compare.text(lautum.load(copy), lautum.load(ROOT / "reports/first"), ("a", "b"))
    assert "the first has no settings.json: `lautum collect` with its configuration writes it" in text
