"""No pre-transfer stage: what the labelled target images teach by themselves, the lower bound on transfer."""

from lautum.objectives import source_only


class Objective(source_only.Objective):
    """Zero steps; the network stays as it was initialised."""
