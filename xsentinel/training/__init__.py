"""Training: patches of cubes, a teacher, a loop, a calibration; needs the extra ``xsentinel[train]``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xsentinel.errors import XSentinelError

if TYPE_CHECKING:
    from xsentinel.training.confirmed import reliable
    from xsentinel.training.crop_presets import CROP_PRESETS, CropPreset
    from xsentinel.training.crop_scores import evaluate_crops
    from xsentinel.training.crops import train_crops
    from xsentinel.training.dynamics import train_dynamics
    from xsentinel.training.dynamics_presets import DYNAMICS_PRESETS, DynamicsPreset, Stage
    from xsentinel.training.dynamics_scores import evaluate_dynamics
    from xsentinel.training.fusion import train_fusion
    from xsentinel.training.fusion_presets import FUSION_PRESETS, FusionPreset
    from xsentinel.training.fusion_scores import evaluate_fusion
    from xsentinel.training.fusion_series import FusionSource
    from xsentinel.training.lai import train_lai
    from xsentinel.training.lai_presets import LAI_PRESETS, LaiPreset
    from xsentinel.training.lai_scores import evaluate_lai
    from xsentinel.training.landcover import leave_one_out, train_landcover
    from xsentinel.training.landcover_presets import LANDCOVER_PRESETS, LandcoverPreset
    from xsentinel.training.landcover_scores import evaluate_landcover

__all__ = [
    "CROP_PRESETS",
    "DYNAMICS_PRESETS",
    "FUSION_PRESETS",
    "LAI_PRESETS",
    "LANDCOVER_PRESETS",
    "CropPreset",
    "DynamicsPreset",
    "FusionPreset",
    "FusionSource",
    "LaiPreset",
    "LandcoverPreset",
    "Stage",
    "evaluate_crops",
    "evaluate_dynamics",
    "evaluate_fusion",
    "evaluate_lai",
    "evaluate_landcover",
    "leave_one_out",
    "reliable",
    "train_crops",
    "train_dynamics",
    "train_fusion",
    "train_lai",
    "train_landcover",
]

_HOMES = {
    "CROP_PRESETS": "crop_presets",
    "DYNAMICS_PRESETS": "dynamics_presets",
    "FUSION_PRESETS": "fusion_presets",
    "LAI_PRESETS": "lai_presets",
    "LANDCOVER_PRESETS": "landcover_presets",
    "CropPreset": "crop_presets",
    "DynamicsPreset": "dynamics_presets",
    "FusionPreset": "fusion_presets",
    "FusionSource": "fusion_series",
    "LaiPreset": "lai_presets",
    "LandcoverPreset": "landcover_presets",
    "Stage": "dynamics_presets",
    "evaluate_crops": "crop_scores",
    "evaluate_dynamics": "dynamics_scores",
    "evaluate_fusion": "fusion_scores",
    "evaluate_lai": "lai_scores",
    "evaluate_landcover": "landcover_scores",
    "leave_one_out": "landcover",
    "reliable": "confirmed",
    "train_crops": "crops",
    "train_dynamics": "dynamics",
    "train_fusion": "fusion",
    "train_lai": "lai",
    "train_landcover": "landcover",
}


def __getattr__(name: str) -> Any:
    """Import torch and lightning when one of the names is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"xsentinel.training.{_HOMES[name]}"), name)
    except ModuleNotFoundError as err:
        if err.name != "lightning":
            raise
        raise XSentinelError("training needs Lightning: pip install 'xsentinel[train]'") from err
