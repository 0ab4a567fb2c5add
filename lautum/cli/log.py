"""What a job says, where its log may be on a full disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lautum.errors import is_full


class Log:
    """A stream of messages. What does not fit on its disk waits for space or is lost; the job goes on."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """As the stream's."""
        with _although_full():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream's."""
        with _although_full():
            self.stream.flush()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


@contextmanager
def _although_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
