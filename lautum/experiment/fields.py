"""What single values of a configuration may be: names, paths, seeds and lists."""

import os
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # names become folders, Snakemake wildcards and arguments
VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")
STUDIES = ("estimator", "theorem")  # which write folders of their names among the reports
MOST_SEEDS = 10_000


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"name {value!r} may hold letters, digits, '.', '-' and '_' only, at most 100, the first a letter or digit"
        )
    return value


def _campaign(value: str) -> str:
    """A campaign's files are in a folder of its name, beside those of the studies and the page that lists all."""
    if value in STUDIES or value.endswith((".csv", ".html", ".json")):
        raise ValueError(f"name {value!r} is another file or folder of the reports; choose another name")
    return value


def filled_in(value: str) -> str:
    """A path with `~` and `$NAME` replaced by what they stand for; raises ValueError where they stand for nothing."""
    path = os.path.expandvars(os.path.expanduser(value))
    if path.startswith("~") or (unknown := VARIABLE.search(path)):
        what = "has no such user" if path.startswith("~") else f"has no variable {unknown[0]}"
        raise ValueError(f"path {value!r}: this machine {what}; write the path out")
    return path


def _path(value: str) -> str:
    path = filled_in(value)
    if not path or path.startswith("-") or not path.isprintable() or set("{}") & set(path):
        raise ValueError(f"path {value!r} must not be empty, begin with '-', or hold braces or control characters")
    if any(len(part.encode()) > 255 for part in path.split("/")) or len(path.encode()) > 1000:
        raise ValueError(f"path {value[:50]!r}... is longer than a file system allows")
    return path


def _count_or_list(value):
    if isinstance(value, bool) or (isinstance(value, int) and not 1 <= value <= MOST_SEEDS):
        raise ValueError(f"seeds is a count of at least 1 and at most {MOST_SEEDS}, or a list of seeds, got {value}")
    return tuple(range(value)) if isinstance(value, int) else value


def distinct(values: tuple) -> tuple:
    """The values; raises ValueError if there is none or one twice."""
    if not values or len(set(values)) < len(values):
        raise ValueError(f"must be a non-empty list without repetitions, got {list(values)}")
    return values


Name = Annotated[str, AfterValidator(_name)]
Campaign = Annotated[Name, AfterValidator(_campaign)]
FilePath = Annotated[str, AfterValidator(_path)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]  # what every program that reads a table takes for an integer
Seeds = Annotated[
    tuple[Seed, ...], Field(max_length=MOST_SEEDS), BeforeValidator(_count_or_list), AfterValidator(distinct)
]
Names = Annotated[tuple[str, ...], Field(max_length=1000), AfterValidator(distinct)]
