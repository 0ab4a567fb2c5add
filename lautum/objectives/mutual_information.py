"""Mutual-information pre-transfer (Jakubovitz et al. 2023, arXiv 2306.06731): as Lautum, but I(w; x) is minimised."""

from lautum.information import mutual_information
from lautum.objectives import lautum


class Objective(lautum.Objective):
    """Mean source cross-entropy + weight * I(w; x_target)."""

    information = staticmethod(mutual_information)
    sign = 1
