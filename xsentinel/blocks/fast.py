"""Networks of series run by kernels where those are faster than torch: a table, a row for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xsentinel.errors import XSentinelError
from xsentinel.kernels.recurrent import step_lstm
from xsentinel.kernels.trees import pack_trees, run_trees
from xsentinel.models.ensemble import Ensemble, Together
from xsentinel.models.fgforest import FGForest
from xsentinel.models.forest import Forest, answer
from xsentinel.models.frozenfusion import Fused, Shared
from xsentinel.models.lstm import LSTM
from xsentinel.models.network import Frozen, Masks, Network, Region, Sampler

PIXELS = 1024
"""Series that go through a network together; of 256 … 2048 the fastest. All blocks are of this size, the last one
padded: matrix products of another size might sum in another order."""

LANES = 32
"""bfloat16 numbers of a row of the processor's tiles: widths are padded to a multiple of it."""

Classify = Callable[[Tensor], Tensor]
"""(pixel, date, plane) → (pixel, output), float32."""


def freeze(network: Network, dtype: torch.dtype) -> Frozen:
    """Give a network as it is run on a CPU in a precision: by kernels if they are faster, else as it freezes itself."""
    make = FAST.get(type(network))
    runner = None if make is None else make(network, dtype)
    return network.freeze(dtype) if runner is None else runner


class Runner:
    """A network of series, run by what is made for each set of masks."""

    def __init__(self, dtype: torch.dtype, dates: int, n_sites: int, make: Callable[[Masks], Classify]) -> None:
        self.dtype, self.dates, self.n_sites, self.make = dtype, dates, n_sites, make
        self.plain = make([None] * n_sites)

    def once(self, x: Tensor) -> Tensor:
        """x: (batch, date × plane, y, x) of dtype → (batch, output, y, x), float32; nothing dropped."""
        return self._run(x, self.plain)

    def sampler(self, masks: Sequence[Masks]) -> Sampler:
        """Give the function x → one answer as of `once` a set of masks."""
        made = [self.make(one) for one in masks]
        return lambda x: (self._run(x, classify) for classify in made)

    def _run(self, x: Tensor, classify: Classify) -> Tensor:
        n, _, height, width = x.shape
        series = x.permute(0, 2, 3, 1).reshape(n * height * width, self.dates, -1)
        return classify(series).reshape(n, height, width, -1).permute(0, 3, 1, 2)


def _lstm(network: LSTM, dtype: torch.dtype) -> Runner | None:
    """Run LSTM layers in bfloat16, in which torch's own take three to five times as long; in float32 they do not."""
    if dtype != torch.bfloat16:
        return None
    return Runner(dtype, network.dates, len(network.sites), partial(_Recurrent, network))


class _Recurrent:
    """LSTM layers, date by date: one product of [input, hidden] a layer, then its gates."""

    def __init__(self, network: LSTM, masks: Masks) -> None:
        layers: list[Any] = list(network.layers)
        self.n_in, self.units = [layer.input_size for layer in layers], [layer.hidden_size for layer in layers]
        # what drops the outputs of a layer scales the weights of the next just as well
        scales = [None, *(None if m is None else m.reshape(n).float() for m, n in zip(masks, self.units, strict=True))]
        self.weights = [_joint(layer, scale) for layer, scale in zip(layers, scales[:-1], strict=True)]
        self.biases = [(layer.bias_ih_l0 + layer.bias_hh_l0).detach().float().numpy() for layer in layers]
        head = network.head.weight.detach().float()
        self.head, self.head_bias = head if scales[-1] is None else head * scales[-1], network.head.bias.detach().float()

    def __call__(self, series: Tensor) -> Tensor:
        parts = [self._last(part)[: len(part)] for part in torch.split(series, PIXELS)]
        return torch.nn.functional.linear(torch.cat(parts).float(), self.head, self.head_bias)

    def _last(self, series: Tensor) -> Tensor:
        """Give the hidden state of the last layer after the last date, (PIXELS, unit), bfloat16."""
        inputs = [torch.zeros(PIXELS, len(weight), dtype=torch.bfloat16) for weight in self.weights]
        gates = [torch.empty(PIXELS, 4 * units, dtype=torch.bfloat16) for units in self.units]
        cells = [np.zeros((PIXELS, units), np.float32) for units in self.units]
        last = torch.empty(PIXELS, self.units[-1], dtype=torch.bfloat16)
        after = [*inputs[1:], last]
        for date in range(series.shape[1]):
            inputs[0][: len(series), : self.n_in[0]] = series[:, date]
            for k, weight in enumerate(self.weights):
                torch.mm(inputs[k], weight, out=gates[k])
                step_lstm(_raw(gates[k]), self.biases[k], cells[k], _raw(inputs[k]), self.n_in[k], _raw(after[k]))
        return last


def _joint(layer: Any, scale: Tensor | None) -> Tensor:
    """Give the weights of input and hidden state below one another, (input + unit, padded; 4 × unit), bfloat16."""
    given = layer.weight_ih_l0.detach().float()
    rows = torch.cat([given if scale is None else given * scale, layer.weight_hh_l0.detach().float()], 1).T
    padded = torch.zeros(-(-len(rows) // LANES) * LANES, rows.shape[1])
    padded[: len(rows)] = rows
    return padded.to(torch.bfloat16)


def _raw(x: Tensor) -> npt.NDArray[np.uint16]:
    return cast("npt.NDArray[np.uint16]", x.view(torch.uint16).numpy())


def _forest(network: Forest, dtype: torch.dtype) -> Runner:
    """Run trees, in float32 whatever is asked for: they decide by thresholds."""
    classify = _trees(network)
    return Runner(torch.float32, network.dates, 0, lambda _: classify)


def _trees(network: Forest) -> Classify:
    for name, places, n in (
        ("feature", network.feature, network.dates * (network.planes - 1)),
        ("class", network.of_class, len(network.start)),
    ):
        if int(places.min()) < 0 or int(places.max()) >= n:
            raise XSentinelError(f"trees look at {name} {int(places.max())} of {n}: the weights are damaged; save the model again")
    parts = (network.feature, network.threshold, network.left, network.right, network.value, network.of_class)
    trees, start, votes = pack_trees(*(part.numpy() for part in parts)), network.start.float(), network.votes

    def classify(series: Tensor) -> Tensor:
        total = start.expand(len(series), -1).clone()
        run_trees(np.ascontiguousarray(series.float().numpy()), trees, total.numpy())
        return answer(total, len(trees.feature), votes)

    return classify


class _OverFeatures(Fused):
    """Trees over what a body finds in all groups: the body in the precision asked for, the trees in float32."""

    def __init__(self, network: FGForest, dtype: torch.dtype) -> None:
        super().__init__(network.body, network.groups, network.clip, dtype)
        self.classify, self.n_features = _trees(network.forest), network.body.n_features

    def _one(self, images: Iterable[Tensor], network: Shared, region: Region) -> Tensor:
        height, width = (s.stop - s.start for s in region)
        series = torch.ones(height, width, self.body.groups, self.n_features + 1)  # the last: whether it is there

        def put(group: int, rows: slice, found: Tensor) -> None:
            series[rows, :, group, :-1] = found[:, : self.n_features].reshape(-1, width, self.n_features)

        self.body.run(images, network, region, put)
        return self.classify(series.flatten(0, 1)).reshape(height, width, -1)


def _ensemble(network: Ensemble, dtype: torch.dtype) -> Together:
    return Together(network, [freeze(member, dtype) for member, _ in network.parts()])


FAST: dict[type[Network], Callable[[Any, torch.dtype], Frozen | None]] = {
    LSTM: _lstm,
    Forest: _forest,
    FGForest: _OverFeatures,
    Ensemble: _ensemble,
}
"""Class of a network → what makes its runner; None from that: torch is as fast."""
