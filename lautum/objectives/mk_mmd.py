"""Mk-MMD pre-transfer (paper section 4, method 3): pulls the penultimate features of source and target together."""

from torch import Tensor

from lautum.mmd import multi_kernel_mmd
from lautum.objectives import two_stream


class Objective(two_stream.Objective):
    """Mean source cross-entropy + weight * MMD^2(source features, target features)."""

    def term(self, source: two_stream.Stream, target: two_stream.Stream) -> tuple[Tensor, dict[str, Tensor]]:
        mmd = multi_kernel_mmd(source.features, target.features)
        return self.settings.weight * mmd, {"mmd": mmd.detach()}
