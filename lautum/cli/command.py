"""What a subcommand is, and the arguments that many of them take."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from lautum.experiment import config
from lautum.experiment.layout import Layout

MOST = 2**31 - 1  # as of seeds


@dataclass(frozen=True)
class Command:
    """A subcommand: `run` gets the parsed arguments and returns the exit code (None: 0)."""

    text: str  # what it does, for the help
    run: Callable[[Namespace], int | None]
    arguments: tuple[Callable[[ArgumentParser], object], ...] = ()  # each adds some


def config_file(parser: ArgumentParser) -> None:
    """--config; the graph names it to its jobs in LAUTUM_CONFIG."""
    default = os.environ.get("LAUTUM_CONFIG", "config/config.yaml")
    parser.add_argument(
        "--config", default=default, metavar="FILE", help="default: $LAUTUM_CONFIG, else config/config.yaml"
    )


def load_layout(options: Namespace) -> Layout:
    """Of the configuration that --config names. Raises LautumError as `config.load`."""
    return Layout(config.load(options.config))


def count(text: str) -> int:
    """The number that an argument is; argparse reports any other."""
    shown = text if len(text) < 40 else f"{text[:20]}... ({len(text)} characters)"
    if not text.isdecimal():
        raise ArgumentTypeError(f"must be a number, 0 or above, got {shown!r}")
    if len(text) > len(str(MOST)) or int(text) > MOST:
        raise ArgumentTypeError(f"must be at most {MOST}, got {shown!r}")
    return int(text)
