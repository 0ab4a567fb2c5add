"""How far a campaign is: from the files, locks and logs that its jobs leave, here made by hand."""

import os
import time
from pathlib import Path

import pytest
from test_records import TRIALS, write_record
from test_search import write as write_search

from lautum import schema
from lautum.cli import main
from lautum.experiment import config
from lautum.experiment.layout import Cell, Layout
from lautum.files import write_text
from lautum.pipeline.locks import lock
from lautum.pipeline.run_record import StageCost
from lautum.results import jobs, selection, status

ROOT = Path(__file__).parent.parent
CAMPAIGN = f"""
extends: {ROOT}/config/config.yaml
name: mine
grid: {{tasks: [digits-letters], methods: [standard, temporal_ensembling, lautum], seeds: 2}}
comparisons: []
tasks: {{digits-letters: {{label_counts: [50]}}}}
"""
FIRST = Cell("digits-letters", "standard", 50, 0)


@pytest.fixture
def campaign(tmp_path, monkeypatch) -> Layout:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(CAMPAIGN)
    return Layout(config.load("mine.yaml"))


def finish(network: Path, seconds: float) -> None:
    """A training stage as it looks when it is finished."""
    write_text(network, "weights")
    cost = StageCost(
        key="stage",
        seed=0,
        seconds=seconds,
        images_per_second=1,
        resumed_at=[],
        steps=1,
        peak_memory_mb=1,
        device="cpu",
        accuracy=1,
        logit_scale=1,
        curve={"step": [1], "loss": [1.0]},
    )
    schema.write(network.with_suffix(".json"), cost)


def finish_cell(layout: Layout, cell: Cell, seconds: float) -> None:
    finish(layout.transferred(cell), seconds)
    write_text(layout.record(cell), "a record")


def pretrained(layout: Layout, cell: Cell) -> Path:
    return layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)


def job_of(layout: Layout, step: str, cell: Cell) -> jobs.Job:
    (job,) = (job for job in jobs.jobs(layout) if job.step == step and cell in job.cells)
    return job


def states(now: status.Status) -> dict[str, str]:
    return {f"{cell.method} {cell.seed}": state for cell, state in now.cells.items()}


def test_before_anything_has_run(campaign):
    now = status.read(campaign)
    assert set(now.cells) == set(campaign.cells()) and set(now.cells.values()) == {"waiting"}
    # Pre-trainings: one for each seed that standard and TE share, and those of lautum; six transfers.
    assert now.unmeasured == 2 + 2 + 6
    assert now.line() == "0 of 6 cells, 0 jobs running, no estimate yet"


def test_each_cell_and_the_time_that_is_left(campaign):
    """Pre-training takes 100 s for standard and TE, 300 s for Lautum, a transfer 20 s but 60 s for TE."""
    seed0 = {cell.method: cell for cell in campaign.cells() if cell.seed == 0}
    seed1 = {cell.method: cell for cell in campaign.cells() if cell.seed == 1}
    finish(pretrained(campaign, seed0["standard"]), 100)
    finish(pretrained(campaign, seed0["lautum"]), 300)
    finish_cell(campaign, seed0["standard"], 20)
    finish_cell(campaign, seed0["temporal_ensembling"], 60)
    write_text(job_of(campaign, "cells", seed0["standard"]).result, "a receipt")
    broken = job_of(campaign, "cells", seed0["lautum"])
    error = "lautum: error: the loss is not finite\nlautum: error: 1 of 1 cells failed; the others are finished\n"
    write_text(broken.log, f"a warning\n{error}")
    running = job_of(campaign, "pretrain", seed1["standard"])
    name = "digits-letters source_only shared seed 1"
    write_text(running.log, f"{name}: step 10/40, loss 1.0\n{name}: step 30/40, loss 0.9\n")
    with lock(campaign.checkpoint(running.result).with_suffix(".lock")):
        now = status.read(campaign)
    assert states(now) == {
        "standard 0": "done",
        "standard 1": "waiting",
        "temporal_ensembling 0": "done",
        "temporal_ensembling 1": "waiting",
        "lautum 0": "failed",
        "lautum 1": "waiting",
    }
    assert now.running == [f"pre-training {name}: {name}, 75 % of its steps"]
    assert now.failed == [f"digits-letters lautum, seed 0: lautum: error: the loss is not finite ({broken.log})"]
    # A quarter of one pre-training, the other one, and four transfers, of which one is TE's.
    assert now.seconds == pytest.approx(100 / 4 + 300 + 3 * 20 + 60) and now.unmeasured == 0
    assert now.line() == "2 of 6 cells, 1 failed, 1 job running, about 7 min left"
    lines = now.text().splitlines()
    assert lines[2].split() == ["done", "running", "failed", "waiting"]
    assert lines[3].split() == ["digits-letters", "standard", "1", "0", "0", "1"]
    assert "lautum: error: the loss is not finite" in lines[-1]

    job = job_of(campaign, "cells", seed1["standard"])
    with lock(campaign.checkpoint(campaign.transferred(seed1["standard"])).with_suffix(".lock")):
        assert states(status.read(campaign))["standard 1"] == "running"
        assert states(status.read(campaign))["temporal_ensembling 1"] == "waiting"  # its turn comes later
    assert {cell.method for cell in job.cells} == {"standard", "temporal_ensembling"}


def test_a_job_runs_whatever_clock_its_machine_has(campaign, monkeypatch):
    """Of a file server whose clock is hours behind or ahead of this machine's."""
    network, real = pretrained(campaign, FIRST), time.time
    with lock(campaign.checkpoint(network).with_suffix(".lock")):
        for hours in (-5, 5):
            monkeypatch.setattr(time, "time", lambda ahead=3600 * hours: real() + ahead)
            assert len(status.read(campaign).running) == 1


def test_a_pretraining_whose_cost_is_lost_is_not_finished(campaign):
    network = pretrained(campaign, FIRST)
    finish(network, 100)
    before = status.read(campaign)
    network.with_suffix(".json").unlink()
    write_text(job_of(campaign, "pretrain", FIRST).log, "lautum: error: no more memory\n")
    after = status.read(campaign)
    assert before.failed == [] and len(after.failed) == 1 and after.unmeasured > before.unmeasured


def test_what_starting_costs_counts(campaign):
    """Snakemake measured 130 s for a pre-training of 100 s, and 90 s for transfers of 20 and 60 s."""
    for cell in campaign.cells():
        if cell.method != "lautum":
            finish(pretrained(campaign, cell), 100)
            finish_cell(campaign, cell, 20 if cell.method == "standard" else 60)
            write_text(job_of(campaign, "cells", cell).result, "a receipt")
    for step, total in (("pretrain", 130), ("cells", 90)):
        log = job_of(campaign, step, FIRST).log
        measured = Path("results/benchmarks", log.relative_to("results/logs")).with_suffix(".jsonl")
        write_text(measured, f'{{"s": {total}, "rule_name": "{step}"}}\n')
    now = status.read(campaign)
    # Of Lautum, two pre-trainings like the other ones and two transfers like the standard ones.
    assert now.seconds == pytest.approx(2 * (100 + 30) + 2 * (20 + 5))
    assert now.line() == "4 of 6 cells, 0 jobs running, about 5 min for one job after the other"


def test_jobs_that_say_nothing(campaign):
    job = job_of(campaign, "pretrain", FIRST)
    write_text(job.log, "")
    assert status.read(campaign).running == [
        "pre-training digits-letters source_only shared seed 0: starting or evaluating"
    ]
    long_ago = time.time() - 3600
    os.utime(job.log, (long_ago, long_ago))
    now = status.read(campaign)
    assert now.running == [] and "ended without a word" in now.failed[0]
    assert states(now)["standard 0"] == states(now)["temporal_ensembling 0"] == "failed"
    write_text(job.log, "Traceback (most recent call last):\n  ...\nMemoryError\n")
    assert "seed 0: MemoryError (" in status.read(campaign).failed[0]
    # A result that has been removed since, to be made again: the log is that of its success.
    write_text(job.log, f"{job.result}\n")
    os.utime(job.log, (long_ago, long_ago))
    assert status.read(campaign).failed == [] == status.read(campaign).running
    # The lock of a process that is gone.
    path = campaign.checkpoint(job.result).with_suffix(".lock")
    write_text(path, "somebody")
    assert len(status.read(campaign).running) == 1
    os.utime(path, (long_ago, long_ago))
    assert status.read(campaign).running == []


def test_data_that_cannot_be_had_is_a_failure_of_all_that_need_it(campaign):
    split = campaign.split("digits-letters", 50, 1)
    log = Path("results/logs/split", split.relative_to("results/splits")).with_suffix(".log")
    write_text(log, "reading\n")
    assert status.read(campaign).failed == []  # it may be at it still
    write_text(log, "reading\nlautum: error: too few images\n")
    now = status.read(campaign)
    assert now.failed == [f"labelled images of digits-letters n50 seed 1: lautum: error: too few images ({log})"]
    assert {cell.seed for cell, state in now.cells.items() if state == "failed"} == {1}
    write_text(Path("results/logs/prepare/letters.log"), "lautum: error: no font\n")
    now = status.read(campaign)
    assert "data set letters: lautum: error: no font (results/logs/prepare/letters.log)" in now.failed
    assert set(now.cells.values()) == {"failed"}
    write_text(split, "it worked at last")
    assert len(status.read(campaign).failed) == 1
    write_text(campaign.prepared("letters", "train"), "the first of two files")
    assert len(status.read(campaign).failed) == 1
    write_text(campaign.receipt_of_data("letters"), "both")
    assert status.read(campaign).failed == []


def test_what_fails_after_the_cells_is_said_too(campaign):
    steps = {"collect": "collected results", "report": "page"}
    results = {"collect": Path("results/collected/mine"), "report": campaign.report / "index.html"}
    for step, title in steps.items():
        log = Path(f"results/logs/{step}/mine.log")
        write_text(log, "Traceback (most recent call last):\n  ...\nlautum: error: no space\n")
        assert status.read(campaign).failed == [f"{title}: lautum: error: no space ({log})"]
        write_text(results[step], "it worked at last")
        assert status.read(campaign).failed == []
    write_text(Path("results/logs/studies/theorem.log"), "lautum: error: no space\n")
    assert status.read(campaign).failed[0].startswith("study theorem: ")


def test_of_trials_the_page_is_that_of_the_trials(campaign):
    """Also of trials that are methods, without a search."""
    values = "extends: mine.yaml\nname: trials\nevaluate: {part: validation, validation_images: 100}\n"
    values += "grid: {methods: [standard]}\nmethods: {standard: {trial_of: lautum}}\ncomparisons: []\n"
    Path("trials.yaml").write_text(values)
    write_text(Path("results/logs/trials/trials.log"), "lautum: error: no space\n")
    (failed,) = status.read(Layout(config.load("trials.yaml"))).failed
    assert failed.startswith("page: lautum: error: no space")


def test_a_search_is_as_long_as_its_rungs_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trial.yaml").write_text(TRIALS.format(root=ROOT, folder=tmp_path))
    layout = Layout(config.load("trial.yaml"))
    assert set(status.read(layout).cells) == set(selection.cells(layout))
    loaded = Layout(config.load(ROOT / "config/tuning-mnist-notmnist10k.yaml"))
    first = status.read(loaded).cells  # its second rung is not ranked in this folder
    assert {cell.seed for cell in first} == {1000} and len(first) == 4 * 16


def test_a_search_is_not_done_before_its_last_rung_is(tmp_path, capsys, monkeypatch):
    """Whose cells nobody knows while the rung before it is not ranked."""
    path = write_search(tmp_path)
    layout = Layout(config.load(path))

    def finish_rung(rung: int) -> None:
        for cell in selection.new_cells(layout, rung):
            finish(pretrained(layout, cell), 1)
            finish(layout.transferred(cell), 1)
            write_record(layout, cell, 5)

    def ranked() -> None:
        selection.write_rung(path, 1)

    steps = iter([lambda: finish_rung(1), ranked, lambda: finish_rung(2)])
    monkeypatch.setattr(time, "sleep", lambda _: next(steps)())
    assert main(["status", "--config", str(path), "--watch"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0 of 16 cells, 0 jobs running, no estimate yet, 1 rung to come",
        "16 of 16 cells, 1 rung to come",
        "16 of 24 cells, 0 jobs running, about 13 s for one job after the other",
        "24 of 24 cells",
    ]


def test_several_pretrainings_in_one_job(campaign):
    values = Path("mine.yaml").read_text() + "pretrainings_per_job: 2\n"
    Path("mine.yaml").write_text(values)
    layout = Layout(config.load("mine.yaml"))
    assert {job.step for job in jobs.jobs(layout)} == {"cells"}
    stages = [stage.network for job in jobs.jobs(layout) for stage in job.stages]
    assert len(stages) == len(set(stages)) == 4 + 6


def test_a_line_for_the_log_now_and_then(campaign):
    class Enough(Exception):
        pass

    said = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            raise Enough
        finish_cell(campaign, FIRST, 1)

    with pytest.raises(Enough):
        status.report(campaign, say, interval=0.01)
    assert [line.split(",")[0] for line in said] == ["0 of 6 cells", "1 of 6 cells"]


@pytest.mark.parametrize(
    "seconds, text", [(0.2, "1 s"), (59, "59 s"), (95, "2 min"), (3599, "1 h 0 min"), (5000, "1 h 23 min")]
)
def test_durations(seconds, text):
    assert status.duration(seconds) == text


def test_the_command(campaign, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(Path.cwd()))
    assert main(["status", "--config", "mine.yaml"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("0 of 6 cells, 0 jobs running, no estimate yet\n") and "Slurm" not in output
    Path("squeue").write_text("#!/bin/sh\necho RUNNING; echo PENDING; echo PENDING\n")
    Path("squeue").chmod(0o755)
    assert main(["status", "--config", "mine.yaml"]) == 0
    assert capsys.readouterr().out.endswith("\nyour jobs in Slurm: 2 pending, 1 running\n")
    Path("squeue").write_text("#!/bin/sh\nexit 1\n")
    assert status.queue() is None

    def work(seconds: float) -> None:
        for cell in campaign.cells():
            finish(pretrained(campaign, cell), 1)
            finish_cell(campaign, cell, 1)

    monkeypatch.setattr(time, "sleep", work)
    assert main(["status", "--config", "mine.yaml", "--watch", "5"]) == 0
    assert capsys.readouterr().out.splitlines() == ["0 of 6 cells, 0 jobs running, no estimate yet", "6 of 6 cells"]
