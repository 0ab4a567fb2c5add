"""How much a moving average over batches remembers. On its own, because whoever plans a run needs neither torch nor
pydantic to know it, and whoever uses the regulariser has no pydantic."""


def effective_samples(batch_size: int, decay: float) -> float:
    """How many samples a moving average over batches holds: the independent ones with an average of that variance."""
    return batch_size * (1 + decay) / (1 - decay)
