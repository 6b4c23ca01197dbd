"""From cubes and a thematic map that may be wrong to a map of one's own: samples, training, maps and scores in one job."""

from __future__ import annotations

from xsentinel.mapping.crops import map_crops
from xsentinel.mapping.job import CropJob, read_job

__all__ = ["CropJob", "map_crops", "read_job"]
