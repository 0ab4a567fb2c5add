"""Lautum and mutual information of jointly Gaussian vectors, in nats (real-valued form).

With C = Sx^-1 Sxw Sw^-1 Swx, whose eigenvalues are the squared canonical correlations rho_i^2, and the conditional
covariance S_w|x = Sw - Swx Sx^-1 Sxw (Palomar & Verdu, "Lautum information", 2008):

    L(x; w) = 1/2 (log|S_w|x| - log|Sw|) + tr(S_w|x^-1 Sw) - dim(w)
            = sum_i [rho_i^2 / (1 - rho_i^2) + 1/2 log(1 - rho_i^2)]
    I(x; w) = 1/2 (log|Sw| - log|S_w|x|)
            = sum_i -1/2 log(1 - rho_i^2)

L >= I >= 0. Proper-complex Gaussians give twice these values, so a weight lambda belongs to the form it was tuned with.
"""

import torch
from torch import Tensor


def lautum_information(cov_x: Tensor, cov_w: Tensor, cov_xw: Tensor) -> Tensor:
    """Lautum information L(x; w) of a joint Gaussian: KL(p(x) p(w) || p(x, w)), a float64 scalar in nats.

    Args:
        cov_x: covariance of x, (Dx, Dx), symmetric positive definite.
        cov_w: covariance of w, (Dw, Dw), symmetric positive definite.
        cov_xw: cross-covariance E[(x - Ex)(w - Ew)^T], (Dx, Dw).

    Differentiable in all three; computed in float64 by Cholesky factors, never by an explicit inverse.

    Raises:
        ValueError: the shapes disagree, or the joint covariance is not positive definite.
    """
    _, chol_w, chol_conditional = _factors(cov_x, cov_w, cov_xw)
    # tr(S_w|x^-1 Sw) = |Lc^-1 Lw|_F^2 with S_w|x = Lc Lc^T and Sw = Lw Lw^T.
    ratio = torch.linalg.solve_triangular(chol_conditional, chol_w, upper=False)
    return _half_log_det(chol_conditional) - _half_log_det(chol_w) + ratio.square().sum() - cov_w.shape[-1]


def mutual_information(cov_x: Tensor, cov_w: Tensor, cov_xw: Tensor) -> Tensor:
    """Mutual information I(x; w) of a joint Gaussian, a float64 scalar in nats.

    Arguments and errors as for `lautum_information`.
    """
    _, chol_w, chol_conditional = _factors(cov_x, cov_w, cov_xw)
    return _half_log_det(chol_w) - _half_log_det(chol_conditional)


def canonical_correlations(cov_x: Tensor, cov_w: Tensor, cov_xw: Tensor) -> Tensor:
    """Canonical correlations rho_i between x and w in descending order, (min(Dx, Dw),), float64 in [0, 1).

    Arguments and errors as for `lautum_information`.
    """
    half, chol_w, _ = _factors(cov_x, cov_w, cov_xw)
    return torch.linalg.svdvals(torch.linalg.solve_triangular(chol_w, half.mT, upper=False))


def _factors(cov_x: Tensor, cov_w: Tensor, cov_xw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lx^-1 Sxw with Sx = Lx Lx^T, and the Cholesky factors of Sw and of S_w|x."""
    cov_x, cov_w, cov_xw = _checked(cov_x, cov_w, cov_xw)
    half = torch.linalg.solve_triangular(_cholesky(cov_x, "cov_x"), cov_xw, upper=False)
    conditional = cov_w - half.mT @ half
    return half, _cholesky(cov_w, "cov_w"), _cholesky(conditional, "the conditional covariance of w given x")


def _checked(cov_x: Tensor, cov_w: Tensor, cov_xw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    expected = (cov_x.shape[-1], cov_w.shape[-1])
    square = cov_x.shape == (expected[0], expected[0]) and cov_w.shape == (expected[1], expected[1])
    if not square or cov_xw.shape != expected:
        raise ValueError(
            f"cov_x must be (Dx, Dx), cov_w (Dw, Dw) and cov_xw (Dx, Dw); "
            f"got {tuple(cov_x.shape)}, {tuple(cov_w.shape)} and {tuple(cov_xw.shape)}"
        )
    return cov_x.double(), cov_w.double(), cov_xw.double()


def _cholesky(matrix: Tensor, name: str) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if failed:
        raise ValueError(f"{name} is not positive definite: estimate it from more samples than Dx + Dw or add a ridge")
    return factor


def _half_log_det(factor: Tensor) -> Tensor:
    return factor.diagonal().log().sum()
