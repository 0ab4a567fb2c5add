"""Lautum and mutual information against closed forms in one dimension, Monte Carlo, canonical correlations and
plain matrix algebra.
"""

import math

import numpy as np
import pytest
import torch

from lautum.information import canonical_correlations, lautum_information, mutual_information


def joint_covariance(dim_x: int, dim_w: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dim_x + dim_w, dim_x + dim_w + 2))
    joint = torch.from_numpy(mixing @ mixing.T / mixing.shape[1])
    return joint[:dim_x, :dim_x], joint[dim_x:, dim_x:], joint[:dim_x, dim_x:]


def by_explicit_inverses(cov_x, cov_w, cov_xw) -> tuple[float, float]:
    """L and I from the definition with C = Sx^-1 Sxw Sw^-1 Swx, in NumPy."""
    cov_x, cov_w, cov_xw = (matrix.numpy() for matrix in (cov_x, cov_w, cov_xw))
    c = np.linalg.inv(cov_x) @ cov_xw @ np.linalg.inv(cov_w) @ cov_xw.T
    identity = np.eye(len(c))
    half_log_det = 0.5 * np.linalg.slogdet(identity - c)[1]
    return half_log_det + np.trace(np.linalg.inv(identity - c) - identity), -half_log_det


def test_one_dimension_by_hand():
    # Unit variances, correlation 0.6: rho^2 = 0.36, so L = 0.36/0.64 + ln(0.64)/2 = 0.5625 - 0.2231436 and I =
    # 0.2231436 nats.
    one, rho = torch.ones(1, 1), torch.full((1, 1), 0.6)
    assert lautum_information(one, one, rho).item() == pytest.approx(0.5625 + 0.5 * math.log(0.64), rel=1e-6)
    assert mutual_information(one, one, rho).item() == pytest.approx(0.2231436, rel=1e-6)
    assert canonical_correlations(one, one, rho).item() == pytest.approx(0.6, rel=1e-6)


def test_independent_variables_share_no_information():
    cov_x, cov_w, cov_xw = joint_covariance(4, 3, seed=0)
    assert lautum_information(cov_x, cov_w, 0 * cov_xw).item() == pytest.approx(0, abs=1e-12)
    assert mutual_information(cov_x, cov_w, 0 * cov_xw).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dims", [(6, 3), (3, 6), (5, 5)])
def test_equals_the_definition_and_the_sum_over_canonical_correlations(dims):
    blocks = joint_covariance(*dims, seed=1)
    expected_lautum, expected_mutual = by_explicit_inverses(*blocks)
    squared = canonical_correlations(*blocks) ** 2
    lautum, mutual = lautum_information(*blocks), mutual_information(*blocks)
    assert lautum.dtype == torch.float64
    assert lautum.item() == pytest.approx(expected_lautum, rel=1e-9)
    assert mutual.item() == pytest.approx(expected_mutual, rel=1e-9)
    by_correlations = (squared / (1 - squared) + 0.5 * torch.log1p(-squared)).sum()
    assert lautum.item() == pytest.approx(by_correlations.item(), rel=1e-9)
    assert lautum >= mutual >= 0


def test_monte_carlo_estimate_of_the_two_divergences():
    # L = KL(p(x) p(w) || p(x, w)) and I = KL(p(x, w) || p(x) p(w)), averaged over samples of the first argument.
    blocks = joint_covariance(2, 2, seed=3)
    cov_x, cov_w, cov_xw = (0.3 * block if i == 2 else block for i, block in enumerate(blocks))
    joint = torch.cat([torch.cat([cov_x, cov_xw], 1), torch.cat([cov_xw.T, cov_w], 1)])
    product = torch.block_diag(cov_x, cov_w)
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(400_000, 4, generator=generator, dtype=torch.float64)

    def log_density(z, covariance):
        distribution = torch.distributions.MultivariateNormal(torch.zeros(4, dtype=torch.float64), covariance)
        return distribution.log_prob(z)

    for estimate, first, second in ((lautum_information, product, joint), (mutual_information, joint, product)):
        z = samples @ torch.linalg.cholesky(first).T
        differences = log_density(z, first) - log_density(z, second)
        standard_error = differences.std() / math.sqrt(len(differences))
        assert abs(differences.mean() - estimate(cov_x, cov_w, cov_xw)) < 4 * standard_error


def test_invariant_under_invertible_maps_of_x_and_w():
    cov_x, cov_w, cov_xw = joint_covariance(4, 3, seed=4)
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, 4, dtype=torch.float64, generator=generator) + 3 * torch.eye(4)
    b = torch.randn(3, 3, dtype=torch.float64, generator=generator) + 3 * torch.eye(3)
    mapped = lautum_information(a @ cov_x @ a.T, b @ cov_w @ b.T, a @ cov_xw @ b.T)
    assert mapped.item() == pytest.approx(lautum_information(cov_x, cov_w, cov_xw).item(), rel=1e-9)


@pytest.mark.parametrize("information", [lautum_information, mutual_information])
def test_gradient(information):
    blocks = joint_covariance(3, 2, seed=5)

    def of_symmetric(cov_x, cov_w, cov_xw):
        return information((cov_x + cov_x.T) / 2, (cov_w + cov_w.T) / 2, cov_xw)

    assert torch.autograd.gradcheck(of_symmetric, tuple(block.clone().requires_grad_() for block in blocks))


@pytest.mark.parametrize("quantity", [lautum_information, mutual_information, canonical_correlations])
def test_what_is_not_a_joint_covariance_is_refused(quantity):
    one = torch.eye(2)
    with pytest.raises(ValueError, match=r"cov_xw \(Dx, Dw\); got \(2, 2\), \(2, 2\) and \(3, 2\)"):
        quantity(one, one, torch.zeros(3, 2))
    for correlation in (1.0, 1.5):
        with pytest.raises(ValueError, match="conditional covariance of w given x is not positive definite"):
            quantity(one, one, correlation * torch.eye(2))
    with pytest.raises(ValueError, match="cov_x is not positive definite: estimate it from more samples"):
        quantity(torch.ones(2, 2), one, torch.zeros(2, 2))
