"""An unlimited training set out of a few hundred patches: spectra varied in ways that the teacher labels anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xsentinel.training.patches import Patch

Float32 = npt.NDArray[np.float32]

LEAST_REFLECTANCE = 1e-4


@dataclass(frozen=True)
class Augmentation:
    """How far spectra and angles are varied; chances are per patch, widths are standard deviations."""

    texture: float = 0.35
    """Chance that a patch is drawn from single spectra, patchwise constant or mixed, instead of cut from an image."""
    mixing: float = 0.5
    """Chance that a patch is mixed with another, by a smooth share."""
    brightness: float = 0.15
    """Of the logarithm, all bands alike."""
    tilt: float = 0.1
    """Of the logarithm, from the first band to the last."""
    jitter: float = 0.05
    """Of the logarithm, each band by itself."""
    offset: float = 0.004
    """Reflectance, each band by itself."""
    noise: tuple[float, ...] = (0.0, 0.001, 0.004, 0.01)
    """Reflectance, each pixel by itself; one of these."""
    gaps: float = 0.3
    """Chance of a patch with gaps."""
    sza: tuple[float, float] = (15.0, 78.0)
    """Degrees."""
    vza: tuple[float, float] = (0.0, 12.0)
    """Degrees."""
    raa: tuple[float, float] = (0.0, 180.0)
    """Degrees."""


class Augmenter:
    """Draws patches (band, y, x) of one size, all varied.

    Parameters
    ----------
    patches : sequence of Patch
        Real ones.
    size : int
        Pixels along a side.
    how : Augmentation
    spectra : (spectrum, band), float32, optional
        More spectra for textures, such as those of simulated canopies.
    """

    def __init__(self, patches: Sequence[Patch], size: int, how: Augmentation, spectra: Float32 | None = None) -> None:
        self.size, self.how = size, how
        self.by_source: dict[str, list[Float32]] = {}
        for patch in patches:
            self.by_source.setdefault(patch.source, []).append(patch.bands)
        pixels = np.concatenate([p.bands.reshape(len(p.bands), -1)[:, ::7] for p in patches], 1).T
        self.pools = [np.ascontiguousarray(pixels[np.isfinite(pixels).all(1)])]
        if spectra is not None and len(spectra):
            self.pools.append(spectra.astype(np.float32))

    def draw(self, rng: np.random.Generator) -> Float32:
        """Draw one patch (band, y, x), reflectance, NaN in gaps."""
        how, patch = self.how, self._any(rng)
        if rng.random() < how.mixing:
            patch = self._mix(patch, self._any(rng), rng)
        patch = self._vary(patch, rng)
        if rng.random() < how.gaps:
            patch[:, self._field(rng) > rng.uniform(0.5, 2)] = np.nan
        return np.maximum(patch, np.float32(LEAST_REFLECTANCE))

    def draw_angles(self, rng: np.random.Generator, n: int) -> Float32:
        """Draw (n, 3): cos(VZA), cos(SZA), cos(RAA)."""
        how = self.how
        degrees = np.stack([rng.uniform(*limits, n) for limits in (how.vza, how.sza, how.raa)], 1)
        return np.cos(np.deg2rad(degrees)).astype(np.float32)

    def _any(self, rng: np.random.Generator) -> Float32:
        return self._texture(rng) if rng.random() < self.how.texture else self._crop(rng)

    def _crop(self, rng: np.random.Generator) -> Float32:
        """Cut a real patch of one source, what is too small joined to others of the source, and turn it."""
        size, images = self.size, self.by_source[list(self.by_source)[rng.integers(len(self.by_source))]]
        rows = [self._wide(images, rng)]
        while sum(row.shape[1] for row in rows) < size:
            rows.append(self._wide(images, rng))
        image = np.concatenate(rows, 1)
        i, j = (rng.integers(n - size + 1) for n in image.shape[1:])
        turned = np.rot90(image[:, i : i + size, j : j + size], int(rng.integers(4)), (1, 2))
        return np.ascontiguousarray(turned[:, :, ::-1] if rng.random() < 0.5 else turned)

    def _wide(self, images: list[Float32], rng: np.random.Generator) -> Float32:
        """Give an image at least as wide as the patch, cut to that width."""
        parts = [images[rng.integers(len(images))]]
        while sum(part.shape[2] for part in parts) < self.size:
            parts.append(images[rng.integers(len(images))])
        height = min(part.shape[1] for part in parts)
        wide = np.concatenate([part[:, :height] for part in parts], 2)
        start = rng.integers(wide.shape[2] - self.size + 1)
        return wide[:, :, start : start + self.size]

    def _texture(self, rng: np.random.Generator) -> Float32:
        """Lay out a few spectra in squares, half the time mixed pixel by pixel."""
        pool, n = self.pools[-1] if rng.random() < 0.7 else self.pools[0], rng.integers(4, 64)
        few = pool[rng.integers(len(pool), size=n)]
        cells = rng.integers(4, 33)
        side = -(-self.size // cells)
        index = rng.integers(n, size=(cells, cells)).repeat(side, 0).repeat(side, 1)[: self.size, : self.size]
        image = few[index]
        if rng.random() < 0.5:
            other = few[rng.integers(n, size=(self.size, self.size))]
            image = image + (other - image) * rng.random((self.size, self.size, 1), dtype=np.float32) * np.float32(rng.random())
        return np.ascontiguousarray(image.transpose(2, 0, 1))

    def _mix(self, patch: Float32, other: Float32, rng: np.random.Generator) -> Float32:
        share = 1 / (1 + np.exp(-3 * self._field(rng) * rng.random() - rng.normal()))
        seen = np.where(np.isfinite(other).all(0), other, patch)
        mixed: Float32 = patch + (seen - patch) * share.astype(np.float32)
        return mixed

    def _vary(self, patch: Float32, rng: np.random.Generator) -> Float32:
        """Change brightness, slope over wavelength, single bands and pixels."""
        how, n = self.how, len(patch)
        log = rng.normal(0, how.brightness) + rng.normal(0, how.tilt) * np.linspace(-1, 1, n) + rng.normal(0, how.jitter, n)
        field = 0.1 * self._field(rng) if rng.random() < 0.5 else np.zeros((), np.float32)
        varied = patch * np.exp(log[:, None, None] + field) + rng.normal(0, how.offset, (n, 1, 1))
        level = rng.choice(how.noise)
        noisy: Float32 = (varied + level * rng.standard_normal(patch.shape, dtype=np.float32)).astype(np.float32)
        return noisy

    def _field(self, rng: np.random.Generator) -> Float32:
        """Draw a random field (y, x) of unit variance on a coarse grid, bilinear between or in squares."""
        n = rng.integers(2, 17)
        coarse = rng.standard_normal((n, n), dtype=np.float32)
        if rng.random() < 0.5:
            side = -(-self.size // n)
            return coarse.repeat(side, 0).repeat(side, 1)[: self.size, : self.size]
        at = np.clip((np.arange(self.size) + 0.5) * n / self.size - 0.5, 0, n - 1)
        low = np.minimum(at.astype(int), n - 2)
        weight = np.zeros((self.size, n), np.float32)
        rows = np.arange(self.size)
        weight[rows, low], weight[rows, low + 1] = 1 - (at - low), at - low
        smooth: Float32 = (weight @ coarse @ weight.T).astype(np.float32)
        return smooth
