"""`make bench`, second part: what a campaign costs beside training and prediction, and how the graph scales.

Everything is run as a user runs it, in processes of its own, on the built-in task in a temporary folder:

- *start-up*: CPU seconds of each step's command for one cell, apart from what it trains and predicts;
- *configuration*: CPU seconds for parsing the largest one, in a process that has imported what it needs;
- *overhead*: the share of a whole campaign's CPU time, Snakemake's included, that is not training and prediction;
- *quick start*: the whole of it;
- *graph*: seconds and memory of a dry run, and of finding a finished campaign finished, against the number of jobs,
  beside those of a dry run of as many jobs that have one input, one output and a command each: what Snakemake needs.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.files import write_text
from lautum.results import collected

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
TASK = "digits-letters"
CELL = ["--task", TASK, "--seed", "0"]
DRY_RUN = ["--dry-run", "--quiet", "rules", "--cores", "1"]
SMALLEST = """
rule all:
    input: expand("b/{{n}}", n=range({pairs}))
rule a:
    output: "a/{{n}}"
    shell: "touch {{output}}"
rule b:
    input: "a/{{n}}"
    output: "b/{{n}}"
    shell: "touch {{output}}"
"""
STEPS = {
    "split": ["split", *CELL, "--labels", "50"],
    "pretrain": ["pretrain", *CELL, "--objective", "source_only"],
    "cells": ["cells", *CELL, "standard:50"],
    "verify": ["verify"],
    "collect": ["collect"],
    "report": ["report"],
}


class Spent(NamedTuple):
    """What a command took."""

    wall: float  # seconds
    cpu: float  # seconds, of all its processes
    memory: float  # MiB, of the largest of them
    output: str = ""


def run(folder: Path, *command: str) -> Spent:
    """Run a command in `folder` to its end; raises SystemExit with its output when it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)  # of this command and its children alone
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{output[-3000:]}")
    seconds = time.perf_counter() - began
    return Spent(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10, output)


def campaign(folder: Path, seeds: int, trials: int, steps: int) -> Path:
    """A campaign of Standard and `trials` more settings of its pre-transfer stage; returns its configuration."""
    methods = {f"m{number}": {"pretrain": "source_only", "transfer": "supervised"} for number in range(trials)}
    own = {f"m{number}": {"pretrain": {"learning_rate": 1e-4 * (number + 1)}} for number in range(trials)}
    stage = {"label_counts": [50], "pretrain": {"steps": steps}, "transfer": {"steps": steps}, "methods": own}
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "overhead", "device": "cpu", "comparisons": []}
    values |= {"pretrainings_per_job": seeds * (trials + 1) // 2 or 1, "methods": methods}  # two jobs
    values |= {"grid": {"tasks": [TASK], "methods": ["standard", *methods], "seeds": seeds}}
    path = folder / "overhead.yaml"
    write_text(path, yaml.safe_dump(values | {"tasks": {TASK: stage}}))
    return path


def snakemake(*options: str, configuration: str = "overhead.yaml") -> list[str]:
    """The command that runs a campaign in the current folder."""
    profile = ["--profile", str(ROOT / "profiles/local"), "--snakefile", str(ROOT / "Snakefile")]
    return ["snakemake", *profile, *options, "--configfile", configuration]


def computed(folder: Path) -> float:
    """Seconds that the stages of a campaign trained and its evaluations took, by their own records."""
    costs = [json.loads(path.read_text()) for path in (folder / "results/pretrained").rglob("seed*.json")]
    costs += [json.loads(path.read_text()) for path in (folder / "results/transferred").rglob("seed*.json")]
    records = [json.loads(path.read_text()) for path in (folder / "results/evaluated-test").rglob("seed*.json")]
    return sum(cost["seconds"] for cost in costs) + sum(record["evaluate"]["seconds"] for record in records)


def start_up(repetitions: int) -> list[dict]:
    """CPU seconds of each step for one cell of one training step, n times."""
    rows = []
    for repetition in range(repetitions):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            campaign(folder, seeds=1, trials=0, steps=1)
            run(folder, "lautum", "prepare", "--config", "overhead.yaml")
            for step, arguments in STEPS.items():
                spent = run(folder, "lautum", *arguments, "--config", "overhead.yaml")
                rows.append({"what": f"start-up, {step}", "size": 1, "repetition": repetition} | spent._asdict())
            print(f"measured: start-up, {repetition + 1} of {repetitions}", file=sys.stderr, flush=True)
    return rows


def configuration(repetitions: int, name: str = "tuning-controls") -> list[dict]:
    """Parsing one of the configurations of the suite, n times."""
    measure = f"""
import resource, time
from lautum.experiment.config import load
began, before = time.perf_counter(), time.process_time()
load({str(ROOT / f"config/{name}.yaml")!r})
print(time.perf_counter() - began, time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    rows = []
    for repetition in range(repetitions):
        output = run(ROOT, sys.executable, "-c", measure).output
        wall, cpu, memory = map(float, output.split())
        spent = {"wall": wall, "cpu": cpu, "memory": memory / 2**10}
        rows.append({"what": f"parsing config/{name}.yaml", "size": 1, "repetition": repetition} | spent)
    return rows


def quick_start() -> list[dict]:
    """What the campaigns of `make quickstart` take once everything is installed, one after the other."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for campaign in ("quickstart", "quickstart-universes"):
            spent = run(Path(name), *snakemake(configuration=str(ROOT / f"config/{campaign}.yaml")))
            rows.append({"what": f"quick start, config/{campaign}.yaml", "size": 1, "repetition": 0} | spent._asdict())
            print(f"measured: the quick start, config/{campaign}.yaml", file=sys.stderr, flush=True)
    return rows


def overhead(seeds: int, trials: int = 19, steps: int = 200) -> list[dict]:
    """A whole campaign of short cells: its time, and the share that is neither training nor prediction.

    Of the cells only stages and evaluations count as that; what a stage predicts at its end does not.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        campaign(folder, seeds, trials, steps)
        run(folder, "lautum", "prepare", "--config", "overhead.yaml")
        spent = run(folder, *snakemake())
        share = 1 - computed(folder) / spent.cpu
        again = run(folder, *snakemake())
    size = seeds * (trials + 1)
    print(f"measured: a campaign of {size} cells", file=sys.stderr, flush=True)
    return [
        {"what": "campaign of short cells", "size": size, "repetition": 0, "share": share} | spent._asdict(),
        {"what": "the same, finished", "size": size, "repetition": 0} | again._asdict(),
    ]


def graph(seeds: tuple[int, ...]) -> list[dict]:
    """Dry runs of the paper's grid with ever more seeds, and of as many jobs as small as Snakemake has them."""
    rows = []
    for count in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _grid(folder, count)
            spent = run(folder, *snakemake(*DRY_RUN))
            jobs = int(re.findall(r"^total +(\d+)$", spent.output, flags=re.MULTILINE)[0])
            rows.append({"what": "dry run, jobs", "size": jobs, "repetition": 0} | spent._asdict())
            write_text(folder / "Snakefile", SMALLEST.format(pairs=jobs // 2))
            spent = run(folder, "snakemake", "--scheduler", "greedy", "--rerun-triggers", "mtime", "input", *DRY_RUN)
        rows.append({"what": "dry run, smallest jobs", "size": 2 * (jobs // 2) + 1, "repetition": 0} | spent._asdict())
        print(f"measured: dry run of {jobs} jobs", file=sys.stderr, flush=True)
    return rows


def finished(seeds: int) -> list[dict]:
    """Finding the paper's grid finished up to its collected records, by files that are there and empty."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout, moment = Layout(config.load(_grid(folder, seeds))), time.time()
        cells = layout.cells()
        tasks = [layout.config.tasks[task] for task in layout.config.grid.tasks]
        datasets = dict.fromkeys(name for task in tasks for name in (task.source, task.target))
        networks = layout.networks(cells)
        records = [layout.record(cell) for cell in cells]
        mark = layout.results / "collected" / layout.config.name
        splits = {layout.split(cell.task, cell.labels, cell.seed) for cell in cells}
        receipts = [batch.receipt for batch in layout.batches(cells)]
        for number, paths in enumerate(
            (
                [layout.prepared(name, part) for name in datasets for part in ("train", "test")],
                splits,
                [path.with_suffix(suffix) for path in networks for suffix in (".safetensors", ".json")],
                [layout.receipt(path) for path in networks],
                [path.with_suffix(suffix) for path in records for suffix in (".safetensors", ".json")],
                receipts,
                [layout.report / file for file in collected.FILES],
                [mark],
            )
        ):
            for path in paths:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).touch()
                os.utime(folder / path, (moment + number / 1000, moment + number / 1000))
        spent = run(folder, *snakemake("--cores", "1"), "--", str(mark))
        if "Nothing to be done" not in spent.output:
            raise SystemExit(f"a finished campaign was not found finished:\n{spent.output[-3000:]}")
    jobs = len(datasets) + len(splits) + len(networks) + len(receipts) + 1
    print(f"measured: a finished campaign of {jobs} jobs", file=sys.stderr, flush=True)
    return [{"what": "finished campaign, jobs", "size": jobs, "repetition": 0} | spent._asdict()]


def _grid(folder: Path, seeds: int) -> Path:
    """The paper's grid with so many seeds; returns its configuration."""
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "overhead", "grid": {"seeds": seeds}}
    path = folder / "overhead.yaml"
    write_text(path, yaml.safe_dump(values))
    return path


def main() -> None:
    """Measure, print a table, and write reports/overhead.csv."""
    parser = argparse.ArgumentParser(prog="python -m lautum.studies.overhead", description="What jobs and graph cost.")
    parser.add_argument("--repetitions", type=int, default=3, help="of each start-up (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[10, 100, 300, 1470], help="of the dry runs (default: %(default)s)"
    )
    parser.add_argument(
        "--finished", type=int, default=300, help="seeds of the finished campaign (default: %(default)s)"
    )
    options = parser.parse_args()
    if shutil.which("snakemake", path=ENVIRONMENT["PATH"]) is None:
        raise SystemExit("there is no command snakemake beside this Python; pip install -e '.[benchmark]'")
    rows = [
        *start_up(options.repetitions),
        *configuration(options.repetitions),
        *overhead(2),
        *overhead(6),
        *quick_start(),
    ]
    rows += [*graph(tuple(options.seeds)), *finished(options.finished)]
    columns = ["what", "size", "repetition", "wall", "cpu", "memory", "share"]
    table = pd.DataFrame(rows, columns=columns)
    write_text(Path("reports/overhead.csv"), table.to_csv(index=False, lineterminator="\n", float_format="%.3f"))
    groups = table.groupby(["what", "size"], sort=False)
    print(groups[["wall", "cpu", "memory", "share"]].median().to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
