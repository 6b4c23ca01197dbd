"""The SL2P kernel against the published cases, a slow twin, and its laws."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import twins
from xsentinel.kernels import sl2p
from xsentinel.kernels.sl2p_tables import Storage, coefficients_digest, fold_domain, fold_network, load_set

SETS = [("S2A", 20), ("S2B", 20), ("S2A", 10), ("S2B", 10)]
NOT_STORED = 1.0
CASES = [
    f"{platform}_{resolution}m_{variable}"
    for platform, resolution, variable in (
        *(("S2A", 10, v) for v in ("lai", "fapar", "fcover")),
        *((p, 20, v) for p in ("S2A", "S2B") for v in ("lai", "fapar", "fcover", "ccc")),
    )
]
TOLERANCE = {"lai": 4e-4, "fapar": 2.5e-4, "fcover": 2.5e-4, "ccc": 0.12}


def run(platform, resolution, variables, inputs, *, scale=NOT_STORED, nodata=np.nan, dtype=np.float32, ranges=None):
    """Call the kernel on (pixel, input) bands and cosines, the cosines a pixel."""
    coefficients = load_set(platform, resolution)
    n_bands, n = len(coefficients.bands), len(inputs)
    stored = Storage((scale,) * n_bands, (0.0,) * n_bands)
    network, domain = fold_network(coefficients, variables, stored, None), fold_domain(coefficients, stored)
    bands = tuple(np.ascontiguousarray(inputs[:, k]).astype(dtype) for k in range(n_bands))
    cosines = np.ascontiguousarray(inputs[:, n_bands:].T.astype(np.float32))
    out, flags = np.full((len(variables), n), -7, np.float32), np.full((len(variables), n), 255, np.uint8)
    missing = np.full(n_bands, nodata, np.float32)
    for start, stop in ranges or [(0, n)]:
        sl2p.run_sl2p(
            sl2p.missing_counts if dtype == np.uint16 else sl2p.missing_floats,
            bands,
            cosines,
            missing,
            network,
            domain,
            out,
            flags,
            start,
            stop,
        )
    return out, flags


def spectra(platform, resolution, n, seed=0, spread=1.2):
    """Draw inputs over the training range and beyond, and exact borders of the definition domain."""
    rng = np.random.default_rng(seed)
    record = twins.published(f"{platform}_{resolution}m")
    low, high = (np.array(record["lai"][k]) for k in ("input_min", "input_max"))
    x = low + (high - low) * rng.uniform(-0.1, spread, (n, low.size)) ** 2
    x[:, -3:] = rng.uniform([0.9, 0.3, -1], 1, (n, 3))
    return x


@pytest.mark.parametrize("case", CASES)
def test_published_cases(data: Path, case):
    platform, size, variable = case.split("_")
    table = pd.read_csv(data.parent / "sl2p" / f"cases_{case}.csv")
    out, _ = run(platform, int(size[:-1]), (variable,), table.drop(columns=variable).to_numpy())
    assert np.abs(out[0] - table[variable].to_numpy()).max() <= TOLERANCE[variable]


@pytest.mark.parametrize(("platform", "resolution"), SETS)
def test_equals_the_twin(platform, resolution):
    x = spectra(platform, resolution, 4000).astype(np.float32).astype(np.float64)
    names = tuple(load_set(platform, resolution).variables)
    out, flags = run(platform, resolution, names, x)
    for v, name in enumerate(names):
        expected, expected_flags = twins.sl2p(f"{platform}_{resolution}m", name, x)
        c = twins.published(f"{platform}_{resolution}m")[name]
        # clamping decides on a value; where float32 stands on the other side of a limit both are right
        scale = c["valid_max"]
        near = np.zeros(len(x), bool)
        for limit in (c["valid_min"], c["valid_max"], c["valid_min"] - c["tolerance"], c["valid_max"] + c["tolerance"]):
            near |= np.abs(expected - limit) < 1e-3 * scale
        assert (flags[v] == expected_flags)[~near].all()
        assert np.abs(out[v] - expected)[~near].max() < 2e-5 * max(scale, 1) * 10
        assert near.mean() < 0.5


@pytest.mark.parametrize(("platform", "resolution"), SETS)
def test_domain_of_every_count_is_that_of_float64(platform, resolution):
    coefficients = load_set(platform, resolution)
    n_bands = len(coefficients.bands)
    middle = (coefficients.band_min + coefficients.band_max) / 2
    for band in range(n_bands):
        counts = np.tile(np.round(middle * 1e4), (12_000, 1))
        counts[:, band] = np.arange(12_000)
        x = np.concatenate([counts, np.tile([0.99, 0.8, 0.1], (12_000, 1))], 1)
        _, flags = run(platform, resolution, ("lai",), x, scale=1e-4, dtype=np.uint16)
        assert np.array_equal(flags[0] & 97, twins.domain(coefficients.name, counts * 1e-4)), coefficients.bands[band]


def test_flags_of_every_kind_occur():
    x = np.concatenate([spectra("S2A", 20, 4000, spread=s) for s in (0.6, 1.0, 1.6)])
    _, flags = run("S2A", 20, ("lai",), x)
    assert {bit for bit in (1, 2, 4, 8, 16, 32, 64) if (flags & bit).any()} == {1, 2, 4, 8, 16, 32, 64}
    assert np.array_equal((flags & 1) > 0, (flags & 96) > 0)


def test_all_variables_at_once_equal_one_by_one():
    x = spectra("S2B", 20, 3000)
    names = tuple(load_set("S2B", 20).variables)
    out, flags = run("S2B", 20, names, x)
    for v, name in enumerate(names):
        alone, flags_alone = run("S2B", 20, (name,), x)
        assert np.array_equal(out[v], alone[0], equal_nan=True)
        assert np.array_equal(flags[v], flags_alone[0])


@given(st.lists(st.integers(1, 2499), max_size=5), st.integers(0, 3))
def test_any_split_of_the_pixels_gives_the_same_bits(cuts, seed):
    x = spectra("S2A", 20, 2500, seed)
    edges = [0, *sorted(set(cuts)), 2500]
    whole, flags = run("S2A", 20, ("lai", "ccc"), x)
    parts, part_flags = run("S2A", 20, ("lai", "ccc"), x, ranges=list(itertools.pairwise(edges)))
    assert np.array_equal(whole, parts, equal_nan=True)
    assert np.array_equal(flags, part_flags)


@given(st.permutations(range(64)))
def test_order_of_the_pixels_is_irrelevant(order):
    x = spectra("S2A", 10, 64)
    assert np.array_equal(run("S2A", 10, ("lai",), x)[0][:, order], run("S2A", 10, ("lai",), x[list(order)])[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", range(11))
def test_a_missing_input_gives_nan_and_no_flag(bad, position):
    x = spectra("S2A", 20, 1100)
    x[1050, position] = bad
    out, flags = run("S2A", 20, ("lai",), x)
    assert np.isnan(out[0, 1050])
    assert flags[0, 1050] == 0
    assert np.isfinite(np.delete(out[0], 1050)).all()


def test_stored_counts_equal_reflectance():
    counts = np.round(spectra("S2A", 20, 3000)[:, :8].clip(1e-4) * 1e4)
    angles = np.tile([0.99, 0.8, 0.1], (3000, 1))
    counts[5, 3] = 0
    as_counts, flags = run("S2A", 20, ("lai",), np.concatenate([counts, angles], 1), scale=1e-4, nodata=0, dtype=np.uint16)
    reflectance = np.where(counts == 0, np.nan, counts * 1e-4)
    as_floats, float_flags = run("S2A", 20, ("lai",), np.concatenate([reflectance, angles], 1))
    assert np.isnan(as_counts[0, 5])
    np.testing.assert_allclose(as_counts, as_floats, atol=2e-5)
    assert (flags != float_flags).mean() < 0.002  # counts on a border of the domain, rounded apart


def test_one_cosine_for_all_equals_one_a_pixel():
    coefficients, x = load_set("S2A", 20), spectra("S2A", 20, 1500)
    x[:, 8:] = [0.99, 0.75, -0.3]
    each, _ = run("S2A", 20, ("lai",), x)
    stored = Storage((1.0,) * 8, (0.0,) * 8)
    network, domain = fold_network(coefficients, ("lai",), stored, x[0, 8:]), fold_domain(coefficients, stored)
    out, flags = np.empty((1, 1500), np.float32), np.empty((1, 1500), np.uint8)
    bands = tuple(np.ascontiguousarray(x[:, k], np.float32) for k in range(8))
    sl2p.run_sl2p(
        sl2p.missing_floats, bands, np.empty((0, 0), np.float32), np.full(8, np.nan, np.float32), network, domain, out, flags, 0, 1500
    )
    np.testing.assert_allclose(out, each, atol=2e-5)


def test_tanh_is_within_5e7_of_numpy():
    x = np.linspace(-12, 12, 3_000_000, dtype=np.float32)[: 2929 * sl2p.BLOCK].reshape(-1, sl2p.BLOCK)
    y = np.zeros_like(x)
    for row, out in zip(x, y, strict=True):
        _tanh(row, out)
    assert np.abs(y - np.tanh(x.astype(np.float64))).max() < 5e-7


@sl2p._jit
def _tanh(x, y):
    sl2p._add_tanh(x, np.float32(1), y)


def test_sentinel_2c_takes_the_coefficients_of_2b():
    assert load_set("S2C", 20).name == "S2B_20m"


def test_digest_is_of_the_table_in_the_package():
    assert len(coefficients_digest()) == 64
    assert load_set("S2A", 20).variables["lai"].valid_max == 8.0
    assert len(load_set("S2A", 20).occupied_cells) == 2930
