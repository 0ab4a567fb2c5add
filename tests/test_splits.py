"""Labelled subsets: stratified, disjoint, nested, and the same bytes on every machine."""

import hashlib

import numpy as np
import pytest

from lautum.data import splits
from lautum.errors import LautumError

LABELS = np.arange(600) % 10


def test_parts_are_stratified_disjoint_and_cover_the_classes():
    split = splits.draw(LABELS, list(range(10)), 50, seed=1, dataset="letters", validation_count=100)
    assert np.bincount(LABELS[split.labelled]).tolist() == [5] * 10
    assert np.bincount(LABELS[split.validation]).tolist() == [10] * 10
    together = np.concatenate([split.labelled, split.unlabelled, split.validation])
    assert np.array_equal(np.sort(together), np.arange(600))


def test_the_frugal_protocol_validates_on_labelled_images_alone():
    plain = splits.draw(LABELS, list(range(10)), 50, seed=1, dataset="letters")
    frugal = splits.draw(
        LABELS, list(range(10)), 50, seed=1, dataset="letters", validation_count=20, validation_from="labelled"
    )
    assert np.bincount(LABELS[frugal.validation]).tolist() == [2] * 10
    assert np.array_equal(np.sort(np.concatenate([frugal.labelled, frugal.validation])), plain.labelled)
    assert np.array_equal(frugal.unlabelled, plain.unlabelled)
    with pytest.raises(LautumError, match="50 validation images cannot be taken from 50 labelled ones of letters"):
        splits.draw(LABELS, list(range(10)), 50, 1, "letters", 50, "labelled")


def test_only_the_wanted_classes_take_part():
    split = splits.draw(LABELS, [3, 7], 10, seed=1, dataset="letters")
    assert set(LABELS[split.labelled]) == set(LABELS[split.unlabelled]) == {3, 7}
    assert len(split.labelled) + len(split.unlabelled) == 120


def test_equals_the_documented_ranking():
    # Images of a class ordered by SHA-256 of "labelled|dataset|seed|index".
    split = splits.draw(LABELS, [4], 3, seed=9, dataset="letters")
    digest = {i: hashlib.sha256(f"labelled|letters|9|{i}".encode()).hexdigest() for i in range(4, 600, 10)}
    assert split.labelled.tolist() == sorted(sorted(digest, key=digest.get)[:3])


def test_the_bytes_are_pinned():
    split = splits.draw(LABELS, list(range(10)), 20, seed=0, dataset="letters")
    expected = hashlib.sha256()
    for part in (split.labelled, split.unlabelled, split.validation):
        expected.update(f"int64({len(part)},)".encode() + part.astype("<i8").tobytes())
    assert split.sha256 == expected.hexdigest()
    assert split.sha256.startswith("924b5bd0b78b028d")


def test_larger_counts_contain_smaller_ones_and_seeds_differ():
    draws = {
        (n, s): set(splits.draw(LABELS, list(range(10)), n, s, "letters").labelled) for n in (20, 50) for s in (0, 1)
    }
    assert draws[20, 0] < draws[50, 0]
    assert draws[20, 0] != draws[20, 1]
    assert draws[20, 0] != set(splits.draw(LABELS, list(range(10)), 20, 0, "notmnist").labelled)


def test_validation_images_are_the_same_for_every_seed_and_never_labelled():
    one, other = (splits.draw(LABELS, list(range(10)), 50, seed, "letters", validation_count=200) for seed in (0, 1))
    assert np.array_equal(one.validation, other.validation)
    assert not set(one.validation) & set(one.labelled)


def test_impossible_counts_are_refused():
    with pytest.raises(
        LautumError, match="label count 55 is not a multiple of the 10 classes of letters; use 50 or 60"
    ):
        splits.draw(LABELS, list(range(10)), 55, 0, "letters")
    with pytest.raises(LautumError, match="class 0 of letters has 60 training images, but 60 labelled"):
        splits.draw(LABELS, list(range(10)), 600, 0, "letters")


def test_classes_are_found_by_name_in_the_given_order():
    names = ("apple", "bowl", "chair")
    assert splits.class_numbers(names, None, "fruit") == [0, 1, 2]
    assert splits.class_numbers(names, ("chair", "apple"), "fruit") == [2, 0]
    with pytest.raises(LautumError, match="fruit has no class 'pear'; allowed: apple, bowl, chair"):
        splits.class_numbers(names, ("pear", "apple"), "fruit")
