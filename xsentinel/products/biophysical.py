"""Biophysical variables of vegetation by SL2P."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from xsentinel.sl2p import DomainRule, estimate


def biophysical(
    ds: xr.Dataset,
    *variables: str,
    resolution: int | None = None,
    domain: DomainRule = "flag",
    angles: Mapping[str, object] | None = None,
    platform: str | Sequence[str] | None = None,
) -> xr.Dataset:
    r"""Estimate biophysical variables by SL2P in one pass over the bands.

    .. math:: y = \tfrac12\,(y^*+1)\,(y_{max}-y_{min}) + y_{min}, \quad
              y^* = b + \sum_{h=1}^{5} v_h \tanh\Bigl(b_h + \sum_i w_{hi} x^*_i\Bigr), \quad
              x^* = 2\,\frac{x-x_{min}}{x_{max}-x_{min}} - 1

    with the published coefficients, version 3.0 (Weiss, Baret & Jay 2020), of each date's platform;
    Sentinel-2C takes those of 2B.

    Parameters
    ----------
    ds : xarray.Dataset
        A cube: bands (time, y, x), float32 reflectance [1] or uint16 as stored with ``scale_factor``.
        At 20 m: B03 B04 B05 B06 B07 B8A B11 B12; at 10 m: B03 B04 B08. Coordinates ``sza``, ``vza``,
        ``raa`` in degrees, scalar, (time) or (time, y, x), and ``platform`` (S2A, S2B, S2C).
    *variables : str
        Of ``lai``, ``fapar``, ``fcover``, ``ccc``, ``cwc`` (the last two at 20 m only); all if none.
    resolution : {None, 10, 20}
        Which set of inputs. None: the 20 m set, unless the cube has no 20 m band at all.
    domain : {"flag", "mask"}
        Keep and flag the values of inputs outside the definition domain, or make them NaN.
    angles : mapping, optional
        ``sza``, ``vza``, ``raa`` in degrees where the cube has none; goes before those of the cube.
    platform : str or sequence of str, optional
        Where the cube has none; goes before that of the cube.

    Returns
    -------
    xarray.Dataset
        For each variable its float32 map, NaN where an input is missing, and ``<variable>_flags``
        (uint8): 1 input outside the definition domain (SNAP's rule: 32 or 64), 2 clamped to the
        minimum, 4 clamped to the maximum, 8 below the minimum, 16 above the maximum, 32 a band outside
        min–max, 64 outside the grid of occupied cells (the published v3.0 grids are truncated, so this
        bit is often set on good pixels). Flags are 0 where the value is NaN.

    Raises
    ------
    BandError, UnitsError, GridError, TimeError, GeometryError
        If a band, its scale, the angles or the platform are missing or impossible.

    References
    ----------
    Weiss, Baret & Jay (2020), S2ToolBox Level 2 products LAI, FAPAR, FCOVER, ATBD.
    Fernandes et al. (2023), Remote Sensing of Environment 292.

    Examples
    --------
    >>> import xsentinel as xs
    >>> maps = xs.sample("zurich").s2.biophysical("lai", "fapar")
    >>> list(maps)
    ['lai', 'lai_flags', 'fapar', 'fapar_flags']
    """
    return estimate(ds, variables, resolution=resolution, domain=domain, angles=angles, platform=platform)
