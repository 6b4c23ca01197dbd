"""FG-UNET (Stoian et al. 2019): a U-Net and a path of single pixels over groups of dates, fused late."""

from __future__ import annotations

from collections.abc import Sequence

from xsentinel.models.finegrained import FineGrained
from xsentinel.models.latefusion import LateFusion


class FGUNet(LateFusion):
    """The fine-grained U-Net: eleven groups of three dates through one network, a linear layer over all they give.

    With 33 dates of ten bands and 17 classes it has the 525,997 parameters of the paper's Table 2; without pixel path
    the 485,297 of its "U-Net 3 steps"; without U-Net the 40,717 of its "MLP 3 layers" (which §4.2 says takes all 330
    planes at once: so many parameters are of the eleven groups, and so is the authors' published code).

    What it answers at a pixel depends on 23 pixels around it (measured: a test changes one pixel and looks how far that
    reaches), a field of 47 × 47; the paper says "the resulting receptive field is 23 pixels". Its windows overlap by 16, less than that.

    Parameters
    ----------
    n_in, n_out, dates : int
        Planes in, classes out.
    groups : int
        Groups of dates; the dates are a multiple of it.
    pixel : sequence of int
        Channels of the layers of the pixel path; none: the U-Net alone.
    widths : sequence of int
        Channels of each level of the U-Net; none: the pixel path alone.
    dropout : float
        Rate between the two convolutions of each block, and between the layers of the pixel path.
    clip : bool
        Whether planes are clipped to 0 … 1.

    References
    ----------
    Stoian, Poulain, Inglada, Poughon & Derksen (2019), Remote Sensing 11, 1986.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        dates: int,
        groups: int = 11,
        pixel: Sequence[int] = (200, 100, 50),
        widths: Sequence[int] = (32, 64, 128),
        dropout: float = 0.0,
        clip: bool = True,
    ) -> None:
        super().__init__(n_in, n_out, dates, groups, lambda n: FineGrained(n, widths, pixel, dropout), clip)
