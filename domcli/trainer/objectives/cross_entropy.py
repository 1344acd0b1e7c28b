"""Cross-entropy of the images as they are trained on, which attacks raise and updates lower (paper, Equation 2)."""

from __future__ import annotations

from torch import Tensor

from domcli.trainer.passes import Judgement, LossOf, Network, judge, loss_of


class CrossEntropy:
    """See objectives.Objective."""

    judges_naturally = True

    def raised(self, network: Network, images: Tensor) -> LossOf:
        """Return the cross-entropy of perturbed images."""
        del images
        return loss_of(network)

    def lowered(self, network: Network, images: Tensor, perturbed: Tensor, labels: Tensor) -> Judgement:
        """Return the cross-entropy of the perturbed images."""
        del images
        return judge(network, perturbed, labels, with_graph=True)
