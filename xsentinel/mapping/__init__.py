"""From cubes and labels that may be wrong or sparse to a map of one's own: samples, training, maps and scores in one job."""

from __future__ import annotations

from xsentinel.mapping.crops import map_crops
from xsentinel.mapping.job import CropJob, LandcoverJob, read_crop_job, read_landcover_job
from xsentinel.mapping.landcover import map_landcover, score_landcover

__all__ = ["CropJob", "LandcoverJob", "map_crops", "map_landcover", "read_crop_job", "read_landcover_job", "score_landcover"]
