"""Lautum regularization for semi-supervised transfer learning: losses, training core and benchmark suite.

Source paper: Jakubovitz, Giryes, Rodrigues, "Lautum Regularization for Semi-Supervised Transfer Learning", 2019.
"""

__version__ = "0.1.0"
__all__ = ["LautumRegularizer"]


def __getattr__(name):
    # Imported on demand: the workflow parses `lautum.experiment.config` once per job and must not pay for torch.
    if name == "LautumRegularizer":
        from lautum.regularizer import LautumRegularizer

        return LautumRegularizer
    raise AttributeError(f"module 'lautum' has no attribute {name!r}")
