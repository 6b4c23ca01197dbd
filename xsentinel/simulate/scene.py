"""A scene: what a window of it holds, on any dates, from its few facts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from xsentinel.bands import BANDS, TEN_BANDS
from xsentinel.kernels.backscatter import speckle
from xsentinel.kernels.ground import SOIL, fold, leaf_area, reflect, textures
from xsentinel.kernels.hashing import salted
from xsentinel.kernels.mosaic import COVER_BITS, NARROW, lay_out
from xsentinel.kernels.noise import field
from xsentinel.kernels.phenology import grow, traits
from xsentinel.kernels.sensor import blur, count, halve, record
from xsentinel.kernels.sky import classify, opacity, veil
from xsentinel.simulate.nomenclature import COVERS, FIXED, SEASONS, class_values, running_shares
from xsentinel.simulate.overpass import Overpass, year_and_day
from xsentinel.simulate.table import CanopyTable, load_table
from xsentinel.simulate.weather import Weather, optics, weather_of

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Window = tuple[range, range]

FINE = 10
"""Metres a pixel of the ground."""

SPREAD = np.float32(0.09)
"""Weight of each neighbour in the point spread, in pixels of the band: a Gaussian of 0.48 pixels."""

DARK_NOISE, GREY_NOISE = 0.0010, 0.008
"""Standard deviation of noise in the dark, and relative to reflectance."""

GAIN = 0.012
"""Standard deviation of the calibration of a band at a date."""

EARLIER = 3.5
"""Days by which spring comes later a degree polewards."""


@dataclass(frozen=True)
class Scene:
    """The facts that all pixels follow from."""

    seed: int
    """Of everything."""
    latitude: float
    """Degrees north."""
    resolution: int
    """Metres a pixel of the cube, 10 or 20."""
    overs: tuple[Overpass, ...]
    """Acquisitions."""

    @cached_property
    def root(self) -> np.uint64:
        """The seed, scrambled."""
        return salted(self.seed, 1)

    @cached_property
    def weather(self) -> tuple[Weather, ...]:
        """The weather of each acquisition."""
        small = int(self.root) >> 8
        return tuple(weather_of(over, self.latitude, small) for over in self.overs)

    def ground(self, window: Window) -> Ground:
        """Lay out a window of pixels of 10 m."""
        return Ground(self, (window[0].start, window[1].start), *_laid_out(int(self.root), self.latitude, window))

    def field(self, window: Window, cell: float, octaves: int, salt: int, *, step: int = FINE) -> Float32:
        """Give a smooth field of unit variance over a window."""
        weights = np.power(0.5, np.arange(octaves, dtype=np.float64))
        shape, corner = (len(window[0]), len(window[1])), (window[0].start, window[1].start)
        out: Float32 = field(shape, salted(self.root, salt), corner, (0.0, 0.0), step / cell, weights)
        return out

    def clouds(self, t: int, window: Window, *, shadow: bool = False) -> Float32:
        """Give the opacity of clouds, or that at the places whose light they take, over a window of pixels of 10 m."""
        day, over = self.weather[t], self.overs[t]
        octaves = max(1, int(np.log2(day.size / 35)))
        weights = np.power(day.roughness, np.arange(octaves, dtype=np.float64))
        shift = _toward_sun(over, day.height) if shadow else (0.0, 0.0)
        shape, corner = (len(window[0]), len(window[1])), (window[0].start, window[1].start)
        thickness = field(shape, np.uint64(day.bits), corner, shift, FINE / day.size, weights)
        out: Float32 = opacity(thickness, day.level, day.softness)
        return out

    def haze(self, t: int, window: Window) -> tuple[Float32, Float32]:
        """Give haze and thin cirrus over a window of pixels of 10 m."""
        day = self.weather[t]
        smooth = self.field(window, 2500.0, 3, day.bits % 1009 + 200)
        streaks = opacity(self.field(window, 4000.0, 4, day.bits % 1013 + 5000), 0.2, 2.0)
        cirrus = np.float32(day.cirrus) * streaks
        return np.float32(day.haze) + np.float32(0.04) * smooth + np.float32(0.8) * cirrus, cirrus


@lru_cache(maxsize=4)
def _laid_out(root: int, latitude: float, window: Window) -> tuple[Array, Array, Array]:
    """Lay out a window; the last few are kept, as blocks of few dates ask for the same one many times."""
    shape, corner = (len(window[0]), len(window[1])), (window[0].start, window[1].start)
    fixed = np.array([[c.name for c in COVERS].index(name) for name in FIXED])
    keys, counts = lay_out(shape, corner, np.uint64(root), running_shares(latitude), fixed)
    own, places = np.unique(keys, return_inverse=True)
    return counts, own, places.reshape(keys.shape).astype(np.int32)


def _toward_sun(over: Overpass, height: float) -> tuple[float, float]:
    """Give the pixels (down, right) from a shadow to the cloud that throws it, as both are seen from the sensor."""
    sza, vza, _ = np.deg2rad(over.angles)
    saa, vaa = np.deg2rad(over.azimuths)
    # a cloud seen aslant stands before the ground that lies beyond it
    north = height * (np.tan(sza) * np.cos(saa) - np.tan(vza) * np.cos(vaa)) / FINE
    east = height * (np.tan(sza) * np.sin(saa) - np.tan(vza) * np.sin(vaa)) / FINE
    return float(-north), float(east)


@dataclass(frozen=True, eq=False)
class Ground:
    """A window of the land, and the parcels in it."""

    scene: Scene
    corner: tuple[int, int]
    """Row and column of the first pixel of 10 m."""
    counts: Array
    """(y, x, slot), uint8: samples of nine."""
    own: Array
    """(parcel,), int64: the keys that occur, −1 for empty slots; see `key_of`."""
    places: Array
    """(y, x, slot), int32: which of them."""

    @cached_property
    def window(self) -> Window:
        """Rows and columns of pixels of 10 m."""
        return tuple(range(c, c + n) for c, n in zip(self.corner, self.counts.shape[:2], strict=True))  # type: ignore[return-value]

    @cached_property
    def covers(self) -> Array:
        """Cover of each parcel; of an empty slot, the first."""
        return np.where(self.own < 0, 0, self.own & ((1 << COVER_BITS) - 1))

    @cached_property
    def texture(self) -> Float32:
        """Relative deviation of leaf area of each pixel."""
        smooth = self.scene.field(self.window, 110.0, 3, 101)
        out: Float32 = textures(self.counts.shape[:2], self.corner, salted(self.scene.root, 103), smooth)
        return out

    @cached_property
    def spread(self) -> Float32:
        """Of leaf area, of each parcel."""
        return np.array([c.texture for c in COVERS], np.float32)[self.covers]

    def growth(self, times: range) -> Float32:
        """Give the growth of each parcel, (parcel, time, 4)."""
        years, days = year_and_day([self.scene.overs[t] for t in times])
        out: Float32 = grow(np.maximum(self.own, 0), self.scene.root, *_calendar(self.scene.latitude), years, days)
        return out

    def lai(self, growth: Float32) -> Float32:
        """Give leaf area index at a date."""
        out: Float32 = leaf_area(growth, self.places, self.counts, self.spread, self.texture)
        return out

    def share(self, wanted: Array) -> Float32:
        """Give the share of each pixel that lies in the covers wanted (bool a cover)."""
        hit = (wanted[self.covers] & (self.own >= 0))[self.places]
        out: Float32 = (hit * self.counts).sum(-1).astype(np.float32) / np.float32(9)
        return out

    def largest(self) -> Array:
        """Give the key of the cover that takes the largest part of each pixel."""
        first = self.counts.argmax(-1)[..., None]
        keys: Array = self.own[np.take_along_axis(self.places, first, -1)[..., 0]]
        return keys

    def speckled(self, power: Float32, seed: np.uint64, looks: float) -> Float32:
        """Give radar backscatter with speckle at the cube's resolution, dB."""
        scale = self.scene.resolution // FINE
        seen = halve(power) if scale > 1 else power
        out: Float32 = speckle(seen, (self.corner[0] // scale, self.corner[1] // scale), seed, looks)
        return out

    def reflectance(self, t: int, growth: Float32, table: CanopyTable) -> Float32:
        """Give surface reflectance at a date, (band, y, x)."""
        over = self.scene.overs[t]
        grounds = table.ground[over.platform]
        facts, kept = _standing(table)[self.covers], traits(self.own, self.scene.root)
        # a lake is of one water, whatever blocks it lies in
        kept[self.covers == WATER_COVER, 1] = WATER_TONE
        flower = table.grounds.index("flower")
        lines, floor = fold(table.at(over.platform, over.angles), grounds, flower, growth, kept, facts, self.scene.weather[t].moisture)
        tone = np.float32(0.10) * self.scene.field(self.window, 240.0, 4, 107)
        out: Float32 = reflect(lines, floor, growth, self.places, self.counts, self.spread, self.texture, tone)
        return out


def _calendar(latitude: float) -> tuple[Array, Array]:
    """Give the growth periods (cover, season, 5) at a latitude, and each cover's winter leaf area, straw and flowers."""
    seasons = np.zeros((len(COVERS), SEASONS, 5))
    late, south = EARLIER * (abs(latitude) - 47.0), 182.0 if latitude < 0 else 0.0
    for k, cover in enumerate(COVERS):
        for s, season in enumerate(cover.seasons):
            start = season.start + late * (1 if season.start > 0 else -0.5)
            end = season.end + late * (0.8 if season.end < 250 else -0.3)
            seasons[k, s] = season.peak, start + south, end + south, season.rise, season.fall
    return seasons, np.array([[c.base, c.straw, c.flower] for c in COVERS])


def _standing(table: CanopyTable) -> Float32:
    """Give canopy, ground and shade of each cover."""
    rows = [(table.canopies.index(c.canopy), SOIL if c.ground == "soil" else table.grounds.index(c.ground), c.shade) for c in COVERS]
    return np.array(rows, np.float32)


def pixels_around(rows: range, columns: range, resolution: int) -> Window:
    """Give the pixels of 10 m under a window of the cube, whole pixels of 20 m, and one of them more on each side."""
    scale = resolution // FINE
    return tuple(range(r.start * scale // 2 * 2 - 2, -(-r.stop * scale // 2) * 2 + 2) for r in (rows, columns))  # type: ignore[return-value]


def observe(scene: Scene, times: range, rows: range, columns: range, *, sky: bool = True) -> Array:
    """Give counts of the ten bands, (band, time, y, x), uint16, over a window of the cube; or without clouds, shadows and haze."""
    window, table = pixels_around(rows, columns, scene.resolution), load_table()
    ground = scene.ground(window)
    growth = ground.growth(times)
    out = np.empty((len(TEN_BANDS), len(times), len(rows), len(columns)), np.uint16)
    for i, t in enumerate(times):
        image = ground.reflectance(t, np.ascontiguousarray(growth[:, i]), table)
        if sky:
            veil(image, scene.clouds(t, window), scene.clouds(t, window, shadow=True), scene.haze(t, window)[0], optics())
        for b in range(len(TEN_BANDS)):
            _sense(scene, (t, b), image[b], window, (rows.start, columns.start), out[b, i])
    return out


WATER_COVER = [c.name for c in COVERS].index("water")
WATER_TONE = np.float32(0.72)
"""Brightness of water; that of other ground varies about it."""

TWENTY = tuple(name for name in TEN_BANDS if BANDS[name].resolution_m == 20)
"""Bands sampled at 20 m."""


def _sense(scene: Scene, place: tuple[int, int], image: Float32, window: Window, first: tuple[int, int], out: Array) -> None:
    """Sample a band at its own resolution and write it at that of the cube."""
    t, b = place
    bits = salted(salted(scene.root, scene.overs[t].day), b + 300)
    coarse = TEN_BANDS[b] in TWENTY or scene.resolution == 2 * FINE
    # at 20 m the mean of two by two; at 10 m the margin of two pixels is one too wide
    step, day = (2 if coarse else 1), scene.weather[t]
    drift = (np.float32(day.drift[0] / (FINE * step)), np.float32(day.drift[1] / (FINE * step)))
    seen = blur(halve(image) if coarse else image, SPREAD, drift)
    corner = (window[0].start // step + 1, window[1].start // step + 1)
    deviation = float(bits >> np.uint64(40)) / (1 << 24) - 0.5
    record(seen, corner, bits, np.float32(day.sight + GAIN * 3.46 * deviation), (np.float32(DARK_NOISE), np.float32(GREY_NOISE)))
    own = scene.resolution // FINE
    repeat = max(step // own, 1)
    count(seen, (first[0] - corner[0] * repeat, first[1] - corner[1] * repeat), repeat, out)


def classes_seen(scene: Scene, times: range, rows: range, columns: range) -> Array:
    """Give the scene classification, (time, y, x), uint8, made at 20 m."""
    window = pixels_around(rows, columns, scene.resolution)
    ground = scene.ground(window)
    growth = ground.growth(times)
    water = halve(ground.share(np.array([c.class_name == "water" for c in COVERS])))
    half = tuple(range(w.start // 2, w.stop // 2) for w in window)
    out = np.empty((len(times), len(rows), len(columns)), np.uint8)
    for i, t in enumerate(times):
        cloud = halve(scene.clouds(t, window)) - np.float32(scene.weather[t].oversight)
        shadow = halve(scene.clouds(t, window, shadow=True))
        wobble = scene.field(half, 400.0, 3, scene.weather[t].bits % 1019 + 9000, step=2 * FINE)  # type: ignore[arg-type]
        lai = halve(ground.lai(np.ascontiguousarray(growth[:, i])))
        corner = (half[0].start, half[1].start)
        found = classify(cloud, shadow, halve(scene.haze(t, window)[1]), lai, water, corner, np.uint64(scene.weather[t].bits), wobble)
        out[i] = _window(found, rows, columns, corner, 2 * FINE // scene.resolution)
    return out


def _window(image: Array, rows: range, columns: range, corner: tuple[int, int], repeat: int) -> Array:
    """Cut a window of the cube out of an image of 20 m."""
    i, j = (np.arange(r.start, r.stop) // repeat - c for r, c in zip((rows, columns), corner, strict=True))
    return image[np.ix_(i, j)]


def fine_window(scene: Scene, rows: range, columns: range) -> Window:
    """Give the pixels of 10 m under a window of the cube."""
    scale = scene.resolution // FINE
    return range(rows.start * scale, rows.stop * scale), range(columns.start * scale, columns.stop * scale)


def true_lai(scene: Scene, times: range, rows: range, columns: range) -> Float32:
    """Give the leaf area index of the ground under each pixel, (time, y, x), float32."""
    ground = scene.ground(fine_window(scene, rows, columns))
    growth = ground.growth(times)
    maps = (ground.lai(np.ascontiguousarray(growth[:, i])) for i in range(len(times)))
    return np.stack([halve(m) if scene.resolution > FINE else m for m in maps])


def true_cloud(scene: Scene, times: range, rows: range, columns: range) -> Float32:
    """Give the opacity of clouds over each pixel, (time, y, x), float32, 0…1."""
    window = fine_window(scene, rows, columns)
    maps = (scene.clouds(t, window) for t in times)
    return np.stack([halve(m) if scene.resolution > FINE else m for m in maps])


def true_shadow(scene: Scene, times: range, rows: range, columns: range) -> Float32:
    """Give the opacity of the clouds that stand between each pixel and the sun, (time, y, x), float32, 0…1."""
    window = fine_window(scene, rows, columns)
    maps = (scene.clouds(t, window, shadow=True) for t in times)
    return np.stack([halve(m) if scene.resolution > FINE else m for m in maps])


def largest(scene: Scene, rows: range, columns: range) -> Array:
    """Give the key of the largest cover of each pixel, of the upper left of four at 20 m, (y, x), int64."""
    window, scale = fine_window(scene, rows, columns), scene.resolution // FINE
    keys: Array = scene.ground(window).largest()[::scale, ::scale]
    return keys


def true_class(scene: Scene, rows: range, columns: range) -> Array:
    """Give the class of each pixel's largest cover, (y, x), uint8."""
    codes: Array = class_values()[largest(scene, rows, columns) & ((1 << COVER_BITS) - 1)]
    return codes


def true_parcel(scene: Scene, rows: range, columns: range) -> Array:
    """Give the parcel of each pixel's largest cover, (y, x), int64; 0 is land that is in none."""
    return parcel_of(largest(scene, rows, columns))


def parcel_of(keys: Array) -> Array:
    """Give the parcels that keys are of, 0 for none."""
    own = keys >> COVER_BITS
    return np.where(own & ((1 << NARROW) - 1), own, 0)
