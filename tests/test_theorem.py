"""Theorem 1 of the paper, exactly on finite worlds and by hand."""

import doctest

import numpy as np
import pytest

from lautum import theorem


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


def test_the_example():
    assert doctest.testmod(theorem).failed == 0
