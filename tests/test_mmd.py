"""Mk-MMD against a float64 loop over pairs and kernels, a case worked out by hand, and, bit by bit, the plain sum."""

import math

import numpy as np
import pytest
import torch

from lautum.mmd import VARIANCES, _KernelSum, multi_kernel_mmd


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


class PlainKernelSum(torch.autograd.Function):
    """What `_KernelSum` says: every kernel of every pair, by exp as it is."""

    @staticmethod
    def forward(ctx, squared_distances, variances):
        kernel = torch.zeros_like(squared_distances)
        derivative = torch.zeros_like(squared_distances)
        for variance in variances:
            term = torch.exp(squared_distances * (-0.5 / variance))
            kernel += term
            derivative.add_(term, alpha=-0.5 / variance)
        ctx.save_for_backward(derivative)
        return kernel

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


def plain_mmd(source, target):
    features = torch.cat([source, target])
    squared_norms = features.square().sum(dim=1)
    squared_distances = squared_norms[:, None] + squared_norms[None, :] - 2 * features @ features.T
    squared_distances = squared_distances.clamp_min(0).fill_diagonal_(0)
    signs = torch.cat(
        [features.new_full((len(source),), 1 / len(source)), features.new_full((len(target),), -1 / len(target))]
    )
    return signs @ PlainKernelSum.apply(squared_distances, VARIANCES) @ signs


def value_and_gradients(function, *arguments: torch.Tensor) -> list[torch.Tensor]:
    leaves = [argument.clone().requires_grad_() for argument in arguments]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value.sum(), leaves)]


def all_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(128, 128), (7, 30), (1, 6), (1, 1)])
def test_underflowing_kernels_change_no_bit(sizes, dtype):
    # Distances within a sample are from 0 (duplicates) to 1e9, so that each kernel underflows in some of the cases.
    for exponent in range(-16, 17):
        scale = 10 ** (exponent / 4)
        source, target = features(sizes[0], 16, 0.0, exponent + 20), features(sizes[1], 16, 0.5, exponent + 60)
        target[-1] = source[0]
        source[len(source) // 2 :] *= 0.3
        samples = (scale * source.to(dtype), scale * target.to(dtype))
        assert all_equal(value_and_gradients(multi_kernel_mmd, *samples), value_and_gradients(plain_mmd, *samples))


@pytest.mark.parametrize("variances", [VARIANCES, (1.0,), (1.0, 1.2), (1.0, 3.0), (2.0, 0.5)])
@pytest.mark.parametrize(("dtype", "exponents"), [(torch.float32, (79, 105)), (torch.float64, (690, 750))])
def test_where_a_kernel_is_subnormal_no_bit_changes(dtype, exponents, variances):
    # At one in 10,000 of these distances at most a tiny term decides a tie, hence so many of them.
    low, high = exponents
    for seed, variance in enumerate(variances):
        uniform = torch.rand(400, 400, generator=torch.Generator().manual_seed(seed), dtype=dtype)
        distances = 2 * variance * (low + (high - low) * uniform)
        ours, plain = (
            value_and_gradients(lambda d, kind=kind: kind.apply(d, variances), distances)
            for kind in (_KernelSum, PlainKernelSum)
        )
        assert all_equal(ours, plain)


def test_a_feature_that_is_not_a_number_stays_visible():
    source, target = features(4, 3, 0.0, 6), features(5, 3, 9.0, 7)
    source[1, 1] = math.nan
    assert multi_kernel_mmd(source, target).isnan()


def test_mismatched_features_are_refused():
    with pytest.raises(ValueError, match=r"\(M, F\) and \(N, F\), got \(2, 3\) and \(2, 4\)"):
        multi_kernel_mmd(torch.zeros(2, 3), torch.zeros(2, 4))


def test_second_derivatives_are_those_of_the_formula():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 3, dtype=torch.float64, generator=generator).requires_grad_() for n in (4, 5))
    variances = (0.5, 1.0, 10.0)
    assert torch.autograd.gradgradcheck(lambda *both: multi_kernel_mmd(*both, variances), (x, y))

    def formula(some, others, variances):
        def mean(one, other):
            squares = (one[:, None] - other[None]).square().sum(dim=-1)
            return sum((-squares / (2 * variance)).exp().mean() for variance in variances)

        return mean(some, some) + mean(others, others) - 2 * mean(some, others)

    found, expected = (
        torch.autograd.functional.hessian(lambda some, mmd=mmd: mmd(some, y.detach(), variances), x.detach())
        for mmd in (multi_kernel_mmd, formula)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_16_bits_are_taken_as_float32_also_under_autocast(dtype):
    x, y = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)).to(dtype) for n in (9, 12))
    expected = multi_kernel_mmd(x.float(), y.float())
    assert multi_kernel_mmd(x, y) == expected and expected.dtype == torch.float32
    with torch.autocast("cpu", dtype):
        assert multi_kernel_mmd(x, y) == expected == multi_kernel_mmd(x.float(), y.float())


def test_an_empty_sample_is_refused():
    with pytest.raises(ValueError, match="both samples must hold features, got 0 and 3"):
        multi_kernel_mmd(torch.zeros(0, 2), torch.zeros(3, 2))
