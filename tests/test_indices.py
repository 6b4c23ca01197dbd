"""`index` against spyndex itself, against plain numpy and on real cubes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spyndex
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.cubes import make_cube
from xsentinel.bands import BANDS
from xsentinel.indices import BAND_OF, index, steps

OPTICAL = [b.name for b in BANDS.values() if b.spyndex and not b.is_radar]
TEN = [b for b in OPTICAL if b not in ("B01", "B09")]
WAVELENGTHS = {f"lambda{s}": BANDS[b].centre_nm for s, b in BAND_OF.items()}
CONSTANTS = {n: c.default for n, c in spyndex.constants.items() if c.default is not None} | WAVELENGTHS | {"PAR": 400.0}
KNOWN = {*BAND_OF, *CONSTANTS}
COMPUTABLE = sorted(n for n, i in spyndex.indices.items() if set(i.bands) <= KNOWN)
KERNELS = sorted(n for n, i in spyndex.indices.items() if i.application_domain == "kernel")
BEYOND = sorted(n for n in spyndex.indices if n not in {*COMPUTABLE, *KERNELS})


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    radar = {name: make_cube(bands=("B02",), seed=seed).B02 * 100 - 25 for seed, name in enumerate(("VV", "VH"))}
    return make_cube(bands=OPTICAL).assign(radar)


@pytest.fixture(scope="module")
def stored() -> xr.Dataset:
    counts = make_cube(bands=OPTICAL, stored=True)
    return counts.assign({n: b.assign_attrs(add_offset=-0.1) for n, b in counts.items()})


def symbols(cube: xr.Dataset) -> dict[str, np.ndarray]:
    """Float32 values by the names of spyndex."""
    return {BANDS[b].spyndex: 10 ** (v.values / 10) if BANDS[b].is_radar else v.values for b, v in cube.items()}


def reference(name: str, cube: xr.Dataset, **constants: float) -> np.ndarray:
    values = symbols(cube) | CONSTANTS | constants
    with np.errstate(all="ignore"):
        found = spyndex.computeIndex(name, {k: values[k] for k in spyndex.indices[name].bands})
    return np.where(np.isfinite(found), found, np.nan)


# ---- values ----------------------------------------------------------------------------------------------------------


def test_most_indices_are_within_reach() -> None:
    assert len(COMPUTABLE) > 230
    assert KERNELS == ["kEVI", "kIPVI", "kNDVI", "kRVI", "kVARI"]


def test_every_index_is_what_spyndex_computes(cube: xr.Dataset) -> None:
    maps = index(cube, *COMPUTABLE, PAR=400)
    assert list(maps) == COMPUTABLE
    for name in COMPUTABLE:
        assert maps[name].dtype == np.float32, name
        np.testing.assert_allclose(maps[name].values, reference(name, cube), rtol=2e-6, atol=0, err_msg=name)
        assert maps[name].notnull().any(), name


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("NDVI", lambda b: (b.B08 - b.B04) / (b.B08 + b.B04)),
        ("NDWI", lambda b: (b.B03 - b.B08) / (b.B03 + b.B08)),
        ("NDMI", lambda b: (b.B08 - b.B11) / (b.B08 + b.B11)),
        ("NBR", lambda b: (b.B08 - b.B12) / (b.B08 + b.B12)),
        ("EVI", lambda b: 2.5 * (b.B08 - b.B04) / (b.B08 + 6 * b.B04 - 7.5 * b.B02 + 1)),
        ("SAVI", lambda b: 2 * (b.B08 - b.B04) / (b.B08 + b.B04 + 1)),
        ("brightness", lambda b: sum(b[n] for n in TEN) / 10),
        ("kNDVI", lambda b: np.tanh(((b.B08 - b.B04) / (b.B08 + b.B04)) ** 2)),
        ("MTCI", lambda b: (b.B06 - b.B05) / (b.B05 - b.B04)),
        ("DpRVIVV", lambda b: 4 / (10 ** ((b.VV - b.VH) / 10) + 1)),
    ],
)
def test_well_known_indices(cube: xr.Dataset, name: str, formula: object) -> None:
    wanted = formula(cube.astype("f8"))
    wanted = wanted.where(np.isfinite(wanted))
    np.testing.assert_allclose(index(cube, name)[name].values, wanted.values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_indices(cube: xr.Dataset, name: str) -> None:
    values = {k: np.asarray(v, "f8") for k, v in (symbols(cube) | CONSTANTS).items()}
    for constants in ({}, {"sigma": 0.15}):
        pairs = {k: (values[k[1]], values[k[2]]) for k in spyndex.indices[name].bands if k not in KNOWN}
        kernels = {
            k: spyndex.computeKernel("RBF", {"a": a, "b": b, "sigma": constants.get("sigma", (a + b) / 2)}) for k, (a, b) in pairs.items()
        }
        wanted = spyndex.computeIndex(name, values | kernels)
        # differences of near-equal reflectance in float32
        np.testing.assert_allclose(index(cube, name, **constants)[name].values, wanted, rtol=2e-4, atol=2e-6)


def test_brightness_is_the_mean_of_the_ten_bands(cube: xr.Dataset) -> None:
    """Stoian et al. 2019, section 3.2.5."""
    wanted = cube[TEN].astype("f8").to_dataarray().mean("variable", skipna=False)
    np.testing.assert_allclose(index(cube, "brightness").brightness, wanted, rtol=1e-6)


def test_constants_are_overridden(cube: xr.Dataset) -> None:
    maps = index(cube, "SAVI", "EVI", "FAI", L=0.5, g=np.float32(3), lambdaN=840)
    np.testing.assert_allclose(maps.SAVI, reference("SAVI", cube, L=0.5), rtol=1e-6)
    np.testing.assert_allclose(maps.EVI, reference("EVI", cube, L=0.5, g=3.0), rtol=1e-6)
    np.testing.assert_allclose(maps.FAI, reference("FAI", cube, lambdaN=840.0), rtol=1e-6)
    assert maps.EVI.attrs["constants"] == "g=3 C1=6 C2=7.5 L=0.5"
    assert maps.dtypes["EVI"] == np.float32


def test_integers_are_decoded_first(stored: xr.Dataset) -> None:
    decoded = stored.map(lambda b: (b.where(b != 0) * np.float32(1e-4) - np.float32(0.1)).astype("f4"), keep_attrs=False)
    names = ("NDVI", "EVI", "brightness")
    maps = index(stored, *names)
    for name in names:
        assert maps[name].dtype == np.float32
        np.testing.assert_allclose(maps[name], index(decoded, name)[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(maps.NDVI.isnull(), (stored.B04 == 0) | (stored.B08 == 0))


def test_gaps_and_zero_divisors_are_nan() -> None:
    cube = make_cube((1, 2, 3), ("B04", "B08"), gaps=0)
    cube["B04"] = ("time", "y", "x"), np.array([[[0, 0.1, np.nan], [0.2, 0, 0.1]]], "f4")
    cube["B08"] = ("time", "y", "x"), np.array([[[0, 0.3, 0.4], [np.nan, 0.5, -0.1]]], "f4")
    maps = index(cube, "NDVI", "SR")
    np.testing.assert_allclose(maps.NDVI[0], [[np.nan, 0.5, np.nan], [np.nan, 1, np.nan]], rtol=1e-6)
    np.testing.assert_allclose(maps.SR[0], [[np.nan, 3, np.nan], [np.nan, np.nan, -1]], rtol=1e-6)


@pytest.mark.parametrize("site", ["romania", "romania as stored", "worldcereal"])
def test_real_cubes(site: str, request: pytest.FixtureRequest) -> None:
    if site.startswith("romania"):
        real = xs.sample("romania", mask_and_scale=site == "romania")
    else:
        data: Path = request.getfixturevalue("data")
        real = xs.open(data / "cubes" / "worldcereal" / "00002806639B424A", resolution=20, chunks=None)
    names = ("NDVI", "NDWI") if site.startswith("romania") else ("NDVI", "NDWI", "brightness", "NDMI")
    clear = real.s2.mask_clouds()
    maps = index(clear, *names)
    decoded = {b: v.values.astype("f8") * v.attrs.get("scale_factor", 1) + v.attrs.get("add_offset", 0) for b, v in clear.items()}
    gaps = {b: v.isnull().values | (v.values == v.attrs.get("_FillValue", -1)) for b, v in clear.items()}
    with np.errstate(all="ignore"):
        wanted = (decoded["B08"] - decoded["B04"]) / (decoded["B08"] + decoded["B04"])
    wanted[gaps["B04"] | gaps["B08"] | ~np.isfinite(wanted)] = np.nan
    np.testing.assert_allclose(maps.NDVI, wanted, rtol=1e-4, atol=1e-5)
    assert 0.5 < float(maps.NDVI.median()) < 0.95
    if "brightness" in maps:
        np.testing.assert_allclose(maps.brightness, np.mean([np.where(gaps[b], np.nan, decoded[b]) for b in TEN], axis=0), rtol=1e-4)


# ---- laziness and labels ---------------------------------------------------------------------------------------------


def test_letters_the_wrong_way_round_are_understood(cube: xr.Dataset) -> None:
    with pytest.raises(xs.XSentinelError, match="'NDIV' is not a spectral index; did you mean NDVI"):
        cube.s2.index("NDIV")


@given(st.integers(1, 3), st.integers(7, 21), st.integers(6, 17), st.booleans())
def test_any_chunks_give_the_same(cube: xr.Dataset, stored: xr.Dataset, ct: int, cy: int, cx: int, as_stored: bool) -> None:
    eager = stored if as_stored else cube
    names = ("NDVI", "EVI", "kNDVI", "GDVI", "brightness")
    with raise_if_dask_computes():
        lazy = index(eager.chunk(time=ct, y=cy, x=cx), *names)
    assert lazy.NDVI.chunks == eager.B04.chunk(time=ct, y=cy, x=cx).chunks
    assert all(v.dtype == np.float32 for v in lazy.values())
    done = lazy.compute()
    assert all(v.dtype == np.float32 for v in done.values())
    xr.testing.assert_identical(done, index(eager, *names))


def test_eager_threads_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    cube = make_cube((1, 700, 1000), ("B02", "B04", "B08"))
    many = index(cube, "EVI", "kNDVI")
    monkeypatch.setattr("xsentinel.indices.n_cores", lambda: 1)
    xr.testing.assert_identical(many, index(cube, "EVI", "kNDVI"))


def test_labels(cube: xr.Dataset) -> None:
    before = cube.copy(deep=True)
    maps = index(cube, "NDVI", "evi", "NDVI")
    assert cube.identical(before)
    assert list(maps) == ["NDVI", "EVI"]
    assert maps.NDVI.attrs == {
        "long_name": "Normalized Difference Vegetation Index",
        "units": "1",
        "formula": "(N-R)/(N+R)",
        "bands": "R=B04 N=B08",
        "references": spyndex.indices.NDVI.reference,
        "grid_mapping": "spatial_ref",
    }
    assert maps.EVI.attrs["constants"] == "g=2.5 C1=6 C2=7.5 L=1"
    assert maps.attrs == {"Conventions": "CF-1.11", "xsentinel_version": xs.__version__}
    xr.testing.assert_identical(maps.coords.to_dataset().drop_attrs(deep=False), cube.coords.to_dataset().drop_attrs(deep=False))
    assert maps.NDVI.dims == ("time", "y", "x")
    xr.testing.assert_identical(index(cube.isel(time=1), "NDVI"), index(cube, "NDVI").isel(time=1))
    assert maps.rio.crs == cube.rio.crs


def test_no_double_precision_in_the_graph(cube: xr.Dataset) -> None:
    lazy = index(cube.astype("f8").chunk(y=5), "NDVI")
    assert lazy.NDVI.dtype == lazy.NDVI.compute().dtype == np.float32


def test_aliases_are_understood(cube: xr.Dataset) -> None:
    renamed = cube.rename(B04="red", B08="nir")
    xr.testing.assert_identical(index(renamed, "NDVI"), index(cube, "NDVI"))


def test_spyndex_is_imported_when_it_is_used() -> None:
    code = "import sys, xsentinel, xsentinel.indices; print('spyndex' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize("band", [b for b in BANDS.values() if b.spyndex and not b.is_radar], ids=lambda b: b.name)
def test_bands_mean_what_they_mean_to_spyndex(band: object) -> None:
    theirs = spyndex.bands[band.spyndex].sentinel2a
    assert f"B{theirs.band[1:]:0>2}" == band.name
    assert theirs.wavelength == pytest.approx(band.centre_nm, abs=2)


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "constants", "error", "words"),
    [
        (
            ["NVDI"],
            {},
            xs.XSentinelError,
            r"'NVDI' is not a spectral index; did you mean .*NDVI.*\? list\(spyndex\.indices\) names",
        ),
        (["brightnes"], {}, xs.XSentinelError, "'brightnes' is not a spectral index; did you mean brightness"),
        (["§§§"], {}, xs.XSentinelError, r"'§§§' is not a spectral index; list\(spyndex\.indices\)"),
        (["bai"], {}, xs.XSentinelError, r"'bai' is not a spectral index; did you mean BAI or BaI\?"),
        ([], {}, xs.XSentinelError, "index needs the name of at least one index, such as 'NDVI'; list"),
        (["SAVI"], {"l": 0.5}, xs.XSentinelError, "l is not a constant of the indices asked for; SAVI takes L"),
        (["NDVI"], {"N": 0.5}, xs.XSentinelError, "N is not a constant of the indices asked for; NDVI takes none"),
        (["SAVI"], {"L": "0.5"}, xs.XSentinelError, "L is '0.5'; a constant is one number"),
        (["SAVI"], {"L": np.ones(3)}, xs.XSentinelError, r"L is array\(\[1., 1., 1.\]\); a constant is one number"),
        (["NIRvP"], {}, xs.XSentinelError, r"NIRvP needs PAR \(Photosynthetically Active Radiation\), which has no default: give PAR="),
        (["RWI"], {"n": 0}, xs.XSentinelError, "RWI divides by zero with n=0"),
        (["NBRT1"], {}, xs.BandError, "NBRT1 needs T, which no band of Sentinel-1 or Sentinel-2 is"),
        (["RFDI"], {}, xs.BandError, "RFDI needs HH, which no band"),
    ],
)
def test_what_is_refused(cube: xr.Dataset, names: list[str], constants: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        index(cube, *names, **constants)


@pytest.mark.parametrize("formula", ["N.real", "f(N)", "N if R else 0", "__import__('os')", "N[0]", "N and R", "N//R", "'N'", "~N"])
def test_formulas_are_arithmetic_only(formula: str) -> None:
    with pytest.raises(xs.XSentinelError, match="which is not arithmetic over bands and constants"):
        steps(formula)


@pytest.mark.parametrize("name", BEYOND)
def test_indices_of_other_sensors_say_what_they_need(cube: xr.Dataset, name: str) -> None:
    with pytest.raises(xs.XSentinelError, match=rf"{name} needs (T|T1|T2|G1|Y|HH|HV|PAR)\b"):
        index(cube, name)


def test_missing_bands_are_named(cube: xr.Dataset) -> None:
    with pytest.raises(xs.BandError, match=r"index NDVI needs B04, B08; missing: B08; the dataset has B01.*where B8A is to stand for B08"):
        index(cube.drop_vars("B08"), "NDVI")
    with pytest.raises(xs.BandError, match=r"index brightness needs B02, .*; missing: B05, B12; the dataset has"):
        index(cube.drop_vars(["B05", "B12"]), "NDVI", "brightness")
    with pytest.raises(xs.BandError, match=r"index kNDVI needs B04, B08; missing: B04"):
        index(cube.drop_vars("B04"), "kNDVI")
    swapped = cube.drop_vars("B08").rename(B8A="B08")
    np.testing.assert_array_equal(index(swapped, "NDVI").NDVI, index(cube.assign(B08=cube.B8A), "NDVI").NDVI)


def test_units_are_checked(cube: xr.Dataset, stored: xr.Dataset) -> None:
    with pytest.raises(xs.UnitsError, match=r"B04 holds integers .* without scale_factor"):
        index(stored.assign(B04=stored.B04.drop_attrs()), "NDVI")
    with pytest.raises(xs.UnitsError, match=r"B08 reaches .*; reflectance is between 0 and 1"):
        index(cube.assign(B08=cube.B08 * 10_000), "NDVI")


def test_grids_are_checked(cube: xr.Dataset) -> None:
    with pytest.raises(xs.GridError, match="all bands must be on one grid"):
        index(cube.assign(B08=cube.B08.isel(x=0, drop=True)), "NDVI")
