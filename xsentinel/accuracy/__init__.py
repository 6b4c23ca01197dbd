"""How right a map of classes is: confusion matrices, their scores, and areas estimated from samples."""

from xsentinel.accuracy.agreement import agreement
from xsentinel.accuracy.assess import assess, compare
from xsentinel.accuracy.hectares import areas
from xsentinel.accuracy.mcnemar import McNemar
from xsentinel.accuracy.record import Assessment
from xsentinel.accuracy.strata import AreaEstimates

__all__ = ["AreaEstimates", "Assessment", "McNemar", "agreement", "areas", "assess", "compare"]
