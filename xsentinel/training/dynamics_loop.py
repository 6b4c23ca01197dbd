"""The training loop of dynamics: starts drawn from series, rollouts compared with what came, Adam in stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from xsentinel.blocks.rollout import phase_at
from xsentinel.errors import ReadError, XSentinelError
from xsentinel.models.dynamics import Dynamics, State
from xsentinel.training.dynamics_presets import DynamicsPreset, Stage
from xsentinel.training.dynamics_series import Series

KEEP_EVERY = 500
"""Steps between two checkpoints."""

PERIOD_EVERY, PERIOD_SHARE = 10, 8
"""Coming back after a period is asked for at each tenth step, of an eighth of the batch: it is a long way."""


@dataclass(frozen=True)
class States:
    """Series as the network sees them: one axis of (cube, date) pairs, then components and series, laid side by side."""

    known: Tensor
    """(series, time, 2 · component): starts."""
    truth: Tensor
    """(series, time, 2 · component)."""
    phases: Tensor
    """(series, time, 2)."""
    starts: Tensor
    """(start, 2): series and date of each place that a rollout may start from."""

    @classmethod
    def of(cls, network: Dynamics, series: Iterable[Series], high: float) -> States:
        """Bring series of several cubes together, padded to the longest with gaps.

        Raises
        ------
        XSentinelError
            If there is nowhere to start from.
        """
        series = list(series)
        n_times = max(len(s.dates) for s in series)
        known: list[Tensor] = []
        truth: list[Tensor] = []
        phases: list[Tensor] = []
        for one in series:
            filled = torch.from_numpy(one.filled / np.float32(high))
            states = torch.cat([torch.full_like(network.states(filled[:2]), torch.nan), network.states(filled)])
            pairs = torch.from_numpy(one.known / np.float32(high))
            begun = torch.stack([network.states(pair)[0] for pair in pairs])
            phase = torch.tensor([phase_at(d) for d in one.dates], dtype=torch.float32).expand(states.shape[2], -1, -1)
            for whole, part in ((truth, states), (known, begun)):
                whole.append(_padded(part.permute(2, 0, 1), n_times, torch.nan))
            phases.append(_padded(phase, n_times, 0.0))
        together = torch.cat(known), torch.cat(truth), torch.cat(phases)
        there = together[0].isfinite().all(2)[:, :-1] & together[1].isfinite().all(2)[:, 1:]
        there[:, : network.dates - 1] = False
        if network.scheme == "lstm":
            there &= _run_in(together[1].isfinite().all(2), network.dates - 1)[:, :-1]
        if not there.any():
            raise XSentinelError("no series has two known dates in a row, and one after them; give cubes with more clear dates")
        return cls(*together, there.nonzero())


def _padded(values: Tensor, n_times: int, gap: float) -> Tensor:
    out = values.new_full((values.shape[0], n_times, values.shape[2]), gap)
    out[:, : values.shape[1]] = values
    return out


def _run_in(there: Tensor, n: int) -> Tensor:
    """Tell where the n dates up to one are all there."""
    total = torch.cumsum(there.int(), 1)
    before = torch.zeros_like(total)
    before[:, n:] = total[:, :-n]
    return total - before == n


class Learner:
    """A network on its way through the stages of a preset."""

    def __init__(self, network: Dynamics, states: States, preset: DynamicsPreset, seed: int) -> None:
        self.network, self.states, self.preset = network, states, preset
        self.generator = torch.Generator().manual_seed(seed)

    def loss(self, stage: Stage, step: int) -> Tensor:
        """Draw starts, other ones for each member, and compare what comes of them."""
        chosen = torch.randint(len(self.states.starts), (self.network.members, stage.batch), generator=self.generator)
        places = self.states.starts[chosen]
        state = self.start(places, stage.noise)
        total, weight, energy = torch.zeros(()), 0.0, torch.zeros(2)
        for q in range(1, stage.rollout + 1):
            state = self.network.step(state)
            at = places[..., 1] + q
            truth = self.states.truth[places[..., 0], at.clamp(max=self.states.truth.shape[1] - 1)].transpose(1, 2)
            counts = truth.isfinite() & (at < self.states.truth.shape[1])[:, None]
            apart = torch.where(counts, state.z - truth, 0.0)
            share = q**-stage.decay
            total, weight = total + share * apart.square().sum() / counts.sum().clamp(min=1), weight + share
            if self.preset.energy:
                norms = [torch.where(counts, z, 0.0).square().mean() for z in (state.z, truth.nan_to_num())]
                energy = energy + torch.stack(norms) / stage.rollout
        loss = total / weight
        if self.preset.energy:
            loss = loss + self.preset.energy * (energy[0] - energy[1]).square()
        if self.preset.period_weight and step % PERIOD_EVERY == 0:
            loss = loss + self.preset.period_weight * self._return(places[:, : max(1, stage.batch // PERIOD_SHARE)])
        return loss

    def _return(self, places: Tensor) -> Tensor:
        """Give the squared distance from a start after a period."""
        state = first = self.start(places, 0.0)
        for _ in range(self.preset.period):
            state = self.network.step(state)
        return (state.z - first.z).square().mean()

    def start(self, places: Tensor, noise: float) -> State:
        """Give the state at places (member, start, 2), an LSTM's after a run over the dates before."""
        lead = self.network.dates - 2 if self.network.scheme == "lstm" else 0
        state = self._at(places, -lead)
        for k in range(1 - lead, 1):
            memory = self.network.step(state).memory
            here = self._at(places, k)
            state = State(here.z, here.phase, memory)
        if noise:
            scale = noise * 100 ** -torch.rand(state.z.shape[0], 1, state.z.shape[2], generator=self.generator)
            state.z = state.z + scale * torch.randn(state.z.shape, generator=self.generator)
        return state

    def _at(self, places: Tensor, shift: int) -> State:
        series, dates = places[..., 0], places[..., 1] + shift
        source = self.states.truth if shift else self.states.known
        phases = self.states.phases[series, dates].unsqueeze(1)
        return State(source[series, dates].transpose(1, 2), (phases[..., 0], phases[..., 1]))


def fit_dynamics(learner: Learner, folder: Path, *, resume: bool, progress: bool) -> None:
    """Go through all stages, keeping a checkpoint, from which ``resume`` goes on to the same end.

    Raises
    ------
    ReadError
        If the checkpoint is of another training.
    XSentinelError
        If the loss is no number any more.
    """
    stages, path = learner.preset.stages, folder / "checkpoints" / f"{learner.preset.scheme}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=sum(s.steps for s in stages), disable=not progress, desc="training", unit="step")
    done = _restore(learner, path) if resume and path.exists() else (0, 0, None)
    bar.update(sum(s.steps for s in stages[: done[0]]) + done[1])
    for number, stage in enumerate(stages):
        if number < done[0]:
            continue
        optimiser = torch.optim.Adam(learner.network.parameters(), stage.rate)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, stage.rate, stage.steps, pct_start=0.1, final_div_factor=1e4)
        begun = done[1] if number == done[0] else 0
        if begun and done[2]:
            optimiser.load_state_dict(done[2]["optimiser"])
            cycle.load_state_dict(done[2]["cycle"])
        keep = _keeper(learner, path, number, optimiser, cycle)
        _run_stage(learner, stage, begun, optimiser, cycle, bar, keep)
    bar.close()


def _run_stage(
    learner: Learner,
    stage: Stage,
    begun: int,
    optimiser: torch.optim.Optimizer,
    cycle: torch.optim.lr_scheduler.LRScheduler,
    bar: tqdm,
    keep: Callable[[int], None],
) -> None:
    for step in range(begun, stage.steps):
        loss = learner.loss(stage, step)
        if not loss.isfinite():
            raise XSentinelError(f"the loss is {loss.item()} at step {step} of a stage of rate {stage.rate:g}; take a lower rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.network.parameters(), 1.0)
        optimiser.step()
        cycle.step()
        bar.update()
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == stage.steps:
            bar.set_postfix(rollout=stage.rollout, loss=f"{loss.item():.2e}")
            keep(step + 1)


def _keeper(
    learner: Learner, path: Path, number: int, optimiser: torch.optim.Optimizer, cycle: torch.optim.lr_scheduler.LRScheduler
) -> Callable[[int], None]:
    def keep(step: int) -> None:
        done = {
            "stages": repr(learner.preset.stages),
            "stage": number,
            "step": step,
            "network": learner.network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "cycle": cycle.state_dict(),
            "generator": learner.generator.get_state(),
        }
        torch.save(done, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    return keep


def _restore(learner: Learner, path: Path) -> tuple[int, int, dict[str, Any] | None]:
    try:
        done = torch.load(path, weights_only=True)
        if done["stages"] != repr(learner.preset.stages):
            raise ReadError(f"the checkpoint {path} is of other stages; train without resume, or into another folder")
        learner.network.load_state_dict(done["network"])
    except (KeyError, RuntimeError, OSError, EOFError, UnpicklingError) as err:
        raise ReadError(f"the checkpoint {path} cannot be gone on from: {err!s:.200}; train without resume") from err
    learner.generator.set_state(done["generator"])
    return done["stage"], done["step"], done
