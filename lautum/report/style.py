"""The one style of all figures, and how they are written.

Figures are built without pyplot, so that importing this module changes no state of matplotlib. Colours are those of
Okabe & Ito (2008), then Tol's, told apart with every kind of colour vision; marker and line style tell methods apart in
grey.
"""

from math import ceil
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from lautum.files import write_atomically

# (colour, marker, line style), given to methods in the order of the configuration.
STYLES = [
    ("#000000", "o", "-"),
    ("#E69F00", "s", "--"),
    ("#0072B2", "^", "-."),
    ("#D55E00", "D", "-"),
    ("#009E73", "v", ":"),
    ("#CC79A7", "P", "--"),
    ("#56B4E9", "X", "-."),
    ("#332288", "<", "--"),
    ("#999999", "*", "-"),
    ("#882255", "h", ":"),
    ("#44AA99", ">", "-."),
]
WIDTH = 5.8  # inches; wider, and the letters would be too small on a phone
# What would make equal figures differ in their bytes: the date, the version, and random identifiers in the SVG.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}, "svg": {"Date": None}}


def add_legend(figure: Figure, handles: list, fontsize: str = "medium") -> None:
    """A legend under the panels, in as few rows of at most four as the names let it have; none without handles."""
    for rows in range(max(1, ceil(len(handles) / 4)), len(handles) + 1):
        columns = ceil(len(handles) / rows)
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=fontsize
        )
        if columns == 1 or legend.get_window_extent().width < figure.bbox.width:
            return
        legend.remove()


def write_figures(figures: dict[str, Figure], folder: Path) -> None:
    """Write each figure into `folder` as PNG (200 dpi), PDF and SVG; equal figures give equal bytes."""
    for name, figure in figures.items():
        for suffix in METADATA:
            write_atomically(
                Path(folder) / f"{name}.{suffix}", lambda path, figure=figure: save(figure, path, path.suffix[1:])
            )


def save(figure: Figure, file, suffix: str) -> None:
    """Save a figure to a path or binary file as "png", "pdf" or "svg", without date or random identifiers."""
    with matplotlib.rc_context({"svg.hashsalt": "lautum"}):
        figure.savefig(file, format=suffix, dpi=200, metadata=METADATA[suffix])
