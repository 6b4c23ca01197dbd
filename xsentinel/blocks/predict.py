"""A trained model as a picklable function of numpy blocks: decode, normalise, run in windows, restore gaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from threading import Lock, local
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from xsentinel.blocks.decide import decide, n_decided
from xsentinel.blocks.model import Model, read_network
from xsentinel.blocks.plan import Window, plan_windows
from xsentinel.blocks.threads import on_threads
from xsentinel.blocks.tiles import Margins
from xsentinel.cube import Encoding, check_reflectance
from xsentinel.errors import XSentinelError
from xsentinel.kernels.channels import fill_channels, fill_dates, fill_groups

if TYPE_CHECKING:
    from torch import Tensor

    from xsentinel.models.card import Card, Channel
    from xsentinel.models.frozenfusion import FrozenBody, Fused
    from xsentinel.models.network import Frozen, Region, Sampler, Site

Array = npt.NDArray[Any]
Precision = Literal["fp32", "bf16", "auto"]

WINDOW = 320
"""Pixels along a side that a window keeps on a CPU: with its halo about 336² pixels of sixteen float32 channels
share the last-level cache; of 128…1024 the fastest."""

PLANES = 1 << 22
"""Input numbers of a window of a network without neighbourhood at the most: 16 MB."""

MOST_PLANES = 1 << 26
"""The same of a network with one, halo and all: 268 MB, which networks of many dates and a wide neighbourhood would exceed."""

CUDA_WINDOW = 1024
"""The same on a GPU, which needs more pixels to be filled."""

_reading = Lock()


class _Scratch(local):
    """Arrays that a thread fills again and again: fresh memory of a few MB costs more than what is done in it."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def get(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Give an array of a name, holding anything."""
        found = self.arrays.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = self.arrays[name] = np.empty(shape, dtype)
        return found


_scratch = _Scratch()


@dataclass(frozen=True)
class Execution:
    """Where and how exactly a network runs."""

    device: str = "cpu"
    """cpu, cuda or cuda:1 …"""
    precision: Precision = "fp32"
    """fp32; bf16 where the device multiplies in it, else fp32; auto: the same."""

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16", "auto"):
            raise XSentinelError(f"precision is {self.precision!r}; it is 'fp32', 'bf16' or 'auto'")
        if self.device.split(":")[0] not in ("cpu", "cuda"):
            raise XSentinelError(f"device is {self.device!r}; it is 'cpu', 'cuda' or one of several such as 'cuda:1'")

    @property
    def is_bf16(self) -> bool:
        """Whether bfloat16 is asked for and the device multiplies in it."""
        if self.precision == "fp32":
            return False
        if self.device != "cpu":
            return True
        from xsentinel.models.convolution import has_bf16_units

        return has_bf16_units()

    def check(self) -> None:
        """Refuse a device that is not there.

        Raises
        ------
        XSentinelError
            If it is not.
        """
        if self.device == "cpu":
            return
        import torch

        if not torch.cuda.is_available():
            raise XSentinelError(f"device {self.device!r} is asked for, and torch finds no CUDA device here; use device='cpu'")


@dataclass(frozen=True)
class Together:
    """Bands (time, y, x) in memory as if they were one array (time, band, y, x), joined where a window is cut out."""

    bands: tuple[Array, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Give the sizes (time, band, y, x)."""
        n_times, height, width = self.bands[0].shape
        return n_times, len(self.bands), height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Give that of all bands."""
        return self.bands[0].dtype

    def __getitem__(self, key: tuple[Any, slice | int, slice, slice]) -> Array:
        times, band, rows, columns = key
        if isinstance(band, int):
            return self.bands[band][times, rows, columns]
        parts = [b[times, rows, columns] for b in self.bands[band]]
        n_times, height, width = parts[0].shape
        return np.stack(parts, 1, out=_scratch.get("stored", (n_times, len(parts), height, width), self.dtype))


@dataclass(frozen=True)
class Predictor:
    """A model over blocks (time, band, y, x) of bands as stored, and planes of geometry.

    Gives (time, output, y, x), float32: the estimates, and with Monte Carlo samples their standard
    deviations after them; of a classifier what `decide` gives. NaN where an input is missing.
    """

    model: Model
    encodings: tuple[Encoding, ...]
    """How each band is stored."""
    samples: int = 0
    """Monte Carlo samples of dropout; 0: one pass, nothing dropped."""
    seed: int = 0
    """Of the masks."""
    execution: Execution = Execution()
    n_threads: int = 1
    """Windows worked on side by side; 1 under dask, where the workers are the threads."""
    probabilities: bool = True
    """Of a classifier, whether the probability of each class comes too."""

    def __dask_tokenize__(self) -> tuple[object, ...]:
        what = (self.samples, self.seed, self.execution, self.probabilities)
        return (type(self).__name__, self.model.__dask_tokenize__(), self.encodings, *what)

    @property
    def n_out(self) -> int:
        """Planes of the answer."""
        card = self.model.card
        if card.classes:
            return n_decided(len(card.classes) if self.probabilities else 0, self.samples)
        return len(card.outputs) * (2 if self.samples else 1)

    def __call__(self, stored: Array | Together, *geometry: Array, margins: Margins) -> Array:
        """Take stored (time, band, y, x), uint16 or float32, and planes of geometry, each (map, 1, y or 1, x or 1), float32."""
        card = self.model.card
        if stored.dtype.kind == "f":
            for k, name in enumerate(card.bands):
                check_reflectance(stored[:, k, :, :], name)
        n_maps = stored.shape[0] if card.dates == 1 else 1
        height, width = stored.shape[2] - margins.top - margins.bottom, stored.shape[3] - margins.left - margins.right
        out = np.full((n_maps, self.n_out, height, width), np.nan, np.float32)
        rows, columns = self._windows(height, (margins.top, margins.bottom)), self._windows(width, (margins.left, margins.right))
        places = product(self._batches(n_maps, height * width), rows, columns)
        on_threads(partial(self._window, stored, geometry, out), places, self.n_threads)
        return out

    def _batches(self, n_maps: int, n_pixels: int) -> list[slice]:
        """Take as many dates of a small block together as make up one window: its memory is what is planned for."""
        at_once = max(1, self._side**2 // max(n_pixels, 1))
        return [slice(start, min(start + at_once, n_maps)) for start in range(0, n_maps, at_once)]

    @property
    def _side(self) -> int:
        card, side = self.model.card, WINDOW if self.execution.device == "cpu" else CUDA_WINDOW
        if card.radius == 0:  # no halo to pay for
            side = min(side, int((PLANES / card.n_in) ** 0.5) + 1)
        elif card.halo is not None and self.execution.device == "cpu":
            side = min(side, max(int((MOST_PLANES / card.n_in) ** 0.5) - 2 * card.halo, card.halo))
        return max(side, card.stride)

    def _windows(self, n: int, margins: tuple[int, int]) -> list[Window]:
        card = self.model.card
        if card.halo is None:
            return [Window(slice(0, n), slice(0, n), slice(0, n))]
        return plan_windows(n, margins, self._side, card.halo, card.stride)

    def _window(self, stored: Array | Together, geometry: tuple[Array, ...], out: Array, place: tuple[slice, Window, Window]) -> None:
        """Do one window of one or more maps."""
        maps, y, x = place
        dates = maps if self.model.card.dates == 1 else slice(None)
        cut = stored[dates, :, y.read, x.read]
        frozen, _ = _ready(self.model, self.execution, self.samples, self.seed)
        if self.model.card.least_dates is not None:
            planes, valid = self._series(cut)
        elif self._in_groups(frozen):
            planes, valid = self._groups(cut, cast("Fused", frozen).body)
        else:
            planes, valid = self._channels(cut, [_part(a[maps, 0], y.read, x.read) for a in geometry])
        seen = valid[:, None, y.keep, x.keep]
        if seen.any():
            out[maps, :, y.write, x.write] = np.where(seen, self._run(planes, (y.keep, x.keep)), np.float32(np.nan))

    def _channels(self, stored: Array, geometry: list[Array]) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Give (map, y, x, channel), padded to the stride with zeros as gaps are, and where all inputs are there."""
        card = self.model.card
        height, width = stored.shape[-2:]
        planes = stored.reshape(-1, card.dates * len(card.bands), height, width)
        n_maps = planes.shape[0]
        padded = [-(-n // card.stride) * card.stride for n in (height, width)]
        out = _scratch.get("planes", (n_maps, *padded, card.n_in), np.float32)
        out[:, height:], out[:, :, width:] = 0, 0
        valid = np.ones((n_maps, height, width), np.bool_)
        scaled, beside = scaling(card, self.encodings), _beside(card, geometry, (n_maps, height, width))
        for n, one in enumerate(planes):
            fill_channels(np.ascontiguousarray(one), *scaled, beside[:, n], out[n, :height, :width], valid[n])
        return out, valid

    def _series(self, stored: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Give (1, y, x, date × plane), padded as `_channels` does, and where enough dates were seen."""
        card = self.model.card
        n_dates, _, height, width = stored.shape
        padded = [-(-n // card.stride) * card.stride for n in (height, width)]
        out = _scratch.get("planes", (1, *padded, card.n_in), np.float32)
        out[:, height:], out[:, :, width:] = 0, 0
        valid = np.empty((1, height, width), np.bool_)
        gain, shift, nodata = (part[: len(card.bands)] for part in scaling(card, self.encodings))
        series = out.reshape(*padded, n_dates, card.planes)[:height, :width]
        fill_dates(np.ascontiguousarray(stored), gain, shift, nodata, card.least_dates, series, valid[0])
        return out, valid

    def _in_groups(self, frozen: Frozen) -> bool:
        """Tell whether the network takes an image a group of dates, which saves a pass over all planes."""
        from xsentinel.models.frozenfusion import Fused

        card = self.model.card
        return isinstance(frozen, Fused) and card.dates > 1 and not card.geometry and self.execution.device == "cpu"

    def _groups(self, stored: Array, body: FrozenBody) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Give (group, y, x, channel), padded as `_channels` does, bfloat16 as its bits, and where all inputs are there."""
        card = self.model.card
        height, width = stored.shape[-2:]
        padded = [-(-n // card.stride) * card.stride for n in (height, width)]
        half = body.inner.itemsize == 2
        out = _scratch.get("groups", (body.groups, *padded, body.channels), np.uint16 if half else np.float32)
        out[:, height:], out[:, :, width:] = 0, 0
        valid = np.empty((1, height, width), np.bool_)
        planes = np.ascontiguousarray(stored).reshape(-1, height, width)
        fill_groups(planes, *scaling(card, self.encodings), body.clip, half, out[:, :height, :width], valid[0])
        return out, valid

    def _run(self, planes: Array, keep: Region) -> Array:
        """Run the network over what was filled in; give (map, plane, y, x) of the region of its answer that is kept."""
        import torch

        frozen, sampler = _ready(self.model, self.execution, self.samples, self.seed)
        with torch.inference_mode():
            answers = _answers(frozen, sampler, _tensor(planes, frozen, self._in_groups(frozen), self.execution.device), keep)
            if self.model.card.classes:
                decided = decide(answers, bool(self.samples))
                wanted: Array = decided[:, : self.n_out].cpu().numpy()
                return wanted
            answer = moments(answers) if self.samples else next(iter(answers))
            for k, output in enumerate(self.model.card.outputs):
                if output.minimum is not None or output.maximum is not None:
                    answer[:, k].clamp_(output.minimum, output.maximum)
            done: Array = answer.cpu().numpy()
            return done


def _tensor(planes: Array, frozen: Frozen, in_groups: bool, device: str) -> Any:
    """Give (map, y, x, channel) as (map, channel, y, x) where the network runs, or (group, y, x, channel) as its images."""
    import torch

    whole = torch.from_numpy(planes)
    if not in_groups:
        return whole.permute(0, 3, 1, 2).to(device, frozen.dtype)
    from xsentinel.models.frozenfusion import Images

    return Images(whole.view(torch.bfloat16) if whole.dtype == torch.uint16 else whole)


def _answers(frozen: Any, sampler: Any, x: Any, keep: Region) -> Iterable[Tensor]:
    """Give the answers for a region: from a network that computes no more, or cut out."""
    if getattr(frozen, "crops", False):
        return [frozen.once(x, keep)] if sampler is None else sampler(x, keep)
    return (one[..., keep[0], keep[1]] for one in ([frozen.once(x)] if sampler is None else sampler(x)))


def _part(planes: Array, rows: slice, columns: slice) -> Array:
    """Cut a window out of (map, y, x) planes, whose sides may be of size 1."""
    return planes[:, rows if planes.shape[1] > 1 else slice(None), columns if planes.shape[2] > 1 else slice(None)]


def moments(samples: Iterable[Tensor]) -> Tensor:
    """Give mean and standard deviation (ddof 1) of (map, output, y, x), one sample after the other, without keeping them.

    Welford's recurrence, in the order of the samples: the same for any block.
    """
    import torch

    answers = iter(samples)
    mean = next(answers).clone()
    total, n = torch.zeros_like(mean), 1
    for n, y in enumerate(answers, 2):
        apart = y - mean
        mean.add_(apart, alpha=1 / n)
        total.addcmul_(apart, y - mean)
    return torch.cat([mean, total.div_(max(n - 1, 1)).sqrt_()], 1)


def _beside(card: Card, geometry: list[Array], shape: tuple[int, int, int]) -> Array:
    """Give the planes of geometry, normalised, (plane, map, y, x); those that are constant take no memory."""
    low, width = (np.array([f(c) for c in card.geometry], np.float32) for f in (_low, _width))
    if not geometry:
        return np.empty((0, *shape), np.float32)
    if all(g.shape[1:] == (1, 1) for g in geometry):
        together = np.array(geometry, np.float32).reshape(len(geometry), -1, 1, 1)
    else:
        together = np.stack([np.broadcast_to(g, shape) for g in geometry])
    normalised = (together - low[:, None, None, None]) / width[:, None, None, None]
    return np.broadcast_to(normalised, (len(geometry), *shape))


def _low(channel: Channel) -> float:
    return channel.low


def _width(channel: Channel) -> float:
    return channel.high - channel.low


def scaling(card: Card, encodings: tuple[Encoding, ...]) -> tuple[Array, Array, Array]:
    """Give gain, shift and nodata of each band plane, those of the first date first: decoding and normalisation in one."""
    pairs = list(zip(encodings, (c for c in card.channels if c.is_band), strict=True)) * card.dates
    gain, shift = [e.scale / (c.high - c.low) for e, c in pairs], [(e.offset - c.low) / (c.high - c.low) for e, c in pairs]
    return np.array(gain, np.float32), np.array(shift, np.float32), np.array([e.nodata for e, _ in pairs], np.float32)


def _ready(model: Model, execution: Execution, samples: int, seed: int) -> tuple[Frozen, Sampler | None]:
    """Give the network as it runs, read once a process however many blocks ask for it."""
    with _reading:
        return _frozen(model, execution)[0], _sampler(model, execution, samples, seed)


@lru_cache(maxsize=8)
def _frozen(model: Model, execution: Execution) -> tuple[Frozen, tuple[Site, ...]]:
    import torch

    execution.check()
    network, dtype = read_network(model), torch.bfloat16 if execution.is_bf16 else torch.float32
    if execution.device != "cpu":
        return network.to(execution.device).freeze(dtype), network.sites
    from xsentinel.blocks.fast import freeze

    return freeze(network, dtype), network.sites


@lru_cache(maxsize=8)
def _sampler(model: Model, execution: Execution, samples: int, seed: int) -> Sampler | None:
    if samples == 0:
        return None
    from xsentinel.models.network import draw_masks

    frozen, sites = _frozen(model, execution)
    return frozen.sampler([draw_masks(sites, seed, sample) for sample in range(samples)])
