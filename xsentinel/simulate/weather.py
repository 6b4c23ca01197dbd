"""The weather of each day: how much of the sky is clouded and by what, how wet the soil is, how hazy the air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xsentinel.bands import BANDS, TEN_BANDS
from xsentinel.kernels.hashing import bell, draw, salted
from xsentinel.kernels.noise import noise_at
from xsentinel.simulate.overpass import Overpass

SYNOPTIC_DAYS = 7.0
"""Days over which weather persists."""

CLOUDINESS, SEASONALITY, SWING = 0.12, 0.32, 1.7
"""Of the probit of cloud cover at 50° N: its mean, its growth from mean to midwinter, its spread from day to day."""

SOUTHWARD = 0.045
"""Fall of the probit a degree of latitude towards the subtropics."""

BLIND = 0.04
"""Share of dates on which the classifier overlooks most clouds."""

LOWEST, HIGHEST = 700.0, 3200.0
"""Height of cloud tops, m."""

SMALLEST, LARGEST = 2000.0, 40000.0
"""Size of cloud fields, m."""


@dataclass(frozen=True)
class Weather:
    """One day's weather."""

    level: float
    """Of the unit-variance cloud field, above which there is cloud."""
    softness: float
    """Width of cloud borders, in units of the field."""
    size: float
    """Of the largest cloud forms, m."""
    roughness: float
    """Strength of each octave of the field over that before."""
    height: float
    """Of the clouds above ground, m."""
    moisture: float
    """Of soil, 0…1."""
    haze: float
    """Mean of the haze that atmospheric correction left, negative where it took too much."""
    sight: float
    """Gain that aerosols, misjudged, leave on all bands."""
    drift: tuple[float, float]
    """Error of the image's place, m down and to the right."""
    cirrus: float
    """Strength of thin cirrus."""
    oversight: float
    """Opacity that the classifier overlooks, on some dates."""
    bits: int
    """Seed of the day's fields."""


def weather_of(over: Overpass, latitude: float, seed: int) -> Weather:
    """Draw the weather of a day: a function of the day and the seed alone."""
    own = salted(salted(seed, over.day), 71)
    probit = _synoptic(seed, over.day) * SWING + CLOUDINESS - SOUTHWARD * (50.0 - abs(latitude))
    winter = float(np.cos(2 * np.pi * (over.time.day_of_year - 10) / 365)) * (1.0 if latitude >= 0 else -1.0)
    probit += SEASONALITY * winter
    moist = 0.42 + 0.2 * winter + 0.28 * float(noise_at(np.uint64(seed + 5), 0.5, over.day / 15)) + 0.1 * float(np.clip(probit, -1, 1))
    airmass = 0.8 / float(np.cos(np.deg2rad(min(over.angles[0], 75.0))))
    return Weather(
        level=-probit,
        softness=float(0.15 + 0.45 * draw(own, 1)),
        size=float(SMALLEST * (LARGEST / SMALLEST) ** draw(own, 2)),
        roughness=float(0.55 + 0.2 * draw(own, 3)),
        height=float(LOWEST + (HIGHEST - LOWEST) * draw(own, 4)),
        moisture=float(np.clip(moist, 0.02, 0.95)),
        haze=airmass * float(-0.12 + 0.42 * draw(own, 6) ** 3 + 0.04 * bell(own)),
        sight=float(1 + 0.06 * bell(salted(own, 18))),
        drift=(float(2.5 * bell(salted(own, 19))), float(2.5 * bell(salted(own, 20)))),
        cirrus=float(max(0.0, draw(own, 5) - 0.6)),
        oversight=0.75 if draw(own, 7) < BLIND else 0.0,
        bits=int(salted(own, 17)),
    )


def _synoptic(seed: int, day: int) -> float:
    """Give a number of about unit variance that persists for some days."""
    slow = float(noise_at(np.uint64(seed + 3), 0.5, day / SYNOPTIC_DAYS))
    quick = float(bell(salted(seed + 4, day)))
    return 1.3 * slow + 0.7 * quick


def optics() -> npt.NDArray[np.float32]:
    """Give, for the ten bands: reflectance of thick cloud, share of light lost in shadow, path and loss of haze.

    Clouds are grey up to 1 µm and darken by absorption of water and ice beyond (Kokhanovsky 2004); shadows are lit by
    the blue sky; haze falls with wavelength as aerosols of Ångström exponent 1.3 do.
    """
    nm = np.array([BANDS[name].centre_nm for name in TEN_BANDS])
    cloud = [0.80, 0.79, 0.79, 0.80, 0.81, 0.82, 0.82, 0.82, 0.55, 0.42]
    shadow = [0.52, 0.56, 0.62, 0.64, 0.66, 0.67, 0.68, 0.69, 0.76, 0.80]
    path = 0.09 * (nm / 492.7) ** -2.0
    return np.array([cloud, shadow, path, path * 1.5], np.float32)
