"""The `lautum` command: one subcommand for each step of the graph, so any job can be repeated by hand.

Each module here declares some subcommands in a table COMMANDS; what they do lies in the rooms below. Modules that are
slow to import (torch, pandas, matplotlib) are imported by the functions that need them. May import everything.
"""

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lautum.errors import Damaged, LautumError, in_one_line, is_full, is_refusal, require_known

try:
    from lautum.cli import new, results, steps
except ModuleNotFoundError as error:  # e.g. after `pip install .`, which is enough for the regulariser
    if (error.name or "").split(".")[0] == "lautum":
        raise
    sys.exit(f"lautum: error: {error}: the command needs the benchmark's packages, `pip install '.[benchmark]'`")
from lautum.cli.log import Log
from lautum.files import set_aside
from lautum.lazy import ship_matplotlib

# As the process ends Python looks for cycles in all that is left: 0.3 s where torch was imported, to no one's use.
atexit.register(gc.freeze)

COMMANDS = steps.COMMANDS | results.COMMANDS | new.COMMANDS

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code. A user's mistake is one line on stderr and exit code 1."""
    ship_matplotlib()
    if sys.stdout is None:  # closed, as `>&-` does
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = Log(sys.stderr)
    try:
        options = _parse(list(sys.argv[1:] if arguments is None else arguments))
        code = options.run(options) or 0
        sys.stdout.flush()
        return code
    except Damaged as error:
        print(f"lautum: error: {error} ({set_aside(error.path)})", file=sys.stderr)
        return 1
    except LautumError as error:
        print(f"lautum: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads this, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if is_full(error):
            print("lautum: error: no space left on the device for what this prints; free some space", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if not is_refusal(error) and error.filename is None:
            raise
        print(f"lautum: error: {in_one_line(error)}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings):
        self.options: list[str] = []
        super().__init__(allow_abbrev=False, **settings)

    def add_argument(self, *names, **settings) -> argparse.Action:
        self.options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise LautumError(f"{message}; see `{self.prog} --help`")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="lautum",
        description="Lautum regularization for semi-supervised transfer learning: the benchmark, step by step.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(title="steps", metavar="STEP", required=True)
    options = {}
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.text, description=f"{command.text[0].upper()}{command.text[1:]}."
        )
        for add in command.arguments:
            add(subparser)
        subparser.set_defaults(run=command.run)
        options[name] = subparser.options
    # Before anything else that may be wrong: a misspelt option would be reported as one that is missing.
    if arguments and not arguments[0].startswith("-"):
        require_known("step", arguments[0], COMMANDS)
        for argument in arguments[1:]:
            if argument.startswith("--") and argument != "--":
                require_known(f"`lautum {arguments[0]}` option", argument.split("=")[0], options[arguments[0]])
    return parser.parse_args(arguments)
