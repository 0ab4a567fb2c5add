"""Subcommands that gather results and show them."""

import sys
import time
from argparse import ArgumentParser, Namespace

from lautum.cli.command import Command, config_file, count, load_layout
from lautum.errors import LautumError


def _collect(options: Namespace) -> None:
    from lautum.results import records, selection, universes
    from lautum.results.collected import in_words

    layout = load_layout(options)
    if layout.config.universes:
        cells, done = layout.cells(), universes.collect(layout, options.drop)
    else:
        cells = selection.cells(layout)
        done = records.collect(layout, cells, options.drop)
    print(f"{len(cells) - len(done.missing)} of {len(cells)} cells -> {done.path}")
    if done.kept:
        print(
            f"kept from what was collected before, not in {layout.results}: {len(done.kept)} "
            "(--drop leaves them out; the column commit names the code of each)"
        )
    for what, some in (("dropped", done.dropped), ("missing", done.missing)):
        lines = in_words(some)
        for line in lines[:10]:
            print(f"{what}: {line}", file=sys.stderr)
        if len(lines) > 10:
            print(f"{what}: {len(lines) - 10} more", file=sys.stderr)
    if options.all and done.missing:
        raise LautumError(f"{len(done.missing)} of {len(cells)} cells are missing; start the campaign again")


def _status(options: Namespace) -> None:
    from lautum.results import status

    layout = load_layout(options)
    on_terminal = sys.stdout.isatty()
    while True:
        now = status.read(layout)
        if options.watch is not None and not on_terminal:
            print(now.line(), flush=True)
        else:
            queued = status.queue()
            text = now.text() + (f"\n\nyour jobs in Slurm: {queued}" if queued else "")
            print(f"\x1b[H\x1b[2J{text}" if options.watch is not None else text, flush=True)
        if options.watch is None or now.is_done:
            return
        time.sleep(max(1, options.watch))


def _compare(options: Namespace) -> None:
    from lautum.results import collected, compare

    first, second = (collected.load(folder) for folder in options.folders)
    print(compare.text(first, second, options.folders))


def _rung(options: Namespace) -> None:
    from lautum.results import selection

    print(selection.write_rung(options.config, options.rung))


def _trials(options: Namespace) -> None:
    from lautum.report import selection_page
    from lautum.results import selection

    layout = load_layout(options)
    path, winners = selection.write_trials(options.config)
    print(path, winners, selection_page.write_all(layout, path), sep="\n")


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
    style.write(drawn, layout.report)
    print(layout.report)


def _report(options: Namespace) -> None:
    layout = load_layout(options)
    if layout.config.universes:
        from lautum.report import universes_page

        print(universes_page.write_all(layout, options.config))
        return
    from lautum.report import campaign

    print(campaign.write(layout, options.config))


def _drop(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--drop",
        action="store_true",
        help="leave out of the table what was collected before and is not in the results folder, and say what it was",
    )


def _all(parser: ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="fail when a cell is missing, after gathering the others")


def _watch(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        nargs="?",
        const=10,
        type=count,
        metavar="SECONDS",
        help="look again every so many seconds (10) until all is done; in a log, one line each",
    )


def _two_folders(parser: ArgumentParser) -> None:
    parser.add_argument("folders", nargs=2, metavar="FOLDER", help="of collected results, e.g. reports/published")


def _rung_number(parser: ArgumentParser) -> None:
    parser.add_argument("rung", type=count, metavar="N", help="1, 2, ...")


COMMANDS = {
    "status": Command(
        "say which cells of a campaign are done, running or failed, and how long the rest will take",
        _status,
        (config_file, _watch),
    ),
    "compare": Command(
        "compare two campaigns cell by cell, paired where seeds are common, and name the settings that differ",
        _compare,
        (_two_folders,),
    ),
    "rung": Command(
        "rank the trials of a rung of a hyper-parameter search and say which go on to the next",
        _rung,
        (config_file, _rung_number),
    ),
    "trials": Command(
        "list all trials of a hyper-parameter selection, write the winners' file, figures and a page",
        _trials,
        (config_file,),
    ),
    "collect": Command(
        "gather the records of all finished cells into one table, and name the missing",
        _collect,
        (config_file, _drop, _all),
    ),
    "table": Command(
        "render the tables from collected records: Markdown, CSV and LaTeX",
        _table,
        (config_file,),
    ),
    "plot": Command(
        "render the figures from collected records: PNG and PDF",
        _plot,
        (config_file,),
    ),
    "report": Command(
        "render tables, figures and one self-contained HTML page from collected records",
        _report,
        (config_file,),
    ),
}
