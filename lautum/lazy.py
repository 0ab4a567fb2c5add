"""Packages that are imported late: at their first use, and matplotlib as it was shipped.

Every step of the suite reads the settings of the objectives, but few steps compute with torch, whose import takes two
seconds and 650 MB; and tables without comparisons need no tests. So modules that stand between the two take them from
here; what is under `TYPE_CHECKING` tells editors and type checkers that these are the real modules.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from scipy import integrate, stats
else:

    class _OnFirstUse:
        def __init__(self, module: str):
            self._module = module

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._module), name)

    torch, F = _OnFirstUse("torch"), _OnFirstUse("torch.nn.functional")
    stats, integrate = _OnFirstUse("scipy.stats"), _OnFirstUse("scipy.integrate")

__all__ = ["F", "integrate", "ship_matplotlib", "stats", "torch"]


def ship_matplotlib() -> None:
    """Keep the user's backend (Jupyter's MPLBACKEND) and matplotlibrc from a matplotlib that is imported after this.

    It could not be imported with a backend that is not installed. A matplotlibrc in the working directory is read all
    the same; `lautum.report.style` undoes it.
    """
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
