"""How far a campaign has come: which cells are done, running or failed, and how long the rest will take.

All of it is read from the campaign's folders, whoever runs the jobs and wherever: results and their measured costs, the
locks that jobs hold, and the logs that the graph gives them.
"""

import json
import math
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import mean

from lautum import schema
from lautum.errors import LautumError
from lautum.experiment.layout import Cell, Layout
from lautum.pipeline.locks import STALE, clock, is_held
from lautum.pipeline.run_record import StageCost
from lautum.results.jobs import Job, Stage, aggregations, inputs, jobs, rungs_to_come, transfer_stage

STATES = ("done", "running", "failed", "waiting")
TAIL = 4096  # bytes of a log that are looked at


@dataclass
class Status:
    """How far a campaign has come."""

    cells: dict[Cell, str]  # one of STATES; of a search, those of the rungs that are known
    rungs_to_come: int = 0  # the others
    running: list[str] = field(default_factory=list)  # a line for each job
    failed: list[str] = field(default_factory=list)
    unmeasured: int = 0  # stages to come of whose kind none is finished
    seconds: float = 0.0  # that the others will take, one after the other

    @property
    def is_done(self) -> bool:
        """Whether nothing is to come."""
        return not self.rungs_to_come and set(self.cells.values()) == {"done"}

    def line(self) -> str:
        """In one line."""
        counts = Counter(self.cells.values())
        parts = [f"{counts['done']} of {len(self.cells)} cells"]
        parts += [f"{counts['failed']} failed"] * bool(counts["failed"])
        if counts["done"] < len(self.cells):
            parts += [f"{len(self.running)} jobs running" if len(self.running) != 1 else "1 job running"]
            parts += [self._time_left()]
        if self.rungs_to_come:
            parts += [f"{self.rungs_to_come} rungs to come" if self.rungs_to_come != 1 else "1 rung to come"]
        return ", ".join(parts)

    def _time_left(self) -> str:
        if not self.seconds:
            return "no estimate yet" if self.unmeasured else "nearly done"
        more = f", not counting {self.unmeasured} stages of a kind not measured yet" if self.unmeasured else ""
        if not self.running:
            return f"about {duration(self.seconds)} for one job after the other{more}"
        return f"about {duration(self.seconds / len(self.running))} left{more}"

    def text(self) -> str:
        """In full: a table by task and method, what runs, and what failed with the last line of its log."""
        rows: dict[tuple[str, str], Counter] = {}
        for cell, state in self.cells.items():
            rows.setdefault((cell.task, cell.method), Counter())[state] += 1
        width = max(len(f"{task} {method}") for task, method in rows)
        lines = [self.line(), "", " " * width + "".join(f"{state:>9}" for state in STATES)]
        for (task, method), counts in rows.items():
            lines.append(f"{f'{task} {method}':<{width}}" + "".join(f"{counts[state]:9}" for state in STATES))
        for title, some in (("running", self.running), ("failed", self.failed)):
            if some:
                lines += ["", f"{title}:", *(f"  {line}" for line in some)]
        return "\n".join(lines)


def read(layout: Layout) -> Status:
    """The status of a campaign. Raises LautumError as `selection.rung_cells`, for a ranking that is not whole."""
    to_come = rungs_to_come(layout)  # first: a rung that is ranked meanwhile has cells that are not done
    all_jobs, now = list(jobs(layout)), clock(layout.results)
    cells = {cell: "waiting" for job in all_jobs for cell in job.cells}
    status, costs, overheads = Status(cells, to_come), {}, {}
    for job in all_jobs:
        for stage in job.stages:
            if (seconds := _seconds(stage)) is not None:
                for kind in stage.kinds:
                    costs.setdefault(kind, []).append(seconds)
        if (overhead := _overhead(layout, job)) is not None:
            overheads.setdefault(job.step, []).append(overhead)
    needed = inputs(layout, list(cells))
    for title, result, log in (*needed, *aggregations(layout)):
        # These hold no lock, and reading a large archive is silent: only what it says tells that one failed.
        if not result.exists() and _has_failed(tail := _tail(log)):
            status.failed.append(f"{title}: {_last_line(tail or [])} ({log})")
            _mark(cells, needed.get((title, result, log), []), "failed")
    for job in all_jobs:
        if _is_finished(job):
            continue
        held = [stage for stage in job.stages if _is_held(layout, stage.network, now)]
        tail = _tail(job.log)
        if held or _is_held(layout, job.result, now) or _is_starting(job.log, tail, now):
            status.running.append(f"{_title(job)}: {_progress(held, tail)}")
            names = {stage.name for stage in held}
            _mark(cells, [cell for cell in job.cells if transfer_stage(layout, cell).name in names], "running")
        elif tail is not None and tail[-1:] != [str(job.result)]:  # had it finished, it would have said so
            status.failed.append(f"{_title(job)}: {_last_line(tail)} ({job.log})")
            _mark(cells, job.cells, "failed")
        for stage in job.stages:
            if _seconds(stage) is None:
                known = next((costs[kind] for kind in stage.kinds if kind in costs), None)
                if known is None:
                    status.unmeasured += 1
                else:
                    left = 1 - _share(stage, tail) if stage in held else 1
                    status.seconds += left * mean(known) + mean(overheads.get(job.step, [0.0]))
    _mark(cells, [cell for cell in cells if layout.record(cell).exists()], "done")
    return status


def report(layout: Layout, say: Callable[[str], object], interval: float = 60) -> None:
    """Say `Status.line` now and every `interval` seconds, for ever; for a thread of whoever runs the jobs."""
    while True:
        try:
            say(read(layout).line())
        except (LautumError, OSError) as error:  # the jobs will say what is wrong with it
            say(f"no estimate: {error}")
        time.sleep(interval)


def queue() -> str | None:
    """The user's jobs in Slurm by state; None where there is no Slurm, or it does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--me", "--noheader", "--format=%T"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    states = Counter(answer.split())
    return ", ".join(f"{count} {state.lower()}" for state, count in sorted(states.items())) or "none"


def duration(seconds: float) -> str:
    """95 as "2 min", 5000 as "1 h 23 min"."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _seconds(stage: Stage) -> float | None:
    """What a stage took; None when it is not finished, or its files are not whole."""
    cost = stage.network.with_suffix(".json")
    if not (stage.network.exists() and cost.exists()):
        return None
    try:
        return _cost(cost, stage.network.stat().st_mtime_ns)
    except (LautumError, OSError):
        return None


@cache
def _cost(path: Path, _written: int) -> float:
    return schema.read(path, StageCost, what="the cost of a stage").seconds


def _is_finished(job: Job) -> bool:
    """Whether a job has nothing left to do; the cost of a pre-training belongs to it."""
    return job.result.exists() and (job.step != "pretrain" or _seconds(job.stages[0]) is not None)


def _overhead(layout: Layout, job: Job) -> float | None:
    """Seconds that a finished job took beyond its training, for each stage; None when they are not known.

    Snakemake measures its jobs. What starting, reading and evaluating take is often more than training.
    """
    path = layout.results / "benchmarks" / job.log.relative_to(layout.results / "logs").with_suffix(".jsonl")
    if not (_is_finished(job) and path.exists()):
        return None
    try:
        total = float(json.loads(path.read_text().splitlines()[-1])["s"])
    except (ValueError, KeyError, IndexError, TypeError, OSError, RecursionError):
        return None
    if not math.isfinite(total):
        return None
    return max(0.0, total - sum(_seconds(stage) or 0.0 for stage in job.stages)) / len(job.stages)


def _is_held(layout: Layout, result: Path, now: float) -> bool:
    return is_held(layout.checkpoint(result).with_suffix(".lock"), now)


def _tail(log: Path) -> list[str] | None:
    """The last lines of a log, oldest first; None when there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return None


def _is_starting(log: Path, tail: list[str] | None, now: float) -> bool:
    """Whether a job that holds no lock has just begun: it imports PyTorch, or reads data."""
    if tail is None or _has_failed(tail):
        return False
    try:
        return now - log.stat().st_mtime < STALE
    except OSError:
        return False


def _has_failed(tail: list[str] | None) -> bool:
    return any(line.startswith(("lautum: error:", "Traceback")) for line in tail or [])


def _last_line(tail: list[str]) -> str:
    """What a failed job said last; of several cells that failed, one says more than their number."""
    errors = [line for line in tail if line.startswith("lautum: error:") and "the others are finished" not in line]
    return (errors or tail or ["ended without a word"])[-1].strip()


def _title(job: Job) -> str:
    first = job.cells[0]
    if job.step == "pretrain":
        return f"pre-training {job.stages[0].name}"
    methods = ", ".join(dict.fromkeys(cell.method for cell in job.cells))
    return f"{first.task} {methods}, seed {first.seed}"


def _progress(held: list[Stage], tail: list[str] | None) -> str:
    for stage in held:
        return f"{stage.name}, {100 * _share(stage, tail):.0f} % of its steps"
    return "starting or evaluating"


def _share(stage: Stage, tail: list[str] | None) -> float:
    """How much of a running stage is done, by the last line about it in the log."""
    for line in reversed(tail or []):
        if found := re.match(rf"{re.escape(stage.name)}: step (\d{{1,15}})/(\d{{1,15}}),", line):
            return int(found[1]) / max(1, int(found[2]))
    return 0.0


def _mark(cells: dict[Cell, str], some, state: str) -> None:
    cells.update(dict.fromkeys(some, state))
