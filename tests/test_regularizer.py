"""The running Lautum estimate: against the D x D formula, against autograd through one batch, and where samples
are too few.
"""

import numpy as np
import pytest
import torch
from torch import nn

import lautum
from lautum.information import lautum_information, mutual_information
from lautum.regularizer import LautumRegularizer, principal_whitening


def sample(count: int, dim: int, outputs: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, dim, generator=generator) @ torch.randn(dim, dim, generator=generator) + 5
    signal = torch.tanh(x @ torch.randn(dim, outputs, generator=generator) / dim)
    w = signal + torch.randn(count, outputs, generator=generator)
    return x, w


def ridged(cov_w: torch.Tensor, ridge: float) -> torch.Tensor:
    return cov_w + ridge * cov_w.diagonal().mean() * torch.eye(len(cov_w), dtype=cov_w.dtype)


def test_the_package_exports_it():
    assert lautum.LautumRegularizer is LautumRegularizer


def test_too_few_inputs_and_ranks_below_one_are_refused():
    x, w = sample(100, 5, 2)
    with pytest.raises(ValueError, match="rank must be at least 1, got 0"):
        LautumRegularizer(x, w, rank=0)
    assert LautumRegularizer(x, w, rank=1)(x, w) > 0
    regularizer = LautumRegularizer(x, w, rank=3)
    for inputs, outputs in ((x[:1], w[:1]), (x[:50], w[:49])):
        with pytest.raises(ValueError, match="need at least 2 inputs and as many outputs"):
            regularizer(inputs, outputs)


def test_whitened_principal_components_equal_the_full_formula():
    # With every direction kept, L of (whitened x, w) is L of (x, w): the D x D formula on NumPy's covariance.
    x, w = sample(500, 12, 4)
    regularizer = LautumRegularizer(x, w, rank=12, decay=0.0, ridge=1e-3)
    joint = torch.from_numpy(np.cov(torch.cat([x, w], 1).double().numpy(), rowvar=False))
    expected = lautum_information(joint[:12, :12], ridged(joint[12:, 12:], 1e-3), joint[:12, 12:])
    assert regularizer(x, w).item() == pytest.approx(expected.item(), rel=1e-4)


def test_truncation_equals_the_formula_on_the_projected_inputs():
    x, w = sample(400, 10, 3)
    centred = x.double() - x.double().mean(0)
    leading = torch.linalg.svd(centred, full_matrices=False).Vh[:4]
    joint = torch.from_numpy(np.cov(torch.cat([centred @ leading.T, w.double()], 1).numpy(), rowvar=False))
    expected = lautum_information(joint[:4, :4], ridged(joint[4:, 4:], 1e-3), joint[:4, 4:])
    assert LautumRegularizer(x, w, rank=4, decay=0.0)(x, w).item() == pytest.approx(expected.item(), rel=1e-4)


def test_images_are_flattened():
    x, w = sample(300, 16, 3)
    flat = LautumRegularizer(x, w, rank=5)(x[:50], w[:50])
    assert torch.equal(LautumRegularizer(x.view(-1, 1, 4, 4), w, rank=5)(x[:50].view(-1, 1, 4, 4), w[:50]), flat)


def test_whitening_gives_unit_covariance():
    x, _ = sample(1000, 8, 1)
    mean, whitening = principal_whitening(x, 3)
    covariance = np.cov(((x - mean) @ whitening).numpy(), rowvar=False)
    assert np.allclose(covariance, np.eye(3), atol=1e-4)


def test_the_value_is_the_average_and_advances_only_in_training():
    x, w = sample(300, 6, 2)
    regularizer = LautumRegularizer(x, w, rank=6, decay=0.75, ridge=1e-3)
    start = regularizer.covariance.clone()
    regularizer.eval()
    first = regularizer(x[:50], w[:50])
    assert torch.equal(regularizer.covariance, start)
    regularizer.train()
    assert torch.equal(regularizer(x[:50], w[:50]), first)
    whitened = (x[:50] @ regularizer.whitening - regularizer.offset).double().numpy()
    batch = np.cov(np.concatenate([whitened, w[:50].double().numpy()], 1), rowvar=False)
    assert np.allclose(regularizer.covariance, 0.75 * start.numpy() + 0.25 * batch, atol=1e-9)


@pytest.mark.parametrize("information", [lautum_information, mutual_information])
def test_the_average_does_not_scale_the_gradient(information):
    # At decay 0.99 the gradient has the size that the batch term alone gives at the averaged covariance, not 1/100 of
    # it.
    x, w = sample(600, 6, 2)
    batch, outputs = x[:200], w[:200].clone().requires_grad_()
    regularizer = LautumRegularizer(x, w, rank=6, decay=0.99, information=information)
    before = regularizer.covariance.clone()
    regularizer(batch, outputs).backward()

    def of_outputs(free: torch.Tensor) -> torch.Tensor:
        whitened = (batch @ regularizer.whitening - regularizer.offset).double()
        joint = torch.cov(torch.cat([whitened, free.double()], 1).T)
        mixed = 0.99 * before + 0.01 * joint.detach() + joint - joint.detach()
        return information(mixed[:6, :6], ridged(mixed[6:, 6:], 1e-3), mixed[:6, 6:])

    free = w[:200].clone().requires_grad_()
    (expected,) = torch.autograd.grad(of_outputs(free), free)
    assert torch.allclose(outputs.grad, expected, rtol=1e-4, atol=1e-9)
    # The same batch through an estimator without memory: the same order of magnitude.
    alone = w[:200].clone().requires_grad_()
    LautumRegularizer(batch, w[:200], rank=6, decay=0.0, information=information)(batch, alone).backward()
    assert 0.3 < outputs.grad.norm() / alone.grad.norm() < 3


def test_a_gradient_step_raises_the_information():
    x, w = sample(500, 6, 2)
    regularizer = LautumRegularizer(x, w, rank=6, decay=0.0)
    outputs = w.clone().requires_grad_()
    value = regularizer(x, outputs)
    value.backward()
    assert regularizer(x, w + 10 * outputs.grad) > value


def test_constant_outputs_hold_no_information():
    x, w = sample(300, 6, 2)
    constant = torch.ones_like(w)
    assert LautumRegularizer(x, constant, rank=6, decay=0.0)(x, constant).item() == pytest.approx(0, abs=1e-9)


def test_outputs_that_are_functions_of_the_input_stay_finite():
    # rho = 1 without the ridge, so L would be infinite; with ridge e, 1 - rho^2 >= about e and L is about K / e.
    x, _ = sample(300, 6, 2)
    value = LautumRegularizer(x, x[:, :2], rank=6, decay=0.0, ridge=1e-3)(x, x[:, :2])
    assert torch.isfinite(value) and value < 2 / 1e-4


def test_state_dict_resumes_exactly():
    x, w = sample(400, 6, 2)
    one, other = LautumRegularizer(x, w, rank=4), LautumRegularizer(x + 1, w - 1, rank=4)
    one(x[:64], w[:64])
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x[64:128], w[64:128]), other(x[64:128], w[64:128]))


def test_too_few_samples_are_refused_by_name():
    x, w = sample(60, 50, 10)
    with pytest.raises(ValueError, match="60 samples, too few for rank 50 and 10 outputs: need more than 60"):
        LautumRegularizer(x, w, rank=50)
    x, w = sample(500, 50, 10)
    regularizer = LautumRegularizer(x, w, rank=50, decay=0.0)
    with pytest.raises(ValueError, match="batch of 60 with decay 0.0 averages over about 60 samples"):
        regularizer(x[:60], w[:60])
    with pytest.raises(ValueError, match="rank must be at most 3, .* the pool varies; got 5"):
        LautumRegularizer(x[:, :3] @ torch.ones(3, 8).triu(), w, rank=5)
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\)"):
        LautumRegularizer(x, w, rank=5, decay=1.0)
    for ridge in (0.0, -1e-3):
        with pytest.raises(ValueError, match="ridge must be positive, got"):
            LautumRegularizer(x, w, rank=5, ridge=ridge)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("of", ["inputs", "outputs"])
def test_a_batch_that_is_not_finite_is_named_and_leaves_the_average(value, of):
    pool, outputs = torch.randn(400, 6), torch.randn(400, 3)
    regularizer = LautumRegularizer(pool, outputs, rank=4, decay=0.9)
    before, batch = regularizer.covariance.clone(), {"inputs": pool[:50].clone(), "outputs": outputs[:50].clone()}
    batch[of][0, 0] = value
    with pytest.raises(ValueError, match="must be finite; the moving average stays as it was"):
        regularizer(**batch)
    assert torch.equal(regularizer.covariance, before)
    assert regularizer(pool[:50], outputs[:50]).isfinite()
    with pytest.raises(ValueError, match="pool and pool_outputs must be finite"):
        LautumRegularizer(pool, outputs.clone().fill_(value), rank=4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_of_16_bits_are_taken_as_float32_also_under_autocast(dtype):
    generator = torch.Generator().manual_seed(0)
    pool = (30 * torch.randn(3000, 6, generator=generator)).to(dtype)  # whose sums of squares overflow in float16
    outputs = torch.randn(3000, 3, generator=generator).to(dtype)
    plain = LautumRegularizer(pool.float(), outputs.float(), rank=4, decay=0.9)
    narrow = LautumRegularizer(pool, outputs, rank=4, decay=0.9)
    with torch.autocast("cpu", dtype):
        within = LautumRegularizer(pool.float(), outputs, rank=4, decay=0.9)
        found = within(pool[:60], outputs[:60])
    assert plain(pool[:60].float(), outputs[:60].float()) == narrow(pool[:60], outputs[:60]) == found


@pytest.mark.parametrize("cast", [nn.Module.float, nn.Module.half, nn.Module.bfloat16, nn.Module.double])
def test_a_module_that_is_cast_leaves_the_covariances_as_they_are(cast):
    pool, outputs = torch.randn(400, 6), torch.randn(400, 3)
    module = nn.Module()
    module.term = LautumRegularizer(pool, outputs, rank=4, decay=0.9)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    cast(module)
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())
    assert module.term(pool[:50], outputs[:50]).dtype == torch.float64
    assert {buffer.device.type for buffer in module.to("meta").buffers()} == {"meta"}
    assert {buffer.device.type for buffer in module.to_empty(device="cpu").buffers()} == {"cpu"}


@pytest.mark.parametrize(
    ("inputs", "outputs"), [((50, 5), (50, 3)), ((50, 6), (50, 4)), ((50, 6), (50,)), ((50, 6), (50, 3, 1))]
)
def test_other_sizes_than_the_pools_are_named(inputs, outputs):
    regularizer = LautumRegularizer(torch.randn(400, 6), torch.randn(400, 3), rank=4, decay=0.9)
    with pytest.raises(ValueError, match=r"inputs must hold 6 values each and outputs be \(B, 3\)"):
        regularizer(torch.zeros(inputs), torch.zeros(outputs))
    for whole, values in (
        (torch.zeros(50, 6).byte(), torch.zeros(50, 3)),
        (torch.zeros(50, 6), torch.zeros(50, 3).int()),
    ):
        with pytest.raises(ValueError, match="inputs and outputs must be floating point, got torch."):
            regularizer(whole, values)
    for pool, scores in ((torch.zeros(9, 2).long(), torch.zeros(9, 2)), (torch.zeros(9, 2), torch.zeros(9))):
        with pytest.raises(ValueError, match="pool and pool_outputs must be floating point"):
            LautumRegularizer(pool, scores, rank=1)
