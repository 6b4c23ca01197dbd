"""From the answers of a classifier to a class, how sure it is, and the probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DECIDED = ("class", "confidence", "margin", "entropy")
"""Planes before the probabilities: place of the class in the row, its probability, that less the next one's, and
−Σ p ln p / ln n, from 0 to 1."""

SAMPLED = ("mutual_information",)
"""Planes that Monte Carlo samples add: the entropy of the mean less the mean of the entropies, the same unit."""


def n_decided(n_classes: int, samples: int) -> int:
    """Give the number of planes of `decide`."""
    return len(DECIDED) + (len(SAMPLED) if samples else 0) + n_classes


def decide(answers: Iterable[Tensor], sampled: bool) -> Tensor:
    """Average the probabilities of (map, class, y, x) answers before softmax; give (map, plane, y, x), float32.

    Planes are `DECIDED`, `SAMPLED` if asked for, then the probability of each class.
    """
    import torch

    total, entropies, n = None, None, 0
    for answer in answers:
        p = answer.softmax(1)
        total = p.clone() if total is None else total.add_(p)
        if sampled:
            one = entropy(p)
            entropies = one if entropies is None else entropies.add_(one)
        n += 1
    if total is None:
        raise ValueError("no answer")  # the predictor gives one or more
    p = total.div_(n)
    best, which = p.max(1, keepdim=True)  # with the masked maximum half the time of topk, and ties go to the first
    second = p.scatter(1, which, -1.0).amax(1, keepdim=True)
    uncertain = entropy(p)
    planes = [which.float(), best, best - second, uncertain]
    if entropies is not None:
        planes.append((uncertain - entropies / n).clamp_(min=0))
    return torch.cat([*planes, p], 1)


def entropy(p: Tensor) -> Tensor:
    """Give the entropy of (map, class, y, x) probabilities as a share of the greatest possible, (map, 1, y, x)."""
    import torch

    out: Tensor = torch.special.entr(p).sum(1, keepdim=True) / torch.log(torch.tensor(float(p.shape[1])))
    return out
