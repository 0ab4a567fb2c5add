"""From uint8 images to inputs: statistics against NumPy, augmentation against slow code and its distribution."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from lautum.data.transforms import InputTransform, flip_and_shift


def images(count: int, channels: int = 3, size: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator).byte()


def test_statistics_are_those_of_the_source():
    source = images(2500)  # more than one chunk
    transform = InputTransform.for_source(source, "none")
    pixels = source.numpy().astype(np.float64)
    assert np.allclose(transform.mean.flatten(), pixels.mean(axis=(0, 2, 3)))
    assert np.allclose(transform.std.flatten(), pixels.std(axis=(0, 2, 3)))
    scaled = transform(source).double().numpy()
    assert np.allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5) and np.allclose(
        scaled.std(axis=(0, 2, 3)), 1, atol=1e-5
    )


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_channel_whose_pixels_are_all_equal_is_left_unscaled_and_the_others_are_as_without_it(level):
    source = images(20)
    source[:, 2] = level
    transform = InputTransform.for_source(source, "none")
    assert torch.equal(transform(source)[:, 2], torch.zeros(20, 8, 8))
    target = images(20)
    assert torch.equal(transform(target)[:, 2], target[:, 2].float() - level)
    others = InputTransform.for_source(source[:, :2], "none")
    assert torch.equal(transform(target)[:, :2], others(target[:, :2]))


def test_evaluation_inputs_are_not_augmented():
    transform = InputTransform.for_source(images(20), "flip-shift")
    plain = InputTransform.for_source(images(20), "none")
    assert torch.equal(transform(images(20)), plain(images(20)))
    assert not torch.equal(transform(images(20), torch.Generator().manual_seed(0)), plain(images(20)))


def test_flip_and_shift_equals_one_image_at_a_time():
    batch = images(16)
    augmented = flip_and_shift(batch, torch.Generator().manual_seed(5), pad=2)
    candidates = 0
    for original, result in zip(batch, augmented, strict=True):
        padded = F.pad(original, (2, 2, 2, 2))
        crops = [padded[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        crops += [F.pad(original.flip(-1), (2, 2, 2, 2))[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
        candidates += sum(torch.equal(crop, result) for crop in crops)
    assert candidates == 16  # each result is exactly one of the 50 crops that torchvision's transforms can give


def test_offsets_and_flips_are_uniform():
    # One bright pixel off the middle tells the offset and the flip of its image.
    image = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    image[0, 0, 8, 6] = 255
    count = 16200
    result = flip_and_shift(image.expand(count, -1, -1, -1), torch.Generator().manual_seed(1), pad=4)
    position = result.flatten(1).float().argmax(dim=1)
    rows, columns = position // 16, position % 16
    # Unflipped the pixel lands in columns 2..10, flipped in 5..13; rows 4..12.
    observed_rows = torch.bincount(rows, minlength=16)[4:13]
    assert observed_rows.sum() == count
    assert stats.chisquare(observed_rows).pvalue > 0.001
    expected = np.zeros(16)
    expected[2:11] += count / 18
    expected[5:14] += count / 18
    observed = torch.bincount(columns, minlength=16).numpy()
    assert observed[expected == 0].sum() == 0
    assert stats.chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 0.001
