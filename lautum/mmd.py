"""Multi-kernel maximum mean discrepancy (Mk-MMD, Gretton et al. 2012) with 19 Gaussian kernels, the paper's number."""

import math

import torch
from torch import Tensor

from lautum.precision import wide

# The paper says only "19 different Gaussian kernels with different standard deviations". Inferred: the list of Domain
# Separation Networks (Bousmalis et al. 2016), which has exactly 19 entries and acts as the variance in exp(-d^2 / 2 s).
VARIANCES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6)

# Two exponents for each precision. Below the first, exp rounds to 0; above the second, exp, and its product with the
# factor 1 / (2 v) of a derivative for v < 700, are ordinary numbers rather than subnormal ones.
EXPONENTS = {torch.float32: (-104.0, -80.0), torch.float64: (-745.5, -700.0)}


def multi_kernel_mmd(
    source_features: Tensor, target_features: Tensor, variances: tuple[float, ...] = VARIANCES
) -> Tensor:
    """Biased estimate of the squared MMD of two feature samples under the *sum* of Gaussian kernels, a scalar.

    At least 0, up to rounding. Computed in float32 or float64, also of narrower features. In float32 distances are
    inexact between features far from zero beside their spread (a hundred times and more): subtract one mean from both
    samples first, which changes no distance.

        mean k(s, s') + mean k(t, t') - 2 mean k(s, t),   k(a, b) = sum_v exp(-|a - b|^2 / (2 v))

    Args:
        source_features: (M, F), floating point.
        target_features: (N, F).
        variances: kernel variances v, in squared feature units.

    Raises:
        ValueError: the samples are not matrices with the same number of features, or one has no row.
    """
    if source_features.ndim != 2 or target_features.ndim != 2 or source_features.shape[1] != target_features.shape[1]:
        raise ValueError(
            f"features must be (M, F) and (N, F), got {tuple(source_features.shape)} and {tuple(target_features.shape)}"
        )
    if not (len(source_features) and len(target_features)):
        raise ValueError(f"both samples must hold features, got {len(source_features)} and {len(target_features)}")
    with torch.autocast(source_features.device.type, enabled=False):
        return _mmd(wide(source_features), wide(target_features), variances)


def _mmd(source_features: Tensor, target_features: Tensor, variances: tuple[float, ...]) -> Tensor:
    features = torch.cat([source_features, target_features])
    squared_norms = features.square().sum(dim=1)
    squared_distances = squared_norms[:, None] + squared_norms[None, :] - 2 * features @ features.T
    # Round-off on the diagonal is of the order of the narrowest variance and would bias the sum by several percent.
    squared_distances = squared_distances.clamp_min(0).fill_diagonal_(0)
    signs = torch.cat(
        [
            features.new_full((len(source_features),), 1 / len(source_features)),
            features.new_full((len(target_features),), -1 / len(target_features)),
        ]
    )
    return signs @ _KernelSum.apply(squared_distances, variances) @ signs


class _KernelSum(torch.autograd.Function):
    """sum_v exp(-d / (2 v)), elementwise over squared distances d.

    The derivative is a second sum of the same exponentials: collecting both in one pass keeps two matrices for the
    backward step instead of nineteen: the distances, for a derivative that is differentiated itself, and the sum.

    On a CPU, exp is up to 200 times slower where its result is 0 or subnormal, as the narrow kernels' mostly is. None
    of these results is needed to get the plain loop's sums to the last bit: what rounds to 0 is set to 0; and where a
    kernel is below e^-80 but not 0 (numbers of float32), the widest is above e^-35, beside which any tiny number does
    as well. (But not 0: it can decide which way a tie is rounded.)
    """

    @staticmethod
    def forward(ctx, squared_distances: Tensor, variances: tuple[float, ...]) -> Tensor:
        kernel = torch.zeros_like(squared_distances)
        derivative = torch.zeros_like(squared_distances)
        # A GPU's exp is fast everywhere, and reading the maximum would make the host wait for it.
        farthest = squared_distances.max().item() if squared_distances.is_cpu else 0.0
        zero, tiny = EXPONENTS.get(squared_distances.dtype, (-math.inf, -math.inf))
        for variance in variances:
            factor = -0.5 / variance
            term = squared_distances * factor
            if farthest * factor < tiny and variance <= max(variances) / 3:
                term = term.clamp_min(tiny).exp_().mul_(term.gt_(zero))
            else:
                term.exp_()
            kernel += term
            derivative.add_(term, alpha=factor)
        ctx.save_for_backward(squared_distances, derivative)
        ctx.variances = variances
        return kernel

    @staticmethod
    def backward(ctx, gradient: Tensor):
        squared_distances, derivative = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated once more, and what was collected is a constant
            factors = [-0.5 / variance for variance in ctx.variances]
            derivative = sum(factor * (squared_distances * factor).exp() for factor in factors)
        return gradient * derivative, None
