"""Fixtures and profiles that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import hypothesis
import matplotlib as mpl
import pytest

mpl.use("agg")

hypothesis.settings.register_profile("dev", max_examples=25, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scenes; tests that need it skip where there is none."""
    folder = os.environ.get("XSENTINEL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("XSENTINEL_DATA names no folder of real scenes")
    return Path(folder)


@contextmanager
def raise_if_dask_computes() -> Iterator[None]:
    """Fail if anything lazy is computed inside."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("dask computed while only a graph was to be built")

    with dask.config.set(scheduler=refuse):
        yield
