"""Triplets of the competition: the real samples, and files made bad in each way that files are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import xsentinel as xs
from xsentinel.io.triplets import iter_triplets, parse_name, read_triplets

Spoil = Callable[[Path], None]

NAME = "SOMEWHERE_NORTH_2020-03-05_2020-03-17-{}-0-3-14.tiff"
TITLE = "SOMEWHERE_NORTH_2020-03-05_2020-03-17-3-14"


def write(path: Path, values: np.ndarray, *, east: float = 500_000.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32634", transform=from_origin(east, 6_000_000, 10, 10), **shape) as file:
        file.write(values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One whole triplet, with its target; VH first, as in the real files."""
    rng = np.random.default_rng(0)
    for k in range(3):
        radar = rng.normal([[[-17.0]], [[-10.0]]], 1.5, (2, 8, 6)).astype(np.float32)
        write(tmp_path / "s1" / NAME.format(k), radar, east=499_999.0)
        write(tmp_path / "s2" / NAME.format(k), rng.uniform(0, 5, (1, 8, 6)))
        write(tmp_path / "s2-mask" / NAME.format(k), rng.choice([4.0, 5.0, 9.0], (1, 8, 6)))
    (tmp_path / "all.csv").write_text("0,1,2\n" + ",".join(NAME.format(k) for k in range(3)) + "\n")
    return tmp_path


def test_a_triplet_is_what_its_files_hold(folder: Path) -> None:
    for read in (read_triplets(folder), read_triplets(folder, "all.csv"), read_triplets(folder, folder / "all.csv")):
        assert list(read.found) == [TITLE]
        assert not read.skipped
    ds = read.found[TITLE]
    assert dict(ds.sizes) == {"time": 3, "y": 8, "x": 6}
    assert {v: ds[v].dtype.name for v in ds.data_vars} == {"lai": "float32", "SCL": "uint8", "VV": "float32", "VH": "float32"}
    assert [str(t)[:10] for t in ds.time.values] == ["2020-03-05", "2020-03-11", "2020-03-17"]
    assert ds.rio.crs.to_epsg() == 32634
    assert (float(ds.x[0]), float(ds.y[0])) == (500_005, 5_999_995)
    for k in range(3):
        with rasterio.open(folder / "s2" / NAME.format(k)) as file:
            np.testing.assert_allclose(ds.lai[k], file.read(1).astype(np.float32))
        with rasterio.open(folder / "s1" / NAME.format(k)) as file:
            np.testing.assert_array_equal(ds.VH[k], file.read(1))
            np.testing.assert_array_equal(ds.VV[k], file.read(2))
    assert [name for name, _ in iter_triplets(folder)] == [TITLE]


def test_what_is_told_goes_before_what_is_guessed(folder: Path) -> None:
    dates = {"SOMEWHERE_NORTH_2020-03-05_2020-03-17": ["2020-03-05", "2020-03-10", "2020-03-17"]}
    ds = read_triplets(folder, dates=dates, polarisations=("VV", "VH")).found[TITLE]
    assert str(ds.time.values[1])[:10] == "2020-03-10"
    assert ds.attrs["dates"] == "given"
    assert float(ds.VV.mean()) < float(ds.VH.mean())
    with pytest.raises(xs.XSentinelError, match="give three"):
        read_triplets(folder, dates={k: v[:2] for k, v in dates.items()})
    with pytest.raises(xs.XSentinelError, match="give \\('VV', 'VH'\\)"):
        read_triplets(folder, polarisations=("VV", "HH"))


def test_a_target_kept_back_is_a_gap(folder: Path) -> None:
    for kind in ("s2", "s2-mask"):
        (folder / kind / NAME.format(2)).unlink()
    ds = read_triplets(folder).found[TITLE]
    assert ds.lai[2].isnull().all()
    assert (ds.SCL[2] == 0).all()
    assert ds.lai[:2].notnull().all()


def _cut_off(folder: Path) -> None:
    path = folder / "s1" / NAME.format(1)
    path.write_bytes(path.read_bytes()[:300])


def _spoilt(kind: str, values: np.ndarray, **how: float) -> Spoil:
    """Give what writes other values into the second date."""
    return lambda folder: write(folder / kind / NAME.format(1), values, **how)


def _radar(value: float) -> Spoil:
    def spoil(folder: Path) -> None:
        for k in range(3):
            write(folder / "s1" / NAME.format(k), np.full((2, 8, 6), value))

    return spoil


def _copied(folder: Path) -> None:
    shutil.copy(folder / "s2-mask" / NAME.format(0), folder / "s2" / NAME.format(0))


FAULTS = {
    "no file": (lambda f: (f / "s2" / NAME.format(1)).unlink(), xs.ReadError, r"s2/.*-1-0-3-14\.tiff is not there"),
    "target without mask": (lambda f: (f / "s2-mask" / NAME.format(2)).unlink(), xs.ReadError, r"s2-mask/.* is not there"),
    "truncated": (_cut_off, xs.ReadError, "truncated or damaged"),
    "copy of the mask": (_copied, xs.ReadError, r"s2/.*-0-0-3-14\.tiff holds the scene classes of .*s2-mask/.*-0-0-3-14\.tiff"),
    "one band of radar": (_spoilt("s1", np.full((1, 8, 6), -9.0)), xs.ReadError, "has 1 bands; files in s1 have 2"),
    "other size": (_spoilt("s2", np.ones((1, 8, 5))), xs.GridError, r"has 8 × 5 pixels .*8 × 6"),
    "other place": (_spoilt("s2", np.ones((1, 8, 6)), east=500_100), xs.GridError, "show one place"),
    "power": (_radar(0.1), xs.UnitsError, "no backscatter in dB"),
    "LAI as counts": (_spoilt("s2", np.full((1, 8, 6), 300.0)), xs.UnitsError, "300 to 300, which is no leaf area"),
    "strange class": (_spoilt("s2-mask", np.full((1, 8, 6), 12.0)), xs.ReadError, "holds 12, which is no scene class"),
    "which is VV": (_radar(-9.0), xs.ReadError, "polarisations="),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_or_skipped(folder: Path, fault: str) -> None:
    spoil, error, message = FAULTS[fault]
    spoil(folder)
    with pytest.raises(error, match=message):
        read_triplets(folder)
    read = read_triplets(folder, skip=True)
    assert not read.found
    assert list(read.skipped) == [TITLE]
    assert "1 skipped" in repr(read)


def test_bad_tables_are_named(folder: Path) -> None:
    with pytest.raises(xs.ReadError, match=r"none\.csv cannot be read"):
        read_triplets(folder, "none.csv")
    (folder / "two.csv").write_text("0,1\na,b\n")
    with pytest.raises(xs.ReadError, match="not all of three names"):
        read_triplets(folder, "two.csv")
    (folder / "mixed.csv").write_text("0,1,2\n" + ",".join(NAME.format(k) for k in (0, 2, 1)) + "\n")
    with pytest.raises(xs.ReadError, match="are no triplet: measurements 0, 1 and 2"):
        read_triplets(folder, "mixed.csv")
    with pytest.raises(xs.ReadError, match="holds no file of a date t"):
        read_triplets(folder / "s1")


BAD_NAMES = ["a", "A_2020-13-05_2020-03-17-0-0-3-14", "A_2020-03-18_2020-03-17-0-0-3-14", "A_2020-03-05_2020-03-17-3-0-3-14"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_other_names_are_none(name: str) -> None:
    with pytest.raises(xs.ReadError, match="is no file of a triplet"):
        parse_name(name)


def test_the_real_samples(data: Path) -> None:
    """LATVIA's leaf area at t−2 is a copy of its mask; KALININGRAD is whole but for its target."""
    folder = data / "s1s2_lai" / "leaf_nothing_behind"
    with pytest.raises(xs.ReadError, match=r"s2/LATVIA.*-0-0-25-29.tiff holds the scene classes of .*s2-mask/LATVIA.*-0-0-25-29.tiff"):
        read_triplets(folder)
    read = read_triplets(folder, skip=True)
    assert list(read.found) == ["KALININGRAD_GUSEV_2018-04-07_2018-04-19-7-23"]
    assert list(read.skipped) == ["LATVIA_LITHUANIA_2019-05-29_2019-06-10-25-29"]
    ds = read.found["KALININGRAD_GUSEV_2018-04-07_2018-04-19-7-23"]
    assert float(ds.VV.median()) > float(ds.VH.median()) + 5  # the files hold VH first, whatever their description says
    assert float(ds.lai[:2].max()) < 3
    assert ds.lai[2].isnull().all()
    every = read_triplets(folder, "train_regular.csv", skip=True)
    assert len(every.skipped) == 6025
    assert "6024 skipped: a file is not there" in repr(every)


def test_a_real_sample_can_be_mapped(data: Path) -> None:
    """What a network would be given of it: whole planes at t, its two leaf areas among them."""
    from xsentinel.models.planes import TRIPLET, FusionInputs
    from xsentinel.training.fusion_series import FusionSource, read_series

    ((name, ds),) = read_triplets(data / "s1s2_lai" / "leaf_nothing_behind", skip=True).found.items()
    series = read_series(name, FusionSource(ds[["lai", "SCL"]], ds[["VV", "VH"]]), FusionInputs())
    assert series.whole.tolist() == [False, False, True]
    planes = dict(zip(TRIPLET, series.planes(2, TRIPLET), strict=True))
    assert all(np.isfinite(plane).all() for plane in planes.values())
    known = planes["class_t1"] > 0
    np.testing.assert_array_equal(planes["lai_t1"][known], ds.lai.values[1][known])
    assert 0.9 < known.mean() < 1
