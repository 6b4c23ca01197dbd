"""Networks of land cover: parameters of the paper, late fusion beside a slow twin, neighbourhoods, memory, trees."""

from __future__ import annotations

import pytest

from xsentinel.models.fglstm import FGLSTM
from xsentinel.models.fgunet import FGUNet
from xsentinel.models.tsfgunet import TSFGUNet

DATES, BANDS, CLASSES = 33, 10, 17
TABLE_2 = {
    "MLP 3 layers": (FGUNet, {"widths": ()}, 40_717),
    "LSTM 3 layers": (FGLSTM, {}, 324_024),
    "U-Net 3 steps": (FGUNet, {"pixel": ()}, 485_297),
    "FG-UNET": (FGUNet, {}, 525_997),
    "TSFG-UNET": (TSFGUNet, {}, 4_137_272),
}


@pytest.mark.parametrize("row", TABLE_2)
def test_as_many_parameters_as_the_paper_says(row):
    kind, settings, n = TABLE_2[row]
    network = kind(DATES * BANDS, CLASSES, DATES, **settings)
    assert sum(p.numel() for p in network.parameters()) == n
