"""The shell: what each command prints, writes and returns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner, Result
from rioxarray import open_rasterio

import xsentinel as xs
from tests.cubes import make_cube
from tests.products import Spec, write_safe
from xsentinel.cli import main


def shell(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def refused(*arguments: object) -> str:
    """Run what must fail: status 2, one line of error, no traceback, nothing on standard output."""
    result = shell(*arguments, code=2)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    return errors[0]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "cube.zarr"
    cube = make_cube((2, 30, 20), stored=True)
    scl = np.full((2, 30, 20), 4, np.uint8)
    scl[0, :10], scl[1, :, :5] = 9, 11
    cube.assign(SCL=(("time", "y", "x"), scl)).s2.to_zarr(path)
    return path


def test_version_and_no_arguments() -> None:
    assert shell("--version").output == f"xsentinel, version {xs.__version__}\n"
    assert "Usage: xsentinel" in CliRunner().invoke(main, [], prog_name="xsentinel").output


@pytest.mark.parametrize(
    ("command", "usage", "words"),
    [
        ((), "[OPTIONS] COMMAND [ARGS]...", ["demo", "info", "lai", "mask", "INPUT is what xsentinel.open reads", ".zarr", "--version"]),
        (("demo",), "demo [OPTIONS] [FOLDER]", ["./xsentinel-demo if not given"]),
        (("info",), "info [OPTIONS] INPUT...", ["Say what was understood of INPUT.", "--resolution", "--html"]),
        (("mask",), "mask [OPTIONS] INPUT... OUTPUT", ["without clouds", "--classes", "--overwrite", "--no-progress"]),
        (
            ("lai",),
            "lai [OPTIONS] INPUT... OUTPUT",
            ["--sza", "--vza", "--raa", "--platform [S2A|S2B|S2C]", "--domain [flag|mask]", "--inputs-at [10|20]", "[default: flag]"],
        ),
    ],
)
def test_help(command: tuple[str, ...], usage: str, words: list[str]) -> None:
    text = shell(*command, "--help").output
    assert text == shell(*command, "-h").output
    assert text.startswith(f"Usage: main {usage}\n")
    flat = " ".join(text.split())
    assert [w for w in words if w not in flat] == []
    assert "\\b" not in text
    options = [line for line in text.partition("Options:\n")[2].splitlines() if line.startswith("  -")]
    assert all(line.split("  ")[-1] for line in options)


def test_help_of_lai_shows_examples_one_a_line() -> None:
    lines = shell("lai", "--help").output.splitlines()
    examples = lines[lines.index("  Examples:") + 1 :]
    assert len(examples) == 5
    assert all(line.startswith("    xsentinel lai ") for line in examples)


def test_info(store: Path) -> None:
    assert shell("info", store).output == f"{xs.open(store).s2.info()}\n"
    assert "pixels of 40 m" in shell("info", store, "--resolution", 40).output
    html = shell("info", store, "--html").output
    assert html.startswith("<table>")
    assert "EPSG:32632" in html


def test_info_of_several_inputs(tmp_path: Path) -> None:
    cube = make_cube((1, 8, 8), stored=True)
    cube[["B03", "B04"]].s2.to_zarr(tmp_path / "a.zarr")
    cube[["B11"]].s2.to_zarr(tmp_path / "b.zarr")
    assert "B03, B04, B11\n" in shell("info", tmp_path / "a.zarr", tmp_path / "b.zarr").output


def test_mask(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "masked.zarr"
    assert shell("mask", store, out, "--no-progress").output == f"wrote {out}\n"
    cube, masked = xs.open(store, chunks=None), xs.open(out, chunks=None)
    np.testing.assert_array_equal(masked.B03, cube.B03.where(cube.SCL != 9))
    assert set(masked.data_vars) == set(cube.data_vars)
    shell("mask", store, tmp_path / "b.nc", "--classes", "snow_or_ice", "--classes", 9, "--no-progress")
    np.testing.assert_array_equal(xs.open(tmp_path / "b.nc").B04, cube.B04.where(cube.SCL == 4))


def test_convert(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed.zarr"
    printed = shell("convert", store, out, "--layout", "series", "--pack", "uint16", "--zarr-format", 2, "--no-progress").output
    assert printed == f"wrote {out}\n"
    np.testing.assert_allclose(xs.open(out).B04, xs.open(store).B04, atol=5.1e-5)
    assert (out / ".zgroup").is_file()
    with xr.open_zarr(out, mask_and_scale=False) as raw:
        assert raw.B04.dtype == np.uint16
    assert "--layout is of Zarr stores" in refused("convert", store, tmp_path / "a.tif", "--layout", "map")


def test_grid_options(store: Path, tmp_path: Path) -> None:
    cube = xs.open(store)
    x, y = float(cube.x[0]), float(cube.y[-1])
    shell("convert", store, tmp_path / "box.zarr", "--bbox", x - 10, y - 10, x + 90, y + 50, "--no-progress")
    box = xs.open(tmp_path / "box.zarr")
    assert dict(box.sizes) == {"time": 2, "y": 3, "x": 5}
    np.testing.assert_array_equal(box.B04, cube.B04.sel(x=box.x, y=box.y))
    shell("lai", store, tmp_path / "lai.zarr", "--like", tmp_path / "box.zarr", "--no-progress")
    xr.testing.assert_equal(xs.open(tmp_path / "lai.zarr").lai.load(), cube.s2.lai().lai.sel(x=box.x, y=box.y).load())
    assert "EPSG:32633" in shell("info", store, "--crs", "EPSG:32633", "--resolution", 20).output
    assert "--like gives the grid, and so does --resolution" in refused("info", store, "--like", store, "--resolution", 10)
    assert "does not exist" in refused("info", store, "--like", tmp_path / "none.zarr")


def test_a_product_by_the_shell(tmp_path: Path) -> None:
    product = write_safe(tmp_path, replace(Spec(), baseline="04.00"))
    assert "--harmonise none adds nothing" in refused("info", product, "--resolution", 20)
    assert "B8A" in shell("info", product, "--resolution", 20, "--harmonise", "none").output


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".tif"])
def test_lai_is_that_of_python(store: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"lai{suffix}"
    printed = shell("lai", store, out, "--no-progress").output
    files = [out, tmp_path / "lai_flags.tif"] if suffix == ".tif" else [out]
    assert printed == "".join(f"wrote {f}\n" for f in files)
    want, got = xs.open(store, chunks=None).s2.lai(), xs.open(files)
    np.testing.assert_array_equal(got.lai, want.lai)
    np.testing.assert_array_equal(got.lai_flags, want.lai_flags)
    assert got.lai.attrs["units"] == "m2 m-2"


def test_lai_options(store: Path, tmp_path: Path) -> None:
    cube = xs.open(store, chunks=None)
    out = tmp_path / "a.zarr"
    angles = {"sza": 30.0, "vza": 4.0, "raa": 120.0}
    given = [word for name, value in angles.items() for word in (f"--{name}", value)]
    shell("lai", store, out, "-v", "fapar, cwc", "--platform", "S2B", *given, "--domain", "mask", "--mask-clouds", "--no-progress")
    got = xs.open(out, chunks=None)
    want = cube.s2.mask_clouds().s2.biophysical("fapar", "cwc", angles=angles, platform="S2B", domain="mask")
    assert set(got.data_vars) == set(want.data_vars)
    for name in want.data_vars:
        np.testing.assert_array_equal(got[name], want[name])
    assert got.attrs["coefficient_sets"] == want.attrs["coefficient_sets"]


def test_lai_of_several_inputs_at_10_m_set(tmp_path: Path) -> None:
    cube = make_cube((1, 8, 8), bands=("B03", "B04", "B08"))
    cube[["B03", "B04"]].s2.to_zarr(tmp_path / "a.zarr")
    cube[["B08"]].s2.to_zarr(tmp_path / "b.zarr")
    shell("lai", tmp_path / "a.zarr", tmp_path / "b.zarr", tmp_path / "c.zarr", "--inputs-at", 10, "--no-progress")
    np.testing.assert_array_equal(xs.open(tmp_path / "c.zarr").lai, cube.s2.lai(resolution=10).lai)


def test_real_geotiff_to_cog(data: Path, tmp_path: Path) -> None:
    scene = next((data / "lai_scenes" / "zurich").glob("*.tif"))
    out = tmp_path / "lai.tif"
    shell("lai", scene, out, "--resolution", 20, "--sza", 27, "--vza", 5, "--raa", 100, "--no-progress")
    with rasterio.open(out) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.shape == (384, 552)
        lai = file.read(1)
    assert 0.5 < np.nanmedian(lai) < 4
    with open_rasterio(tmp_path / "lai_flags.tif") as flags:
        assert set(np.unique(flags)) <= set(range(128))
    assert "2019-05-30" in shell("info", out).output


def test_progress_bar_is_shown_unless_not_wanted(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    from xsentinel.io import write as write_module

    bar = write_module.progress_bar
    monkeypatch.setattr(write_module, "progress_bar", lambda show: seen.append(show) or bar(show))
    shell("lai", store, tmp_path / "a.zarr")
    shell("lai", store, tmp_path / "b.zarr", "--no-progress")
    assert seen == [True, False]


def test_overwrite(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "lai.zarr"
    shell("lai", store, out, "--no-progress")
    assert f"{out} exists; give another name, or --overwrite to replace it" in refused("lai", store, out, "--no-progress")
    shell("lai", store, out, "-v", "fcover", "--overwrite", "--no-progress")
    assert list(xs.open(out).data_vars) == ["fcover", "fcover_flags"]


def test_errors_are_one_line(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "lai.zarr"
    bare = make_cube((1, 4, 4)).drop_vars(["sza", "platform"])
    bare.s2.to_zarr(tmp_path / "bare.zarr")
    bare[["B03"]].s2.to_zarr(tmp_path / "few.zarr")
    assert "does not exist" in refused("info", tmp_path / "none.zarr")
    assert "pixels of 20 do not nest with 7" in refused("info", store, "--resolution", 7)
    assert "--sza 35 --vza 5 --raa 100" in refused("lai", tmp_path / "bare.zarr", out, "--platform", "S2A")
    assert "no platform" in refused("lai", tmp_path / "bare.zarr", out, "--sza", 30)
    assert "missing: B04" in refused("lai", tmp_path / "few.zarr", out)
    assert "needs the scene classification SCL" in refused("mask", tmp_path / "bare.zarr", out)
    assert "'fog' is not a scene class" in refused("mask", store, out, "--classes", "fog")
    assert "99 is not a scene class" in refused("mask", store, out, "--classes", 99)
    assert "end it in .zarr, .tif or .nc" in refused("lai", store, tmp_path / "lai.png")
    assert "Missing argument" in refused("lai", store)
    assert "lia is none of lai, fapar" in refused("lai", store, out, "-v", "lia")
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused("demo", tmp_path / "file" / "folder")
    assert not out.exists()


def test_demo(tmp_path: Path) -> None:
    from matplotlib import image

    folder = tmp_path / "demo"
    printed = shell("demo", folder).output
    names = ("zurich_lai.zarr", "romania_lai.zarr", "zurich_lai.tif", "zurich_lai_flags.tif", "demo.png")
    files = [folder / name for name in (*names, "zurich_lai_unet.zarr", "uncertainty.png")]
    assert sorted(folder.iterdir()) == sorted(files)
    assert all(str(file) in printed for file in files)
    picture = image.imread(folder / "demo.png")
    assert min(picture.shape[:2]) > 600
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 1000  # not an empty sheet
    lines = printed.splitlines()
    assert any(line.startswith("U-Net beside SL2P, Zürich at 20 m: r 0.99") for line in lines)
    head = next(i for i, line in enumerate(lines) if line.startswith("scene "))
    assert lines[head].split() == ["scene", "dates", "pixels", "seen", "LAI", "median", "5–95", "%", "in", "domain", "seconds"]
    zurich, romania = lines[head + 1].split(), lines[head + 2].split()
    assert zurich[:3] == ["zurich", "1", "200000"]
    assert romania[:3] == ["romania", "66", "6400"]
    maps = xs.open(folder / "zurich_lai.zarr", chunks=None)
    inside = maps.lai.where((maps.lai_flags & 1) == 0)
    assert zurich[5] == f"{float(inside.median()):.2f}"
    xr.testing.assert_equal(maps.lai.drop_vars("platform"), xs.sample("zurich").s2.lai().lai.drop_vars("platform"))
    assert "Try next:" in printed


def test_composite_and_fill_gaps_from_the_shell(tmp_path: Path) -> None:
    source = tmp_path / "cube.zarr"
    xs.sample("romania", chunks="auto").isel(time=slice(0, 20)).s2.to_zarr(source)
    done = CliRunner().invoke(
        main, ["composite", str(source), str(tmp_path / "m.zarr"), "--dilate", "20", "--memory-limit", "1GB", "--explain", "--no-progress"]
    )
    assert done.exit_code == 0, done.output
    assert "blocks of 20 dates" in done.output
    expected = xs.sample("romania").isel(time=slice(0, 20)).s2.mask_clouds(dilate=20).s2.composite("MS")
    np.testing.assert_array_equal(xs.open(tmp_path / "m.zarr").B04, expected.B04)
    done = CliRunner().invoke(
        main, ["fill-gaps", str(source), str(tmp_path / "f.zarr"), "--freq", "10D", "--extrapolate", "--max-gap", "60", "--no-progress"]
    )
    assert done.exit_code == 0, done.output
    masked = xs.sample("romania").isel(time=slice(0, 20)).s2.mask_clouds()
    expected = masked.s2.fill_gaps("linear", freq="10D", extrapolate="nearest", max_gap=60)
    np.testing.assert_array_equal(xs.open(tmp_path / "f.zarr").B04, expected.B04)
    done = CliRunner().invoke(main, ["composite", str(source), str(tmp_path / "x.zarr"), "--freq", "fortnight"])
    assert done.exit_code == 2
    assert "which pandas does not know" in done.output


@pytest.fixture(scope="module")
def ten_bands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "ten.zarr"
    xs.sample("zurich", resolution=20).isel(x=slice(0, 90), y=slice(0, 70)).s2.to_zarr(path)
    return path


def test_lai_by_a_network(ten_bands: Path, tmp_path: Path) -> None:
    out = tmp_path / "lai.zarr"
    shell("lai", ten_bands, out, "--model", "unet", "--samples", 3, "--confidence", 0.9, "--seed", 2, "--no-progress")
    maps = xs.open(out, chunks=None)
    expected = xs.open(ten_bands, chunks=None).s2.lai(model="unet", samples=3, confidence=0.9, seed=2)
    for name in ("lai", "lai_std", "lai_lower", "lai_upper"):
        np.testing.assert_allclose(maps[name], expected[name], atol=1e-5)
    assert "--model unet maps lai only; take --model sl2p for fapar" in refused("lai", ten_bands, out, "--model", "unet", "-v", "fapar")
    assert "samples cannot be given here: SL2P gives one answer" in refused("lai", ten_bands, tmp_path / "a.zarr", "--samples", 5)
    assert "model 'unot' is not known" in refused("lai", ten_bands, tmp_path / "a.zarr", "--model", "unot")


@pytest.mark.filterwarnings("ignore")
def test_train_and_evaluate(ten_bands: Path, tmp_path: Path) -> None:
    folder, table = tmp_path / "model", tmp_path / "table.csv"
    trained = shell("train", "lai", ten_bands, folder, "--name", "mine", "--steps", 2, "--no-progress").output
    assert "<xsentinel model mine>" in trained
    printed = shell("evaluate", "lai", folder, ten_bands, "--samples", 3, "--csv", table).output
    assert printed.split()[:6] == ["image", "pixels", "correlation", "distance", "MSE", "R2"]
    assert f"wrote {table}" in printed
    assert table.read_text().startswith("image,pixels,correlation")
    assert "Usage: main train lai" in shell("train", "lai", "--help").output
    assert "preset 'best' is not known" in refused("train", "lai", ten_bands, folder, "--preset", "best")
    assert "holds 0 model cards" in refused("evaluate", "lai", tmp_path, ten_bands)


# ---- jobs ------------------------------------------------------------------------------------------------------------

JOB = """
input: cube.zarr
steps:
  - mask_clouds: {dilate: 20}
  - lai: {model: unet, samples: 2}
output: lai.zarr
options: {block: 16, memory_limit: 2GB, workers: 2}
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    cube = xs.sample("zurich", resolution=20).isel(y=slice(50, 82), x=slice(40, 72))
    scl = np.full((1, 32, 32), 4, np.uint8)
    scl[0, 12:20, 3:9] = 9
    cube.assign(SCL=(("time", "y", "x"), scl)).s2.to_zarr(tmp_path / "cube.zarr")
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path / "job.yaml"


def test_run(job: Path) -> None:
    told = shell("run", job, "--explain").output
    assert "4 of 16 × 16 pixels" in told
    assert "halo      12 pixels" in told
    assert not (job.parent / "lai.zarr").exists()
    printed = shell("run", job, "--no-progress", "--report", job.parent / "r.html").output
    assert "4 done, 0 done before, 0 missing, of 4" in printed
    assert "<img alt=" in (job.parent / "r.html").read_text()
    want = xs.open(job.parent / "cube.zarr", chunks=None).s2.mask_clouds(dilate=20).s2.lai(model="unet", samples=2)
    got = xs.open(job.parent / "lai.zarr", chunks=None)
    np.testing.assert_allclose(got.lai_upper, want.lai_upper, atol=1e-5)
    assert "--overwrite begins anew" in refused("run", job)
    assert "0 done, 4 done before" in shell("run", job, "--resume", "--verify", "--no-progress").output


def test_run_a_table_of_cubes(job: Path) -> None:
    (job.parent / "tiles.csv").write_text("input,output\ncube.zarr,a.zarr\nnone.zarr,b.zarr\n")
    job.write_text(JOB.replace("input: cube.zarr", "").replace("output: lai.zarr", "tiles: tiles.csv"))
    result = shell("run", job, "--no-progress", "--report", job.parent / "r.json", code=1)
    assert "4 done" in result.stdout
    assert "none.zarr does not exist" in result.stderr
    assert "1 of 2 stores are not complete: " in result.stderr
    assert (job.parent / "r-a.json").is_file()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("output: lai.zarr", ""), "needs input and output, or tiles"),
        (("steps:", "stages:"), "has stages; a job file has input, open, steps"),
        (("memory_limit: 2GB", "colour: 2"), "options has 'colour'; it may have block"),
        (("mask_clouds", "paint"), "step {'paint': {'dilate': 20}} is none of mask_clouds"),
        (("steps:", "steps: ["), "cannot be read as YAML"),
        (("input: cube.zarr", "tiles: none.csv"), "needs input and output, or tiles"),
        (("output: lai.zarr", "output: cube.zarr"), "cube.zarr is both input and output"),
        (("samples: 2", "samples: 1"), "samples is 1"),
    ],
)
def test_job_files_that_are_none(job: Path, edit: tuple[str, str], message: str) -> None:
    job.write_text(JOB.replace(*edit))
    assert message in refused("run", job, "--no-progress")
