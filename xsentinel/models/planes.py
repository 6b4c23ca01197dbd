"""What a network that fuses radar and past leaf area is given: planes of one date, and how their dates are chosen."""

from __future__ import annotations

from dataclasses import dataclass

QUANTITIES = {
    "vv": "backscatter VV [dB]",
    "vh": "backscatter VH [dB]",
    "class": "class of the mask, a row of MASK_CLASSES by number",
    "lai": "leaf area index [m2 m-2], 0 where the class is 0",
    "age": "days before the date of the map",
}
"""What a plane shows → in words."""

SLOTS = {
    "t0": "at the date of the map",
    "t1": "at the date before",
    "t2": "two dates before",
    "last": "at the last clear date of the pixel",
    "before": "at the clear date of the pixel before its last",
}
"""When it shows it → in words. ``t1`` and ``t2`` are the paper's triplet, the same dates for all pixels; ``last`` and ``before`` are each
pixel's own, however long ago."""

FUSION = {f"{quantity}_{slot}": f"{what} {when}" for slot, when in SLOTS.items() for quantity, what in QUANTITIES.items()}
FUSION = {name: words for name, words in FUSION.items() if name not in ("lai_t0", "age_t0")}
"""Planes that a network may take as it takes bands → in words. ``class_t0`` tells at training what is to be found out, and is always
hidden where the map is wanted: take it only of a training that hides it."""

MASK_CLASSES = ("hidden", "dark_area", "cloud_shadow", "vegetation", "not_vegetated", "water")
"""Classes of the mask by number: those of Wang et al. (2023), whose code keeps the scene classes 2 … 6 and joins all others."""

LAI_SCALE = 5.0
"""Leaf area index that is 1 within the network, as in the authors' code."""

DECIBELS = (-30.0, 0.0)
"""What is 0 and 1 within the network, as there."""

TRIPLET = ("vv_t2", "vh_t2", "vv_t1", "vh_t1", "vv_t0", "vh_t0", "class_t2", "class_t1", "lai_t2", "lai_t1")
"""Planes of the paper, masks as its code takes them: of the two earlier dates."""

CARRIED = (
    "vv_before", "vh_before", "vv_last", "vh_last", "vv_t0", "vh_t0",
    "class_before", "class_last", "lai_before", "lai_last", "age_before", "age_last",
)  # fmt: skip
"""Planes of our own: what each pixel was when it was last seen."""

SEASON = ("sin_day", "cos_day")
"""Planes beside them: sine and cosine of the day of the year."""


@dataclass(frozen=True)
class FusionInputs:
    """How the dates of the planes are chosen."""

    max_gap_days: float = 7.0
    """Between two dates of a triplet, at the most; a date without a whole triplet gets no map."""
    max_age_days: float = 60.0
    """Of a clear date that is carried on, at the most; what is not known has this age."""
    s1_tolerance_days: float = 1.0
    """Between a date and its radar, at the most."""
    least_observations: int = 0
    """Clear dates among those of the planes that a pixel must have."""

    @property
    def is_possible(self) -> bool:
        """Whether no limit is negative, and an age may be above 0."""
        return self.max_age_days > 0 and min(self.max_gap_days, self.s1_tolerance_days, self.least_observations) >= 0


def limits_of(name: str, inputs: FusionInputs) -> tuple[float, float]:
    """Give what of a plane is 0 and 1 within the network.

    Examples
    --------
    >>> limits_of("lai_t1", FusionInputs()), limits_of("age_last", FusionInputs(max_age_days=45))
    ((0.0, 5.0), (0.0, 45))
    """
    if name in SEASON:
        return -1.0, 1.0
    ends = {"vv": DECIBELS, "vh": DECIBELS, "lai": (0.0, LAI_SCALE), "age": (0.0, inputs.max_age_days), "class": (0.0, 1.0)}
    return ends[name.partition("_")[0]]
