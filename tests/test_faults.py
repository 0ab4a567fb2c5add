"""The faults of `make faults`: each that counts has really hit something."""

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter

import fault_kinds
import faults
import pytest
from fault_kinds import Place

from lautum.pipeline import locks

OF_DRIVERS = {fault_kinds.driver_killed, fault_kinds.two_drivers, fault_kinds.full_disk}
OF_JOBS = {fault_kinds.sigkill, fault_kinds.sigterm}
OF_FILES = [kind for kind in fault_kinds.KINDS if kind not in OF_DRIVERS | OF_JOBS]


@pytest.fixture
def place(tmp_path) -> Place:
    files = ["data/a-train.safetensors", "data/a-test.safetensors"]
    files += [f"results/{name}/seed{seed}.safetensors" for name in ("pretrained/x", "checkpoints/y") for seed in (0, 1)]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    for name in ("splits/x/seed0", "finished-test/x/seed0-abc"):
        (tmp_path / f"results/{name}.json").parent.mkdir(parents=True)
        (tmp_path / f"results/{name}.json").write_text(json.dumps({"key": name, "seed": 5}))
    return Place(tmp_path)


def state(place) -> dict:
    paths = [path for path in place.folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize("kind", OF_FILES)
def test_a_fault_of_files_counts_when_it_changed_one_and_hits_none_twice(kind, place):
    rng, hits = random.Random(0), 0
    for _ in range(30):
        before, earlier = state(place), dict(place.hit)
        counted = kind(place, rng)
        after = state(place)
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        if counted:
            assert changed
        assert place.hit.keys() > earlier.keys() if counted else place.hit == earlier
        assert {path: place.hit[path] for path in earlier} == earlier
        hits += counted
    assert hits >= 2


def test_a_file_that_was_written_anew_is_hit_again(place):
    rng = random.Random(0)
    while fault_kinds.corrupt_dataset(place, rng):
        pass
    path = place.data()[0]
    path.with_name("new").write_bytes(path.read_bytes())
    path.with_name("new").replace(path)
    assert fault_kinds.corrupt_dataset(place, rng)
    assert not fault_kinds.corrupt_dataset(place, rng)


def test_a_result_that_is_missing_at_the_end_is_lost_though_it_is_made_later(tmp_path, monkeypatch):
    """A network that is not needed any more may be missing, a record or a table may not."""
    campaign = faults.Campaign(tmp_path)
    expected = [f"results/{name}/a/seed0.safetensors" for name in ("pretrained", "evaluated-test")]
    expected.append("reports/toy/accuracy.csv")

    monkeypatch.setattr(campaign, "run", lambda: 0)
    monkeypatch.setattr(campaign, "command", lambda *words: 0)
    assert faults.repair(campaign, expected) == (1, expected[1:])


@pytest.mark.parametrize("kind", fault_kinds.KINDS)
def test_where_nothing_is_there_no_fault_counts(kind, tmp_path):
    assert not kind(Place(tmp_path), random.Random(0))


def test_a_signal_reaches_the_holder_of_a_lock_and_no_other_process_of_its_number(place):
    path = place.checkpoints()[0]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = {"pid": process.pid, "started": "0"}
        path.with_suffix(".lock").write_text(json.dumps(holder))
        assert not fault_kinds.sigkill(place, random.Random(0))
        path.with_suffix(".lock").write_text(json.dumps(holder | {"started": locks._started(process.pid)}))
        assert place.training() == {path: process.pid}
        assert fault_kinds.sigkill(place, random.Random(0))
        assert process.wait() == -9


def test_the_checkpoint_of_a_running_job_is_corrupted_at_its_end(place):
    path, whole = place.checkpoints()[0], {some: some.read_bytes() for some in place.checkpoints()}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = locks._started(process.pid)
        path.with_suffix(".lock").write_text(json.dumps({"pid": process.pid, "started": started}))
        place.mark(place.checkpoints()[1])
        assert fault_kinds.corrupt_checkpoint(place, random.Random(0))
        assert process.wait() == -9
    assert [some for some in whole if some.read_bytes() != whole[some]] == [path]


def test_the_summary_adds_up_over_rounds_and_parts(tmp_path):
    path = tmp_path / "faults.csv"
    faults.add_up(path, Counter(sigkill=2, litter=1), survived=True)
    faults.add_up(path, Counter(sigkill=3), survived=False)
    with open(path, newline="") as file:
        rows = {row.pop("kind"): row for row in csv.DictReader(file)}
    assert {name: [row[column] for column in ("injected", "survived", "lost")] for name, row in rows.items()} == {
        "litter": ["1", "1", "0"],
        "sigkill": ["5", "2", "3"],
    }
    assert all(f"{os.cpu_count()} cores" in row["machine"] for row in rows.values())
