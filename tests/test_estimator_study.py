"""The estimator study's worlds and what it says of a known case."""

import numpy as np
import pytest
import torch

from lautum.information import lautum_information
from lautum.regularizer import LautumRegularizer
from lautum.studies import estimator as study


def test_the_truth_is_that_of_the_joint_covariance():
    rho = study.correlations(0.7)
    cross = torch.zeros(study.D, study.K, dtype=torch.float64)
    cross[: study.K] = torch.diag(rho)
    eye = torch.eye(study.D, dtype=torch.float64)
    assert study.truth(rho) == pytest.approx(float(lautum_information(eye, eye[: study.K, : study.K], cross)))


def test_draws_have_the_correlations_they_are_asked_for():
    rho = study.correlations(0.9)
    x, w = study.draw(20_000, rho, torch.Generator().manual_seed(0))
    found = np.corrcoef(x.numpy().T, w.numpy().T)[: study.D, study.D :]
    expected = np.zeros((study.D, study.K))
    expected[: study.K] = np.diag(rho)
    assert np.abs(found - expected).max() < 4.5 / np.sqrt(20_000)


def test_the_bias_without_information_is_that_of_theory():
    settings = study.DEFAULTS | {"decay": 0.9, "rank": 20, "ridge": 1e-6}
    values = [study.still(settings, study.correlations(0.0), repetition) for repetition in range(20)]
    effective = settings["batch_size"] * 1.9 / 0.1
    # E[L + I] ~ r K / (n - r - K - 1), of which L has half to first order.
    expected = 20 * study.K / (effective - 20 - study.K - 1) / 2
    assert np.mean(values) == pytest.approx(expected, rel=0.1)


def test_through_the_average_the_gradient_is_cut_down():
    decay = 0.9
    whole, exact = study.gradients(LautumRegularizer, decay, 0)
    literal, _ = study.gradients(study.LiteralAverage, decay, 0)
    assert np.allclose(literal, (1 - decay) * whole, rtol=1e-4, atol=1e-6)
    share = whole.mean(axis=0) @ exact / (exact @ exact)
    assert 0.85 < share < 1.15
