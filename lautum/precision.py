"""The precision in which sums over samples are taken."""

import torch
from torch import Tensor


def wide(values: Tensor) -> Tensor:
    """float32 of what has 16 bits, in which sums of squares overflow or lose what matters; else as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
