"""Series of reflectance under a sun that comes and goes: the synthetic data of Estopinan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import BANDS, TEN_BANDS
from xsentinel.errors import XSentinelError
from xsentinel.kernels.hashing import bell, draw, salted
from xsentinel.version import __version__

Float64 = npt.NDArray[np.float64]

HYPERSPECTRAL_NM = (380.0, 1050.0)
"""Range of the 144 bands of the sensor that the paper's albedos are of (Debes et al. 2014)."""

MIDDAY, SWAY = 45.0, 25.0
"""Mean angle of incidence, and by how much it is less at noon and more at midnight, degrees."""

# Single-scattering albedo at some wavelengths (nm): typical shapes, drawn by hand.
MATERIALS = {
    "grass": ((380, 0.18), (500, 0.22), (550, 0.36), (670, 0.20), (700, 0.42), (750, 0.88),
        (900, 0.93), (1050, 0.93), (1450, 0.50), (1650, 0.78), (1950, 0.28), (2200, 0.55)),
    "tree": ((380, 0.12), (500, 0.16), (550, 0.28), (670, 0.14), (700, 0.34), (750, 0.82),
        (900, 0.89), (1050, 0.89), (1450, 0.42), (1650, 0.68), (1950, 0.22), (2200, 0.42)),
    "soil": ((380, 0.30), (550, 0.52), (700, 0.66), (900, 0.74), (1050, 0.78), (1450, 0.80), (1650, 0.84), (1950, 0.72), (2200, 0.78)),
    "asphalt": ((380, 0.28), (550, 0.36), (800, 0.42), (1050, 0.45), (1650, 0.50), (2200, 0.50)),
    "tile": ((380, 0.20), (550, 0.34), (620, 0.62), (750, 0.70), (880, 0.68), (1050, 0.74), (1650, 0.84), (2200, 0.80)),
    "concrete": ((380, 0.52), (600, 0.70), (1050, 0.78), (1650, 0.82), (2200, 0.78)),
}  # fmt: skip


def hapke(
    shape: tuple[int, int] = (8, 8),
    days: float = 20.0,
    *,
    seed: int = 0,
    bands: int = 144,
    step_minutes: float = 30.0,
    view: float = 0.0,
) -> xr.Dataset:
    r"""Simulate spectra under a daily sun: the synthetic dynamics of Estopinan et al.

    Each pixel is of one material, whose single-scattering albedo :math:`\omega` varies a little from pixel to pixel,
    and follows Hapke's model without phase function and opposition effect (Drumetz et al. 2019):

    .. math:: \rho = \frac{\omega}{(1 + 2\mu\sqrt{1-\omega})\,(1 + 2\mu_0\sqrt{1-\omega})}, \qquad
              \theta_0(t) = 45° - 25° \cos\!\big(2\pi (t - 12\,\mathrm{h}) / 24\,\mathrm{h}\big)

    with :math:`\mu_0, \mu` the cosines of the angles of incidence and view. The sun never sets, so that the series
    is a smooth orbit. The paper's albedos are of the Houston scene (DFC 2013), which may not be passed on; these are
    drawn by hand.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of pixels.
    days : float
        Length of the series; the paper trains on 20.
    seed : int
        Of materials and their albedos, 0 … 2³² − 1.
    bands : {144, 10}
        144 evenly from 380 to 1050 nm, or the ten of Sentinel-2 at their centres.
    step_minutes : float
        Between samples.
    view : float
        Angle of view, degrees, 0 … 80.

    Returns
    -------
    xarray.Dataset
        ``reflectance`` (time, band, y, x), float32 [1]; ``albedo`` (band, y, x), float32 [1]; coordinates
        ``wavelength`` (band), nm, ``incidence`` (time), degrees, ``material`` (y, x).

    Raises
    ------
    XSentinelError
        If an argument is out of range.

    References
    ----------
    Estopinan, Tochon & Drumetz, Learning Sentinel-2 spectral dynamics for long-run predictions using residual
    neural networks. Drumetz, Chanussot &
    Jutten (2019), IEEE Geoscience and Remote Sensing Letters. Hapke (1981), Journal of Geophysical Research 86.

    Examples
    --------
    >>> import xsentinel as xs
    >>> series = xs.simulate.hapke((2, 3), days=2, bands=10)
    >>> dict(series.sizes)
    {'band': 10, 'y': 2, 'x': 3, 'time': 96}
    """
    _check(shape, days, seed, bands, step_minutes, view)
    names, wavelengths = _bands(bands)
    material, albedo = _albedo(shape, wavelengths, seed)
    hours = np.arange(round(days * 1440 / step_minutes)) * step_minutes / 60
    incidence = MIDDAY - SWAY * np.cos(2 * np.pi * (hours - 12) / 24)
    values = reflect_hapke(albedo[None], np.cos(np.deg2rad(incidence))[:, None, None, None], float(np.cos(np.deg2rad(view))))
    attrs = {"title": "synthetic spectral dynamics", "source": f"xsentinel.simulate {__version__}", "seed": seed, "view": view}
    return xr.Dataset(
        {
            "albedo": (("band", "y", "x"), albedo.astype(np.float32), {"long_name": "single-scattering albedo", "units": "1"}),
            "reflectance": (("time", "band", "y", "x"), values.astype(np.float32), {"long_name": "reflectance factor", "units": "1"}),
        },
        {
            "time": np.datetime64("2020-06-01", "ns") + (hours * 3.6e12).astype("timedelta64[ns]"),
            "band": names,
            "wavelength": ("band", wavelengths, {"units": "nm"}),
            "incidence": ("time", incidence, {"long_name": "angle of incidence", "units": "degree"}),
            "material": (("y", "x"), np.array(list(MATERIALS))[material]),
        },
        attrs,
    )


def reflect_hapke(albedo: Float64, incidence: Float64, view: float) -> Float64:
    """Give Hapke's reflectance, of albedo and the cosines of incidence and view."""
    root = np.sqrt(1 - albedo)
    out: Float64 = albedo / ((1 + 2 * view * root) * (1 + 2 * incidence * root))
    return out


def _check(shape: tuple[int, int], days: float, seed: int, bands: int, step_minutes: float, view: float) -> None:
    if min(shape, default=0) < 1:
        raise XSentinelError(f"shape is {shape!r}; give rows and columns, 1 or more")
    if not 0 < step_minutes <= days * 1440:
        raise XSentinelError(f"step_minutes is {step_minutes!r} and days is {days!r}; give a step above 0 and no longer than the series")
    if bands not in (144, 10):
        raise XSentinelError(f"bands is {bands!r}; give 144 (380–1050 nm) or 10 (those of Sentinel-2)")
    if not 0 <= view <= 80:
        raise XSentinelError(f"view is {view!r}; give degrees from the vertical between 0 and 80")
    if not 0 <= seed < 2**32:
        raise XSentinelError(f"seed is {seed!r}; give a whole number from 0 to 4294967295")


def _bands(n: int) -> tuple[list[str], Float64]:
    """Give names and wavelengths (nm) of bands."""
    if n == len(TEN_BANDS):
        return list(TEN_BANDS), np.array([BANDS[name].centre_nm for name in TEN_BANDS])
    return [f"H{k:03d}" for k in range(1, n + 1)], np.linspace(*HYPERSPECTRAL_NM, n)


def _albedo(shape: tuple[int, int], wavelengths: Float64, seed: int) -> tuple[npt.NDArray[np.intp], Float64]:
    """Draw the material of each pixel, and give albedo (band, y, x): that of its material, a little darker or lighter."""
    spectra = np.stack([np.interp(wavelengths, *np.array(knots).T) for knots in MATERIALS.values()])
    bits = [salted(salted(seed, i), j) for i, j in np.ndindex(*shape)]
    material = np.array([int(draw(b, 0) * len(MATERIALS)) for b in bits], np.intp).reshape(shape)
    gain = np.array([1 + 0.04 * float(bell(b)) for b in bits]).reshape(shape)
    return material, np.clip(np.moveaxis(spectra[material], -1, 0) * gain, 0.01, 0.99)
