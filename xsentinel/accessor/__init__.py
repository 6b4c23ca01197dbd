"""``.s2`` on Datasets and DataArrays."""

from xsentinel.accessor.dataarray import S2DataArray
from xsentinel.accessor.dataset import S2Dataset
from xsentinel.accessor.plots import DataArrayPlot, DatasetPlot

__all__ = ["DataArrayPlot", "DatasetPlot", "S2DataArray", "S2Dataset"]
