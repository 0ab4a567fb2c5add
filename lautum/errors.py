"""The exceptions for what a user can mend, and help with names that do not exist.

The command line prints the message on one line and exits with code 1, and so it does for a file of which the system
refuses something; anything else that escapes is a bug.
"""

import difflib
import errno
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeGuard


class LautumError(ValueError):
    """A message that names the cause and the remedy, in one line.

    A ValueError, so that pydantic reports it like any other refused value.
    """


class Damaged(LautumError):
    """The file `path` is not what was written there. The command line sets it aside, so that running again makes it."""

    def __init__(self, path: Path, message: str):
        super().__init__(message)
        self.path = Path(path)


# What a system refuses for reasons that lie outside a file, whose content may be whole, and outside the program.
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
ELSEWHERE = (  # a device, a file server, a key or the memory; not every system has all of them
    *("EIO", "EREMOTEIO", "ENXIO", "ENODEV", "EBUSY", "ENOMEM", "EMFILE", "ENFILE", "ENOLCK", "ESTALE", "ETIMEDOUT"),
    *("ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "EKEYEXPIRED", "EKEYREVOKED", "ENOKEY"),
)
REFUSALS = (*FORBIDDEN, *(getattr(errno, name) for name in ELSEWHERE if hasattr(errno, name)))


def in_one_line(error: OSError) -> str:
    """What the system refused, and of which file."""
    remedy = "; check that you may use it, and every folder above it" if error.errno in FORBIDDEN else ""
    return f"{error.filename}: {error.strerror}{remedy}" if error.filename else str(error)


def described(error: BaseException) -> str:
    """Kind and message, in one line."""
    return ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))


def place(error: BaseException, modules: Collection[str]) -> str:
    """Where in these modules of plugins, or in what lies beside them, an error was raised; empty: not there."""
    packages = {name.split(".")[0] for name in modules} - {__name__.split(".")[0]}
    own = [
        f"{Path(frame.f_code.co_filename).name}, line {line}: "
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").split(".")[0] in packages
    ]
    return own[-1] if own else ""


def is_full(error: BaseException) -> TypeGuard[OSError]:
    """Whether there is no more space, on the device or for this user."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_refusal(error: BaseException) -> TypeGuard[OSError]:
    """Whether it is the system that refused, and not the content of a file that is wrong."""
    return isinstance(error, OSError) and error.errno in REFUSALS


def listed(names: Iterable[str], most: int = 30) -> str:
    """The names, or the first of many and how many more there are: nobody reads the hundreds that universes have."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(name: object, allowed: Iterable[str]) -> str:
    """'; did you mean ...? allowed: ...' for appending to a message about `name`; the names as in `listed`."""
    allowed = list(allowed)
    match = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    return f"{f'; did you mean {match[0]!r}?' if match else ';'} allowed: {listed(allowed)}"


def require_known(what: str, name: str, allowed: Iterable[str]) -> None:
    """Raise LautumError, as `nearest` says, unless `name` is one of `allowed`."""
    if name not in allowed:
        raise LautumError(f"unknown {what} {name!r}{nearest(name, allowed)}")
