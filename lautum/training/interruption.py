"""Stopping a stage from outside without losing it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lautum.errors import LautumError


class Interrupted(LautumError):
    """The job was asked to stop; the same command goes on from where it was."""


@contextmanager
def stop_requests() -> Iterator[Callable[[], str | None]]:
    """While inside, SIGTERM and SIGUSR1, which schedulers send before a kill, are remembered, not obeyed.

    Yields a function that returns the name of the first one received, or None. Inside another one, both know what
    either received.
    """
    received: list[str] = getattr(signal.getsignal(signal.SIGTERM), "received", [])

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        if callable(outer := handlers[number]):
            outer(number, frame)

    remember.received = received  # type: ignore[attr-defined]
    signals = (signal.SIGTERM, signal.SIGUSR1)
    handlers = {int(number): signal.getsignal(number) for number in signals}
    previous = [signal.signal(number, remember) for number in signals]
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
