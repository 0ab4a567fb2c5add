"""Theorem 1 of the paper, exactly on finite worlds and by hand."""

import doctest
from itertools import product

import numpy as np
import pytest
import torch

from lautum.information import lautum_information
from lautum.studies import theorem


def world(seed, inputs=4, classes=3, weights=5):
    rng = np.random.default_rng(seed)
    p_xy = rng.dirichlet(np.ones(inputs * classes)).reshape(inputs, classes)
    p_w, p_x_given_w = rng.dirichlet(np.ones(weights)), rng.dirichlet(np.ones(inputs), weights)
    return p_xy, p_w, p_x_given_w, rng.dirichlet(np.ones(classes), (weights, inputs))


@pytest.mark.parametrize("seed", range(20))
def test_the_theorem_holds(seed):
    t = theorem.terms(*world(seed))
    assert t.cross_entropy == pytest.approx(t.mismatch + t.bayes - t.lautum, rel=1e-12)
    assert min(t) > 0


def test_each_term_against_a_loop():
    p_xy, p_w, p_x_given_w, f = world(1, 2, 2, 3)
    expected = np.zeros(4)
    for w in range(3):
        for x in range(2):
            p_x = p_xy[x, 0] + p_xy[x, 1]
            expected[3] += p_w[w] * p_x * np.log(p_x / p_x_given_w[w, x])
            for y in range(2):
                p = p_w[w] * p_xy[x, y]
                expected[0] += -p * np.log(f[w, x, y])
                expected[1] += p * np.log(p_xy[x, y] / (f[w, x, y] * p_x_given_w[w, x]))
                expected[2] += -p * np.log(p_xy[x, y] / p_x)
    assert theorem.terms(p_xy, p_w, p_x_given_w, f) == pytest.approx(tuple(expected))


def test_independent_weights_carry_no_lautum_information():
    p_xy, p_w, _, f = world(2)
    t = theorem.terms(p_xy, p_w, np.tile(p_xy.sum(axis=1), (5, 1)), f)
    assert t.lautum == pytest.approx(0, abs=1e-12)
    # A classifier that is right about p(y|x) attains the Bayes error.
    right = np.tile(p_xy / p_xy.sum(axis=1, keepdims=True), (5, 1, 1))
    assert theorem.terms(p_xy, p_w, np.tile(p_xy.sum(axis=1), (5, 1)), right).cross_entropy == pytest.approx(t.bayes)


def test_the_mismatch_contains_the_lautum_information():
    """With the same classifier, another p(x|w) moves mismatch and L by as much and leaves the cross-entropy alone."""
    p_xy, p_w, p_x_given_w, f = world(3)
    one, other = theorem.terms(p_xy, p_w, p_x_given_w, f), theorem.terms(p_xy, p_w, p_x_given_w[::-1], f)
    assert one.lautum != pytest.approx(other.lautum)
    assert one.cross_entropy == other.cross_entropy
    assert one.mismatch - other.mismatch == pytest.approx(one.lautum - other.lautum)


def test_what_is_no_world_is_refused():
    p_xy, p_w, p_x_given_w, f = world(4)
    with pytest.raises(ValueError, match="shapes"):
        theorem.terms(p_xy, p_w[:-1], p_x_given_w, f)
    with pytest.raises(ValueError, match="f does not sum to 1"):
        theorem.terms(p_xy, p_w, p_x_given_w, 2 * f)


def test_gaussian_world_by_monte_carlo():
    """Each term against its closed form; that of L is `lautum_information`, written from another definition."""
    rho, spread, noise, samples = 0.6, 0.3, 0.5, 200_000
    drawn = theorem.monte_carlo_terms(rho, spread, noise, samples, np.random.default_rng(0))
    one = torch.ones(1, 1, dtype=torch.float64)
    lautum = float(lautum_information(one, one, rho * one))
    bayes = 0.5 * np.log(2 * np.pi * np.e * noise**2)
    excess = spread**2 / (2 * noise**2)  # E (w - 1)^2 x^2 / (2 noise^2)
    expected = np.array([bayes + excess, excess + lautum, bayes, lautum])
    error = drawn.std(axis=0) / np.sqrt(samples)
    assert np.all(np.abs(drawn.mean(axis=0) - expected) < 4 * error)
    assert np.all(error < 0.01)
    # The theorem holds sample by sample, because it is an identity of logarithms.
    assert np.allclose(drawn[:, 0], drawn[:, 1] + drawn[:, 2] - drawn[:, 3])


def test_the_world_whose_training_is_followed():
    p_xy, worlds = theorem.gibbs_worlds([0.0, 1.0, 8.0])
    terms = [theorem.terms(p_xy, *world) for world in worlds]
    assert terms[0].lautum == pytest.approx(0, abs=1e-12)  # untrained weights know nothing of the inputs
    assert terms[0].lautum < terms[1].lautum < terms[2].lautum
    assert terms[0].cross_entropy > terms[1].cross_entropy > terms[2].cross_entropy > terms[2].bayes
    for t in terms:
        assert t.cross_entropy == pytest.approx(t.mismatch + t.bayes - t.lautum, rel=1e-12)
    # One weight by brute force: p(x|w) at time 1 from all 512 training sets.
    p_w, p_x_given_w, f = worlds[1]
    sets = list(product(product(range(4), range(2)), repeat=3))
    total, given = 0.0, np.zeros(4)
    for pairs in sets:
        probability = np.prod([p_xy[x, y] for x, y in pairs])
        weights = np.array([np.exp(np.mean([np.log(f[w, x, y]) for x, y in pairs])) for w in range(16)])
        joint = probability * weights[5] / weights.sum()
        total += joint
        for x, _ in pairs:
            given[x] += joint / 3
    assert p_w[5] == pytest.approx(total)
    assert p_x_given_w[5] == pytest.approx(given / total)


def test_the_example():
    assert doctest.testmod(theorem).failed == 0
