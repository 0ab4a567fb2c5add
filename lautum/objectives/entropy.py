"""Control: minimises the entropy of the predictions on target images (Grandvalet & Bengio 2005).

Like the Lautum term it makes the logits depend more strongly on the unlabelled target images, but through no covariance
with them and no theorem.
"""

from torch import Tensor

from lautum.objectives import two_stream


class Objective(two_stream.Objective):
    """Mean source cross-entropy + weight * mean entropy of softmax(target logits)."""

    def term(self, source: two_stream.Stream, target: two_stream.Stream) -> tuple[Tensor, dict[str, Tensor]]:
        log_probabilities = target.logits.log_softmax(dim=1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
        return self.settings.weight * entropy, {"target_entropy": entropy.detach()}
