"""Mutual-information pre-transfer (Jakubovitz et al. 2023, arXiv 2306.06731): as Lautum, but I(w; x) is minimised."""

from lautum.objectives import lautum
from lautum.objectives.settings import setting


class Settings(lautum.Settings):
    """Cross-entropy on the source + weight * I(w; x_target): minimised, Jakubovitz et al. 2023 (arXiv 2306.06731)."""

    weight: float = setting(0.1, "per nat", "chosen: helped in first trials", "weight of the information", ge=0)


class Objective(lautum.Objective):
    """Mean source cross-entropy + weight * I(w; x_target)."""

    information = "mutual_information"
    sign = 1
