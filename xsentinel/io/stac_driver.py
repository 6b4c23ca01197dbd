"""How odc-stac reads our files: as it does by itself, but what is broken says so in our words."""

from __future__ import annotations

from typing import Any

from odc.loader import RioDriver, RioReader
from rasterio.errors import RasterioError

from xsentinel.errors import ReadError


class _Reader(RioReader):
    """Reads one asset."""

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Read a window.

        Raises
        ------
        ReadError
            If the file cannot be opened or decoded.
        """
        try:
            return super().read(*args, **kwargs)
        except RasterioError as err:
            raise ReadError(
                f"{self._src.uri} cannot be read ({err}); if it is on this machine, it is truncated or damaged: download it again; "
                f"if not, see that the server answers and the address is signed"
            ) from err


class Driver(RioDriver):
    """Opens assets."""

    def open(self, src: Any, ctx: Any) -> _Reader:
        """Open lazily."""
        return _Reader(src, ctx)
