"""The loop that trains a classifier of series: Lightning's, batches and dropout as functions of seed and step."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from xsentinel.models.network import Masks, Network, draw
from xsentinel.training.crop_presets import CropPreset, Variation
from xsentinel.training.loop import best_weights, make_trainer


@dataclass(frozen=True)
class Labelled:
    """Samples as a network takes them."""

    inputs: Tensor
    """(sample, date × plane, 1, 1)"""
    places: Tensor
    """(sample,), int64: classes 0 … n − 1."""


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """The batches of an epoch, in an order and varied as seed and epoch say."""

    def __init__(self, data: Labelled, preset: CropPreset, dates: int, key: tuple[int, ...]) -> None:
        self.data, self.preset, self.dates, self.key = data, preset, dates, key
        order = torch.from_numpy(np.random.default_rng(key).permutation(len(data.places)))
        n = max(1, len(order) // preset.batch)
        # as many of about equal size: a last one of two samples would upset batch normalisation
        self.parts = torch.tensor_split(order, n)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        if i >= len(self.parts):
            raise IndexError(i)
        x, y = self.data.inputs[self.parts[i]], self.data.places[self.parts[i]]
        how = self.preset.variation
        return (x if how is None else vary(x, self.dates, how, np.random.default_rng((*self.key, i)))), y


def vary(x: Tensor, dates: int, how: Variation, rng: np.random.Generator) -> Tensor:
    """Vary series (sample, date × plane, 1, 1): noise, brightness, dates hidden; two dates at least stay."""
    series = x.reshape(len(x), dates, -1)
    values, seen = series[..., :-1], series[..., -1:] > 0.5
    noise = torch.from_numpy(rng.standard_normal(values.shape, np.float32)) * how.noise
    bright = torch.from_numpy(rng.standard_normal((len(x), 1, 1), np.float32)) * how.brightness
    hidden = torch.from_numpy(rng.random((len(x), dates, 1), np.float32)) < how.hidden
    left = seen & ~hidden
    left = torch.where(left.sum(1, keepdim=True) < 2, seen, left)
    return torch.cat([torch.where(left, values + noise + bright, 0.0), left.float()], 2).reshape(x.shape)


class Classifier(LightningModule):
    """A network that learns classes: what learning of series and of patches share.

    Batches are (inputs, places of classes); dropout is a function of the key, the rank and the step.
    """

    monitor: tuple[str, str] = ("held_out", "min")
    """What is watched while it learns, and which way is better."""

    def __init__(self, network: Network, key: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.key = network, key
        self.weights: Tensor | None = None

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Give the loss."""
        x, y = batch
        loss = self.loss(self.network(x, self.masks(len(x))), y)
        self.log("loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(x), sync_dist=True)
        return loss

    def loss(self, answer: Tensor, places: Tensor) -> Tensor:
        """answer: (batch, class, y, x), places: of the classes → what is made small."""
        raise NotImplementedError

    def masks(self, n: int) -> Masks | None:
        """Draw dropout for a batch."""
        sites = self.network.sites
        if not any(site.n_dropped for site in sites):
            return None
        masks = draw(sites, n, np.random.default_rng((*self.key, 1, self.global_rank, self.global_step)))
        return [m if m is None else m.to(self.device) for m in masks]


class Classification(Classifier):
    """A network that learns classes of series."""

    def __init__(self, network: Network, preset: CropPreset, train: Labelled, held_out: Labelled | None, key: tuple[int, int]) -> None:
        super().__init__(network, key)
        self.preset, self.train_on, self.held_out = preset, train, held_out

    def loss(self, answer: Tensor, places: Tensor) -> Tensor:
        """answer: (batch, class, 1, 1), places: (batch,) → cross-entropy."""
        weights = None if self.weights is None else self.weights.to(answer.device)
        return functional.cross_entropy(answer[:, :, 0, 0], places, weights, label_smoothing=self.preset.smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Log loss and accuracy, nothing dropped."""
        x, y = batch
        answer = self.network(x)[:, :, 0, 0]
        self.log("held_out", functional.cross_entropy(answer, y), batch_size=len(y), sync_dist=True)
        self.log("accuracy", (answer.argmax(1) == y).float().mean(), batch_size=len(y), prog_bar=True, sync_dist=True)

    def train_dataloader(self) -> DataLoader[Any]:
        """Give the batches of this epoch, so that a resumed run goes on where it was."""
        key = (*self.key, 2, self.current_epoch, self.global_rank)
        return DataLoader(Batches(self.train_on, self.preset, self.network.dates, key), batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """Give the samples held out."""
        if self.held_out is None:
            return []
        parts = zip(torch.split(self.held_out.inputs, 4096), torch.split(self.held_out.places, 4096), strict=True)
        return DataLoader(list(parts), batch_size=None)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle, or the paper's RMSprop."""
        preset = self.preset
        if preset.optimiser == "rmsprop":
            return torch.optim.RMSprop(self.parameters(), preset.rate)
        steps = preset.epochs * max(1, len(self.train_on.places) // preset.batch)
        optimiser = torch.optim.AdamW(self.parameters(), preset.rate, weight_decay=preset.decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, preset.rate, steps, pct_start=0.2, final_div_factor=1000)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class EpochBar(Callback):
    """One bar over all epochs, with loss and held-out accuracy: a line a batch says nothing more."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        from tqdm.auto import tqdm  # which warns in a notebook without ipywidgets, so only where a bar is wanted

        self.bar = tqdm(total=trainer.max_epochs, initial=trainer.current_epoch, desc="training", unit="epoch")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move it on."""
        self.bar.set_postfix({name: f"{float(value):.3f}" for name, value in trainer.callback_metrics.items()})
        self.bar.update()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close it."""
        self.bar.close()


class History(Callback):
    """What was logged, an epoch a row, in a table beside the checkpoints; a resumed training goes on with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time, and the learning rate that the epoch begins with."""
        self.began, self.rate = perf_counter(), float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of the epoch."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        told = {"epoch": trainer.current_epoch, "step": trainer.global_step, "rate": self.rate}
        self.rows.append(told | found | {"seconds": perf_counter() - self.began})
        if trainer.is_global_zero:
            pd.DataFrame(self.rows).to_csv(self.path, index=False)

    def state_dict(self) -> dict[str, Any]:
        """Give the rows, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])


def descend(
    task: Classifier,
    folder: Path,
    *,
    epochs: int,
    resume: bool,
    processes: int,
    progress: bool,
    patience: int | None,
    **limits: Any,
) -> Trainer:
    """Train for all epochs, or until what the task watches has not become better for ``patience`` of them.

    The last weights count; with patience the best. ``limits`` are options of Lightning's trainer.
    """
    last, (watched, mode) = folder / "last.ckpt", task.monitor
    best = None if patience is None else watched
    keep = ModelCheckpoint(
        folder, "best", monitor=best, mode=mode, save_last=True, save_on_train_epoch_end=True, enable_version_counter=False
    )
    callbacks: list[Callback] = [History(folder / "history.csv"), keep, *([EpochBar()] if progress else [])]
    if patience is not None:
        callbacks.append(EarlyStopping(watched, patience=patience, mode=mode))
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        trainer = make_trainer(folder, callbacks, processes, max_epochs=epochs, enable_progress_bar=False, **limits)
        torch.manual_seed(task.key[0])
        trainer.fit(task, ckpt_path=str(last) if resume and last.exists() else None)
    if best:
        task.network.load_state_dict(best_weights(folder))
    return trainer


def fresh(folder: Path, resume: bool) -> Path:
    """Empty the folder of an earlier run's checkpoints, unless it is to go on."""
    if folder.exists() and not resume:
        shutil.rmtree(folder)
    return folder
