"""The one style of all figures, and how they are written.

Figures are built without pyplot, so that importing this module changes no state of matplotlib. Colours are those of
Okabe & Ito (2008), then Tol's, told apart with every kind of colour vision; marker and line style tell methods apart in
grey.
"""

import io
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from lautum.files import write_bytes

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


Rendered = dict[str, bytes]  # a figure's files by suffix


def render(figure: Figure, suffixes: Sequence[str] = tuple(METADATA)) -> Rendered:
    """A figure as PNG (200 dpi), PDF and SVG, without date or random identifiers: equal figures give equal bytes.

    A figure is laid out anew each time it is saved, not always to the last digit as before: a fresh one, saved in the
    same formats, gives the same bytes.
    """
    files = {}
    with matplotlib.rc_context({"svg.hashsalt": "lautum"}):
        for suffix in suffixes:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=200, metadata=METADATA[suffix])
            files[suffix] = buffer.getvalue()
    return files


def write(rendered: Mapping[str, Rendered], folder: Path) -> None:
    """Write the files NAME.SUFFIX of every figure into `folder`."""
    for name, files in rendered.items():
        for suffix, content in files.items():
            write_bytes(Path(folder) / f"{name}.{suffix}", content)
