"""Points of the samples that campaigns of the suite rest on, kept in designs.json.

Another release of SciPy may draw others, but not change which trials or universes there were; and every job of such a
campaign would wait half a second for SciPy, and longer for a design that is optimised.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("designs.json")


def kept(name: str) -> np.ndarray | None:
    """The points of a design, (count, dimensions); None for one that is not kept."""
    points = _all().get(name)
    return None if points is None else np.array(points)


@cache
def _all() -> dict[str, list[list[float]]]:
    return json.loads(PATH.read_text(encoding="utf-8"))
