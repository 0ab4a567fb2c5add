"""Collecting records: what is there is taken, what is missing is named, what does not belong is refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lautum import config, records, selection
from lautum.cells import Layout
from lautum.errors import LautumError
from lautum.files import read_json, sha256_of_arrays, write_arrays, write_json, write_text

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


def write_record(layout: Layout, cell, correct: int) -> Path:
    """A record as `evaluate` leaves it, with `correct` of 10 predictions right."""
    path = layout.record(cell)
    labels = np.arange(10, dtype=np.uint8)
    predictions = np.where(np.arange(10) < correct, labels, (labels + 1) % 10).astype(np.uint8)
    write_arrays(path.with_suffix(".safetensors"), {"predictions": predictions, "labels": labels}, {"classes": "A"})
    stage = {"seconds": 1.0, "peak_memory_mb": 100.0, "images_per_second": 5.0}
    hashes = {f"{name}_sha256": name for name in ("split", "source_train", "target_train", "target_eval")}
    names = {"source": "digits", "target": "letters", "pretrain_objective": "source_only", "part": "validation"}
    environment = {"device": "cpu", "cpu": "none", "threads": 1, "torch": "0", "commit": "0"}
    key = layout.transfer_key(cell.task, cell.method, cell.labels)
    record = vars(cell) | names | hashes | {"transfer_objective": "supervised", "key": key, "environment": environment}
    record |= {"accuracy": correct / 10, "n_images": 10, "correct": correct, "evaluate": stage}
    write_json(
        path, record | {"pretrain": stage, "transfer": stage, "predictions_sha256": sha256_of_arrays(predictions)}
    )
    return path


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
    path, missing = records.collect(layout)
    table = records.read(path)
    assert missing == cells[3:]
    assert table["correct"].tolist() == [5, 6, 7]
    predictions = load_file(path.with_name("predictions.safetensors"))
    assert (predictions["digits-letters/slow/n50/seed8"] == predictions["digits-letters/labels"]).sum() == 6


def test_records_that_do_not_belong_are_refused_by_name(campaign):
    _, layout = campaign
    path = write_record(layout, layout.cells()[0], 5)
    whole, record = path.read_text(), read_json(path)
    path.write_text(whole[:100])
    with pytest.raises(LautumError, match="seed7.json is not valid JSON .* delete it and run again"):
        records.collect(layout)
    write_json(path, record | {"key": "000000000000"})
    with pytest.raises(LautumError, match="seed7.json was made with other settings"):
        records.collect(layout)
    write_json(path, record | {"n_images": 11})
    with pytest.raises(LautumError, match="seed7.safetensors is not the predictions of seed7.json"):
        records.collect(layout)


def test_a_table_that_is_not_one_of_records_is_refused(tmp_path):
    with pytest.raises(LautumError, match="does not exist; run `lautum collect` first"):
        records.read(tmp_path / "records.csv")
    (tmp_path / "records.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LautumError, match="has no column task, source"):
        records.read(tmp_path / "records.csv")


def test_the_trial_with_the_highest_mean_is_selected(campaign):
    path, layout = campaign
    for cell, correct in zip(layout.cells(), (9, 3, 7, 7), strict=True):  # slow: 0.6, fast: 0.7
        write_record(layout, cell, correct)
    records.collect(layout)
    table = selection.read_trials(selection.write_trials(path)).set_index("trial")
    assert table["accuracy"].to_dict() == pytest.approx({"slow": 0.6, "fast": 0.7})
    assert table["selected"].to_dict() == {"slow": False, "fast": True}
    assert set(table["method"]) == {"standard"}
    assert table.loc["fast", "settings"] == "learning_rate 0.01"


def test_an_unfinished_selection_is_refused(campaign):
    path, layout = campaign
    for cell in layout.cells()[:3]:
        write_record(layout, cell, 5)
    records.collect(layout)
    with pytest.raises(LautumError, match="1 of 4 runs of the trials are missing"):
        selection.write_trials(path)


def test_an_ordinary_campaign_is_no_selection():
    with pytest.raises(LautumError, match="is no selection: it needs .* `trial_of` .* missing for standard"):
        selection.write_trials(ROOT / "config/quickstart.yaml")


@pytest.mark.parametrize("name", ["mnist-notmnist10k", "tuning-mnist-notmnist10k"])
def test_committed_accuracies_are_those_of_the_committed_predictions(name):
    table = records.read(ROOT / "reports" / name / "records.csv")
    predictions = load_file(ROOT / "reports" / name / "predictions.safetensors")
    cells = Layout(config.load(ROOT / "config" / f"{name}.yaml")).cells()
    assert len(table) == len(cells) > 0
    for row in table.itertuples():
        predicted = predictions[f"{row.task}/{row.method}/n{row.labels}/seed{row.seed}"]
        assert sha256_of_arrays(predicted) == row.predictions_sha256
        assert (predicted == predictions[f"{row.task}/labels"]).sum() == row.correct
        assert row.accuracy == pytest.approx(row.correct / row.n_images)
