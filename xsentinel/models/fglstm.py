"""The LSTM beside FG-UNET in Stoian et al. (2019): its path of single pixels with a memory of dates in each layer."""

from __future__ import annotations

from collections.abc import Sequence

from xsentinel.models.tsfgunet import TSFGUNet


class FGLSTM(TSFGUNet):
    """LSTM layers over the dates of each pixel, the last of as many units as there are classes.

    With 33 dates of ten bands, 17 classes and each date by itself it has exactly the 324,024 parameters of the
    paper's Table 2, LSTM layers of 200, 100, 50 and 17 units. §4.2 of the paper speaks of "11 groups of 3 channels"
    and of layers without memory below one LSTM; neither makes that number, and the authors' published code has this.

    Parameters
    ----------
    n_in, n_out, dates, groups, pixel, dropout, clip
        As of `TSFGUNet`.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        groups: int | None = None,
        pixel: Sequence[int] = (200, 100, 50),
        dropout: float = 0.0,
        clip: bool = True,
    ) -> None:
        super().__init__(n_in, n_out, dates, groups, pixel, (), dropout, clip)
