# One configuration for the graph and its jobs: both read the same file through lautum.experiment.config. No torch here, every job parses this.
import os
import re
import shlex
import sys

from lautum.results import selection
from lautum.experiment.layout import Cell, Layout
from lautum.experiment.config_files import files as config_files
from lautum.experiment.config import load
from lautum.errors import LautumError
from lautum.files import set_aside

CONFIG_FILES = [
    os.path.relpath(path) for path in workflow.config_settings.configfiles
] or ["config/config.yaml"]

try:
    if len(CONFIG_FILES) > 1:
        raise LautumError(
            f"give one --configfile, got {len(CONFIG_FILES)}; let one `extends:` the other"
        )
    if workflow.config_settings.config:
        raise LautumError(
            "--config is not supported; put the change in a file with `extends: config.yaml` and give it as --configfile"
        )
    LAYOUT = Layout(load(CONFIG_FILES[0]))
except LautumError as error:
    raise WorkflowError(str(error))

CONFIG = CONFIG_FILES[0]
# Not a parameter of the rules: which file a setting stands in is no reason to run a job again, the key in the paths is.
shell.prefix(f"export LAUTUM_CONFIG={shlex.quote(CONFIG)}; ")
CELLS = LAYOUT.cells()
RESULTS = LAYOUT.results
REPORT = LAYOUT.report
RESOURCES = LAYOUT.config.resources
TASKS = LAYOUT.config.tasks
SELECTING = LAYOUT.config.evaluate.part == "validation"

# A pre-transfer result is shared by every method and label count that its key covers; any of them leads back to it.
PRETRAINED = {LAYOUT.pretrained(c.task, c.method, c.labels, c.seed): c for c in CELLS}


# A damaged ranking would stop the input functions below; it and those that rest on it are made again from the records.
rankings = [
    selection.rung_file(LAYOUT, rung) for rung in range(1, len(selection.rungs(LAYOUT)))
]
for rung, ranking in enumerate(rankings, start=1):
    try:
        selection.read_rung(LAYOUT, rung)
    except LautumError as error:
        if ranking.exists():
            print(error, file=sys.stderr)
        for file in rankings[rung - 1 :]:
            if file.exists():
                print(f"{file} is now {set_aside(file).name}", file=sys.stderr)
        break


wildcard_constraints:
    task="|".join(TASKS),
    method="|".join(map(re.escape, LAYOUT.config.methods)),
    objective="[a-z_]+",
    scope=r"shared|n\d+",
    key="[0-9a-f]{12}",
    labels=r"\d+",
    seed=r"\d+",
    rung=r"\d",


def cell_of(wildcards):
    return Cell(
        wildcards.task, wildcards.method, int(wildcards.labels), int(wildcards.seed)
    )


def memory(step):
    """A resubmitted job asks for as much again: retries are set in the profile."""
    return lambda wildcards, attempt: attempt * RESOURCES[step].mem_mb


def minutes(step):
    """Likewise time."""
    return lambda wildcards, attempt: attempt * RESOURCES[step].minutes


def log_of(step, pattern):
    return RESULTS / "logs" / step / f"{pattern}.log"


def benchmark_of(step, pattern):
    return RESULTS / "benchmarks" / step / f"{pattern}.jsonl"


def pretrain_inputs(wildcards):
    pattern = "pretrained/{task}/{objective}/{scope}/{key}/seed{seed}.safetensors"
    cell = PRETRAINED[RESULTS / pattern.format(**wildcards)]
    files = {"source": LAYOUT.prepared(TASKS[cell.task].source, "train")}
    if wildcards.scope != "shared":
        files["target"] = LAYOUT.prepared(TASKS[cell.task].target, "train")
        files["split"] = LAYOUT.split(cell.task, cell.labels, cell.seed)
    return files


def transfer_inputs(wildcards):
    cell = cell_of(wildcards)
    return {
        "pretrained": LAYOUT.pretrained(cell.task, cell.method, cell.labels, cell.seed),
        "target": LAYOUT.prepared(TASKS[cell.task].target, "train"),
        "split": LAYOUT.split(cell.task, cell.labels, cell.seed),
    }


def evaluate_inputs(wildcards):
    cell = cell_of(wildcards)
    network = LAYOUT.transferred(cell)
    pretrained = LAYOUT.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    files = {
        "network": network,
        "costs": [network.with_suffix(".json"), pretrained.with_suffix(".json")],
    }
    if LAYOUT.config.evaluate.part == "test":
        return files | {"images": LAYOUT.prepared(TASKS[cell.task].target, "test")}
    # Selecting hyper-parameters: images held out of the training set, named in the split.
    images = LAYOUT.prepared(TASKS[cell.task].target, "train")
    return files | {
        "images": images,
        "split": LAYOUT.split(cell.task, cell.labels, cell.seed),
    }


def finished_rung(rung):
    """The ranking that says which trials go on."""
    return checkpoints.rung.get(rung=rung).output[0] if rung else []


def rung_records(wildcards):
    finished_rung(int(wildcards.rung) - 1)
    return [
        LAYOUT.record(cell)
        for cell in selection.rung_cells(LAYOUT, int(wildcards.rung))
    ]


def all_records(wildcards):
    """Of the grid; while selecting, of the trials of every rung, which are known once the last but one is ranked."""
    if SELECTING:
        finished_rung(len(selection.rungs(LAYOUT)) - 1)
        return [LAYOUT.record(cell) for cell in selection.cells(LAYOUT)]
    return [LAYOUT.record(cell) for cell in CELLS]
