"""How far a stage has come, for whoever watches."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(name: str, first: int, total: int) -> Iterator[Callable[[int, float], None]]:
    """Yields a function that shows step and loss: on a terminal a bar, in a log a line every ten seconds or so."""
    if sys.stderr.isatty():
        with tqdm(desc=name, initial=first, total=total, unit="step") as bar:

            def show(step: int, loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update(step - bar.n)

            yield show
    else:
        last = [time.perf_counter()]

        def show(step: int, loss: float) -> None:
            if time.perf_counter() - last[0] > 10 or step == total:
                last[0] = time.perf_counter()
                print(f"{name}: step {step}/{total}, loss {loss:.4f}", file=sys.stderr, flush=True)

        yield show
