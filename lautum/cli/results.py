"""Subcommands that gather results and show them."""

import sys
from argparse import ArgumentParser, Namespace

from lautum.cli.command import Command, config_file, count, load_layout


def _collect(options: Namespace) -> None:
    from lautum.results import records, selection

    layout = load_layout(options)
    cells = selection.cells(layout)
    path, kept, missing = records.collect(layout, cells, options.keep)
    print(f"{len(cells) - len(missing)} of {len(cells)} cells -> {path}")
    if options.keep:
        print(f"{len(kept)} of them were kept from what was collected before; the column commit names the code of each")
    for cell in missing[:10]:
        print(f"missing: {cell.task} {cell.method}, {cell.labels} labels, seed {cell.seed}", file=sys.stderr)
    if len(missing) > 10:
        print(f"missing: {len(missing) - 10} more", file=sys.stderr)


def _rung(options: Namespace) -> None:
    from lautum.results import selection

    print(selection.write_rung(options.config, options.rung))


def _trials(options: Namespace) -> None:
    from lautum.report import selection_figures, style
    from lautum.results import selection

    layout = load_layout(options)
    path, winners = selection.write_trials(options.config)
    drawn = selection_figures.build_figures(selection.read_trials(path), list(layout.config.methods))
    style.write({name: style.render(figure) for name, figure in drawn.items()}, layout.report)
    print(path, winners, sep="\n")


def _table(options: Namespace) -> None:
    from lautum.report import campaign, tables

    layout = load_layout(options)
    _, _, built = campaign.read(layout)
    tables.write_tables(built, layout.report)
    print(layout.report / "accuracy.md")


def _plot(options: Namespace) -> None:
    from lautum.report import campaign, style

    layout = load_layout(options)
    drawn = campaign.draw(layout, *campaign.read(layout))
    style.write({name: style.render(figure) for name, figure in drawn.items()}, layout.report)
    print(layout.report)


def _report(options: Namespace) -> None:
    from lautum.report import campaign

    print(campaign.write(load_layout(options), options.config))


def _keep(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        action="store_true",
        help="let runs that are not in the results folder stay in the table, if they were made with the same settings "
        "(by whatever code: the column commit names it)",
    )


def _rung_number(parser: ArgumentParser) -> None:
    parser.add_argument("rung", type=count, metavar="N", help="1, 2, ...")


COMMANDS = {
    "rung": Command(
        "rank the trials of a rung of a hyper-parameter search and say which go on to the next",
        _rung,
        (config_file, _rung_number),
    ),
    "trials": Command(
        "list all trials of a hyper-parameter selection, plot them, and write the winners' file",
        _trials,
        (config_file,),
    ),
    "collect": Command(
        "gather the records of all finished cells into one table, and name the missing",
        _collect,
        (config_file, _keep),
    ),
    "table": Command(
        "render the tables from collected records: Markdown, CSV and LaTeX",
        _table,
        (config_file,),
    ),
    "plot": Command(
        "render the figures from collected records: PNG, PDF and SVG",
        _plot,
        (config_file,),
    ),
    "report": Command(
        "render tables, figures and one self-contained HTML page from collected records",
        _report,
        (config_file,),
    ),
}
