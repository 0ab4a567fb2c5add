"""The subcommand that writes a beginning of something of one's own."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lautum.cli.command import Command
from lautum.errors import require_known

KINDS = ("objective", "dataset", "campaign")


def _new(options: Namespace) -> None:
    from lautum import starts

    require_known("kind", options.kind, KINDS)
    print(*starts.write(options.kind, options.name, Path(options.folder)), sep="\n")


def _what(parser: ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help=" or ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="of what is begun, and of its files")
    parser.add_argument("--folder", default=".", metavar="FOLDER", help="where to; default: here")


COMMANDS = {
    "new": Command(
        "write a working, commented beginning of an objective, a data set or a campaign, with a test",
        _new,
        (_what,),
    ),
}
