"""Jobs: cut into blocks, written, killed, resumed, verified; the same bytes every time."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from rioxarray import open_rasterio  # noqa: F401  (registers .rio)

import xsentinel as xs
from tests.conftest import raise_if_dask_computes
from tests.jobs import BLOCK, N_BLOCKS, SIDE, Work, job, job_of_a_person, scene
from tests.products import Spec, images_of, sample_bands, write_safe
from xsentinel.batch import Store
from xsentinel.batch.plan import Blocks, Need, encoding_for, plan_blocks
from xsentinel.batch.store import DONE, LEDGER, Ledger
from xsentinel.blocks.cut import cut

# ---- cutting ---------------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_cut_is_the_selection(data: st.DataObject) -> None:
    sizes = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30)))
    chunks = tuple(data.draw(st.integers(1, n)) for n in sizes)
    values = np.arange(np.prod(sizes)).reshape(sizes)
    lazy = da.from_array(values, chunks=chunks) * 3 + da.overlap.overlap(da.from_array(values, chunks=-1), 0, "none").rechunk(chunks)
    ds = xr.Dataset({"a": (("time", "y", "x"), lazy), "b": (("y",), values[0, :, 0])})
    window = {}
    for d, n in zip(("y", "x"), sizes[1:], strict=True):
        start = data.draw(st.integers(0, n - 1))
        window[d] = slice(start, data.draw(st.integers(start + 1, n)))
    xr.testing.assert_identical(cut(ds, window).compute(), ds.isel(window).compute())


def test_a_cut_has_a_small_graph() -> None:
    big = da.zeros((1, 100_000, 100_000), chunks=(1, 100, 100)) + 1
    ds = xr.Dataset({"a": (("time", "y", "x"), big)})
    with raise_if_dask_computes():
        small = cut(ds, {"y": slice(50_000, 50_150), "x": slice(7, 90)})
    assert len(dict(small.a.__dask_graph__())) < 12


@given(
    st.tuples(st.integers(1, 9000), st.integers(1, 9000)), st.integers(1, 2000), st.integers(0, 40), st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, "map", "series"]),
)  # fmt: skip
def test_blocks_cover_the_scene_once(shape: tuple[int, int], pixel_bytes: int, halo: int, stride: int, layout: Any) -> None:
    blocks = plan_blocks(shape, Need(pixel_bytes, halo, stride), 1_000_000_000, 8, layout)
    assert blocks.side[0] % stride == blocks.side[0] % blocks.shard == blocks.shard % blocks.pixels == 0
    assert (blocks.side[0] + 2 * halo) ** 2 * pixel_bytes <= 1_000_000_000
    regions = [blocks.region(i) for i in range(len(blocks))]
    assert sum((r["y"].stop - r["y"].start) * (r["x"].stop - r["x"].start) for r in regions) == shape[0] * shape[1]
    assert {r["y"].start % blocks.side[0] for r in regions} == {0}
    assert len({(r["y"].start, r["x"].start) for r in regions}) == len(regions)
    encoding = encoding_for({"time": 5, "y": shape[0], "x": shape[1]}, blocks, layout)
    assert encoding["chunks"][1:] == (blocks.pixels, blocks.pixels)


def test_blocks_shrink_with_memory() -> None:
    sides = [plan_blocks((5490, 5490), Need(5000, 10, 2), limit, 8).side[0] for limit in (3 * 10**9, 10**9, 10**8)]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] < 512
    with pytest.raises(xs.GridError, match=r"one block of 64 × 64 pixels takes about 41 MB, and 1 MB are allowed; raise memory_limit"):
        plan_blocks((5490, 5490), Need(10_000), 1_000_000, 8)
    with pytest.raises(xs.GridError, match=r"block is 1000; give a multiple of 64 pixels"):
        plan_blocks((5490, 5490), Need(1), 10**9, 8, side=1000)


# ---- what is written -------------------------------------------------------------------------------------------------


def run(store: Path | str | Store, work: Any = None, **options: Any) -> Any:
    given = {"source": scene(), "halo": 0, "block": BLOCK, "workers": 2, "progress": False}
    return xs.run(work or Work(), store, **given | options)


def content(store: Path) -> dict[str, bytes]:
    """All bytes of a store but the seconds that its ledger tells."""
    found = {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}
    row = f"{LEDGER}/{DONE}/c/"
    return {k: v[:24] if k.startswith(row) else v for k, v in found.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("batch") / "lai.zarr"
    run(store)
    return store


def test_a_job_is_the_whole(undisturbed: Path) -> None:
    whole = Work()(scene())
    with xr.open_zarr(undisturbed, consolidated=False) as out:
        xr.testing.assert_equal(out.lai.compute(), whole.lai)
        xr.testing.assert_equal(out.n_obs.compute(), whole.n_obs)
        assert out.rio.crs == whole.rio.crs
        assert out.lai.attrs["units"] == "m2 m-2"
        assert out.lai.encoding["chunks"] == (1, BLOCK, BLOCK)
    assert xs.open(undisturbed).lai.dtype == np.float32


@pytest.mark.parametrize(
    "options", [{"layout": "map", "block": 512}, {"layout": "series", "block": 64, "pack": "int16", "scale": 1e-4}, {"workers": 1}]
)
def test_forms_of_store(tmp_path: Path, options: dict[str, Any]) -> None:
    told = run(tmp_path / "a.zarr", **options).summary()
    assert told["clear_share"] == pytest.approx(float(Work()(scene()).lai.notnull().mean()), abs=1e-4)
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as out:
        np.testing.assert_allclose(out.lai, Work()(scene()).lai, atol=1e-4 if "pack" in options else 0)
    with xr.open_zarr(tmp_path / "a.zarr", mask_and_scale=False, consolidated=False) as raw:
        assert raw.lai.dtype == ("int16" if "pack" in options else "float32")
        assert (raw.lai.encoding["shards"] is not None) == (options.get("layout") == "map" and options["block"] > 512)


def test_a_lazy_dataset_and_steps_and_a_function_agree(tmp_path: Path) -> None:
    cube = xs.sample("zurich", resolution=20, chunks="auto")
    expected = cube.s2.lai().compute()
    steps: list[Any] = ["lai"]
    reports = [
        xs.run(cube.s2.lai(), tmp_path / "lazy.zarr", block=64, progress=False),
        xs.run(steps, tmp_path / "steps.zarr", source=cube, block=64, progress=False),
        xs.run(lambda c: c.s2.lai(), tmp_path / "function.zarr", source=cube, halo=0, block=64, progress=False),
    ]
    for name, report in zip(("lazy", "steps", "function"), reports, strict=True):
        out = xs.open(tmp_path / f"{name}.zarr", chunks=None)
        xr.testing.assert_equal(out.lai, expected.lai)
        np.testing.assert_array_equal(out.lai_flags, expected.lai_flags)
        assert len(report.records) == 4 * 4


def test_neighbourhoods_reach_over_blocks(tmp_path: Path) -> None:
    cube = xs.sample("romania", chunks="auto")
    cube = cube.isel(time=slice(6))
    steps = [{"mask_clouds": {"dilate": 60, "erode": 20}}]
    planned = xs.plan(steps, tmp_path / "a.zarr", source=cube, block=16)
    assert planned.job.expression.halo == 8
    planned.run(progress=False)
    out, expected = xs.open(tmp_path / "a.zarr", chunks=None), cube.s2.mask_clouds(dilate=60, erode=20).compute()
    for name in cube.data_vars:
        np.testing.assert_array_equal(out[name], expected[name])
    short = xs.run(lambda c: c.s2.mask_clouds(dilate=60), tmp_path / "b.zarr", source=cube, halo=0, block=16, progress=False)
    assert len(short.records) == len(planned.job.blocks)
    assert not xs.open(tmp_path / "b.zarr", chunks=None).equals(cube.s2.mask_clouds(dilate=60).compute())  # so the halo matters


def test_the_best_pixel_looks_for_clouds_beyond_its_block(tmp_path: Path) -> None:
    cube = xs.sample("romania", resolution=20).isel(time=slice(4))
    cube = cube.assign(B02=cube.B03, B04=cube.B03 * 0.9).chunk(time=1)
    steps: list[Any] = [{"composite": {"freq": "YS", "method": "best"}}]
    planned = xs.plan(steps, tmp_path / "a.zarr", source=cube, block=24)
    assert planned.job.expression.halo == 75
    planned.run(progress=False)
    expected = cube.s2.composite("YS", method="best").compute()
    np.testing.assert_array_equal(xs.open(tmp_path / "a.zarr", chunks=None).B03, expected.B03)


@pytest.mark.parametrize("lazy_result", [True, False])
def test_variables_may_be_cut_in_different_chunks(tmp_path: Path, lazy_result: bool) -> None:
    cube = scene()
    cube = cube.assign(B05=cube.B04.chunk(y=33, x=70))
    expected = cube.compute()
    if lazy_result:
        planned = xs.plan(cube, tmp_path / "a.zarr", block=BLOCK)
    else:
        planned = xs.plan(lambda c: c, tmp_path / "a.zarr", source=cube, halo=2, block=BLOCK)
    assert "25 of 80 × 80 pixels" in planned.explain()
    planned.run(progress=False)
    out = xs.open(tmp_path / "a.zarr", chunks=None)
    np.testing.assert_array_equal(out.B04, expected.B04)
    np.testing.assert_array_equal(out.B05, expected.B05)


def test_a_function_is_the_same_in_another_process() -> None:
    code = (
        "import xsentinel as xs; from tests.jobs import scene\n"
        "f = lambda c: c if 'B04' in {'B04', 'B05', 'B06', 'B07'} else c + 1\n"
        "print(xs.plan(f, 'a.zarr', source=scene(), halo=0).job.token)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in ("1", "2", "3")
    ]
    assert len({r.stdout for r in runs}) == 1
    assert runs[0].stdout.strip()


def test_the_network_chain_of_a_real_scene(tmp_path: Path) -> None:
    cube = xs.sample("zurich", resolution=20, chunks="auto")
    steps = [{"lai": {"model": "unet", "samples": 3}}]
    xs.run(steps, tmp_path / "a.zarr", source=cube, block=64, progress=False)
    out, expected = xs.open(tmp_path / "a.zarr", chunks=None), cube.s2.lai(model="unet", samples=3).compute()
    for name in ("lai", "lai_std", "lai_lower", "lai_upper"):
        np.testing.assert_allclose(out[name], expected[name], atol=1e-5)
    assert out.attrs["weights_digest"] == expected.attrs["weights_digest"]


def test_the_whole_chain_from_products(tmp_path: Path) -> None:
    """SAFE of two dates → mask → composite → U-Net with its uncertainty → Zarr."""
    first = write_safe(tmp_path, Spec(angle_bands=13), images_of(sample_bands(240)))
    later = replace(Spec(angle_bands=13), time="2019-06-09T10:30:29.024Z", strip="20190609T103024")
    second = write_safe(tmp_path, later, images_of(sample_bands(240, 100, 120)))
    cube = xs.open([first, second], resolution=20)
    steps: list[Any] = [{"mask_clouds": {"dilate": 40}}, {"composite": {"freq": "MS"}}, {"lai": {"model": "unet", "samples": 3}}]
    report = xs.run(steps, tmp_path / "lai.zarr", source=cube, block=64, progress=False)
    expected = steps_by_hand(cube)
    out = xs.open(tmp_path / "lai.zarr", chunks=None)
    assert len(report.records) == 4
    assert out.sizes == {"time": 2, "y": 120, "x": 120}
    for name in ("lai", "lai_std", "lai_lower", "lai_upper"):
        np.testing.assert_allclose(out[name], expected[name], atol=1e-5)
    assert out.lai.notnull().mean() > 0.2
    assert out.lai.isnull().any()  # clouds
    np.testing.assert_allclose(out.sza, expected.sza, rtol=1e-6)


def steps_by_hand(cube: xr.Dataset) -> xr.Dataset:
    return cube.s2.mask_clouds(dilate=40).s2.composite("MS").s2.lai(model="unet", samples=3).compute()


def test_a_simulated_landscape_comes_near_its_truth(tmp_path: Path) -> None:
    land = xs.simulate.landscape((160, 160), xs.simulate.overpasses("2021-05-20", "2021-06-20"), seed=2, resolution=20)
    steps: list[Any] = [{"mask_clouds": {"dilate": 40}}, {"composite": {"freq": "60D"}}, "lai"]
    xs.run(steps, tmp_path / "lai.zarr", source=land.cube, block=64, progress=False)
    out = xs.open(tmp_path / "lai.zarr", chunks=None).lai[0]
    truth = land.truth.lai.mean("time").compute()
    there = np.isfinite(out.values)
    assert there.mean() > 0.9
    assert np.corrcoef(out.values[there], truth.values[there])[0, 1] > 0.8
    assert abs(float((out - truth).mean())) < 0.6


# ---- the ledger ------------------------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    planned = xs.plan(Work(str(notes)), tmp_path / "a.zarr", source=scene(), halo=0, block=BLOCK)
    first = planned.run(only=[3, 4, 7], progress=False)
    assert (sorted(first.records), len(first.missing)) == ([3, 4, 7], N_BLOCKS - 3)
    notes_before = len(list(notes.iterdir()))
    second = planned.run(resume=True, progress=False)
    assert len(second.records) == N_BLOCKS - 3 == len(list(notes.iterdir())) - notes_before
    assert second.missing == []
    third = planned.run(resume=True, progress=False)
    assert (len(third.records), len(third.skipped)) == (0, N_BLOCKS)


def test_missing_blocks_are_no_data(tmp_path: Path) -> None:
    xs.plan(Work(), tmp_path / "a.zarr", source=scene(), halo=0, block=BLOCK).run(only=[0], progress=False)
    out = xs.open(tmp_path / "a.zarr", chunks=None)
    assert out.lai[:, BLOCK:].isnull().all()
    assert out.lai[:, :BLOCK, :BLOCK].notnull().any()


def other_scene() -> xr.Dataset:
    return scene().assign(B04=scene().B04 + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"holds an unfinished or finished job; resume=True .*overwrite=True"),
        (
            {"resume": True, "source": other_scene()},
            r"another job: the data that it reads differ; .*overwrite=True.* \(inputs: \w+ there, \w+ now\)",
        ),
        ({"resume": True, "work": Work(seconds=0.001)}, r"another job: the steps differ; .*\(expression: Work \w+ there"),
        (
            {"resume": True, "pack": "int16", "scale": 1e-3},
            r"another job: .* pack and scale differ; .*packed: None None there, int16 0.001 now",
        ),
        ({"resume": True, "layout": "map"}, r"another job: the layouts differ; .*\(layout: None there, map now"),
    ],
)
def test_another_job_is_refused(undisturbed: Path, options: dict[str, Any], message: str) -> None:
    before = content(undisturbed)
    with pytest.raises(xs.WriteError, match=message):
        run(undisturbed, options.pop("work", None), **options)
    assert content(undisturbed) == before


def test_other_memory_and_workers_are_the_same_job(tmp_path: Path, undisturbed: Path) -> None:
    planned = xs.plan(Work(), tmp_path / "a.zarr", source=scene(), halo=0, block=BLOCK)
    planned.run(only=range(5), progress=False)
    report = xs.run(Work(), tmp_path / "a.zarr", source=scene(), halo=0, workers=1, memory_limit=10**9, resume=True, progress=False)
    assert len(report.records) == N_BLOCKS - 5
    assert content(tmp_path / "a.zarr") == content(undisturbed)


def test_what_is_no_job_is_not_touched(tmp_path: Path) -> None:
    scene().to_zarr(tmp_path / "other.zarr", consolidated=False)
    before = content(tmp_path / "other.zarr")
    with pytest.raises(xs.WriteError, match="holds something; overwrite=True"):
        run(tmp_path / "other.zarr")
    with pytest.raises(xs.WriteError, match="has no ledger of this job, so it cannot be resumed"):
        run(tmp_path / "other.zarr", resume=True)
    assert content(tmp_path / "other.zarr") == before
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    with pytest.raises(xs.WriteError, match="is a folder but no Zarr store"):
        run(tmp_path / "folder", overwrite=True)
    run(tmp_path / "other.zarr", overwrite=True)
    assert xs.batch.verify(tmp_path / "other.zarr") == []
    with pytest.raises(xs.ReadError, match=r"has no ledger; it was not written by xsentinel\.run"):
        xs.batch.verify(tmp_path / "folder")


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_chunk_is_found_and_mended(tmp_path: Path, undisturbed: Path, harm: str) -> None:
    store = tmp_path / "a.zarr"
    run(store)
    chunk = store / "lai" / "c" / "1" / "2" / "3"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0x55
    chunk.unlink() if harm == "remove" else chunk.write_bytes(data if harm == "flip" else data[:50])
    assert xs.batch.verify(store) == [2 * (SIDE // BLOCK) + 3]
    report = run(store, resume=True, verify=True)
    assert report.damaged == [13] == list(report.records)
    assert content(store) == content(undisturbed)


def test_a_damaged_ledger_row_is_a_block_to_do(tmp_path: Path, undisturbed: Path) -> None:
    run(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / LEDGER / DONE / "c" / "6").write_bytes(b"\x01\x00")
    report = run(tmp_path / "a.zarr", resume=True)
    assert list(report.records) == [6]
    assert content(tmp_path / "a.zarr") == content(undisturbed)


# ---- failures --------------------------------------------------------------------------------------------------------


def test_a_flaky_block_is_tried_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    report = run(tmp_path / "a.zarr", Work(str(notes), fails=(160, 80, 2)))
    assert (report.retried, report.missing, report.failed) == (2, [], {})


def test_a_block_that_stays_bad_is_listed_and_the_rest_done(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    with pytest.raises(
        xs.IncompleteError, match=r"1 of 25 blocks .* failed, such as 11 \(y 160…240, x 80…160\): OSError: .*resume=True"
    ) as raised:
        run(tmp_path / "a.zarr", Work(str(notes), fails=(160, 80, 99)))
    report = raised.value.report
    assert report.missing == [11] == list(report.failed)
    assert "block 11" in repr(report)
    assert len(report.records) == N_BLOCKS - 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system in memory with the options given."""
    mounted = []

    def mount(options: str) -> Path:
        path = tmp_path / "disk"
        path.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        mounted.append(path)
        return path

    yield mount
    for path in reversed(mounted):
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_stops_the_job_which_resumes(small_disk: Callable[[str], Path], undisturbed: Path) -> None:
    disk = small_disk("size=500k")
    with pytest.raises(xs.StoreError, match=r"cannot be written: .*No space left on device.* then resume"):
        run(disk / "a.zarr")
    assert 0 < len(Ledger(Store(str(disk / "a.zarr"))).read()) < N_BLOCKS
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    report = run(disk / "a.zarr", resume=True)
    assert 0 < len(report.skipped) < N_BLOCKS
    assert content(disk / "a.zarr") == content(undisturbed)


def test_a_read_only_store(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=20m")
    xs.plan(Work(), disk / "a.zarr", source=scene(), halo=0, block=BLOCK).run(only=[0], progress=False)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(xs.StoreError, match=r"cannot be written: .*Read-only file system"):
        run(disk / "a.zarr", resume=True)
    with pytest.raises(xs.StoreError, match=r"cannot be written: .*Read-only file system"):
        run(disk / "b.zarr")


# ---- killed ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forks() -> Any:
    """Processes that start at once, everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.jobs", "zarr", "xsentinel.batch.run", "xsentinel.io.write"])
    return context


def done_blocks(store: Path) -> set[int]:
    return set(Ledger(Store(str(store))).read()) if Ledger(Store(str(store))).fingerprint() else set()


def test_killed_at_random_moments_it_ends_at_the_same_bytes(forks: Any, tmp_path: Path) -> None:
    """SIGKILL, 25 times: while it begins, computes, writes or marks. What was marked is never computed again."""
    notes, store = tmp_path / "notes", tmp_path / "a.zarr"
    notes.mkdir()
    job(str(tmp_path / "whole.zarr"), str(notes))
    rng, kills, reached = random.Random(6), 0, []
    while kills < 25:
        before, seen = done_blocks(store), set(notes.iterdir())
        process = forks.Process(target=job, args=(str(store), str(notes)))
        process.start()
        reach = rng.randrange(7)  # blocks that it may begin; 0: it is killed while it begins itself
        while reach and process.is_alive() and len(set(notes.iterdir()) - seen) < reach:
            time.sleep(0.002)
        process.join(rng.uniform(0, 0.05) if reach else rng.uniform(0.05, 0.5))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        again = {computed_block(p) for p in set(notes.iterdir()) - seen}
        assert not again & before
        reached.append(len(done_blocks(store)))
        if reached[-1] == N_BLOCKS:
            assert content(store) == content(tmp_path / "whole.zarr")
            xs.batch.Store(str(store)).remove()
    job(str(store), str(notes))
    assert content(store) == content(tmp_path / "whole.zarr")
    assert any(0 < n < N_BLOCKS for n in reached)  # some kills came in the middle


def computed_block(note: Path) -> int:
    row, column = map(int, note.name.split("-")[:2])
    return row // BLOCK * (SIDE // BLOCK) + column // BLOCK


def test_ctrl_c_stops_and_resumes(forks: Any, tmp_path: Path, undisturbed: Path) -> None:
    notes, store = tmp_path / "notes", tmp_path / "a.zarr"
    notes.mkdir()
    process = forks.Process(target=job_of_a_person, args=(str(store), str(notes), 0.3))
    process.start()
    while len(list(notes.iterdir())) < 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 1  # KeyboardInterrupt
    assert 0 < len(done_blocks(store)) < N_BLOCKS
    job(str(store), str(notes), 0.3)
    assert xs.batch.verify(store) == []


# ---- a cluster -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "resources": {"TEST": 1}}
    with dask.config.set({"distributed.scheduler.allowed-failures": 20}), LocalCluster(**options) as cluster, Client(cluster) as own:
        yield own


def test_workers_write_the_same_bytes(client: Any, tmp_path: Path, undisturbed: Path) -> None:
    report = run(tmp_path / "a.zarr", client=client)
    assert content(tmp_path / "a.zarr") == content(undisturbed)
    assert "2 workers, dashboard http" in report.where
    planned = xs.plan(Work(), tmp_path / "b.zarr", source=scene(), halo=0, block=BLOCK)
    planned.run(client=client.scheduler.address, resources={"TEST": 1}, progress=False)
    assert content(tmp_path / "b.zarr") == content(undisturbed)


def test_a_failing_block_on_a_worker(client: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    assert run(tmp_path / "a.zarr", Work(str(notes), fails=(160, 80, 2)), client=client).retried == 2


def test_workers_killed_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL of a worker process, ten times, another taking its place, over as many jobs as that takes."""
    from distributed import Client, LocalCluster

    rng, stop, kills = random.Random(7), threading.Event(), []

    def worker(address: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def killer(client: Any, workers: list[subprocess.Popen[bytes]]) -> None:
        while len(kills) < 10 and not stop.wait(rng.uniform(0.05, 0.4)):
            if len(client.scheduler_info(n_workers=-1)["workers"]) == 2:
                victim = workers.pop(rng.randrange(2))
                victim.kill()
                victim.wait()
                kills.append(victim.pid)
                workers.append(worker(client.scheduler.address))

    run(tmp_path / "whole.zarr", Work(seconds=0.3))
    whole = content(tmp_path / "whole.zarr")
    with LocalCluster(n_workers=0, dashboard_address=":0", host="127.0.0.1") as cluster, Client(cluster) as client:
        workers = [worker(client.scheduler.address) for _ in range(2)]
        thread = threading.Thread(target=killer, args=(client, workers))
        thread.start()
        try:
            for n in range(30):
                report = run(tmp_path / f"{n}.zarr", Work(seconds=0.3), client=client, retries=20)
                assert report.missing == []
                assert content(tmp_path / f"{n}.zarr") == whole
                if not thread.is_alive():
                    break
        finally:
            stop.set()
            thread.join()
            for process in workers:
                process.kill()
                process.wait()
    assert len(kills) == 10


def test_a_cluster_without_workers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.setattr("xsentinel.batch.engines.PATIENCE_S", 1.5)
    message = r"no worker for 2 s; start some, then run again with resume=True"
    cluster = LocalCluster(n_workers=0, dashboard_address=":0")
    with cluster, Client(cluster) as none, pytest.raises(xs.StoppedError, match=message):
        run(tmp_path / "a.zarr", client=none)
    assert len(run(tmp_path / "a.zarr", resume=True).records) == N_BLOCKS


# ---- object stores ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket() -> Iterator[Store]:
    """An S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "a", "secret": "b", "endpoint_url": f"http://{host}:{port}"}
    import s3fs

    s3fs.S3FileSystem(**options).mkdir("maps")
    yield Store("s3://maps", options)
    server.stop()


def test_object_store(bucket: Store, undisturbed: Path) -> None:
    target = Store(f"{bucket.url}/lai.zarr", bucket.options)
    planned = xs.plan(Work(), target, source=scene(), halo=0, block=200)
    planned.run(only=range(2), progress=False)
    with pytest.raises(xs.WriteError, match="unfinished or finished job"):
        planned.run(progress=False)
    assert len(planned.run(resume=True, progress=False).records) == 2
    assert xs.batch.verify(target) == []
    with xr.open_zarr(target.open(read_only=True), consolidated=False) as out:
        xr.testing.assert_equal(out.lai.compute(), Work()(scene()).lai)
    assert len(planned.run(overwrite=True, progress=False).records) == 4
    whole_bucket = xs.plan(Work(), bucket, source=scene(), halo=0, block=200)
    with pytest.raises(xs.WriteError, match="s3://maps is no Zarr store, so it is not replaced"):
        whole_bucket.run(overwrite=True, progress=False)
    assert xs.batch.verify(target) == []


# ---- what a person sees ----------------------------------------------------------------------------------------------


def test_plan_in_words() -> None:
    planned = xs.plan(Work(), "lai.zarr", source=scene(), halo=3, block=BLOCK, workers=2, memory_limit=10**9)
    text = planned.explain(probe=True)
    for words in ("25 of 80 × 80 pixels", "halo      3 pixels", "2 at a time, of 1.00 GB allowed", "s a block when tried", "n_obs {y: 400"):
        assert words in text
    assert not Path("lai.zarr").exists()


def test_report(tmp_path: Path) -> None:
    planned = xs.plan(Work(), tmp_path / "a.zarr", source=scene(), halo=0, block=BLOCK)
    planned.run(only=range(10), progress=False)
    report = planned.run(resume=True, progress=False)
    report.to_json(tmp_path / "r.json")
    told = json.loads((tmp_path / "r.json").read_text())
    share = float(np.isfinite(Work()(scene()).lai).mean())
    assert (told["done"], told["skipped"], told["missing"]) == (15, 10, 0)
    assert told["clear_share"] == pytest.approx(share, abs=1e-4)
    assert told["fingerprint"]["xsentinel"] == xs.__version__
    report.to_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "15 done, 10 done before, 0 missing, of 25" in page
    assert "data:image/png;base64," in page
    look = report.quicklook()
    assert np.isfinite(look).mean() > 0.95
    assert float(np.nanmean(look)) == pytest.approx(float(Work()(scene()).lai[0].mean()), abs=0.1)


def test_lines_of_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "a.zarr", progress=True)
    assert "25 of 25 blocks, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: xs.plan(Work(), "a.zarr", halo=0), xs.XSentinelError, r"a function needs the cube .*found NoneType"),
        (lambda: xs.plan(Work(), "a.zarr", source=scene()), xs.XSentinelError, "halo is None, .*halo=0 where each stands alone"),
        (lambda: xs.plan(["paint"], "a.zarr", source=scene()), xs.XSentinelError, "step 'paint' is none of mask_clouds, composite"),
        (lambda: xs.plan([], "a.zarr", source=scene()), xs.XSentinelError, "the list of steps is empty"),
        (lambda: xs.plan("lai", "a.zarr", source=scene()), xs.XSentinelError, "steps are 'lai'; give a list"),
        (lambda: xs.plan([{"lai": 3}], "a.zarr", source=scene()), xs.XSentinelError, "step lai has the options 3"),
        (lambda: xs.plan(scene(), "a.zarr", source=scene()), xs.XSentinelError, "a lazy Dataset has its sources in it"),
        (lambda: xs.plan(scene().mean(("y", "x")), "a.zarr"), xs.GridError, "a job's result has y and x"),
        (lambda: xs.plan(lambda c: c.isel(y=slice(2)), "a.zarr", source=scene(), halo=0), xs.GridError, "64 pixels along y into 2"),
        (lambda: xs.plan(lambda c: c.B04, "a.zarr", source=scene(), halo=0), xs.XSentinelError, "the function gave DataArray"),
        (lambda: xs.plan(Work(), "a.zarr", source=scene(), halo=0, workers=0), xs.XSentinelError, "workers is 0"),
        (lambda: xs.plan(scene(), "a.zarr", block=BLOCK).run(only=[77]), xs.XSentinelError, "blocks from 77 to 77, and there are 0 to 24"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned(call: Callable[[], Any], error: type[Exception], message: str, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        call()


def test_planning_computes_nothing() -> None:
    with raise_if_dask_computes():
        xs.plan(scene() * 2, "a.zarr", block=BLOCK).explain()
    assert Blocks((10, 10), (4, 4), 4, 4).counts == (3, 3)
