"""A chain of verbs as data: read from a job file, applied to a cube, its neighbourhood known."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, lcm
from typing import Any

import xarray as xr

from xsentinel.blocks.model import load_model
from xsentinel.composite import CLOUD_REACH_M
from xsentinel.cube import pixel_size
from xsentinel.errors import XSentinelError, did_you_mean
from xsentinel.products.smooth import SIZES

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Verb:
    """One verb of the accessor."""

    halo: Callable[[Options, xr.Dataset], int] = lambda options, ds: 0
    """Pixels around a pixel that its result depends on."""
    stride: Callable[[Options], int] = lambda options: 1


def _cloud_reach(options: Options, ds: xr.Dataset) -> int:
    """Give how far masks grow and shrink, in pixels."""
    dilate = options.get("dilate", 0)
    grown = max(dilate.values(), default=0) if isinstance(dilate, Mapping) else dilate
    return ceil((float(grown) + float(options.get("erode", 0))) / abs(pixel_size(ds)[1]))


def _score_reach(options: Options, ds: xr.Dataset) -> int:
    """Give how far the best pixel's own score looks for clouds, in pixels."""
    looks = options.get("method") == "best" and options.get("score") is None
    return ceil(CLOUD_REACH_M / abs(pixel_size(ds)[1])) if looks else 0


def _card(options: Options) -> Any:
    model = options.get("model", "sl2p")
    card = None if model == "sl2p" else load_model(model).card
    if card is not None and card.fusion is not None:
        raise XSentinelError(
            f"model {card.name} sees radar at dates of its own, which a step cannot be given; give xsentinel.run the lazy maps: "
            f"xsentinel.run(cube.s2.lai(model=..., s1=s1), 'lai.zarr')"
        )
    return card


def _network_reach(options: Options, ds: xr.Dataset) -> int:
    card = _card(options)
    if card is not None and card.halo is None:
        raise XSentinelError(
            f"model {card.name} looks at the whole scene, so it cannot run block by block; run it on the whole cube, or take another"
        )
    return 0 if card is None else int(card.halo)


def _network_stride(options: Options) -> int:
    card = _card(options)
    return 1 if card is None else int(card.stride)


def _window_reach(options: Options, ds: xr.Dataset) -> int:
    """Give half of the window that a map of classes is smoothed by."""
    return int(options.get("size") or SIZES.get(str(options.get("method", "majority")), 0)) // 2


VERBS: dict[str, Verb] = {
    "mask_clouds": Verb(_cloud_reach),
    "composite": Verb(_score_reach),
    "fill_gaps": Verb(),
    "index": Verb(),
    "biophysical": Verb(),
    "lai": Verb(_network_reach, _network_stride),
    "crops": Verb(_network_reach, _network_stride),
    "landcover": Verb(_network_reach, _network_stride),
    "smooth": Verb(_window_reach),
    "forecast": Verb(),
    "anomaly": Verb(),
    "bridge_gaps": Verb(),
}
"""Verbs that a job may have, as the accessor calls them: those whose result at a pixel depends on its neighbourhood at most."""

FIRST = {
    "composite": "freq",
    "fill_gaps": "method",
    "index": "names",
    "biophysical": "variables",
    "crops": "model",
    "landcover": "model",
    "smooth": "method",
    "forecast": "model",
    "anomaly": "model",
    "bridge_gaps": "model",
}
"""The option that a verb takes without a name; a list is spread."""


@dataclass(frozen=True)
class Steps:
    """Verbs and their options, one after the other."""

    steps: tuple[tuple[str, Options], ...]

    @classmethod
    def of(cls, steps: Any) -> Steps:
        """Read ``[{"mask_clouds": {"dilate": 60}}, {"lai": {"model": "unet"}}]``, or names alone where no option is given.

        Raises
        ------
        XSentinelError
            If a step is none.
        """
        if isinstance(steps, str | bytes) or not isinstance(steps, Iterable):
            raise XSentinelError(f"steps are {steps!r:.60}; give a list such as [{{'mask_clouds': {{'dilate': 60}}}}, 'lai']")
        found = tuple(_step(step) for step in steps)
        if not found:
            raise XSentinelError("the list of steps is empty; give at least one verb, such as 'lai'")
        return cls(found)

    def __call__(self, cube: xr.Dataset) -> xr.Dataset:
        """Apply all to a cube."""
        for verb, options in self.steps:
            named = dict(options)
            first = named.pop(FIRST.get(verb, ""), ())
            function = getattr(cube.s2, verb)
            _check_options(verb, function, named)
            with wrong_kinds(f"step {verb}", options):
                cube = function(*(first if isinstance(first, list | tuple) else (first,)), **named)
        return cube

    def halo(self, cube: xr.Dataset) -> int:
        """Sum the neighbourhoods, in pixels."""
        return sum(self._halo(verb, options, cube) for verb, options in self.steps)

    def _halo(self, verb: str, options: Options, cube: xr.Dataset) -> int:
        _check_options(verb, getattr(cube.s2, verb), {k: v for k, v in options.items() if k != FIRST.get(verb)})
        with wrong_kinds(f"step {verb}", options):
            return VERBS[verb].halo(options, cube)

    def stride(self) -> int:
        """Give that of all together."""
        return lcm(*(VERBS[verb].stride(options) for verb, options in self.steps))

    def told(self) -> str:
        """Write as JSON, the same for the same steps."""
        return json.dumps([{verb: dict(options)} for verb, options in self.steps], sort_keys=True, default=str)


def _check_options(verb: str, function: Callable[..., Any], named: Options) -> None:
    """Check that a verb takes the options of a step."""
    parameters = inspect.signature(function).parameters
    known = [p.name for p in parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known += [FIRST[verb]] if verb in FIRST and FIRST[verb] not in known else []
    odd = [name for name in named if name not in known]
    if odd and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise XSentinelError(f"step {verb} takes no {odd[0]!r}{did_you_mean(odd[0], known)}; it takes {', '.join(known)}")


@contextmanager
def wrong_kinds(what: str, options: Options) -> Iterator[None]:
    """Say in one line which options had values of a wrong kind.

    Raises
    ------
    XSentinelError
        If one had.
    """
    try:
        yield
    except XSentinelError:
        raise
    except (TypeError, ValueError) as err:
        told = ", ".join(f"{name}: {value!r:.40}" for name, value in options.items())
        raise XSentinelError(f"{what} cannot be done with {told or 'no option'}: {' '.join(str(err).split())}; check the values") from err


def _step(step: Any) -> tuple[str, Options]:
    named = {step: {}} if isinstance(step, str) else step if isinstance(step, Mapping) and len(step) == 1 else {"": {}}
    ((verb, options),) = named.items()
    if verb not in VERBS:
        raise XSentinelError(f"step {step!r:.60} is none of {', '.join(VERBS)}, each with its options: {{'composite': {{'freq': 'MS'}}}}")
    if options is not None and not isinstance(options, Mapping):
        raise XSentinelError(f"step {verb} has the options {options!r:.60}; they are names and values: {verb}: {{name: value}}")
    return verb, dict(options or {})
