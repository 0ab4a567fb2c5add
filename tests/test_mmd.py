"""Mk-MMD against a float64 loop over pairs and kernels, and against a case worked out by hand."""

import math

import numpy as np
import pytest
import torch

from lautum.mmd import VARIANCES, multi_kernel_mmd


def by_loops(source: np.ndarray, target: np.ndarray) -> float:
    def mean_kernel(a, b):
        total = 0.0
        for x in a:
            for y in b:
                squared = float(((x.astype(np.float64) - y) ** 2).sum())
                total += sum(math.exp(-squared / (2 * variance)) for variance in VARIANCES)
        return total / (len(a) * len(b))

    return mean_kernel(source, source) + mean_kernel(target, target) - 2 * mean_kernel(source, target)


def features(count: int, width: int, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


def test_there_are_nineteen_kernels():
    assert len(VARIANCES) == len(set(VARIANCES)) == 19


def test_one_pair_by_hand():
    # |s - t|^2 = 2, one kernel of variance 1: k(s, s) + k(t, t) - 2 k(s, t) = 2 - 2 exp(-1).
    source, target = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    assert multi_kernel_mmd(source, target, (1.0,)).item() == pytest.approx(2 - 2 * math.exp(-1), rel=1e-6)


@pytest.mark.parametrize(("sizes", "width", "shift"), [((12, 12), 8, 0.5), ((7, 13), 64, 0.0), ((9, 5), 3, 10.0)])
def test_float32_equals_a_float64_loop(sizes, width, shift):
    source, target = features(sizes[0], width, 0.0, 1), features(sizes[1], width, shift, 2)
    assert multi_kernel_mmd(source, target).item() == pytest.approx(by_loops(source.numpy(), target.numpy()), rel=2e-5)


def test_equal_samples_have_no_discrepancy():
    sample = features(10, 16, 3.0, 3).double()
    assert multi_kernel_mmd(sample, sample).item() == pytest.approx(0, abs=1e-5)


def test_gradient():
    source, target = features(4, 3, 0.0, 4).double(), features(5, 3, 1.0, 5).double()
    wide = (0.5, 1.0, 10.0)
    assert torch.autograd.gradcheck(
        lambda s, t: multi_kernel_mmd(s, t, wide), (source.requires_grad_(), target.requires_grad_())
    )


def test_mismatched_features_are_refused():
    with pytest.raises(ValueError, match=r"\(M, F\) and \(N, F\), got \(2, 3\) and \(2, 4\)"):
        multi_kernel_mmd(torch.zeros(2, 3), torch.zeros(2, 4))
