"""The Lautum term of Eq. 2: an estimate of L(x; w) that can be maximised by gradient ascent during training.

The paper's estimate is in its appendix C, which was not available: this one is ours, not the paper's. It takes x
and w as jointly Gaussian (`lautum.information`); what the paper assumes is not known here.

x is the target input and w the network's output on it, standing in for the weights. Estimating it on D-dimensional
images at every step would need a D x D factorisation and more samples than a batch holds, so

- the inputs are centred, reduced to their leading `rank` principal components and whitened by a map that is computed
  once, over the whole unlabelled pool: this equals the D x D formula on the truncated inputs, because L does not change
  under invertible linear maps of x;
- the *joint* (rank + K) x (rank + K) covariance of whitened inputs and outputs is an exponential moving average (EMA),
  started from a full pass over the pool, so it is positive definite from the first step and stays so (a convex
  combination of covariances). Mixing the pool's Sx = I with a batch's Sxw would not be positive semi-definite;
- the EMA gives the value and the batch carries the whole gradient (straight-through). Differentiating the EMA itself
  would multiply the gradient by 1 - decay and switch the regulariser off.
"""

from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from lautum.averaging import effective_samples
from lautum.information import canonical_correlations, lautum_information
from lautum.precision import wide


class LautumRegularizer(nn.Module):
    """Running estimate of the Lautum information between target inputs and network outputs, to be *subtracted*.

        outputs = torch.cat([network(batch) for batch in pool.split(1000)])  # under torch.no_grad()
        regularizer = LautumRegularizer(pool, outputs)
        ...
        loss = cross_entropy(network(source), labels) - weight * regularizer(target, network(target))  # Eq. 2

    Args:
        pool: all unlabelled target inputs, (N, ...), floating point, scaled as the network sees them. What has 16 bits
            is taken as float32, also inside `torch.autocast`.
        pool_outputs: the network's outputs (logits) on the pool before training, (N, K).
        rank: number r of principal components of x that are kept.
        decay: weight alpha in [0, 1) of the past in the moving average.
        ridge: added to the diagonal of Sw, as a fraction of tr(Sw) / K; bounds rho_max, hence L, away from infinity.
        information: `lautum_information`, or `mutual_information` for the variant of Jakubovitz et al. 2023; raises
            ValueError of covariances that are not positive definite or not finite.

    Calling it with inputs (B, ...) and their outputs (B, K) returns a float64 scalar in nats; in training mode
    (`nn.Module.train`) it also advances the moving average. Buffers (whitening map, EMA) are part of `state_dict`, so
    a run can be resumed exactly; they follow a module to another device, but keep their precision.

    Raises:
        ValueError: fewer pool samples than rank + K + 1, a rank below 1 or above what the pool spans, a decay outside
            [0, 1), a pool that is not floating point or not finite; and, when called, fewer than 2 inputs, other sizes
            than the pool's, values that are not floating point or not finite (the average stays as it was), or a batch
            too small for the decay: B (1 + alpha) / (1 - alpha), the number of samples that the average effectively
            holds, must exceed rank + K or the conditional covariance becomes singular.
    """

    whitening: Tensor  # (D, r)
    offset: Tensor  # (r,)
    covariance: Tensor  # (r + K, r + K), float64

    def __init__(
        self,
        pool: Tensor,
        pool_outputs: Tensor,
        rank: int = 50,
        decay: float = 0.99,
        ridge: float = 1e-3,
        information: Callable[[Tensor, Tensor, Tensor], Tensor] = lautum_information,
    ):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")
        if ridge <= 0:
            raise ValueError(f"ridge must be positive, got {ridge}")
        floating = pool.is_floating_point() and pool_outputs.is_floating_point()
        if not floating or pool.ndim < 2 or pool_outputs.ndim != 2:
            raise ValueError(
                f"pool and pool_outputs must be floating point, (N, ...) and (N, K), got {pool.dtype} "
                f"{tuple(pool.shape)} and {pool_outputs.dtype} {tuple(pool_outputs.shape)}"
            )
        pool, pool_outputs = wide(pool.detach()).flatten(1), pool_outputs.detach()
        if not (pool.isfinite().all() and pool_outputs.isfinite().all()):
            raise ValueError("pool and pool_outputs must be finite")
        if len(pool) != len(pool_outputs):
            raise ValueError(f"{len(pool)} pool inputs but {len(pool_outputs)} pool outputs; they must be in pairs")
        if len(pool) <= rank + pool_outputs.shape[1]:
            raise ValueError(
                f"the pool holds {len(pool)} samples, too few for rank {rank} and {pool_outputs.shape[1]} outputs: "
                f"need more than {rank + pool_outputs.shape[1]}; lower the rank"
            )
        self.rank, self.decay, self.ridge, self.information = rank, decay, ridge, information
        with torch.autocast(pool.device.type, enabled=False):
            mean, whitening = principal_whitening(pool, rank)
            offset = mean @ whitening
        self.register_buffer("whitening", whitening)
        self.register_buffer("offset", offset)
        self.register_buffer("covariance", self._joint_covariance(pool, pool_outputs))

    def forward(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        if not (inputs.is_floating_point() and outputs.is_floating_point()):
            raise ValueError(f"inputs and outputs must be floating point, got {inputs.dtype} and {outputs.dtype}")
        if len(inputs) != len(outputs) or len(inputs) < 2:
            raise ValueError(f"need at least 2 inputs and as many outputs, got {len(inputs)} and {len(outputs)}")
        sizes = len(self.whitening), len(self.covariance) - self.rank
        if (inputs[0].numel(), *outputs.shape[1:]) != sizes:
            raise ValueError(
                f"inputs must hold {sizes[0]} values each and outputs be (B, {sizes[1]}), as the pool's, "
                f"got {tuple(inputs.shape)} and {tuple(outputs.shape)}"
            )
        effective = effective_samples(len(inputs), self.decay)
        if effective <= self.rank + outputs.shape[1]:
            raise ValueError(
                f"a batch of {len(inputs)} with decay {self.decay} averages over about {effective:.0f} samples, "
                f"too few for rank {self.rank} and {outputs.shape[1]} outputs: raise the batch size or the decay, "
                "or lower the rank"
            )
        batch = self._joint_covariance(inputs.flatten(1), outputs)
        average = torch.lerp(batch.detach(), self.covariance, self.decay)
        try:
            information = self.information(*self._blocks(average + (batch - batch.detach())))
        except ValueError:
            if batch.isfinite().all():
                raise
            raise ValueError("inputs and outputs must be finite; the moving average stays as it was") from None
        if self.training:
            self.covariance = average
        return information

    def _apply(self, *arguments, **named):
        # A module that is cast, e.g. by `.half()`, takes all buffers along: covariances would be worth nothing.
        before = dict(self.named_buffers(recurse=False))
        super()._apply(*arguments, **named)
        for name, buffer in before.items():
            moved = getattr(self, name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self

    def canonical_correlations(self) -> Tensor:
        """The canonical correlations of the current average, largest (rho_max) first, float64 (min(r, K),)."""
        return canonical_correlations(*self._blocks(self.covariance))

    def _joint_covariance(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Unbiased covariance of [whitened inputs, outputs], (r + K, r + K), float64."""
        # The wide product stays in the inputs' precision; everything after it is small and in float64.
        with torch.autocast(inputs.device.type, enabled=False):
            whitened = inputs.to(self.whitening.dtype) @ self.whitening - self.offset
        joint = torch.cat([whitened, outputs], dim=1).double()
        joint = joint - joint.mean(dim=0)
        return joint.T @ joint / (len(joint) - 1)

    def _blocks(self, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r = self.rank
        cov_w = covariance[r:, r:]
        # The absolute floor keeps constant outputs (Sw = 0) at L = 0 instead of a failed factorisation.
        ridge = self.ridge * cov_w.diagonal().mean() + 1e-12
        cov_w = cov_w + ridge * torch.eye(len(cov_w), dtype=cov_w.dtype, device=cov_w.device)
        return covariance[:r, :r], cov_w, covariance[:r, r:]


def principal_whitening(pool: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Mean (D,) and map (D, r) that take inputs (N, D) to their `rank` leading principal components with unit variance.

    Raises ValueError when the pool varies in fewer than `rank` directions.
    """
    mean, size = pool.mean(dim=0), pool.shape[1]
    # In chunks: no second copy of the pool, and the sums over thousands of images are kept in float64.
    covariance = torch.zeros(size, size, dtype=torch.float64, device=pool.device)
    for chunk in pool.split(4096):
        centred = chunk - mean
        covariance += centred.T @ centred
    # Only the leading directions, in the matrix's own memory: at D = 3072 all of them would take 300 MB more. The
    # transpose is the same matrix in the order that LAPACK can overwrite.
    variances, directions = scipy.linalg.eigh(
        covariance.cpu().numpy().T, subset_by_index=[max(size - rank, 0), size - 1], overwrite_a=True
    )
    usable = int((variances > 1e-7 * variances[-1]).sum())
    if usable < rank:
        raise ValueError(
            f"rank must be at most {usable}, the number of directions in which the pool varies; got {rank}"
        )
    whitening = directions / np.sqrt(variances / (len(pool) - 1))
    return mean, torch.from_numpy(whitening[:, ::-1].copy()).to(pool)
