"""The loop that trains a network of land cover on patches whose labels are sparse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xsentinel.kernels.confusion import kappa, overall_accuracy, score_classes
from xsentinel.models.network import Network
from xsentinel.training.classify import Classifier
from xsentinel.training.landcover_batches import NO_CLASS, Ahead, Batch, Cutter, Epoch
from xsentinel.training.landcover_presets import LandcoverPreset
from xsentinel.training.places import Draw, Places


@dataclass(frozen=True, eq=False)
class Patches:
    """Where the patches of a training come from."""

    cutter: Cutter
    """Of the labels that are learnt from."""
    places: Places
    held: tuple[Cutter, tuple[Draw, ...]] | None
    """What the score of an epoch is on: labels that are not learnt from, and the patches."""
    threads: int = 2
    """That cut patches beside the training."""
    depth: int = 4
    """Batches that they are ahead."""


def warm_up(epoch: int, n: int, w: int) -> float:
    r"""Give the factor of the learning rate, (1/n)·((n − 1)/w · i + 1) in epoch i of w, then 1 (Stoian et al. 2019, equation 3).

    Parameters
    ----------
    epoch : int
        From 0 on.
    n : int
        Processes that learn together.
    w : int
        Epochs.

    Examples
    --------
    >>> [round(warm_up(i, 4, 5), 2) for i in (0, 1, 4, 5, 6)], warm_up(0, 1, 5)
    ([0.25, 0.4, 0.85, 1.0, 1.0], 1.0)
    """
    return 1.0 if epoch >= w else ((n - 1) / w * epoch + 1) / n


def masked_loss(answer: Tensor, places: Tensor, weights: Tensor | None) -> Tensor:
    r"""Give :math:`-\frac1n \sum_{pixels}\sum_k weight_k\,y_k\log p_k` (Stoian et al. 2019, equation 1): unlabelled pixels lose nothing.

    The sum is divided by the number n of all pixels, labelled or not: a constant, so that every labelled pixel counts
    alike, in a patch with many of them and in one with few.

    Parameters
    ----------
    answer : (batch, class, y, x), before the softmax
    places : (batch, y, x), int64
        Of the classes; −1 where there is no label.
    weights : (class,), optional
    """
    own = None if weights is None else weights.to(answer.device)
    total = functional.cross_entropy(answer.float(), places, own, ignore_index=NO_CLASS, reduction="sum")
    return total / places.numel()


class PatchClassification(Classifier):
    """A network that learns classes of pixels from patches."""

    monitor = ("kappa", "max")

    def __init__(self, network: Network, preset: LandcoverPreset, patches: Patches, steps: int, processes: int, seed: int) -> None:
        super().__init__(network, (seed, 0))
        self.preset, self.patches, self.steps, self.processes = preset, patches, steps, processes
        self._ahead: Ahead[Batch] | None = None
        self._looks: Ahead[Batch] | None = None
        n_classes = len(patches.cutter.card.classes)
        self.confusion = torch.zeros(n_classes, n_classes, dtype=torch.int64)

    def loss(self, answer: Tensor, places: Tensor) -> Tensor:
        """answer: (batch, class, y, x), places: (batch, y, x) → `masked_loss`."""
        return masked_loss(answer, places, self.weights)

    def train_dataloader(self) -> Epoch[Batch]:
        """Give the batches of this epoch; each is a function of seed, rank and step."""
        if self._ahead is None:
            self._ahead = Ahead(self._batch, self.preset.epochs * self.steps, self.patches.depth, self.patches.threads)
        return Epoch(self._ahead, self.current_epoch * self.steps, (self.current_epoch + 1) * self.steps)

    def _batch(self, step: int) -> Batch:
        """Make this process' part of the batch of a step: so n processes learn from what one does whose batches are n times as large."""
        n = self.preset.batch
        drawn = self.patches.places.draw(n * self.processes, (*self.key, 2, step), self.preset.by_class)
        return self.patches.cutter(drawn[self.global_rank * n : (self.global_rank + 1) * n])

    def val_dataloader(self) -> Epoch[Batch] | list[Batch]:
        """Give this process' share of the patches that score."""
        if self.patches.held is None:
            return []
        cutter, draws = self.patches.held
        own = draws[self.global_rank :: self.trainer.world_size]
        parts = [own[k : k + self.preset.batch] for k in range(0, len(own), self.preset.batch)]
        self._looks = Ahead(lambda k: cutter(parts[k]), len(parts), self.patches.depth, self.patches.threads)
        return Epoch(self._looks, 0, len(parts))

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self.confusion.zero_()

    def validation_step(self, batch: Batch, _: int) -> None:
        """Count what is told where it is known what is."""
        x, y = batch
        told, known = self.network(x).argmax(1)[y >= 0], y[y >= 0]
        n = len(self.confusion)
        self.confusion += torch.bincount(known * n + told, minlength=n * n).reshape(n, n).cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all processes' patches together."""
        whole: Any = self.trainer.strategy.reduce(self.confusion.to(self.device), reduce_op="sum")
        counts = whole.cpu().numpy()
        f1 = score_classes(counts).f1
        for name, value in (("kappa", kappa(counts)), ("accuracy", overall_accuracy(counts)), ("f1", float(np.nanmean(f1)))):
            self.log(name, value, prog_bar=True, rank_zero_only=False)

    def configure_optimizers(self) -> Any:
        """Adam with the paper's warm-up, or with one cycle."""
        preset, steps = self.preset, self.steps
        optimiser = torch.optim.Adam(self.parameters(), preset.rate)
        schedule: Any
        if preset.cycle:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, preset.rate, preset.epochs * steps, pct_start=0.2, final_div_factor=1000
            )
        else:
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_up(step // steps, self.processes, preset.warm_up))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def close(self) -> None:
        """Stop the threads that make batches."""
        for ahead in (self._ahead, self._looks):
            if ahead is not None:
                ahead.close()


def class_weights(pixels: Sequence[int]) -> Tensor:
    """Give the weight of each class, n_tot/n_k (Stoian et al. 2019, equation 4), divided by the number of classes.

    The mean weight of a labelled pixel is then 1, however many classes there are.

    Examples
    --------
    >>> class_weights([30, 10]).tolist()
    [0.6666666865348816, 2.0]
    """
    n = torch.tensor(pixels, dtype=torch.float64)
    return (n.sum() / n / len(n)).float()
