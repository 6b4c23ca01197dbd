"""Sun and view angles and the platform of each date: found under their many names, checked, completed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from xsentinel.bands import PLATFORMS, platform_name
from xsentinel.errors import GeometryError

HOW_TO_GIVE = (
    "give degrees, one number or one a date, as lai(angles={'sza': 35.0, 'vza': 5.0, 'raa': 100.0}) or as coordinates: "
    "ds.assign_coords(sza=('time', [...]), vza=('time', [...]), raa=('time', [...])); "
    "on the command line --sza 35 --vza 5 --raa 100. They stand in MTD_TL.xml of each product"
)


@dataclass(frozen=True)
class Angle:
    """An angle of the scene's geometry."""

    long_name: str
    """For CF attributes."""
    standard_name: str | None
    """CF standard name, if there is one."""
    aliases: tuple[str, ...]
    """Other names, lower case."""
    limits: tuple[float, float]
    """Least and greatest value in degrees."""


ANGLES = {
    "sza": Angle(
        "sun zenith angle",
        "solar_zenith_angle",
        ("sun_zenith", "solar_zenith", "sunzenithangles", "mean_solar_zenith", "solar_zenith_angle", "sun_zenith_angle"),
        (0, 90),
    ),
    "vza": Angle(
        "view zenith angle",
        "sensor_zenith_angle",
        ("view_zenith", "sensor_zenith", "viewzenithmean", "mean_view_zenith", "view_zenith_angle", "sensor_zenith_angle"),
        (0, 90),
    ),
    "raa": Angle("sun–view relative azimuth angle", None, ("relative_azimuth", "relative_azimuth_angle"), (-360, 360)),
    "saa": Angle(
        "sun azimuth angle",
        "solar_azimuth_angle",
        ("sun_azimuth", "solar_azimuth", "sunazimuthangles", "mean_solar_azimuth", "solar_azimuth_angle", "sun_azimuth_angle"),
        (-360, 360),
    ),
    "vaa": Angle(
        "view azimuth angle",
        "sensor_azimuth_angle",
        ("view_azimuth", "sensor_azimuth", "viewazimuthmean", "mean_view_azimuth", "view_azimuth_angle", "sensor_azimuth_angle"),
        (-360, 360),
    ),
}
"""Angles in degrees. ``raa`` is what a cube keeps; ``saa`` and ``vaa`` are what it may come from."""

NEEDED = ("sza", "vza", "raa")


def angle_variables(ds: xr.Dataset) -> dict[str, Hashable]:
    """Map angle names to the variables or coordinates that hold them, aliases understood."""
    names = {alias: name for name, angle in ANGLES.items() for alias in (name, *angle.aliases)}
    return {names[key]: v for v in ds.variables if (key := str(v).lower()) in names}


def relative_azimuth(saa: xr.DataArray, vaa: xr.DataArray) -> xr.DataArray:
    """Fold the difference of two azimuths into 0…180 degrees."""
    return abs((saa - vaa + 180) % 360 - 180).rename("raa")


def find_angles(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    """Give those of sza, vza and raa that a dataset holds, raa also from the two azimuths."""
    there = angle_variables(ds)
    found = {name: ds[there[name]].reset_coords(drop=True) for name in NEEDED if name in there}
    if "raa" not in found and {"saa", "vaa"} <= there.keys():
        found["raa"] = relative_azimuth(*(ds[there[name]].reset_coords(drop=True) for name in ("saa", "vaa")))
    return {name: with_angle_attrs(values, name) for name, values in found.items()}


def with_angle_attrs(values: xr.DataArray, name: str) -> xr.DataArray:
    """Name an angle and write its CF attributes, keeping a remark on its source."""
    angle = ANGLES[name]
    attrs = {"long_name": angle.long_name, "units": "degree"}
    if angle.standard_name:
        attrs["standard_name"] = angle.standard_name
    kept = {k: values.attrs[k] for k in ("source", "comment") if k in values.attrs}
    out = values.rename(name).astype(np.float32)
    out.attrs = attrs | kept
    return out


def resolve_angles(ds: xr.Dataset, given: Mapping[str, object] | None = None, needed: tuple[str, ...] = NEEDED) -> dict[str, xr.DataArray]:
    """Give sza, vza and raa, or those of them that are needed, in degrees, those given before those of the dataset.

    Parameters
    ----------
    ds : xarray.Dataset
        May hold angles as coordinates or variables, scalar, (time) or (time, y, x), degrees.
    given : mapping, optional
        sza, vza, raa: numbers, sequences of one value a date, or DataArrays; degrees.
    needed : tuple of str
        Names of those that are looked at.

    Raises
    ------
    GeometryError
        If an angle is missing, unknown, not of the dataset's dates, or out of range.
    """
    unknown = set(given or ()) - set(NEEDED)
    if unknown:
        raise GeometryError(f"angles has {', '.join(sorted(map(str, unknown)))}; it takes sza, vza and raa, in degrees")
    angles = {name: _small(a) for name, a in find_angles(ds).items()} | {
        name: _as_angle(ds, name, value) for name, value in (given or {}).items()
    }
    missing = [f"{name} ({ANGLES[name].long_name})" for name in needed if name not in angles]
    if missing:
        raise GeometryError(f"the dataset has no {', '.join(missing)}; there is no sensible default: {HOW_TO_GIVE}")
    for name in needed:
        _check_range(name, angles[name])
    return {name: angles[name] for name in needed}


def _small(values: xr.DataArray) -> xr.DataArray:
    """Read angles of one value a date, which ``ds.chunk()`` makes lazy with the rest, in this very thread."""
    if values.ndim > 1 or values.chunks is None:
        return values
    return values.copy(data=values.data.compute(scheduler="synchronous"))


def _as_angle(ds: xr.Dataset, name: str, value: object) -> xr.DataArray:
    if not isinstance(value, xr.DataArray):
        values = np.asarray(value, np.float32)
        n_times = ds.sizes.get("time", 1)
        if values.shape not in ((), (n_times,)):
            raise GeometryError(f"angles[{name!r}] has shape {values.shape}; give one number or one for each of the {n_times} dates")
        value = xr.DataArray(values, dims=("time",) if values.shape and "time" in ds.dims else (), name=name)
    return with_angle_attrs(value.reset_coords(drop=True), name)


def _check_range(name: str, values: xr.DataArray) -> None:
    if values.ndim > 1:  # per pixel: may be lazy and large; NaN there gives NaN
        return
    low, high = ANGLES[name].limits
    bad = ~((values >= low) & (values <= high)).values
    if bad.any():
        at = f" at {int(bad.sum())} of {bad.size} dates" if values.ndim else ""
        raise GeometryError(
            f"{name} is {values.values[bad][0]:g}{at}; {ANGLES[name].long_name} is between {low} and {high} degrees. "
            f"Drop these dates, or {HOW_TO_GIVE}"
        )


def resolve_platforms(ds: xr.Dataset, given: object = None) -> xr.DataArray:
    """Give S2A, S2B or S2C of each date, from ``given`` or the coordinate ``platform``.

    Raises
    ------
    GeometryError
        If a date's platform is not known.
    """
    values = given if given is not None else ds.get("platform", ds.attrs.get("platform"))
    how = "give platform='S2A' (or S2B, S2C; one, or one a date) or ds.assign_coords(platform=('time', [...]))"
    if values is None:
        raise GeometryError(f"the dataset has no platform, and the coefficients of S2A and S2B differ; {how}")
    raw = np.asarray(_small(values).values if isinstance(values, xr.DataArray) else values)
    names = np.array([platform_name(v) or "" for v in raw.ravel()], dtype="<U3").reshape(raw.shape)
    unknown = names == ""
    if unknown.any():
        raise GeometryError(
            f"the platform of {int(unknown.sum())} of {names.size} dates is not known (found {str(raw[unknown][0])!r}); "
            f"the platforms are {', '.join(PLATFORMS)}: {how}"
        )
    if tuple(names.shape) not in ((), (ds.sizes.get("time", 1),)):
        raise GeometryError(f"platform has shape {names.shape} but there are {ds.sizes.get('time', 1)} dates; {how}")
    return xr.DataArray(names, dims=("time",) if names.ndim and "time" in ds.dims else ())


def geometry_of_periods(ds: xr.Dataset, of_date: npt.NDArray[np.int64], n_periods: int) -> dict[str, xr.DataArray]:
    """Give the mean angles of the dates in each period, and the platform that most of them have.

    So composites go on to what needs the geometry. A period without dates gets that of all; its values are no data.

    Parameters
    ----------
    ds : xarray.Dataset
    of_date : (time,) int64
        Period of each date, −1 for none.
    n_periods : int
    """
    members = [np.nonzero(of_date == p)[0] for p in range(n_periods)]
    dates = [m if m.size else np.arange(of_date.size) for m in members]
    found = {}
    for name, angle in find_angles(ds).items():
        if "time" in angle.dims:
            values = _small(angle)
            means = xr.concat([values.isel(time=d).mean("time", dtype=np.float32) for d in dates], "time")
            found[name] = means.assign_attrs(angle.attrs | {"cell_methods": "time: mean"})
    if "platform" in ds.coords and ds["platform"].dims == ("time",):
        names = _small(ds["platform"]).values.astype(str)
        most = [max(sorted(set(names[d])), key=list(names[d]).count) for d in dates]
        found["platform"] = xr.DataArray(np.array(most), dims="time", attrs={"source": "most frequent of the period"})
    return found


def geometry_of_nearest(ds: xr.Dataset, times: npt.NDArray[np.datetime64]) -> dict[str, xr.Variable]:
    """Give the angles and the platform of the date nearest to each of some times, the earlier one of two; as they are, lazy or not.

    So regular series go on to what needs the geometry.

    Parameters
    ----------
    ds : xarray.Dataset
        With one date or more, rising.
    times : (time,) datetime64
    """
    own = ds["time"].values
    after = np.clip(np.searchsorted(own, times), 1, max(len(own) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(own) - 1)
    nearest = np.where(times - own[before] <= own[after] - times, before, after)
    said = {"cell_methods": "time: nearest"}
    found = {n: a.isel(time=nearest).assign_attrs(a.attrs | said) for n, a in find_angles(ds).items() if "time" in a.dims}
    if "platform" in ds.coords and ds["platform"].dims == ("time",):
        found["platform"] = ds["platform"].isel(time=nearest).assign_attrs(ds["platform"].attrs | {"source": "of the nearest date"})
    return {name: array.variable for name, array in found.items()}


# A satellite of 143 orbits in ten days passes a latitude always at the same phase of its orbit. Minutes
# since 2015-01-01 of the ascending node, modulo the period, from products whose names tell the platform
# (2017–2024): S2A 89–98, S2B 39–47. S2C took over S2A's slot in January 2025; after that, no inference.
ORBIT_MINUTES = 10 * 1440 / 143
NODE_MINUTES = {"S2A": 95.5, "S2B": 45.2}
NODE_TOLERANCE_MINUTES = 15.0
INCLINATION_DEG = 98.62
FIRST_S2B = np.datetime64("2017-03-07")
FIRST_S2C = np.datetime64("2024-09-05")


def platform_from_orbit(times: npt.NDArray[np.datetime64], latitude_deg: float) -> npt.NDArray[np.str_]:
    """Tell the platform from the sensing time and the latitude, '' where it cannot be told.

    The argument of latitude on the descending pass, u = 180° − asin(sin φ / sin i), gives the time since
    the ascending node; S2A and S2B pass it half an orbit (50 minutes) apart.

    Parameters
    ----------
    times : (time,) datetime64
        Sensing times, UTC, with the time of day.
    latitude_deg : float
        Latitude of the scene's centre.
    """
    minutes = (times - np.datetime64("2015-01-01")) / np.timedelta64(1, "m")
    sine = np.clip(np.sin(np.deg2rad(latitude_deg)) / np.sin(np.deg2rad(INCLINATION_DEG)), -1, 1)
    node = minutes - (np.pi - np.arcsin(sine)) / (2 * np.pi) * ORBIT_MINUTES
    names = np.full(times.shape, "", "<U3")
    for name, phase in NODE_MINUTES.items():
        away = np.abs((node - phase + ORBIT_MINUTES / 2) % ORBIT_MINUTES - ORBIT_MINUTES / 2)
        names[away < NODE_TOLERANCE_MINUTES] = name
    only_a = times < FIRST_S2B
    date_only = times == times.astype("datetime64[D]")
    names[date_only | (times >= FIRST_S2C)] = ""
    names[only_a & (times >= np.datetime64("2015-06-23"))] = "S2A"
    return names
