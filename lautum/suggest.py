"""Error messages about names that do not exist."""

import difflib
from collections.abc import Iterable

from lautum.errors import LautumError


def nearest(name: object, allowed: Iterable[str]) -> str:
    """'; did you mean ...? allowed: ...' for appending to a message about `name`."""
    allowed = list(allowed)
    match = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    return f"{f'; did you mean {match[0]!r}?' if match else ';'} allowed: {', '.join(allowed)}"


def require_known(what: str, name: str, allowed: Iterable[str]) -> None:
    """Raise LautumError, with the nearest name and all of them, unless `name` is one of `allowed`."""
    if name not in allowed:
        raise LautumError(f"unknown {what} {name!r}{nearest(name, allowed)}")
