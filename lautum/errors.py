"""The exceptions for what a user can mend.

The command line prints the message on one line and exits with code 1; anything else that escapes is a bug.
"""

from pathlib import Path


class LautumError(ValueError):
    """A message that names the cause and the remedy, in one line.

    A ValueError, so that pydantic reports it like any other refused value.
    """


class Damaged(LautumError):
    """The file `path` is not what was written there. The command line sets it aside, so that running again makes it."""

    def __init__(self, path: Path, message: str):
        super().__init__(message)
        self.path = Path(path)
