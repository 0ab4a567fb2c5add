"""Training objectives: one file each, named as in the configuration, each with a class `Objective`.

An objective says what a step draws, what its loss is and what it remembers; `lautum.training.loop` runs it. Its
hyper-parameters are declared in `lautum.objectives.settings`.
"""

from importlib import import_module


def build(name: str, network, data, settings, seed: int):
    """The objective `name`, e.g. "lautum", over a network and the data of its stage."""
    return import_module(f"lautum.objectives.{name}").Objective(network, data, settings, seed)
