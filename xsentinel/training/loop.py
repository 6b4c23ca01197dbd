"""The training loop: Lightning's, with the loss, the masks of dropout and the schedule that a preset asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from xsentinel.models.network import Masks, Network, draw
from xsentinel.training.presets import Schedule

HUBER = 0.05
"""LAI below which the loss is squared."""

DECAY = 0.2
"""Of the rate, at each of its two steps (Wang et al. 2023)."""

STEPS_AN_EPOCH = 250
"""Between two looks at the held-out places, and two checkpoints."""

Batches = Callable[[int, int, int], Dataset[Any]]
"""(first, last, rank) → the batches of an epoch."""


class Regression(LightningModule):
    """A network that learns one map from patches, masked pixel by pixel."""

    def __init__(
        self, network: Network, preset: Schedule, batches: Batches, held_out: Sequence[tuple[Tensor, Tensor, Tensor]], seed: int
    ) -> None:
        super().__init__()
        self.network, self.preset, self.batches, self.held_out, self.seed = network, preset, batches, held_out, seed

    def masks(self, n: int, step: int) -> Masks:
        """Draw dropout for a batch: none for the first share of it."""
        drawn = draw(self.network.sites, n, np.random.default_rng((self.seed, 1, self.global_rank, step)))
        n_whole = round(self.preset.whole * n)
        return [m if m is None else torch.cat([torch.ones_like(m[:n_whole]), m[n_whole:]]).to(self.device) for m in drawn]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """Give the loss over the pixels that count."""
        inputs, truth, counts = batch
        if self.global_step >= self.preset.freeze_norm * self.preset.steps:
            freeze_norms(self.network)
        answers = self.answers(inputs.contiguous(memory_format=torch.channels_last), self.masks(len(inputs), self.global_step))
        crop = self.preset.crop
        inner = (slice(None), slice(crop, truth.shape[1] - crop), slice(crop, truth.shape[2] - crop))
        wanted, weights = truth[inner], counts[inner]
        loss: Tensor = sum(share * self.loss(answer[inner], wanted, weights) for share, answer in answers)  # type: ignore[assignment]
        chosen = weights > 0
        self.log("distance", (answers[0][1][inner] - wanted)[chosen].abs().mean(), prog_bar=True)
        return loss

    def answers(self, inputs: Tensor, masks: Masks) -> Sequence[tuple[float, Tensor]]:
        """Give the maps that are compared with the truth, (patch, y, x), and the share of each in the loss; the first is the answer."""
        return ((1.0, self.network(inputs, masks)[:, 0]),)

    def loss(self, answer: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
        """Give the loss over the pixels that count, by their weights where these are not bool."""
        chosen = weights > 0
        found, wanted = answer[chosen], truth[chosen]
        each = torch.nn.MSELoss if self.preset.loss == "mse" else partial(torch.nn.SmoothL1Loss, beta=HUBER)
        if weights.dtype is torch.bool:
            out: Tensor = each()(found, wanted)
            return out
        heavy = weights[chosen]
        mean: Tensor = (each(reduction="none")(found, wanted) * heavy).sum() / heavy.sum()
        return mean

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """Log the mean distance, nothing dropped."""
        inputs, truth, counts = batch
        chosen = counts > 0
        distance = (self.network(inputs.contiguous(memory_format=torch.channels_last))[:, 0] - truth).abs()[chosen]
        self.log("held_out", distance.mean(), batch_size=int(chosen.sum()), prog_bar=True, sync_dist=True)

    def train_dataloader(self) -> DataLoader[Any]:
        """Give the batches of this epoch, so that a resumed run goes on where it was."""
        first = self.current_epoch * STEPS_AN_EPOCH
        return DataLoader(self.batches(first, min(first + STEPS_AN_EPOCH, self.preset.steps), self.global_rank), batch_size=None)

    def val_dataloader(self) -> DataLoader[Any]:
        """Give the held-out places."""
        return DataLoader(self.held_out, batch_size=None)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        """Adam with one cycle or two decays, or the paper's RMSprop."""
        rate = self.preset.rate
        if self.preset.optimiser == "rmsprop":
            return torch.optim.RMSprop(self.parameters(), rate)
        optimiser = torch.optim.Adam(self.parameters(), rate)
        if self.preset.optimiser == "decayed":
            thirds = [self.preset.steps // 3, 2 * self.preset.steps // 3]
            decays = torch.optim.lr_scheduler.MultiStepLR(optimiser, thirds, DECAY)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": decays, "interval": "step"}}
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, rate, self.preset.steps, pct_start=max(0.1, 1.5 / self.preset.steps), final_div_factor=1000
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def freeze_norms(network: nn.Module) -> None:
    """Let batch normalisation keep its statistics: those of one batch, mixed of many kinds, are noise to a regression."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def helps() -> bool:
    """Tell whether this process was started to help another one train: what is done once is not done here."""
    return bool(getattr(rank_zero_only, "rank", 0))


def make_trainer(folder: Path, callbacks: list[Callback], processes: int, **limits: Any) -> Trainer:
    """Give Lightning's trainer as all our loops want it: on what is there, gradients clipped, an epoch's batches made anew."""
    for part in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(part).setLevel(logging.ERROR)  # not its hardware report and advice
    return Trainer(
        accelerator="auto",
        devices=processes if processes > 1 else "auto",
        strategy="ddp" if processes > 1 else "auto",
        gradient_clip_val=1.0,
        callbacks=callbacks,
        logger=False,
        default_root_dir=folder,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        **limits,
    )


def best_weights(folder: Path) -> dict[str, Tensor]:
    """Give the weights of the network in the best checkpoint of a folder."""
    state = torch.load(folder / "best.ckpt", weights_only=True, map_location="cpu")["state_dict"]
    return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}


def fit(
    task: Regression, folder: Path, *, resume: bool, processes: int, progress: bool, patience: int | None, precision: Any = "32-true"
) -> None:
    """Train until the last step, or until the held-out distance has not fallen for ``patience`` epochs."""
    last = folder / "checkpoints" / "last.ckpt"
    keep = ModelCheckpoint(folder / "checkpoints", monitor="held_out", save_last=True, filename="best", enable_version_counter=False)
    callbacks: list[Callback] = [keep, *([TQDMProgressBar()] if progress else [])]
    if patience is not None:
        callbacks.append(EarlyStopping("held_out", patience=patience))
    trainer = make_trainer(folder, callbacks, processes, max_steps=task.preset.steps, enable_progress_bar=progress, precision=precision)
    torch.manual_seed(task.seed)
    trainer.fit(task, ckpt_path=str(last) if resume and last.exists() else None)
