"""Lautum regularization for semi-supervised transfer learning: losses, training core and benchmark suite.

Source paper: Jakubovitz, Giryes, Rodrigues, "Lautum Regularization for Semi-Supervised Transfer Learning", 2019.

The paper's method, for any PyTorch code (needs torch, NumPy and SciPy alone):

    from lautum import LautumRegularizer, lautum_information, mutual_information, multi_kernel_mmd

The results of a campaign as data frames (docs/results.md says what is in them):

    results = lautum.load("reports/published")

The benchmark, from the bottom up; each folder imports only what stands above it in this list:

    lautum              the method, errors, files, seeds, the paper's figures
    lautum.data         data sets, splits, transforms
    lautum.training     the training loop and what it needs
    lautum.objectives   what is trained on: one file each
    lautum.experiment   the plan: configuration, search, paths and keys
    lautum.pipeline     the jobs and the record of a run
    lautum.results      records, statistics, selection of hyper-parameters
    lautum.report       tables, figures, the page
    lautum.studies      programs of their own: theorem, estimator, coverage, benchmark
    lautum.starts       beginnings of an objective, a data set and a campaign, for `lautum new` to copy
    lautum.cli          the command line
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lautum.information import lautum_information, mutual_information
    from lautum.mmd import multi_kernel_mmd
    from lautum.regularizer import LautumRegularizer
    from lautum.results.collected import Results

__version__ = "0.1.0"
__all__ = ["LautumRegularizer", "lautum_information", "load", "multi_kernel_mmd", "mutual_information"]


def load(folder: Path | str) -> "Results":
    """The results that `lautum collect` left in a campaign's `folder`, as data frames; needs no configuration.

    Raises LautumError when there are none, a file is not what `collect` writes, or accuracies and predictions disagree.
    """
    from lautum.results import collected

    return collected.load(folder)


def __getattr__(name: str):
    # On demand: most steps of the suite import this package and must not pay for torch.
    if name in __all__:
        from lautum import information, mmd, regularizer

        return next(vars(module)[name] for module in (regularizer, information, mmd) if name in vars(module))
    raise AttributeError(f"module 'lautum' has no attribute {name!r}")
