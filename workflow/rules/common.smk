# One configuration for the graph and its jobs: both read the same file through lautum.experiment.config. No torch here, every job parses this.
import atexit
import gc
import inspect
import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

from lautum.results import collected, selection, status, universes
from lautum.experiment.layout import Layout
from lautum.experiment.config_files import files as config_files
from lautum.experiment.config import unheard
from lautum.experiment.config import load
from lautum.errors import LautumError, in_one_line
from lautum.files import remove_litter, require_folder, set_aside
from lautum.pipeline import processor, receipt

# A graph is made of objects that live as long as the run: to look for cycles among them as often as Python does, and once
# more at the end, took a quarter of the time.
gc.set_threshold(50_000)
atexit.register(gc.freeze)

CONFIG_FILES = [
    os.path.relpath(path) for path in workflow.config_settings.configfiles
] or ["config/config.yaml"]


def said(error):
    """What a user can mend, or the system refuses, in one line as Snakemake says it."""
    return WorkflowError(
        in_one_line(error) if isinstance(error, OSError) else str(error)
    )


try:
    if len(CONFIG_FILES) > 1:
        raise LautumError(
            f"give one --configfile, got {len(CONFIG_FILES)}; let one `extends:` the other, and write targets after --"
        )
    if workflow.config_settings.config:
        raise LautumError(
            "--config is not supported; put the change in a file with `extends: config.yaml` and give it as --configfile"
        )
    LAYOUT = Layout(load(CONFIG_FILES[0]))
    for line in unheard(CONFIG_FILES[0]) if workflow.is_main_process else ():
        logger.warning(f"WARNING: {line}")
    if workflow.is_main_process and LAYOUT.config.catalogue.networks:
        from lautum.pipeline import train  # imports torch, as the plugins do

        train.try_networks(LAYOUT)
    for folder in (LAYOUT.config.folders.data, LAYOUT.results, LAYOUT.report):
        require_folder(Path(folder))
    if braces := [
        file for file in config_files(CONFIG_FILES[0]) if {*"{}"} & {*str(file)}
    ]:
        raise LautumError(
            f"{braces[0]}: Snakemake takes braces in a path for wildcards; rename it"
        )
except (LautumError, OSError) as error:
    raise said(error) from error

CONFIG = CONFIG_FILES[0]
# Not a parameter of the rules: which file a setting stands in is no reason to run a job again, the key in the paths is.
CONFIG_SET = f"export LAUTUM_CONFIG={shlex.quote(CONFIG)}"
# The package beside this file, as the driver does: the environment may be another clone's. And the commands of the driver's
# environment, which need not be the active one.
ENVIRONMENT_SET = (
    f"export PYTHONPATH={shlex.quote(workflow.basedir)}${{PYTHONPATH:+:$PYTHONPATH}} "
    f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH"
)
LOGGED = f"source {shlex.quote(f'{workflow.basedir}/workflow/logged.sh')}"
shell.prefix(
    f"{CONFIG_SET}; {ENVIRONMENT_SET}; {LOGGED}; ".replace("{", "{{").replace("}", "}}")
)
CELLS = LAYOUT.cells()
RESULTS = LAYOUT.results
FINISHED = RESULTS / f"finished-{LAYOUT.config.evaluate.part}"
REPORT = LAYOUT.report
# Stands for the collected files, as receipts do for networks and records (lautum/pipeline/receipt.py): they may be the only copy of some runs.
COLLECTED = RESULTS / "collected" / LAYOUT.config.name
RESOURCES = LAYOUT.config.resources
TASKS = LAYOUT.config.tasks
SELECTING = LAYOUT.config.evaluate.part == "validation"


def below(path):
    """The path of a result without its suffix and the folder of its kind."""
    return Path(*path.with_suffix("").parts[len(RESULTS.parts) + 1 :]).as_posix()


class OfThisCampaign(dict):
    """By paths. What is asked for by another one is not of this configuration."""

    def __missing__(self, path):
        raise WorkflowError(
            f"{LAYOUT.config.name} asks for no {path}: other settings, or not in its grid"
        )


# By their paths, as the wildcards have them. A pre-transfer result is shared by every method and label count that its key
# covers; any of them leads back to it.
NETWORKS = OfThisCampaign(
    {below(LAYOUT.pretrained(c.task, c.method, c.labels, c.seed)): c for c in CELLS}
)
BATCHES = OfThisCampaign()  # of all cells that are known to be needed


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
                print(f"{file}: {set_aside(file)}", file=sys.stderr)
        break
    except (LautumError, OSError) as error:
        raise said(error) from error


COLLECTED_FILES = [universes.FILE] if LAYOUT.config.universes else collected.FILES


if workflow.is_main_process:
    try:
        receipt.withdraw(COLLECTED, [REPORT / name for name in COLLECTED_FILES])
        if SELECTING:
            selected = [REPORT / "trials.csv", REPORT / "winners.yaml"]
            receipt.withdraw(REPORT / "index.html", selected)
        for network in LAYOUT.networks(CELLS):
            cost = network.with_suffix(".json")
            receipt.withdraw(LAYOUT.receipt(network), [network, cost])
    except (LautumError, OSError) as error:
        raise said(error) from error


TASK = "|".join(map(re.escape, TASKS))


wildcard_constraints:
    task=TASK,
    key="[0-9a-f]{12}",
    labels=r"\d+",
    seed=r"\d+",
    rung=r"\d+",
    # TASK/OBJECTIVE/SCOPE/KEY/seedSEED[-BATCH]. For every job Snakemake handles each wildcard some twenty times.
    network=rf"({TASK})/\w+/(shared|n\d+)/[0-9a-f]{{12}}/seed\d+",
    batch=rf"({TASK})/\w+/(shared|n\d+)/[0-9a-f]{{12}}/seed\d+-[0-9a-f]{{12}}",


def needs_bfloat16():
    """Whether the grid has a task in bfloat16 that may run on a CPU."""
    tasks = [TASKS[name] for name in LAYOUT.config.grid.tasks]
    return LAYOUT.config.device != "cuda" and any(
        task.precision == "bfloat16" for task in tasks
    )


def first_answer(ask, otherwise):
    """`ask`, which is asked until it has answered once; its answer is `otherwise` as long as it is None."""
    answers = []

    def answer():
        if not answers and (some := ask()) is not None:
            answers.append(some)
        return answers[0] if answers else otherwise

    return answer


def asked_for_every_job(function):
    """Write down the parameters of a function, for which Snakemake asks every time before it calls it."""
    function.__signature__ = inspect.signature(function)
    return function


def trained(task, settings):
    """Whether a stage has steps, and so curves, for any method; `settings` gives a method's."""
    methods = LAYOUT.config.grid.methods
    return any(
        getattr(settings(task, method), "steps", None) != 0 for method in methods
    )


def memory(*steps):
    """A resubmitted job asks for as much again, up to three times as much: retries are set in the profile."""
    most = max(RESOURCES[step].mem_mb for step in steps)
    return asked_for_every_job(lambda wildcards, attempt: min(attempt, 3) * most)


def minutes(step):
    """Likewise time: it goes on from its checkpoint, but one that starts slowly may not come to write one."""
    usual = RESOURCES[step].minutes
    return asked_for_every_job(lambda wildcards, attempt: min(attempt, 3) * usual)


@cache
def prepared(dataset):
    return str(LAYOUT.receipt_of_data(dataset))


def log_of(step, pattern):
    return RESULTS / "logs" / step / f"{pattern}.log"


def benchmark_of(step, pattern):
    return RESULTS / "benchmarks" / step / f"{pattern}.jsonl"


@asked_for_every_job
def pretrain_inputs(wildcards):
    cell = NETWORKS[wildcards.network]
    files = {"source": prepared(TASKS[cell.task].source)}
    if LAYOUT.pretrained_scope(cell.method, cell.labels) != "shared":
        files["target"] = prepared(TASKS[cell.task].target)
        files["split"] = LAYOUT.split(cell.task, cell.labels, cell.seed)
    return files


@asked_for_every_job
def pretrain_options(wildcards):
    cell = NETWORKS[wildcards.network]
    task, objective, scope, key, _ = wildcards.network.split("/")
    labels = [] if scope == "shared" else ["--labels", scope[1:]]
    options = ["--task", task, "--objective", objective, *labels]
    return [*options, "--seed", str(cell.seed), "--key", key]


def examples_inputs(wildcards):
    """What the example images of the report are taken from: of each task's first labelled subset."""
    if SELECTING:
        return []
    tasks = LAYOUT.config.grid.tasks
    splits = [LAYOUT.split(task, *LAYOUT.shown_split(task)) for task in tasks]
    return [*splits, *(prepared(TASKS[task].target) for task in tasks)]


CELL_STEPS = ["transfer", "evaluate"]
if LAYOUT.config.pretrainings_per_job:
    CELL_STEPS.append("pretrain")


@asked_for_every_job
def cells_inputs(wildcards):
    cells = BATCHES[wildcards.batch].cells
    task = TASKS[cells[0].task]
    # Selecting hyper-parameters reads images held out of the training file, named in the split; no test file.
    files = {
        "images": prepared(task.target),
        "splits": [
            *dict.fromkeys(LAYOUT.split(c.task, c.labels, c.seed) for c in cells)
        ],
    }
    if LAYOUT.config.pretrainings_per_job:
        return files | {"source": prepared(task.source)}
    (pretrained,) = LAYOUT.networks(cells)
    return files | {"pretrained": LAYOUT.receipt(pretrained)}


@asked_for_every_job
def cells_minutes(wildcards, attempt):
    """All that the job does, one after the other; tried again, it does not begin again: one cell may need as much more."""
    cells = BATCHES[wildcards.batch].cells
    cell = RESOURCES["transfer"].minutes + RESOURCES["evaluate"].minutes
    minutes, longest = len(cells) * cell, cell
    if LAYOUT.config.pretrainings_per_job:
        pretraining = RESOURCES["pretrain"].minutes
        minutes += len(LAYOUT.networks(cells)) * pretraining
        longest = max(cell, pretraining)
    return minutes + (min(attempt, 3) - 1) * longest


@asked_for_every_job
def cells_options(wildcards):
    """With the cells as the command line takes them; a seed only where it is not the job's."""
    batch = BATCHES[wildcards.batch]
    task, seed = batch.cells[0].task, batch.cells[0].seed
    cells = [
        f"{c.method}:{c.labels}{f':{c.seed}' * (c.seed != seed)}" for c in batch.cells
    ]
    return ["--task", task, "--seed", str(seed), "--key", batch.key, *cells]


def receipts(cells):
    """What the jobs that finish these cells leave, a file for each."""
    batches = {below(batch.receipt): batch for batch in LAYOUT.batches(cells)}
    # In a dry run too: such a receipt is wrong, and with it the run would seem to have less to do than there is.
    if workflow.is_main_process:
        for name in batches.keys() - BATCHES:
            records = [LAYOUT.record(cell) for cell in batches[name].cells]
            predictions = [path.with_suffix(".safetensors") for path in records]
            receipt.withdraw(batches[name].receipt, [*records, *predictions])
    BATCHES.update(batches)
    return [batch.receipt for batch in batches.values()]


def finished_rung(rung):
    """The ranking that says which trials go on."""
    return checkpoints.rung.get(rung=rung).output[0] if rung else []


def rung_receipts(wildcards):
    """Of the runs that a rung has more than the one before."""
    rung = int(wildcards.rung)
    finished_rung(rung - 1)
    return receipts(selection.new_cells(LAYOUT, rung))


def all_receipts(wildcards):
    """Of the grid; while selecting, of the last rung, which rests on all others."""
    if SELECTING:
        last = len(selection.rungs(LAYOUT))
        finished_rung(last - 1)
        return receipts(selection.new_cells(LAYOUT, last))
    return [batch.receipt for batch in BATCHES.values()]


# Also in a job of a cluster, which reads this file anew and is told its receipt only.
try:
    if SELECTING:
        for rung in range(1, len(selection.rungs(LAYOUT)) + 1):
            try:
                receipts(selection.new_cells(LAYOUT, rung))
            except LautumError:  # the rung before it is not ranked yet
                break
    else:
        receipts(CELLS)
except (LautumError, OSError) as error:
    raise said(error) from error
