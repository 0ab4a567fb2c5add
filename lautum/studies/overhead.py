"""`make bench`, second part: what a campaign costs beside training and prediction, and how the graph scales.

Everything is run as a user runs it, in processes of its own, on the built-in task in a temporary folder:

- *start-up*: CPU seconds of each step's command for one cell, apart from what it trains and predicts;
- *overhead*: the share of a whole campaign's CPU time, Snakemake's included, that is not training and prediction;
- *graph*: seconds and memory of a dry run, and of finding a finished campaign finished, against the number of jobs.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from lautum.files import write_text

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
TASK = "digits-letters"
CELL = ["--task", TASK, "--seed", "0"]
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


def run(folder: Path, *command: str) -> Spent:
    """Run a command in `folder` to its end; raises SystemExit with its output when it fails."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.communicate()[0].decode(errors="replace")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{output[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.perf_counter() - began, cpu, after.ru_maxrss / 2**10)


def campaign(folder: Path, seeds: int, trials: int, steps: int) -> Path:
    """A campaign of `trials` post-transfer settings after one pre-training for each seed; returns its configuration."""
    methods = {f"m{number}": {"pretrain": "source_only", "transfer": "supervised"} for number in range(trials)}
    own = {f"m{number}": {"transfer": {"learning_rate": 1e-4 * (number + 1)}} for number in range(trials)}
    stage = {"label_counts": [50], "pretrain": {"steps": steps}, "transfer": {"steps": steps}, "methods": own}
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "overhead", "device": "cpu", "comparisons": []}
    values |= {"grid": {"tasks": [TASK], "methods": ["standard", *methods], "seeds": seeds}, "methods": methods}
    path = folder / "overhead.yaml"
    write_text(path, yaml.safe_dump(values | {"tasks": {TASK: stage}}))
    return path


def snakemake(folder: Path, *options: str) -> list[str]:
    """The command that runs the campaign in `folder`."""
    profile = ["--profile", str(ROOT / "profiles/local"), "--snakefile", str(ROOT / "Snakefile")]
    return ["snakemake", *profile, "--configfile", "overhead.yaml", *options]


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


def overhead(seeds: int = 1, trials: int = 20, steps: int = 200) -> list[dict]:
    """A whole campaign of short cells: its time, and the share that is neither training nor prediction."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        campaign(folder, seeds, trials, steps)
        run(folder, "lautum", "prepare", "--config", "overhead.yaml")
        spent = run(folder, *snakemake(folder))
        share = 1 - computed(folder) / spent.cpu
        again = run(folder, *snakemake(folder))
    size = seeds * (trials + 1)
    print(f"measured: a campaign of {size} cells", file=sys.stderr, flush=True)
    return [
        {"what": "campaign of short cells", "size": size, "repetition": 0, "share": share} | spent._asdict(),
        {"what": "the same, finished", "size": size, "repetition": 0} | again._asdict(),
    ]


def graph(seeds: tuple[int, ...]) -> list[dict]:
    """Dry runs of the paper's grid with ever more seeds."""
    rows = []
    for count in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            values = {"extends": str(ROOT / "config/config.yaml"), "name": "overhead", "grid": {"seeds": count}}
            write_text(folder / "overhead.yaml", yaml.safe_dump(values))
            command = [*snakemake(folder, "--dry-run", "--quiet", "rules"), "--cores", "1"]
            spent = run(folder, *command)
            listed = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
            jobs = int(re.findall(r"^total +(\d+)$", listed.stdout + listed.stderr, flags=re.MULTILINE)[0])
        rows.append({"what": "dry run, jobs", "size": jobs, "repetition": 0} | spent._asdict())
        print(f"measured: dry run of {jobs} jobs", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure, print a table, and write reports/overhead.csv."""
    parser = argparse.ArgumentParser(prog="python -m lautum.studies.overhead", description="What jobs and graph cost.")
    parser.add_argument("--repetitions", type=int, default=3, help="of each start-up (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, nargs="*", default=[10, 100, 300], help="of the dry runs (default: %(default)s)"
    )
    options = parser.parse_args()
    if shutil.which("snakemake", path=ENVIRONMENT["PATH"]) is None:
        raise SystemExit("there is no command snakemake beside this Python; pip install -e '.[benchmark]'")
    rows = [*start_up(options.repetitions), *overhead(), *graph(tuple(options.seeds))]
    columns = ["what", "size", "repetition", "wall", "cpu", "memory", "share"]
    table = pd.DataFrame(rows, columns=columns)
    write_text(Path("reports/overhead.csv"), table.to_csv(index=False, lineterminator="\n", float_format="%.3f"))
    groups = table.groupby(["what", "size"], sort=False)
    print(groups[["wall", "cpu", "memory", "share"]].median().to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
