"""Networks that carry spectra on in time: ResNets that integrate a learnt slope (Estopinan et al.), and an LSTM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, sin

import torch
from torch import Tensor, nn

from xsentinel.models.network import Masks, Network

SCHEMES = ("rk4", "euler", "lstm")
"""How a step is taken: by Runge–Kutta of fourth order, by Euler, or by a recurrent cell."""


Phase = tuple[float | Tensor, float | Tensor]
"""Cosine and sine of the time of year, counted from 1 January: of all series, or (member or 1, 1, series) of each."""

GENTLE = 0.1
"""Of the usual first weights of the last layer: a step starts out small, as it is to be."""

Beside = tuple[float | Tensor, ...]

MIDWINTER: Phase = (1.0, 0.0)


@dataclass
class State:
    """Where a rollout is, for every member of an ensemble and every series; series last, so that matrix products are fast."""

    z: Tensor
    """(member, 2 · component, series): spectra and their left differences, in the network's coordinates."""
    phase: Phase
    memory: tuple[Tensor, Tensor] | None = None
    """Hidden state and cell of an LSTM, each (member, width, series)."""


class Slope(nn.Module):
    """δ: two dense layers with tanh between, shared over the stages of a step; one pair a member."""

    def __init__(self, members: int, n_state: int, n_beside: int, width: int) -> None:
        super().__init__()
        n_in = n_state + n_beside
        self.first, self.first_bias = _uniform(members, width, n_in), _uniform(members, width, n_in, bias=True)
        self.second, self.second_bias = _uniform(members, n_state, width), _uniform(members, n_state, width, bias=True)
        with torch.no_grad():
            self.second.mul_(GENTLE)

    def forward(self, z: Tensor, beside: Beside) -> Tensor:
        """z: (member, n_state, series), and the phase of the year or nothing → (member, n_state, series)."""
        n_state = z.shape[1]
        bias: Tensor = self.first_bias
        for k, value in enumerate(beside):
            bias = bias + value * self.first[:, :, n_state + k : n_state + k + 1]
        hidden = torch.baddbmm(bias, self.first[:, :, :n_state], z).tanh_()
        return torch.baddbmm(self.second_bias, self.second, hidden)


class Cell(nn.Module):
    """An LSTM of one layer, and a dense layer to the next state; one pair a member."""

    def __init__(self, members: int, n_state: int, n_beside: int, width: int) -> None:
        super().__init__()
        n_in = n_state + n_beside + width
        self.gates, self.gates_bias = _uniform(members, 4 * width, n_in), _uniform(members, 4 * width, n_in, bias=True)
        self.out, self.out_bias = _uniform(members, n_state, width), _uniform(members, n_state, width, bias=True)

    def forward(self, z: Tensor, beside: Beside, memory: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """z: (member, n_state, series) → the next, and the memory."""
        members, _, n = z.shape
        hidden, cell = memory if memory else (z.new_zeros(members, self.out.shape[2], n),) * 2
        parts = [z, *(value * z.new_ones(members, 1, n) for value in beside), hidden]
        reset, keep, gain, emit = torch.baddbmm(self.gates_bias, self.gates, torch.cat(parts, 1)).chunk(4, 1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(reset) * torch.tanh(gain)
        hidden = torch.sigmoid(emit) * torch.tanh(cell)
        return torch.baddbmm(self.out_bias, self.out, hidden), (hidden, cell)


def _uniform(members: int, n_out: int, n_in: int, bias: bool = False) -> nn.Parameter:
    """Draw weights (member, n_out, n_in) or biases (member, n_out, 1) as torch's dense layers do."""
    bound = n_in**-0.5
    return nn.Parameter(torch.empty(members, n_out, 1 if bias else n_in).uniform_(-bound, bound))


class Dynamics(Network):
    r"""Dynamics of spectra, learnt: :math:`X_{t+1} = X_t + \mathrm{RK4}(\delta)(X_t)` with :math:`X = [s, s']`.

    :math:`s'_t = s_t - s_{t-1}` is the left difference, without which the state of an oscillation is not known.
    Spectra are seen in coordinates of their principal components, each scaled to a spread of about 1: an affine
    map, which the schemes commute with, so that the dynamics are the same and the training is far shorter.

    Parameters
    ----------
    n_in, n_out : int
        Planes in, ``dates`` · bands; bands out.
    scheme : {"rk4", "euler", "lstm"}
    width : int
        b, of the hidden layer.
    members : int
        Networks of an ensemble, each with weights of its own.
    dates : int
        Spectra that a forecast starts from: 2; more for an LSTM, which is run over them first.
    turn : float
        By how much the phase of the year moves on in a step, radians; 0: the time of year is no input.
    components : int, optional
        Principal components of the spectra that are carried on; all of them by default.
    """

    center: Tensor
    analysis: Tensor
    synthesis: Tensor
    pace: Tensor

    def __init__(
        self,
        n_in: int,
        n_out: int,
        scheme: str = "rk4",
        width: int = 150,
        members: int = 1,
        dates: int = 2,
        turn: float = 0.0,
        components: int | None = None,
    ) -> None:
        super().__init__()
        rank = n_out if components is None else components
        if scheme not in SCHEMES or min(width, members, rank) < 1 or dates < 2 or n_in != dates * n_out or rank > n_out:
            raise ValueError(
                f"the scheme is one of {', '.join(SCHEMES)}, width and members are 1 or more, dates 2 or more, components at most "
                f"the bands, planes in dates times bands"
            )
        self.n_bands, self.rank, self.scheme, self.dates, self.members, self.turn = n_out, rank, scheme, dates, members, turn
        kind = Cell if scheme == "lstm" else Slope
        self.rule = kind(members, 2 * rank, 2 if turn else 0, width)
        self.register_buffer("center", torch.zeros(n_out))
        self.register_buffer("analysis", torch.eye(n_out, rank))
        self.register_buffer("synthesis", torch.eye(rank, n_out))
        self.register_buffer("pace", torch.ones(rank))

    def set_coordinates(self, center: Tensor, analysis: Tensor, synthesis: Tensor, pace: Tensor) -> None:
        """Set mean (band), axes (band, component) and back (component, band), and the scale (component) of differences."""
        for name, value in (("center", center), ("analysis", analysis), ("synthesis", synthesis), ("pace", pace)):
            getattr(self, name).copy_(value)

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """x: (batch, plane, y, x), spectra of ``dates`` dates, one after the other → (batch, band, y, x), those of the next."""
        batch, _, height, width = x.shape
        spectra = x.permute(1, 0, 2, 3).reshape(self.dates, self.n_bands, batch * height * width)
        following = next(self.rollout(spectra, 1)).mean(0)
        return following.reshape(self.n_bands, batch, height, width).permute(1, 0, 2, 3)

    def states(self, spectra: Tensor) -> Tensor:
        """Spectra (date, band, series) → states (date − 1, 2 · component, series)."""
        parts = self.analysis.T @ (spectra - self.center[:, None])
        return torch.cat([parts[1:], parts.diff(dim=0) / self.pace[:, None]], 1)

    def spectra(self, state: State) -> Tensor:
        """Give the spectra (member, band, series) of a state."""
        return self.synthesis.T @ state.z[:, : self.rank] + self.center[:, None]

    def start(self, spectra: Tensor, phase: Phase = MIDWINTER) -> State:
        """Make the state of spectra (date, band, series); ``phase`` is that of the last date."""
        states = self.states(spectra).unsqueeze(1).expand(-1, self.members, -1, -1)
        if self.scheme != "lstm":
            return State(states[-1].contiguous(), phase)
        n_before = len(states) - 1
        state = State(states[0], turned(phase, -n_before * self.turn))
        for k in range(n_before):
            after = self.step(state)
            state = State(states[k + 1], after.phase, after.memory)
        return state

    def step(self, state: State) -> State:
        """Go one step on."""
        later = turned(state.phase, self.turn)
        if isinstance(self.rule, Cell):
            following, memory = self.rule(state.z, self._beside(state.phase), state.memory)
            return State(following, later, memory)
        z, first = state.z, self.rule(state.z, self._beside(state.phase))
        if self.scheme == "euler":
            return State(z + first, later)
        middle = self._beside(turned(state.phase, self.turn / 2))
        second = self.rule(torch.add(z, first, alpha=0.5), middle)
        third = self.rule(torch.add(z, second, alpha=0.5), middle)
        fourth = self.rule(z + third, self._beside(later))
        return State(z + (first + 2 * (second + third) + fourth) / 6, later)

    def _beside(self, phase: Phase) -> Beside:
        return phase if self.turn else ()

    def rollout(self, spectra: Tensor, steps: int, phase: Phase = MIDWINTER) -> Iterator[Tensor]:
        """Give the spectra (member, band, series) of one step after the other, from those of the last dates (date, band, series)."""
        state = self.start(spectra, phase)
        for _ in range(steps):
            state = self.step(state)
            yield self.spectra(state)


def turned(phase: Phase, angle: float) -> Phase:
    """Turn a phase by an angle."""
    (c, s), (dc, ds) = phase, (cos(angle), sin(angle))
    return c * dc - s * ds, s * dc + c * ds
