"""How right a map of classes is: confusion matrices, their scores, its corners, and areas estimated from samples."""

from xsentinel.accuracy.agreement import agreement
from xsentinel.accuracy.assess import assess, compare
from xsentinel.accuracy.corners import CornerPrecision, corner_precision, corners
from xsentinel.accuracy.hectares import areas
from xsentinel.accuracy.mcnemar import McNemar
from xsentinel.accuracy.record import Assessment
from xsentinel.accuracy.strata import AreaEstimates

__all__ = [
    "AreaEstimates",
    "Assessment",
    "CornerPrecision",
    "McNemar",
    "agreement",
    "areas",
    "assess",
    "compare",
    "corner_precision",
    "corners",
]
