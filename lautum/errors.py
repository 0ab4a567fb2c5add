"""The one exception for mistakes a user can mend.

The command line prints its message on one line and exits with code 1; anything else that escapes is a bug.
"""


class LautumError(ValueError):
    """A message that names the cause and the remedy, in one line.

    A ValueError, so that pydantic reports it like any other refused value.
    """
