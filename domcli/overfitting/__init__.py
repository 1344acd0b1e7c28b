"""The overfitting watch: what the epochs of a run say about over-memorization, as pure functions.

Kinds of finding (paper, Section 3, and the works that described them first):

- catastrophic overfitting (CO; Wong et al. 2020): PGD test accuracy collapses, one-step accuracy does not;
- robust overfitting (RO; Rice et al. 2020): PGD test accuracy declines after the learning rate dropped, while robust
  training accuracy rises;
- natural overfitting (NO): the same of natural training and natural accuracy;
- memorization jump: transformed patterns become high-confidence suddenly and the test set gains nothing like it;
- divergence: losses that are not finite, or that say that nothing is learned any more.

Accuracies and shares are fractions in [0, 1] here, percent in the sentences.
"""

from __future__ import annotations

from collections.abc import Sequence

from domcli.events import EpochEnd
from domcli.overfitting.collapse import find_collapse
from domcli.overfitting.decline import NATURAL, ROBUST, find_decline
from domcli.overfitting.divergence import find_divergence
from domcli.overfitting.finding import BADGES, Context, Finding, Kind, Severity, context_of
from domcli.overfitting.memorizing import find_jumps

__all__ = ["BADGES", "Context", "Finding", "Kind", "Severity", "context_of", "watch"]


def watch(epochs: Sequence[EpochEnd], context: Context) -> tuple[Finding, ...]:
    """Return what happened in these epochs (ascending), in order of epoch; at most one of a kind, but every jump.

    A finding rests on the epochs up to the one that confirmed it, so as epochs come it neither moves nor goes away;
    its sentence follows the latest numbers, and its severity is lower while the accuracy has come back. Two
    exceptions: robust overfitting gives way when the decline turns out to be a collapse, and a resume that does
    epochs again takes back what they had shown. All epochs are needed: gaps would be taken for sudden changes.
    """
    found = [find_divergence(epochs, context), *find_jumps(epochs, context)]
    if context.adversarial:
        collapse = find_collapse(epochs, context)
        found += [collapse, find_decline(epochs, ROBUST, context, collapse.epoch if collapse else None)]
    else:
        found.append(find_decline(epochs, NATURAL, context))
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.epoch))
