"""Files that are not what belongs where they lie: of something else, of another kind, of other data, misdated."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import yaml

from lautum.cli import main
from lautum.errors import Damaged
from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.files import read_arrays, sha256_of_arrays, write_arrays, write_atomically
from lautum.pipeline import loading, receipt, run_record
from lautum.pipeline.cells import finish
from lautum.pipeline.evaluate import evaluate
from lautum.pipeline.split import split
from lautum.pipeline.train import pretrain, transfer
from lautum.pipeline.verify import verify
from lautum.results import records

ROOT = Path(__file__).parent.parent
TASK, LABELS = "digits-letters", 20
FUTURE = time.time() + 3e8


@pytest.fixture(scope="module")
def made(tmp_path_factory, builtin_data) -> Path:
    """A folder in which the cells of two methods and two seeds are finished."""
    folder, here = tmp_path_factory.mktemp("finished"), os.getcwd()
    os.chdir(folder)
    try:
        shutil.copytree(builtin_data, "data")
        values = {"extends": str(ROOT / "config/config.yaml"), "name": "mine", "device": "cpu", "comparisons": []}
        values |= {"grid": {"tasks": [TASK], "methods": ["standard", "lautum"], "seeds": 2}}
        stages = {"pretrain": {"steps": 2, "batch_size": 32}, "transfer": {"steps": 2}}
        values["tasks"] = {TASK: stages | {"label_counts": [LABELS]}}
        values["tasks"][TASK]["methods"] = {"lautum": {"pretrain": {"rank": 10}}}
        Path("mine.yaml").write_text(yaml.safe_dump(values))
        layout = Layout(config.load("mine.yaml"))
        for seed in (0, 1):
            split(layout, TASK, LABELS, seed)
            for method in ("standard", "lautum"):
                pretrain(layout, TASK, method, LABELS, seed)
        for batch in layout.batches(layout.cells()):
            finish(layout, batch)
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def layout(made, tmp_path, monkeypatch) -> Layout:
    """Of a copy of it, in the current folder."""
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    return Layout(config.load("mine.yaml"))


def files(layout: Layout) -> dict[str, tuple[Path, Path]]:
    """Of each kind a file, and one that is as whole but belongs elsewhere."""
    cells = {(cell.method, cell.seed): cell for cell in layout.cells()}
    one, other, lautum = cells["standard", 0], cells["standard", 1], cells["lautum", 0]
    pretrained = [layout.pretrained(TASK, "standard", LABELS, seed) for seed in (0, 1)]
    receipts = [batch.receipt for batch in layout.batches([one, other])]
    return {
        "training file": (layout.prepared("letters", "train"), layout.prepared("letters", "test")),
        "data set": (layout.prepared("digits", "train"), layout.prepared("letters", "train")),
        "split": (layout.split(TASK, LABELS, 0), layout.split(TASK, LABELS, 1)),
        "pretrained network": (pretrained[0], pretrained[1]),
        "network of another method": (layout.transferred(one), layout.transferred(lautum)),
        "network of another stage": (layout.transferred(one), pretrained[0]),
        "cost": (pretrained[0].with_suffix(".json"), pretrained[1].with_suffix(".json")),
        "record": (layout.record(one), layout.record(other)),
        "record of another method": (layout.record(one), layout.record(lautum)),
        "receipt": (receipts[0], receipts[1]),
        "receipt of a network": (layout.receipt(pretrained[0]), layout.receipt(pretrained[1])),
    }


KINDS = [
    "training file",
    "data set",
    "split",
    "pretrained network",
    "network of another method",
    "network of another stage",
    "cost",
    "record",
    "record of another method",
    "receipt",
    "receipt of a network",
]


def test_an_undisturbed_campaign_is_whole(layout):
    # Data 3, splits 2, and for each of four cells 2 networks with costs, a record and two receipts.
    assert verify(layout) == (3 + 2 + 4 * 7, {}, [], {})


def test_what_another_process_writes_is_left_to_it(layout):
    left = layout.batches(layout.cells())[0].receipt

    def write(temporary: Path) -> None:
        temporary.write_bytes(left.read_bytes()[:9])
        assert verify(layout).damaged == {} and temporary.exists()

    write_atomically(left.with_name("seed9-0.json"), write)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_in_the_place_of_another_is_found(layout, kind):
    path, other = files(layout)[kind]
    shutil.copy(other, path)
    if kind.startswith("record"):
        shutil.copy(other.with_suffix(".safetensors"), path.with_suffix(".safetensors"))
    found = verify(layout)
    assert found.damaged[path] == f"it is now {path.name}.damaged" and not path.exists()
    assert set(found.damaged) == {path}


@pytest.mark.parametrize(
    ("kind", "job"),
    [
        ("training file", lambda layout, cell: split(layout, TASK, LABELS, 0)),
        ("training file", lambda layout, cell: transfer(layout, cell)),
        ("training file", lambda layout, cell: records.collect(layout)),
        ("data set", lambda layout, cell: pretrain(layout, TASK, "standard", LABELS, 0)),
        ("split", lambda layout, cell: transfer(layout, cell)),
        ("split", lambda layout, cell: records.collect(layout)),
        ("pretrained network", lambda layout, cell: transfer(layout, cell)),
        ("network of another method", lambda layout, cell: evaluate(layout, cell)),
        ("network of another stage", lambda layout, cell: evaluate(layout, cell)),
        ("cost", lambda layout, cell: evaluate(layout, cell)),
        ("record", lambda layout, cell: records.collect(layout)),
    ],
)
def test_a_job_refuses_a_whole_file_in_the_place_of_another(layout, kind, job):
    cell = next(cell for cell in layout.cells() if (cell.method, cell.seed) == ("standard", 0))
    path, other = files(layout)[kind]
    shutil.copy(other, path)
    if kind == "cost":
        layout.record(cell).unlink()  # or it would be left alone
    with pytest.raises(Damaged, match="belongs elsewhere: ") as refused:
        job(layout, cell)
    assert refused.value.path == path


def test_what_was_made_from_other_data_than_there_is_is_found(layout):
    path = layout.prepared("letters", "train")
    arrays, metadata = read_arrays(path)
    arrays["images"][0, 0, 0, 0] ^= 1
    write_arrays(path, arrays, metadata | {"sha256": sha256_of_arrays(arrays["images"], arrays["labels"])})
    damaged = set(verify(layout).damaged)
    cells = layout.cells()
    expected = {layout.split(TASK, LABELS, seed) for seed in (0, 1)}
    expected |= {layout.pretrained(TASK, "lautum", LABELS, seed) for seed in (0, 1)}
    expected |= {layout.transferred(cell) for cell in cells} | {layout.record(cell) for cell in cells}
    assert damaged == expected


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("text")


def a_loop_of_links(path: Path) -> None:
    path.symlink_to(path.name)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("what", [a_folder, a_loop_of_links, a_pipe])
def test_something_else_in_the_place_of_a_file_is_moved_away(layout, what):
    places = {path for path, _ in files(layout).values()}
    for path in places:
        path.unlink()
        what(path)
    for _ in range(2):  # the second time there are NAME.damaged already
        damaged = verify(layout).damaged
        assert places <= set(damaged) and not any(os.path.lexists(path) for path in places)
        for path in places:
            what(path)


@pytest.mark.parametrize("what", [a_folder, a_loop_of_links, a_pipe])
def test_what_would_be_in_the_way_of_predictions_and_snapshots_is_moved_away(layout, what):
    cell = layout.cells()[0]
    (batch,) = layout.batches([cell])
    predictions, whole = layout.record(cell).with_suffix(".safetensors"), layout.record(cell).read_text()
    layout.record(cell).unlink()  # nothing leads to the predictions then
    predictions.unlink()
    for path in (predictions, layout.snapshots(cell)):
        what(path)
    damaged = verify(layout).damaged
    assert set(damaged) == {predictions, layout.snapshots(cell)}
    finish(layout, batch)
    assert json.loads(layout.record(cell).read_text())["predictions_sha256"] == json.loads(whole)["predictions_sha256"]
    assert verify(layout).damaged == {}
    what(layout.snapshots(cell))
    finish(layout, batch)  # a record is there: nobody needs them


def test_a_damaged_file_in_a_folder_that_must_not_be_written_to_is_named(layout, monkeypatch, capsys):
    path = layout.prepared("letters", "train")
    path.write_bytes(path.read_bytes()[:-1])

    def read_only(*paths):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", read_only)
    arguments = ["--config", "mine.yaml", "--task", TASK, "--labels", str(LABELS), "--seed", "0"]
    for command in (["split", *arguments], ["verify", "--config", "mine.yaml"]):
        assert main(command) == 1
        told = capsys.readouterr().err
        assert str(path) in told and "(it cannot be renamed (Permission denied): remove it by hand)" in told


def test_a_file_that_may_not_be_read_stays_and_is_named(layout, monkeypatch, capsys):
    """It may be whole, and another user's."""
    receipt = next(batch.receipt for batch in layout.batches(layout.cells()) if batch.receipt.exists())
    paths = [layout.prepared("letters", "train"), layout.record(layout.cells()[0]), receipt]
    before = [path.read_bytes() for path in paths]
    actual = os.open

    def refusing(file, *arguments, **named):
        if Path(file) in paths:
            raise PermissionError(13, "Permission denied", str(file))
        return actual(file, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)
    assert main(["verify", "--config", "mine.yaml"]) == 1
    told = capsys.readouterr()
    assert all(f"{path}: Permission denied" in told.err for path in paths) and "whole, 0 damaged" in told.out
    assert "files could not be read" in told.err
    assert main(["collect", "--config", "mine.yaml"]) == 1
    assert f"lautum: error: {paths[0]}: Permission denied" in capsys.readouterr().err
    assert [path.read_bytes() for path in paths] == before


def outdated(layout: Layout) -> list[Path]:
    """What Snakemake would make anew, or refuse to, because of the times of files."""
    cells, found = layout.cells(), []

    def made(path: Path, *inputs: Path) -> None:
        newest = max(file.stat().st_mtime for file in inputs)
        if path.stat().st_mtime < newest or path.stat().st_mtime > time.time():
            found.append(path)

    data = {(name, part): layout.prepared(name, part) for name in ("digits", "letters") for part in ("train", "test")}
    for cell in cells:
        drawn = layout.split(cell.task, cell.labels, cell.seed)
        network = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
        made(drawn, data["letters", "train"])
        pretrained = layout.receipt(network)
        made(pretrained, data["digits", "train"], *([data["letters", "train"], drawn] * (cell.method == "lautum")))
        for batch in layout.batches([cell]):
            made(batch.receipt, pretrained, data["letters", "train"], data["letters", "test"], drawn)
    return found


@pytest.mark.parametrize("kind", ["data set", "training file", "split", "receipt", "receipt of a network"])
def test_a_file_from_the_future_gets_a_time_that_outdates_nothing(layout, kind, capsys):
    assert outdated(layout) == []
    path, _ = files(layout)[kind]
    os.utime(path, (FUTURE, FUTURE))
    assert outdated(layout) != []
    assert main(["verify", "--config", "mine.yaml"]) == 0
    assert f"dated in the future: {path} (it now has the time" in capsys.readouterr().err
    assert outdated(layout) == []


def test_collected_files_and_the_configuration_from_the_future_get_a_time_too(layout):
    records.collect(layout)
    stamp = layout.results / "collected/mine"
    stamp.parent.mkdir()
    stamp.write_text("")
    for path in (Path("mine.yaml"), layout.report / "records.csv", stamp):
        os.utime(path, (FUTURE, FUTURE))
    found = verify(layout, [Path("mine.yaml")])
    assert set(found.dated) == {Path("mine.yaml"), layout.report / "records.csv", stamp}
    assert all(path.stat().st_mtime <= time.time() for path in found.dated)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("split", lambda layout, path: loading.split(layout, TASK, LABELS, 0)),
        ("cost", lambda layout, path: run_record.read_cost(path, layout.pretrain_key(TASK, "standard", LABELS), 0)),
        ("record", lambda layout, path: run_record.read(layout, layout.cells()[0])),
        ("receipt", lambda layout, path: receipt.check(layout, path)),
    ],
)
def test_nothing_in_a_file_can_change_unnoticed(layout, kind, read):
    """Times, devices, curves, hashes: every value of every JSON file."""
    path, _ = files(layout)[kind]
    read(layout, path)
    written = json.loads(path.read_text())

    def places(value, *before):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from places(inner, *before, name)
        elif isinstance(value, list) and value:
            yield from places(value[-1], *before, len(value) - 1)
        elif isinstance(value, int | float | str):
            yield before

    for *folders, name in places(written):
        changed = json.loads(json.dumps(written))
        inner = changed
        for folder in folders:
            inner = inner[folder]
        inner[name] = inner[name] + ("x" if isinstance(inner[name], str) else 1)
        path.write_text(json.dumps(changed))
        with pytest.raises(Damaged):
            read(layout, path)
