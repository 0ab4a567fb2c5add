"""The `lautum` command: one subcommand for each step of the graph, so any job can be repeated by hand."""

import argparse
import os
import sys
from pathlib import Path

from lautum.errors import Damaged, LautumError, require_known
from lautum.experiment import config
from lautum.experiment.layout import Cell, Layout
from lautum.files import set_aside
from lautum.objectives import PRETRAIN

EPILOG = """\
the steps of one cell, in order (Snakemake runs the same commands; every path follows from the configuration):
  lautum prepare digits letters --config config/quickstart.yaml
  lautum split     --config config/quickstart.yaml --task digits-letters --labels 50 --seed 0
  lautum pretrain  --config config/quickstart.yaml --task digits-letters --objective lautum --labels 50 --seed 0
  lautum transfer  --config config/quickstart.yaml --task digits-letters --method lautum --labels 50 --seed 0
  lautum evaluate  --config config/quickstart.yaml --task digits-letters --method lautum --labels 50 --seed 0
or the last two for several cells that begin with one pre-training, as the graph does:
  lautum cells     --config config/quickstart.yaml --task digits-letters --seed 0 standard:50 temporal_ensembling:50
then, over whatever cells are done:
  lautum collect --config config/quickstart.yaml && lautum report --config config/quickstart.yaml
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code. A user's mistake is one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except Damaged as error:
        print(f"lautum: error: {error} (it is now {set_aside(error.path).name})", file=sys.stderr)
        return 1
    except LautumError as error:
        print(f"lautum: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lautum",
        description="Lautum regularization for semi-supervised transfer learning: the benchmark, step by step.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    default = os.environ.get("LAUTUM_CONFIG", "config/config.yaml")  # set by the graph for its jobs

    def add(name: str, run, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--config", default=default, metavar="FILE", help="default: %(default)s")
        command.set_defaults(run=run)
        return command

    def add_cell(command: argparse.ArgumentParser, what: str, text: str, labels_needed: bool = True) -> None:
        command.add_argument("--task", required=True, help="e.g. digits-letters")
        if what:
            command.add_argument(f"--{what}", required=True, help=text)
        command.add_argument("--labels", type=int, required=labels_needed, metavar="N", help="labelled target images")
        command.add_argument("--seed", type=int, required=True, metavar="S")
        if what:
            command.add_argument(
                "--key", help="refuse to run if the settings no longer hash to this (the graph passes it)"
            )

    prepare = add(
        "prepare", _prepare, "read or download data sets and write each as two prepared files, train and test"
    )
    prepare.add_argument("datasets", nargs="*", metavar="DATASET", help="default: all that the grid needs")
    add_cell(add("split", _split, "draw the labelled target images of one seed"), "", "")
    add_cell(
        add(
            "pretrain",
            _pretrain,
            "pre-transfer stage: train on the labelled source and, for some objectives, the unlabelled target",
        ),
        "objective",
        f"one of {', '.join(PRETRAIN)}",
        labels_needed=False,
    )
    for name, run, text in (
        ("transfer", _transfer, "post-transfer stage: train the pretrained network on the labelled target images"),
        ("evaluate", _evaluate, "predict the target test set with a transferred network and write the record"),
    ):
        add_cell(add(name, run, text), "method", "a method of the configuration, e.g. lautum")
    cells = add("cells", _cells, "transfer and evaluate several cells that begin with the same pre-training")
    cells.add_argument("--task", required=True, help="e.g. digits-letters")
    cells.add_argument("--seed", type=int, required=True, metavar="S")
    cells.add_argument(
        "--key", help="refuse to run if the cells' settings no longer hash to this (the graph passes it)"
    )
    cells.add_argument("cells", nargs="+", metavar="METHOD:LABELS", help="e.g. standard:50 temporal_ensembling:50")
    add("verify", _verify, "read every finished file of the grid and set damaged ones aside, to be made again")
    rung = add("rung", _rung, "rank the trials of a rung of a hyper-parameter search and say which go on to the next")
    rung.add_argument("rung", type=int, metavar="N", help="1, 2, ...")
    add("trials", _trials, "list all trials of a hyper-parameter selection, plot them, and write the winners' file")
    collect = add("collect", _collect, "gather the records of all finished cells into one table, and name the missing")
    collect.add_argument(
        "--keep",
        action="store_true",
        help="let runs that are not in the results folder stay in the table, if they were made with the same settings "
        "(by whatever code: the column commit names it)",
    )
    for name, run, text in (
        ("table", _table, "render the tables from collected records: Markdown, CSV and LaTeX"),
        ("plot", _plot, "render the figures from collected records: PNG, PDF and SVG"),
        ("report", _report, "render tables, figures and one self-contained HTML page from collected records"),
    ):
        add(name, run, text)
    return parser


def _prepare(options: argparse.Namespace) -> None:
    from lautum.data import datasets

    loaded = config.load(options.config)
    offline = os.environ.get("LAUTUM_OFFLINE") or loaded.folders.offline
    tasks = [loaded.tasks[name] for name in loaded.grid.tasks]
    wanted = options.datasets or dict.fromkeys(name for task in tasks for name in (task.source, task.target))
    for name in wanted:
        for path in datasets.prepare(name, Path(loaded.folders.data), Path(offline) if offline else None):
            print(path)


def _split(options: argparse.Namespace) -> None:
    from lautum.pipeline.split import split

    layout = _layout(options)
    _require_labels(layout, options.task, options.labels)
    print(split(layout, options.task, options.labels, options.seed))


def _pretrain(options: argparse.Namespace) -> None:
    from lautum.pipeline.train import pretrain

    layout = _layout(options)
    method, labels = _method_with(layout, options)
    print(pretrain(layout, options.task, method, labels, options.seed))


def _transfer(options: argparse.Namespace) -> None:
    from lautum.pipeline.train import transfer

    layout = _layout(options)
    print(transfer(layout, _cell(layout, options)))


def _evaluate(options: argparse.Namespace) -> None:
    from lautum.pipeline.evaluate import evaluate

    layout = _layout(options)
    print(evaluate(layout, _cell(layout, options)))


def _cells(options: argparse.Namespace) -> None:
    from lautum.pipeline.cells import finish

    layout = _layout(options)
    chosen = []
    for name in options.cells:
        method, _, labels = name.rpartition(":")
        if not labels.isdecimal():
            raise LautumError(f"a cell is written METHOD:LABELS, e.g. standard:50, got {name!r}")
        _require_labels(layout, options.task, int(labels))
        require_known("method", method, layout.config.methods)
        chosen.append(Cell(options.task, method, int(labels), options.seed))
    networks = {layout.pretrained(cell.task, cell.method, cell.labels, cell.seed) for cell in chosen}
    if len(networks) > 1:
        raise LautumError(
            f"{' '.join(options.cells)} begin with {len(networks)} different pre-trainings; give those of one"
        )
    batch = layout.batch(chosen)
    _require_key(options, batch.key)
    print(finish(layout, batch))


def _layout(options: argparse.Namespace) -> Layout:
    return Layout(config.load(options.config))


def _require_labels(layout: Layout, task: str, labels: int) -> None:
    require_known("task", task, layout.config.tasks)
    counts = layout.config.tasks[task].label_counts
    if labels not in counts:
        raise LautumError(
            f"task {task} has no label count {labels}; its label_counts are {', '.join(map(str, counts))}"
        )


def _cell(layout: Layout, options: argparse.Namespace) -> Cell:
    _require_labels(layout, options.task, options.labels)
    require_known("method", options.method, layout.config.methods)
    _require_key(options, layout.transfer_key(options.task, options.method, options.labels))
    return Cell(options.task, options.method, options.labels, options.seed)


def _method_with(layout: Layout, options: argparse.Namespace) -> tuple[str, int]:
    """A method (and label count) of the grid whose pre-transfer stage is the one asked for."""
    require_known("task", options.task, layout.config.tasks)
    require_known("pretrain objective", options.objective, PRETRAIN)
    if options.labels is not None:
        _require_labels(layout, options.task, options.labels)
    elif PRETRAIN[options.objective].needs_target:
        raise LautumError(f"objective {options.objective} uses the unlabelled target images, so it needs --labels")
    labels = options.labels or layout.config.tasks[options.task].label_counts[0]
    methods = [name for name in layout.config.grid.methods if layout.config.methods[name].pretrain == options.objective]
    keys = {layout.pretrain_key(options.task, name, labels): name for name in methods}
    if not keys:
        raise LautumError(
            f"no method of the grid has the pretrain objective {options.objective}; add one to grid.methods"
        )
    if options.key is None and len(keys) > 1:
        variants = ", ".join(f"{key} ({name})" for key, name in keys.items())
        raise LautumError(f"{options.objective} has several settings in this grid: choose one with --key: {variants}")
    key = options.key or next(iter(keys))
    if key not in keys:
        _require_key(options, next(iter(keys)))
    return keys[key], labels


def _require_key(options: argparse.Namespace, key: str) -> None:
    if options.key not in (None, key):
        raise LautumError(
            f"the settings or the code changed since this job was planned (key {options.key}, now {key}); "
            "start the campaign again"
        )


def _collect(options: argparse.Namespace) -> None:
    from lautum.results import records, selection

    layout = _layout(options)
    cells = selection.cells(layout)
    path, kept, missing = records.collect(layout, cells, options.keep)
    print(f"{len(cells) - len(missing)} of {len(cells)} cells -> {path}")
    if options.keep:
        print(f"{len(kept)} of them were kept from what was collected before; the column commit names the code of each")
    for cell in missing[:10]:
        print(f"missing: {cell.task} {cell.method}, {cell.labels} labels, seed {cell.seed}", file=sys.stderr)
    if len(missing) > 10:
        print(f"missing: {len(missing) - 10} more", file=sys.stderr)


def _verify(options: argparse.Namespace) -> None:
    from lautum.pipeline import verify

    whole, damaged = verify.verify(_layout(options))
    for path in damaged:
        print(f"damaged: {path} (it is now {path.name}.damaged)", file=sys.stderr)
    print(f"{whole} files are whole, {len(damaged)} damaged")
    if damaged:
        raise LautumError("run the campaign again to make the damaged files anew")


def _rung(options: argparse.Namespace) -> None:
    from lautum.results import selection

    print(selection.write_rung(options.config, options.rung))


def _trials(options: argparse.Namespace) -> None:
    from lautum.report import selection_figures, style
    from lautum.results import selection

    layout = _layout(options)
    path, winners = selection.write_trials(options.config)
    drawn = selection_figures.build_figures(selection.read_trials(path), list(layout.config.methods))
    style.write({name: style.render(figure) for name, figure in drawn.items()}, layout.report)
    print(path, winners, sep="\n")


def _table(options: argparse.Namespace) -> None:
    from lautum.report import campaign, tables

    layout = _layout(options)
    _, _, built = campaign.read(layout)
    tables.write_tables(built, layout.report)
    print(layout.report / "accuracy.md")


def _plot(options: argparse.Namespace) -> None:
    from lautum.report import campaign, style

    layout = _layout(options)
    drawn = campaign.draw(layout, *campaign.read(layout))
    style.write({name: style.render(figure) for name, figure in drawn.items()}, layout.report)
    print(layout.report)


def _report(options: argparse.Namespace) -> None:
    from lautum.report import campaign

    print(campaign.write(_layout(options), options.config))


if __name__ == "__main__":
    sys.exit(main())
