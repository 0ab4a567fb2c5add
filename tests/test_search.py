"""The search for hyper-parameters: what is declared is what is tried, the same number for all, and the best goes on."""

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.collections import PathCollection
from pages import Page
from pydantic import PositiveInt
from test_config import SHIPPED
from test_records import write_record

from lautum.errors import Damaged, LautumError
from lautum.experiment import config, config_files, designs, search, universes
from lautum.experiment.layout import Layout
from lautum.experiment.search import draw, quasi_random
from lautum.experiment.space import Range, is_whole
from lautum.objectives import PRETRAIN, TRANSFER
from lautum.objectives.settings import setting
from lautum.report import selection_figures, selection_page
from lautum.report.style import METHOD_STYLES
from lautum.results import records, selection

ROOT = Path(__file__).parent.parent
RATE = {"low": 1e-4, "high": 1e-2, "source": "chosen: for the test"}
SEARCH = {
    "extends": str(ROOT / "config/config.yaml"),
    "name": "search",
    "grid": {"tasks": ["digits-letters"], "methods": ["standard", "lautum"], "seeds": [1000, 1001]},
    "evaluate": {"part": "validation", "validation_images": 100},
    "comparisons": [],
    "search": {
        "trials": 4,
        "rungs": [1, 2],
        "space": {
            "standard": {"transfer": {"learning_rate": RATE}},
            "lautum": {
                "pretrain": {
                    "rank": {"low": 10, "high": 210, "scale": "linear", "source": "chosen: for the test"},
                    "weight": RATE,
                }
            },
        },
    },
    "tasks": {"digits-letters": {"label_counts": [50, 100], "methods": {"lautum": {"pretrain": {"decay": 0.5}}}}},
}


def write(folder: Path, **changes) -> Path:
    path = folder / "search.yaml"
    values = SEARCH | {"folders": {"results": f"{folder}/results", "reports": f"{folder}/reports"}} | changes
    path.write_text(yaml.safe_dump(values))
    return path


def test_held_out_images_without_trials_are_refused(tmp_path):
    with pytest.raises(LautumError, match="validation needs a search, or trial_of for standard, lautum"):
        config.load(write(tmp_path, search=None))


def test_every_method_gets_as_many_trials_within_its_declared_space(tmp_path):
    loaded = config.load(write(tmp_path))
    assert Counter(loaded.methods[name].trial_of for name in loaded.grid.methods) == {"standard": 4, "lautum": 4}
    trials = [loaded.pretrain_settings("digits-letters", f"lautum-t0{number}") for number in range(4)]
    # One trial in each quarter of each range, on the declared scale; whole numbers stay whole.
    assert sorted(int((trial.rank - 10) / 50) for trial in trials) == [0, 1, 2, 3]
    assert all(isinstance(trial.rank, int) for trial in trials)
    assert sorted(int(2 * np.log10(trial.weight / 1e-4)) for trial in trials) == [0, 1, 2, 3]
    assert {trial.decay for trial in trials} == {0.5}  # what the method sets otherwise it keeps
    rates = [loaded.transfer_settings("digits-letters", f"standard-t0{number}").learning_rate for number in range(4)]
    assert sorted(int(2 * np.log10(rate / 1e-4)) for rate in rates) == [0, 1, 2, 3]
    sources = {row["source"] for row in config.hyper_parameters(write(tmp_path)) if row["name"] == "weight"}
    assert sources == {f"chosen: trial {number} of 4" for number in range(4)}


def test_the_points_are_pinned_and_spread():
    # Other points would be other trials than those of the committed records.
    assert quasi_random(16, 6)[0] == pytest.approx([0.74777, 0.7897, 0.39227, 0.13654, 0.1633, 0.23664], abs=2e-5)
    for dimensions in (1, 3, 6):
        points = quasi_random(16, dimensions)
        assert all(sorted((16 * column).astype(int)) == list(range(16)) for column in points.T)
        assert np.abs(np.corrcoef(points.T) - np.eye(dimensions)).max() < 0.25
    assert quasi_random(4, 0).shape == (4, 0)


def test_the_points_that_are_kept_are_those_that_are_drawn():
    names = list(json.loads(designs.PATH.read_text()))
    assert len(names) == 11
    for name in names:
        first, dimensions = name.split(" x ")
        if first.startswith("Halton "):
            drawn = universes.draw(64, int(dimensions), int(first.removeprefix("Halton ")))
        else:
            drawn = draw(int(first), int(dimensions))
        assert np.array_equal(designs.kept(name), drawn), name
    assert designs.kept("17 x 3") is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_configuration_of_the_suite_waits_for_points_to_be_drawn(path, monkeypatch):
    for module in (search, universes):
        monkeypatch.setattr(module, "draw", lambda *_: pytest.fail("points were drawn"))
    config.load(path)


def test_a_position_on_a_range():
    assert Range(low=1e-4, high=1, source="chosen: x").at(0.5) == 0.01
    assert Range(low=2, high=6, scale="linear", source="chosen: x").at(0.25) == 3


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(("low", "high"), [(0.99, 0.9999), (1006, 1996), (0.12345, 0.12355), (10, 210), (1e-9, 1.2345)])
def test_no_position_on_a_range_is_beyond_its_bounds(low, high, scale):
    allowed = Range(low=low, high=high, scale=scale, source="chosen: x")
    for position in np.linspace(0, 1, 1001):
        assert low <= allowed.at(position) <= high
        if isinstance(low, int):
            assert isinstance(allowed.at(position, whole=True), int) and low <= allowed.at(position, whole=True) <= high


def test_no_trial_is_beyond_bounds_that_need_more_digits_than_it_has(tmp_path):
    decay = {"low": 0.99, "high": 0.9999, "scale": "linear", "source": "chosen: x"}
    space = {"standard": {}, "lautum": {"pretrain": {"decay": decay}}}
    loaded = config.load(write(tmp_path, search=SEARCH["search"] | {"trials": 16, "space": space}))
    drawn = [loaded.pretrain_settings("digits-letters", f"lautum-t{number:02d}").decay for number in range(16)]
    assert len(set(drawn)) > 8 and 0.99 <= min(drawn) and max(drawn) == 0.9999


@pytest.mark.parametrize("name", [*PRETRAIN, *TRANSFER])
def test_what_counts_is_drawn_as_a_whole_number_also_where_it_may_be_left_out(name):
    schema = (PRETRAIN | TRANSFER)[name]
    for field, declared in schema.model_json_schema()["properties"].items():
        kinds = {kind.get("type") for kind in declared.get("anyOf", [declared])} - {"null"}
        assert is_whole(schema, field) == (kinds == {"integer"}), field


def test_a_setting_of_a_plugin_counts_whatever_bounds_its_type_has():
    class Settings(TRANSFER["supervised"]):
        width: PositiveInt | None = setting(None, "units", "chosen: x", "of a layer")
        share: float | None = setting(None, "-", "chosen: x", "of the units")

    assert is_whole(Settings, "width") and not is_whole(Settings, "share")


def test_passes_over_the_labelled_images_are_searched_where_the_task_sets_steps(tmp_path):
    passes = {"low": 10, "high": 100, "source": "chosen: x"}
    space = {"standard": {"transfer": {"labelled_epochs": passes}}, "lautum": {}}
    task = {"label_counts": [50], "methods": {"standard": {"transfer": {"steps": None}}}}
    path = write(tmp_path, search=SEARCH["search"] | {"space": space}, tasks={"digits-letters": task})
    loaded = config.load(path)
    drawn = [loaded.transfer_settings("digits-letters", f"standard-t0{n}").labelled_epochs for n in range(4)]
    assert all(isinstance(value, int) and 10 <= value <= 100 for value in drawn) and len(set(drawn)) == 4
    # What it ends with can be extended, and says what was taken away.
    layout = Layout(loaded)
    for cell in selection.rung_cells(layout, 1):
        write_record(layout, cell, 5)
    selection.write_rung(path, 1)
    for cell in selection.rung_cells(layout, 2):
        write_record(layout, cell, 5)
    records.collect(layout, selection.cells(layout))
    _, winners = selection.write_trials(path)
    values = {"extends": [str(ROOT / "config/config.yaml"), str(winners)], "name": "main"}
    (tmp_path / "main.yaml").write_text(yaml.safe_dump(values | {"grid": {"tasks": ["digits-letters"]}}))
    tuned = config.load(tmp_path / "main.yaml").transfer_settings("digits-letters", "standard")
    assert tuned.labelled_epochs == drawn[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"trials": 1}, "search.trials: Input should be greater than or equal to 2, got 1"),
        ({"rungs": [2, 1]}, r"rungs must be increasing numbers of seeds, got \[2, 1\]"),
        ({"rungs": [1, 8]}, r"4 trials are too few for rungs \[1, 8\]: none would be left"),
        ({"rungs": [1]}, r"the last of search.rungs must be the number of seeds of digits-letters, 2, got 1"),
        ({"trails": 4}, "search: unknown key 'trails'; did you mean 'trials'?"),
        ({"space": {"standard": {}}}, "search.space has no entry for method 'lautum'"),
        (
            {"space": {"standard": {"transfer": {"lerning_rate": RATE}}, "lautum": {}}},
            "search.space.standard.transfer.lerning_rate.low: unknown hyper-parameter 'lerning_rate' of supervised; "
            "did you mean 'learning_rate'?",
        ),
        (
            {"space": {"standard": {"transfer": {"learning_rate": RATE | {"low": 1}}}, "lautum": {}}},
            "learning_rate: low must be below high above 0, got 1.0 and 0.01",
        ),
        (
            {"space": {"standard": {}, "lautum": {"pretrain": {"decay": RATE | {"high": 1.5}}}}},
            "search.space.lautum.pretrain.decay.high: Input should be less than 1, got 1.5",
        ),
        (
            {"space": {"standard": {}, "lautum": {"pretrain": {"rank": RATE | {"low": 10, "high": 200.5}}}}},
            "search.space.lautum.pretrain.rank.high: Input should be a valid integer, got 200.5",
        ),
        (
            {"space": {"standard": {}, "lautum": {"pretrain": {"rank": RATE | {"low": 10, "high": 500}}}}},
            "method lautum-t.*: pretrain.rank must be at most 256, the inputs of an image of letters, got ",
        ),
        (
            {"space": {"standard": {}, "lautum": {}, "standard-t03": {}}},
            "unknown method in search.space 'standard-t03'; did you mean 'standard'?",
        ),
        (
            {"space": {"standard": {"transfer": {"learning_rate": RATE | {"source": "x"}}}, "lautum": {}}},
            "source 'x' must begin with one of paper, inferred, tuned, chosen and ':'",
        ),
    ],
)
def test_what_is_no_search_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(LautumError, match=message):
        config.load(write(tmp_path, search=SEARCH["search"] | change))


def test_a_search_on_the_test_set_is_refused(tmp_path):
    with pytest.raises(LautumError, match="search needs evaluate.part: validation"):
        config.load(write(tmp_path, evaluate={"part": "test"}))


def test_the_best_go_on_and_the_best_of_those_wins(tmp_path):
    path = write(tmp_path)
    layout = Layout(config.load(path))
    first = selection.rung_cells(layout, 1)
    assert len(first) == 2 * 4 * 2 and {cell.seed for cell in first} == {1000}
    with pytest.raises(LautumError, match="16 of 16 runs of the trials are missing; finish the rung first"):
        selection.write_rung(path, 1)
    with pytest.raises(LautumError, match=r"rung1-\w+.csv does not exist; run `lautum rung 1` first"):
        selection.cells(layout)
    # At 50 and 100 labels; the two best means are t01 and t03 (of t01 and t02, equal but for the last bit, the first).
    assert (0.5 + 0.7) / 2 < (0.4 + 0.8) / 2
    correct = {"t00": (1, 2), "t01": (5, 7), "t02": (4, 8), "t03": (9, 9)}
    for cell in first:
        write_record(layout, cell, correct[cell.method[-3:]][cell.labels == 100])
    selection.write_rung(path, 1)
    second = selection.rung_cells(layout, 2)
    assert {cell.method for cell in second} == {f"{m}-{t}" for m in ("standard", "lautum") for t in ("t01", "t03")}
    assert {cell.seed for cell in second} == {1000, 1001} and len(second) == 2 * 2 * 2 * 2
    # Another search, here with one more value in its space, asks for a ranking of its own.
    space = SEARCH["search"]["space"] | {"standard": {"transfer": {"learning_rate": RATE | {"high": 2e-2}}}}
    other = Layout(config.load(write(tmp_path, search=SEARCH["search"] | {"space": space})))
    assert selection.rung_file(other, 1) != selection.rung_file(layout, 1)
    write(tmp_path)
    for cell in second:
        if cell.seed == 1001:
            write_record(layout, cell, 10 if cell.method.endswith("t01") else 2)
    wanted = selection.cells(layout)
    assert len(wanted) == 16 + 8
    records.collect(layout, wanted)
    trials, winners = selection.write_trials(path)
    table = selection.read_trials(trials).set_index("trial")
    assert list(table.index[table["selected"]]) == ["standard-t01", "lautum-t01"]
    assert table.loc["lautum-t01", "accuracy"] == pytest.approx((0.5 + 0.7 + 1 + 1) / 4)
    assert table["rung"].tolist() == [1, 2, 1, 2] * 2
    assert table["first_rung_accuracy"].tolist() == pytest.approx([0.15, 0.6, 0.6, 0.9] * 2)
    assert set(table["n_images"]) == {100}
    # The winners' file is a configuration's: its values arrive with their source.
    main = tmp_path / "main.yaml"
    main.write_text(
        yaml.safe_dump(
            {"extends": [str(ROOT / "config/config.yaml"), str(winners)], "name": "main"}
            | {"grid": {"tasks": ["digits-letters"]}}
        )
    )
    best, trial = (
        config.load(p).pretrain_settings("digits-letters", m) for p, m in ((main, "lautum"), (path, "lautum-t01"))
    )
    assert (best.rank, best.weight) == (trial.rank, trial.weight)
    # On the seeds that they were selected on they are not reported.
    text = main.read_text()
    main.write_text(text + "tasks: {digits-letters: {seeds: [3, 1001]}}\n")
    with pytest.raises(LautumError, match="method standard: its hyper-parameters were selected on seeds 1001; results"):
        config.load(main)
    main.write_text(text)
    rows = [row for row in config.hyper_parameters(main) if (row["method"], row["name"]) == ("lautum", "rank")]
    assert rows[0]["source"] == "tuned: best of 4 trials in [10, 210]"
    assert [file.name for file in config_files.files(main)] == ["config.yaml", "winners.yaml", "main.yaml"]
    transfers = {"digits-letters": "digits → letters"}
    figures = selection_figures.build_figures(selection.read_trials(trials), ["standard", "lautum"], transfers)
    # The best of one trial is their mean, of all four the best; of two, over the six pairs.
    (lines,) = [axes.get_lines() for axes in figures["digits-letters-budget"].axes]
    assert [line.get_color() for line in lines] == [METHOD_STYLES[name].colour for name in ("standard", "lautum")]
    assert len(lines) == 2 and lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    pairs = [max(pair) for pair in itertools.combinations((15, 60, 60, 90), 2)]
    assert lines[0].get_ydata()[[0, 1, 3]] == pytest.approx([56.25, np.mean(pairs), 90])
    # Every trial is in the picture, against each of its hyper-parameters.
    figure = figures["digits-letters-sensitivity-lautum"]
    panels = {axes.get_xlabel(): axes for axes in figure.axes if axes.get_visible()}
    assert set(panels) == {"pre: rank", "pre: weight"}
    marks = [marks for marks in panels["pre: rank"].collections if isinstance(marks, PathCollection)]
    drawn = [x for mark in marks for x in mark.get_offsets()[:, 0]]
    expected = [config.load(path).pretrain_settings("digits-letters", f"lautum-t0{n}").rank for n in range(4)]
    assert sorted(drawn) == sorted(expected)
    # Its page says who won, and which trial each mark is.
    page = Page(selection_page.write_all(layout, trials).read_text())
    page.require_accessible()
    assert "pre: rank" in page.text and "lautum-t01" in page.text
    assert page.headings[0][1] == "Hyper-parameters of Standard and Lautum: digits → letters"
    assert page.html.count("<title>lautum-t01: ") == 2  # once for each hyper-parameter
    assert page.tables[0]["rows"][2][:3] == ["Lautum ", "80.00 ", "4 "]


@pytest.mark.parametrize("snapshots", [(), (100,), (100, 200), (50, 100, 200)])
def test_of_trials_with_a_list_among_their_values_the_numbers_are_read(snapshots):
    text = f"transfer.snapshots {snapshots}, transfer.head keep, transfer.steps 400"
    assert selection_figures.parse(text) == {"transfer.steps": 400}
    assert selection_figures.parse(f"transfer.snapshots {snapshots}") == selection_figures.parse("") == {}


def test_trials_that_cannot_be_compared_are_not_ranked(tmp_path):
    path = write(tmp_path)
    layout = Layout(config.load(path))
    first = selection.rung_cells(layout, 1)
    for cell in first:
        write_record(layout, cell, 5, device="cpu" if cell.method.endswith("t01") else "one GPU")
    with pytest.raises(LautumError, match="differ in device, so they cannot be compared; remove the records of one"):
        selection.write_rung(path, 1)
    one_rung = write(tmp_path, search=SEARCH["search"] | {"rungs": [1]}, grid=SEARCH["grid"] | {"seeds": [1000]})
    layout = Layout(config.load(one_rung))
    for cell in selection.cells(layout):
        write_record(layout, cell, 5, split_sha256=cell.method)
    records.collect(layout, selection.cells(layout))
    with pytest.raises(LautumError, match="differ in split_sha256, so they cannot be compared"):
        selection.write_trials(one_rung)


def test_the_winners_of_several_tasks_are_told_apart(tmp_path):
    one = pd.DataFrame({"task": "a", "method": ["standard", "standard"], "trial": ["t0", "t1"], "settings": ""})
    one = one.assign(accuracy=[0.25, 0.75], sd=0.1, runs=2, first_rung_accuracy=0.5, n_images=100, rung=1)
    one["selected"] = [False, True]
    for tasks, heads in ((["a"], []), (["a", "b"], ["a ", "b "])):
        trials = pd.concat([one.assign(task=task) for task in tasks], ignore_index=True)
        transfers = dict.fromkeys(tasks, "digits → letters")  # of the same data sets
        drawn = selection_figures.build_figures(trials, ["standard"], transfers)
        page = Page(selection_page.write(tmp_path, trials, drawn, transfers, "").read_text())
        page.require_accessible()
        rows = page.tables[0]["rows"][1:]
        assert [row[0] for row in rows if len(row) == 1] == heads
        assert [row[:2] for row in rows if len(row) > 1] == [["Standard ", "75.00 "]] * len(tasks)


def test_the_seeds_of_an_earlier_search_stay_tuning_seeds(tmp_path):
    own = {"label_counts": [50], "methods": {"lautum": {"tuning_seeds": [3, 1000], "pretrain": {"decay": 0.5}}}}
    path = write(tmp_path, tasks={"digits-letters": own})
    layout = Layout(config.load(path))
    for rung in (1, 2):
        for cell in selection.rung_cells(layout, rung):
            write_record(layout, cell, 5)
        if rung == 1:
            selection.write_rung(path, 1)
    records.collect(layout, selection.cells(layout))
    _, winners = selection.write_trials(path)
    found = yaml.safe_load(winners.read_text())["tasks"]["digits-letters"]["methods"]
    assert found["lautum"]["tuning_seeds"] == [3, 1000, 1001]
    assert found["standard"]["tuning_seeds"] == [1000, 1001]


def test_a_selection_has_no_method_with_more_seeds(tmp_path):
    own = {"methods": {"lautum": {"more_seeds": [7]}}}
    with pytest.raises(
        LautumError, match="digits-letters.methods.lautum.more_seeds: a selection .*; remove it, or set "
    ):
        config.load(write(tmp_path, tasks={"digits-letters": own}))


def test_a_rung_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(LautumError, match="has 1 rungs whose best trials go on, there is none 2"):
        selection.write_rung(write(tmp_path), 2)


@pytest.mark.parametrize(
    "content", ["", "task,method\n", "task,method,trial,accuracy,kept\ndigits-letters,standard,standard-t00,0.5,True\n"]
)
def test_a_ranking_that_is_none_of_the_search_s_is_refused(tmp_path, content):
    layout = Layout(config.load(write(tmp_path)))
    file = selection.rung_file(layout, 1)
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(Damaged, match=r"rung1-\w+.csv is not the ranking of rung 1; run `lautum rung 1` again"):
        selection.rung_cells(layout, 2)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("selected", "chosen", "has no column selected; run `lautum trials`"),
        ("True", "yes", "holds other things than True and False in column selected"),
        ("0.5", "half", "line 2: no number in column accuracy"),
    ],
)
def test_what_is_no_table_of_trials_is_refused(tmp_path, old, new, message):
    good = ",".join(selection.COLUMNS) + "\nt,standard,standard-t00,transfer.steps 9,0.5,0.1,2,0.5,100,1,True\n"
    (tmp_path / "trials.csv").write_text(good)
    assert selection.read_trials(tmp_path / "trials.csv")["settings"].tolist() == ["transfer.steps 9"]
    (tmp_path / "trials.csv").write_text(good.replace(old, new))
    with pytest.raises(LautumError, match=message):
        selection.read_trials(tmp_path / "trials.csv")
