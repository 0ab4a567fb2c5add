"""Collecting records: what is there is taken, what is missing is named, what does not belong is refused."""

import gzip
import hashlib
import json
import threading
from pathlib import Path

import committed
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, load_file

from lautum import schema
from lautum.cli import main
from lautum.errors import LautumError
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.files import sha256_of_arrays, sha256_of_file, write_arrays, write_json, write_text
from lautum.pipeline import locks, run_record
from lautum.pipeline.run_record import RunRecord
from lautum.results import collected, csv_files, records, selection, sums

ROOT = Path(__file__).parent.parent

TRIALS = """
extends: {root}/config/config.yaml
name: trial
folders: {{results: {folder}/results, reports: {folder}/reports}}
grid: {{tasks: [digits-letters], methods: [slow, fast], seeds: [7, 8]}}
comparisons: []
evaluate: {{part: validation, validation_images: 100}}
methods:
  slow: {{pretrain: source_only, transfer: supervised, trial_of: standard}}
  fast: {{pretrain: source_only, transfer: supervised, trial_of: standard}}
tasks:
  digits-letters:
    label_counts: [50]
    methods: {{slow: {{transfer: {{learning_rate: 0.0001}}}}, fast: {{transfer: {{learning_rate: 0.01}}}}}}
"""


NAMES = list("ABCDEFGHIJ")


def write_record(layout: Layout, cell, correct: int, **changed: str) -> Path:
    """A record as `evaluate` leaves it, with `correct` of 10 predictions right; `changed` are values of IN_COMMON."""
    path = layout.record(cell)
    labels = np.arange(10, dtype=np.uint8)
    predictions = np.where(np.arange(10) < correct, labels, (labels + 1) % 10).astype(np.uint8)
    write_arrays(path.with_suffix(".safetensors"), {"predictions": predictions, "labels": labels}, {"classes": NAMES})
    shared, own = ({"step": [1, 2], "loss": [2.0, float(last)]} for last in (cell.seed, correct))
    cost = {"seconds": 1.0, "peak_memory_mb": 100.0}
    stage = cost | {
        "key": "stage",
        "seed": cell.seed,
        "images_per_second": 5.0,
        "resumed_at": [],
        "steps": 2,
        "device": "cpu",
        "accuracy": 0.5,
        "logit_scale": 1.0,
    }
    environment = {"device": "cpu", "cpu": "none", "cores": 2, "threads": 1, "python": "3", "torch": "0", "lautum": "0"}
    environment |= {"commit": "0123456789abcdef+changes"}
    environment |= {column: value for column, value in changed.items() if column == "device"}
    hashes = {column: column for column in collected.IN_COMMON if column.endswith("_sha256")}
    hashes |= {column: value for column, value in changed.items() if column != "device"}
    record = RunRecord(
        **vars(cell),
        **hashes,
        source="digits",
        target="letters",
        pretrain_objective="source_only",
        transfer_objective="supervised",
        key=layout.record_key(cell.task, cell.method, cell.labels),
        settings=layout.settings_key(cell.task, cell.method, cell.labels),
        part="validation",
        accuracy=correct / 10,
        n_images=10,
        correct=correct,
        network_sha256="weights",
        predictions_sha256=sha256_of_arrays(predictions),
        pretrain=stage | {"curve": shared},  # shared by the methods
        transfer=stage | {"curve": own},
        evaluate=cost,
        environment=environment,
    )
    schema.write(path, record)
    return path


def write_sealed(path: Path, content) -> None:
    """JSON with a matching hash of its content, as only this program writes it."""
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if name != "content_sha256"}
        content["content_sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    write_json(path, content)


@pytest.fixture
def campaign(tmp_path) -> tuple[Path, Layout]:
    path = tmp_path / "trial.yaml"
    write_text(path, TRIALS.format(root=ROOT, folder=tmp_path))
    return path, Layout(config.load(path))


def test_finished_cells_are_collected_and_missing_ones_named(campaign):
    _, layout = campaign
    cells = layout.cells()
    for cell, correct in zip(cells[:3], (5, 6, 7), strict=True):
        write_record(layout, cell, correct)
    collected = records.collect(layout)
    results = records.read(layout)
    assert collected == records.Collected(layout.report / "records.csv", [], [], cells[3:])
    assert results.runs["correct"].tolist() == [5, 6, 7]
    assert results.correct(results.runs).sum(axis=1).tolist() == [5, 6, 7]
    assert results.classes == {"digits-letters": NAMES}
    assert results.examples == {}  # neither split nor data are there


def remove(layout: Layout, cell) -> None:
    for suffix in (".json", ".safetensors"):
        layout.record(cell).with_suffix(suffix).unlink()


def contents(layout: Layout) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in layout.report.iterdir()}


def test_a_campaign_run_in_parts_is_collected_as_if_run_at_once(campaign):
    _, layout = campaign
    cells = layout.cells()
    for cell, correct in zip(cells, (1, 2, 3, 4), strict=True):
        write_record(layout, cell, correct)
    records.collect(layout)
    at_once = contents(layout)
    for cell in cells[2:]:
        remove(layout, cell)
    records.collect(layout, drop=True)
    # Cell 1 is there in both parts: the newer result replaces the older one.
    for cell in cells[:2]:
        remove(layout, cell)
    for cell, correct in zip(cells[1:], (7, 3, 4), strict=True):
        write_record(layout, cell, correct)
    collected = records.collect(layout)
    results = records.read(layout)
    assert collected.kept == cells[:1] and collected.missing == [] and results.runs["correct"].tolist() == [1, 7, 3, 4]
    last = results.curves[(results.curves["stage"] == "transfer") & (results.curves["step"] == 2)]
    assert last["loss"].tolist() == [1, 7, 3, 4] and results.classes == {"digits-letters": NAMES}
    write_record(layout, cells[1], 2)
    records.collect(layout)
    assert contents(layout) == at_once


def test_what_is_added_while_another_collection_waits_stays(campaign, monkeypatch):
    """Of two at once, here a second one that runs a campaign's other part, none loses the other's."""
    _, layout = campaign
    cells, waiting, begun = layout.cells(), threading.Event(), threading.Event()
    for cell in cells[:3]:
        write_record(layout, cell, 5)
    records.collect(layout)
    whole = contents(layout)
    remove(layout, cells[2])
    records.collect(layout, drop=True)
    write_record(layout, cells[3], 8)

    def other() -> None:
        with sums.changing(layout.report) as write:
            begun.set()
            assert waiting.wait(20)
            write({name: content for name, content in whole.items() if name != sums.NAME})

    wait = locks._wait
    monkeypatch.setattr(locks, "_wait", lambda *arguments: (waiting.set(), wait(*arguments)))
    thread = threading.Thread(target=other)
    thread.start()
    assert begun.wait(20)
    done = records.collect(layout)
    thread.join()
    assert (done.kept, done.missing) == ([cells[2]], [])
    assert records.read(layout).runs["correct"].tolist() == [5, 5, 5, 8]
    sums.require_whole(layout.report)
    assert list(layout.report.parent.iterdir()) == [layout.report]


def test_the_graph_is_told_of_a_cell_that_is_missing(campaign, capsys):
    path, layout = campaign
    write_record(layout, layout.cells()[0], 5)
    assert main(["collect", "--config", str(path)]) == 0
    assert main(["collect", "--config", str(path), "--all"]) == 1
    assert "3 of 4 cells are missing; start the campaign again" in capsys.readouterr().err
    assert len(records.read(layout).runs) == 1


def change(path: Path, old: str, new: str) -> Layout:
    path.write_text(path.read_text().replace(old, new))
    return Layout(config.load(path))


def test_a_table_never_shrinks_without_a_word(campaign):
    path, layout = campaign
    cells = layout.cells()
    for cell in cells:
        write_record(layout, cell, 5)
    records.collect(layout)
    whole = contents(layout)
    # The results folder is emptied, and one cell run again by hand.
    for cell in cells:
        remove(layout, cell)
    write_record(layout, cells[2], 5)
    assert records.collect(layout).kept == [*cells[:2], cells[3]]
    assert contents(layout) == whole
    remove(layout, cells[2])
    assert records.collect(layout).kept == cells
    assert contents(layout) == whole
    # Seed 8 and a method leave the grid, and come back.
    smaller = change(path, "methods: [slow, fast], seeds: [7, 8]", "methods: [fast], seeds: [7]")
    write_record(smaller, cells[2], 6)
    assert records.collect(smaller).kept == [cells[0], cells[1], cells[3]]
    assert records.read(smaller).runs["correct"].tolist() == [6]
    stages = records.read(smaller).curves.groupby(["stage", "methods"])["seed"].unique()
    assert {stage: list(seeds) for stage, seeds in stages.items()} == {
        ("pretrain", "fast"): [7],
        ("transfer", "fast"): [7],
    }
    assert sorted(collected.load(layout.report).runs["correct"]) == [5, 5, 5, 6]
    write_record(smaller, cells[2], 5)
    records.collect(smaller)
    remove(layout, cells[2])
    again = change(path, "methods: [fast], seeds: [7]", "methods: [slow, fast], seeds: [7, 8]")
    assert set(records.collect(again).kept) == set(cells)
    assert contents(layout) == whole


def test_what_is_dropped_is_named(campaign):
    _, layout = campaign
    cells = layout.cells()
    for cell in cells:
        write_record(layout, cell, 5)
    records.collect(layout)
    for cell in cells[1:]:
        remove(layout, cell)
    done = records.collect(layout, drop=True)
    assert done.dropped == cells[1:] == done.missing and done.kept == []
    assert collected.in_words(done.dropped) == [
        "digits-letters slow, 50 labels, seed 8",
        "digits-letters fast, 50 labels, seeds 7–8",
    ]
    assert len(collected.load(layout.report).runs) == 1


def test_what_was_made_with_other_settings_is_not_mixed_with_the_rest(campaign):
    path, layout = campaign
    for cell in layout.cells():
        write_record(layout, cell, 5)
    records.collect(layout)
    before = contents(layout)
    changed = change(path, "learning_rate: 0.01", "learning_rate: 0.02")
    slow, slow_again, fast, fast_again = changed.cells()
    write_record(changed, fast, 6)
    with pytest.raises(LautumError, match="fast/n50/seed8 was made with other settings .*`lautum collect --drop`"):
        records.collect(changed)
    assert contents(layout) == before
    write_record(changed, fast_again, 7)
    for cell in (slow, slow_again):
        remove(layout, cell)
    assert records.collect(changed).kept == [slow, slow_again]
    assert records.read(changed).runs["correct"].tolist() == [5, 5, 6, 7]
    changed = change(path, "0.0001", "0.0002")
    assert records.collect(changed, drop=True).dropped == [slow, slow_again]


def test_what_was_evaluated_on_other_images_is_not_mixed_with_the_rest(campaign):
    path, layout = campaign
    slow, *_, fast_again = layout.cells()
    write_record(layout, fast_again, 5)
    records.collect(layout)
    remove(layout, fast_again)
    predictions = layout.record(slow).with_suffix(".safetensors")
    smaller = change(path, "methods: [slow, fast], seeds: [7, 8]", "methods: [slow], seeds: [8]")
    (slow,) = smaller.cells()
    record = json.loads(write_record(smaller, slow, 5).read_text())
    predictions = smaller.record(slow).with_suffix(".safetensors")
    arrays = load_file(predictions)
    other = np.where(arrays["predictions"] == arrays["labels"], arrays["labels"], (arrays["labels"] + 5) % 10)[::-1]
    labels = arrays["labels"][::-1]
    write_arrays(predictions, {"predictions": other, "labels": labels}, {"classes": NAMES})
    write_sealed(smaller.record(slow), record | {"predictions_sha256": sha256_of_arrays(other)})
    with pytest.raises(LautumError, match="fast/n50/seed8 was evaluated on other images than those in .*--drop"):
        records.collect(smaller)
    assert records.collect(smaller, drop=True).dropped == [fast_again]


def test_earlier_results_that_are_not_whole_are_not_lost_in_silence(campaign, capsys):
    _, layout = campaign
    first, second = layout.cells()[:2]
    for cell in (first, second):
        write_record(layout, cell, 5)
    records.collect(layout)
    remove(layout, first)
    table, predictions = layout.report / "records.csv", layout.report / "predictions.safetensors.gz"
    for path in (table, predictions):
        whole = path.read_bytes()
        path.write_bytes(b"short\n")
        with pytest.raises(LautumError, match=f"{path.name} is not what was .*restore it, or leave out what only"):
            records.collect(layout)
        assert path.read_bytes() == b"short\n"
        path.write_bytes(whole)
    table.write_bytes(b"short\n")
    assert records.collect(layout, drop=True).dropped == []
    assert "records.csv.damaged" in capsys.readouterr().err
    assert (layout.report / "records.csv.damaged").read_bytes() == b"short\n"


@pytest.mark.parametrize("column", collected.IN_COMMON)
def test_what_cannot_be_compared_with_the_rest_is_not_kept(campaign, column):
    _, layout = campaign
    first, _, second, other_seed = layout.cells()
    assert first.seed == second.seed != other_seed.seed
    write_record(layout, first, 5)
    records.collect(layout)
    before = contents(layout)
    remove(layout, first)
    for cell in (second, other_seed):
        write_record(layout, cell, 5, **{column: "other"})
    with pytest.raises(LautumError, match=f"task digits-letters.* differ in {column}, .*collect --drop"):
        records.collect(layout)
    assert contents(layout) == before
    remove(layout, other_seed)
    write_record(layout, second, 5)
    assert records.collect(layout).kept == [first]


def test_each_seed_has_a_split_of_its_own(campaign):
    _, layout = campaign
    first, second = layout.cells()[:2]
    write_record(layout, first, 5)
    records.collect(layout)
    remove(layout, first)
    write_record(layout, second, 5, split_sha256="that of the other seed")
    assert records.collect(layout).kept == [first]


def test_a_collection_that_was_interrupted_is_made_whole_by_the_next(campaign, monkeypatch):
    _, layout = campaign
    first, second = layout.cells()[:2]
    for cell in (first, second):
        write_record(layout, cell, 5)
    records.collect(layout)
    before = contents(layout)
    remove(layout, first)
    write_record(layout, second, 7)
    records.collect(layout)
    whole = contents(layout)
    for name, content in before.items():
        (layout.report / name).write_bytes(content)
    write = sums.write_bytes

    def full(path, content):
        if path.name == "records.csv":  # the last
            raise LautumError("no space left")
        write(path, content)

    monkeypatch.setattr(sums, "write_bytes", full)
    with pytest.raises(LautumError, match="no space left"):
        records.collect(layout)
    mixed = contents(layout)
    assert mixed["records.csv"] == before["records.csv"] and mixed["curves.csv.gz"] == whole["curves.csv.gz"]
    monkeypatch.undo()
    records.collect(layout)
    assert contents(layout) == whole


def test_the_curve_of_a_shared_stage_is_kept_with_any_of_those_that_share_it(campaign):
    _, layout = campaign
    slow, _, fast, fast_again = layout.cells()
    write_record(layout, fast, 5)
    records.collect(layout)
    curves = records.read(layout, [fast]).curves
    assert set(curves.loc[curves["stage"] == "pretrain", "methods"]) == {"slow+fast"}
    remove(layout, fast)
    write_record(layout, fast_again, 5)
    records.collect(layout)
    curves = records.read(layout).curves
    assert curves.groupby(["stage", "methods", "seed"]).size().to_dict() == {
        ("pretrain", "slow+fast", 7): 2,
        ("pretrain", "slow+fast", 8): 2,
        ("transfer", "fast", 7): 2,
        ("transfer", "fast", 8): 2,
    }
    assert not records.read(layout, [slow]).curves.empty  # it is the pre-training of slow as well


def test_a_shared_pretraining_has_one_curve(campaign):
    _, layout = campaign
    for cell in layout.cells():
        write_record(layout, cell, 5)
    records.collect(layout)
    curves = records.read(layout).curves
    pretrain, transfer = (curves[curves["stage"] == stage] for stage in ("pretrain", "transfer"))
    assert pretrain.groupby(["methods", "seed"]).size().to_dict() == {("slow+fast", 7): 2, ("slow+fast", 8): 2}
    assert len(transfer) == 8 and set(transfer["methods"]) == {"slow", "fast"}
    assert transfer["loss"].tolist() == [2.0, 5.0] * 4 and pretrain["loss"].tolist() == [2.0, 7.0, 2.0, 8.0]


def test_records_that_do_not_belong_are_refused_by_name(campaign):
    _, layout = campaign
    path = write_record(layout, layout.cells()[0], 5)
    whole, record = path.read_text(), json.loads(path.read_text())
    path.write_text(whole[:100])
    with pytest.raises(LautumError, match="seed7.json is not an evaluation record .*; run again"):
        records.collect(layout)
    write_sealed(path, record | {"key": "000000000000"})
    with pytest.raises(LautumError, match="seed7.json belongs elsewhere: key is '000000000000'"):
        records.collect(layout)
    write_sealed(path, record | {"seed": 8})
    with pytest.raises(LautumError, match="seed7.json belongs elsewhere: seed is 8, expected 7"):
        records.collect(layout)
    for foreign in ({"some": "file"}, [1, 2], "text", record | {"pretrain": 3}):
        write_sealed(path, foreign)
        with pytest.raises(LautumError, match="seed7.json is not an evaluation record"):
            records.collect(layout)
    write_sealed(path, record | {"accuracy": 0.6})
    with pytest.raises(LautumError, match="seed7.safetensors is not the predictions of seed7.json"):
        records.collect(layout)
    write_sealed(path, record | {"correct": 6})
    with pytest.raises(LautumError, match="seed7.safetensors is not the predictions of seed7.json"):
        records.collect(layout)
    write_sealed(path, record | {"n_images": 11})
    with pytest.raises(LautumError, match="seed7.safetensors is not the predictions of seed7.json"):
        records.collect(layout)


def test_a_stage_is_named_after_all_cells_that_share_it_also_when_few_are_done(campaign):
    _, layout = campaign
    cells = layout.cells()
    for cell in (cells[0], cells[1], cells[2]):  # slow with both seeds, fast with one
        write_record(layout, cell, 5)
    records.collect(layout)
    curves = records.read(layout).curves
    assert set(curves[curves["stage"] == "pretrain"]["methods"]) == {"slow+fast"}


def test_nothing_finished_leaves_what_was_collected(campaign):
    _, layout = campaign
    path = write_record(layout, layout.cells()[0], 5)
    records.collect(layout)
    before = (layout.report / "records.csv").read_bytes()
    path.unlink()
    with pytest.raises(LautumError, match="nothing to collect: no cell of the grid is finished"):
        records.collect(layout, drop=True)
    assert (layout.report / "records.csv").read_bytes() == before


def test_predictions_of_the_wrong_length_are_refused(campaign):
    _, layout = campaign
    path = write_record(layout, layout.cells()[0], 5).with_suffix(".safetensors")
    arrays = load_file(path)
    write_arrays(path, arrays | {"labels": arrays["labels"][:9]}, {"classes": NAMES})
    with pytest.raises(LautumError, match="seed7.safetensors is not the predictions of seed7.json"):
        records.collect(layout)
    write_arrays(path, {"labels": arrays["labels"]}, {"classes": NAMES})
    with pytest.raises(LautumError, match="seed7.safetensors is not the predictions of seed7.json"):
        records.collect(layout)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(LautumError, match="seed7.safetensors cannot be read"):
        records.collect(layout)


def test_collected_files_that_do_not_belong_are_refused(campaign):
    _, layout = campaign
    folder = layout.report
    with pytest.raises(LautumError, match="records.csv does not exist; run `lautum collect`"):
        records.read(layout)
    write_record(layout, layout.cells()[0], 5)
    records.collect(layout)
    records.read(layout)
    (folder / "SHA256SUMS").unlink()  # as in results from before there was one
    whole, predictions = (
        (folder / "records.csv").read_text(),
        load(gzip.decompress((folder / "predictions.safetensors.gz").read_bytes())),
    )
    settings = layout.settings_key("digits-letters", "slow", 50)
    (folder / "records.csv").write_text(whole.replace(settings, "0" * 12))
    with pytest.raises(LautumError, match="slow/n50/seed7 was made with other settings than the configuration's"):
        records.read(layout)
    (folder / "records.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LautumError, match="has no column task, source"):
        records.read(layout)
    lines = whole.splitlines()
    (folder / "records.csv").write_text("\n".join([*lines, lines[1].split(",digits-letters", 1)[0][:20]]))
    with pytest.raises(LautumError, match="records.csv, line 3: no number in column labels"):
        records.read(layout)
    (folder / "records.csv").write_text(whole)
    name = "digits-letters/slow/n50/seed7"
    labels = "digits-letters/n50/seed7/labels"
    for changed in ({name: predictions[name][:9]}, {labels: predictions[name][:9]}, {name: predictions[name][0]}):
        write_arrays(folder / "predictions.safetensors.gz", predictions | changed, {})
        with pytest.raises(LautumError, match="lacks the 10 predictions of digits-letters/slow/n50/seed7"):
            records.read(layout)
    write_arrays(folder / "predictions.safetensors.gz", predictions | {name: predictions[name][::-1]}, {})
    with pytest.raises(LautumError, match="the predictions of digits-letters/slow/n50/seed7 are not those of its"):
        records.read(layout)


@pytest.mark.parametrize("name", collected.FILES)
def test_no_collected_file_can_change_unnoticed(campaign, name):
    _, layout = campaign
    for cell in layout.cells():
        write_record(layout, cell, 5)
    records.collect(layout)
    path = layout.report / name
    assert f"{sha256_of_file(path)}  {name}\n" in (layout.report / "SHA256SUMS").read_text()  # as sha256sum reads it
    whole = path.read_bytes()
    for place in range(0, len(whole), 1 + len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(LautumError, match=f"{name} is not what was written there"):
            records.read(layout)
    path.write_bytes(whole)
    records.read(layout)


@pytest.mark.parametrize("value", ["7.5", "True", "inf", "1e400", "9" * 400, "x", "", "[]"])
def test_a_column_of_whole_numbers_holds_nothing_else(campaign, value):
    _, layout = campaign
    for cell in layout.cells():
        write_record(layout, cell, 5)
    records.collect(layout)
    (layout.report / "SHA256SUMS").unlink()
    path = layout.report / "records.csv"
    table = pd.read_csv(path, dtype=str)
    path.write_text(table.assign(seed=value).to_csv(index=False))
    with pytest.raises(LautumError, match="records.csv, line 2: no number in column seed"):
        records.read(layout)


def test_a_campaign_in_one_row(campaign):
    _, layout = campaign
    assert collected.summary(layout.report)["Part"] == "not run"
    for cell in layout.cells()[:3]:
        write_record(layout, cell, 5)
    records.collect(layout)
    assert collected.summary(layout.report) == {
        "Campaign": "trial",
        "Part": "validation",
        "Tasks": "digits-letters",
        "Methods": 2,
        "Seeds": "7–8",
        "Runs": 3,
        "Code": "0123456+changes",
    }


def test_the_trial_with_the_highest_mean_is_selected(campaign):
    path, layout = campaign
    for cell, correct in zip(layout.cells(), (9, 3, 7, 7), strict=True):  # slow: 0.6, fast: 0.7
        write_record(layout, cell, correct)
    records.collect(layout)
    table = selection.read_trials(selection.write_trials(path)[0]).set_index("trial")
    assert table["accuracy"].to_dict() == pytest.approx({"slow": 0.6, "fast": 0.7})
    assert table["selected"].to_dict() == {"slow": False, "fast": True}
    assert set(table["method"]) == {"standard"}
    assert table.loc["fast", "settings"] == "transfer.learning_rate 0.01"


def test_names_that_look_like_numbers_are_names(tmp_path):
    """Of a task and of two methods that would be one number."""
    text = TRIALS.format(root=ROOT, folder=tmp_path).replace("slow", "'1.10'").replace("fast", "'1.1'")
    text = (
        text.replace("digits-letters", "'2019'")
        + "    source: digits\n    target: letters\n    network: conv16-32-fc128\n"
    )
    write_text(tmp_path / "trial.yaml", text)
    layout = Layout(config.load(tmp_path / "trial.yaml"))
    for cell, correct in zip(layout.cells(), (9, 3, 7, 7), strict=True):
        write_record(layout, cell, correct)
    assert records.collect(layout).missing == []
    remove(layout, layout.cells()[0])
    assert records.collect(layout).kept == layout.cells()[:1]  # found again in the table
    read = records.read(layout, layout.cells())
    assert collected.cells_of(read.runs) == layout.cells()
    assert set(read.curves["task"]) == {"2019"} and {"1.10", "1.1"} <= set(read.curves["methods"])
    table = selection.read_trials(selection.write_trials(tmp_path / "trial.yaml")[0])
    assert table[["task", "trial"]].to_numpy().tolist() == [["2019", "1.10"], ["2019", "1.1"]]


def test_a_logged_quantity_with_the_name_of_a_text_is_a_number(tmp_path):
    """A plugin may log what it calls target."""
    axes = dict.fromkeys(collected.CURVE_AXES, 1)
    pd.DataFrame([axes | {"target": 0.25, "data": 0.5}]).to_csv(tmp_path / "curves.csv.gz", index=False)
    read = csv_files.read_csv(tmp_path / "curves.csv.gz", collected.CURVE_AXES, ["seed", "step"], "", ["labels"])
    assert read[["target", "data"]].to_numpy().tolist() == [[0.25, 0.5]] and read["labels"].tolist() == ["1"]


def test_every_text_of_a_run_is_read_as_text():
    """Whatever column is added: it is among the numbers or the texts."""
    for columns, numbers in (
        (run_record.COLUMNS, collected.NUMBERS),
        (collected.CURVE_AXES, ["labels", "seed", "step"]),
    ):
        assert {*columns} - {*numbers} == {*columns} & {*csv_files.TEXT}
    table = pd.read_csv(ROOT / "reports/universes-mnist/universes.csv", nrows=5)
    assert {name for name in table if not pd.api.types.is_numeric_dtype(table[name])} <= {*csv_files.TEXT}


def test_an_unfinished_selection_is_refused(campaign):
    path, layout = campaign
    for cell in layout.cells()[:3]:
        write_record(layout, cell, 5)
    records.collect(layout)
    with pytest.raises(LautumError, match="1 of 4 runs of the trials are missing"):
        selection.write_trials(path)


def test_an_ordinary_campaign_is_no_selection():
    with pytest.raises(LautumError, match="selects no hyper-parameters: that needs .* `trial_of` for each method"):
        selection.write_trials(ROOT / "config/quickstart.yaml")


@pytest.mark.parametrize("name", [path.parent.name for path in committed.reports("*/records.csv")])
def test_committed_records_are_whole_and_of_the_committed_configuration(name):
    (path,) = (
        ROOT / folder / f"{name}.yaml" for folder in ("config", "examples") if (ROOT / folder / f"{name}.yaml").exists()
    )
    layout = Layout(config.load(path))
    layout.report = ROOT / layout.report
    cells = selection.cells(layout)
    results = records.read(layout, cells)  # compares settings, predictions and accuracies
    rendered = (layout.report / "index.html").exists()  # one that is run in parts has no page until it is whole
    assert len(results.runs) == len(cells) if rendered else 0 < len(results.runs) < len(cells)
    assert (results.runs["accuracy"] - results.runs["correct"] / results.runs["n_images"]).abs().max() < 1e-12
