"""The one style of all figures, and how they are written.

Figures are built without pyplot. Importing this module takes matplotlib's settings back to those that it was shipped
with: fonts, sizes or TeX of a user's matplotlibrc would make other figures, or none. A method looks the same in every
figure of every campaign. Colours have a contrast of 3:1 with white at least; marker and line style tell methods apart
in grey and with every kind of colour vision.
"""

import io
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter
from PIL import Image

from lautum.files import write_bytes

matplotlib.rcdefaults()


class Style(NamedTuple):
    colour: str
    marker: str
    line: str


# The first colours are Okabe & Ito's (2008), the rest after Tol's, all of them darkened where they were too pale.
METHOD_STYLES = {
    "standard": Style("#000000", "o", "-"),
    "temporal_ensembling": Style("#00856A", "s", "--"),
    "mk_mmd": Style("#0072B2", "^", "-."),
    "lautum": Style("#C44E00", "D", "-"),
    "mutual_information": Style("#882255", "v", ":"),
    "lautum_features": Style("#7A6A00", "P", "--"),
    "lautum_post": Style("#B5507E", "X", "-."),
    "lautum_shuffled": Style("#332288", "<", "--"),
    "lautum_source": Style("#1F7F95", ">", "-."),
    "entropy": Style("#117733", "h", ":"),
    "target_only": Style("#6E6E6E", "p", "--"),
    "all_target_labels": Style("#8B5A2B", "d", "-"),
    "temporal_ensembling_unweighted": Style("#A01F2D", "$0$", ":"),
}
STYLES = list(METHOD_STYLES.values())  # for lines that are no methods
# For methods of one's own, in the order of the configuration; the colours of the paper's four come after all others.
OTHER_STYLES = [
    Style(STYLES[number % len(STYLES)].colour, f"${letter}$", STYLES[number % 5].line)
    for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", start=4)
]
WIDTH = 4.8  # inches; wider, and the letters would be too small on a phone
DPI = 160
# Of a palette, without and with pictures among what is drawn: a third of the bytes of a file with all colours, or less.
PNG_COLOURS = (64, 256)
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}, "svg": {"Date": None}}
FORMATS = {
    # What would make equal figures differ in their bytes: random identifiers in the SVG.
    "svg.hashsalt": "lautum",
    # Letters as letters: they can be searched and read aloud, and depend on no version of a font library.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType; publishers refuse Type 3
}

Rendered = dict[str, bytes]  # a figure's files by suffix


def method_style(method: str, methods: Sequence[str]) -> Style:
    """How a method is drawn; `methods` are all of the campaign, among which those of one's own get the styles left."""
    if method in METHOD_STYLES:
        return METHOD_STYLES[method]
    own = [name for name in dict.fromkeys(methods) if name not in METHOD_STYLES]
    return OTHER_STYLES[own.index(method) % len(OTHER_STYLES)]


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


def add_grid(axes: Axes, axis: str = "both") -> None:
    """Pale lines behind everything else."""
    axes.grid(axis=axis, color="0.9")
    axes.set_axisbelow(True)


def render(figure: Figure, suffixes: Sequence[str] = ("png", "pdf")) -> Rendered:
    """A figure as PNG, PDF (TrueType) or SVG, without date or random identifiers: equal figures give equal bytes."""
    files = {}
    with matplotlib.rc_context(FORMATS):
        _take_at_its_word(figure)
        # Laid out once: each further layout would begin where the last one ended and end elsewhere in the last digit.
        # And with a layout engine, even one that does nothing, every file would be drawn twice.
        if figure.get_layout_engine():
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        for suffix in suffixes:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=DPI, metadata=METADATA[suffix])
            colours = PNG_COLOURS[any(axes.images for axes in figure.axes)]
            files[suffix] = _with_palette(buffer, colours) if suffix == "png" else buffer.getvalue()
    return files


def write(figures: Mapping[str, Figure], folder: Path, suffixes: Sequence[str] = ("png", "pdf")) -> None:
    """Write the files NAME.SUFFIX of every figure into `folder`."""
    for name, figure in figures.items():
        for suffix, content in render(figure, suffixes).items():
            write_bytes(Path(folder) / f"{name}.{suffix}", content)


def _take_at_its_word(figure: Figure) -> None:
    """A dollar in a title or a class is a dollar: only the powers along a logarithmic axis are mathematics."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis in figure.findobj(Axis):
        if isinstance(axis.get_major_formatter(), LogFormatter):
            for tick in axis.findobj(Tick):
                tick.label1.set_parse_math(True)


def _with_palette(png: io.BytesIO, colours: int) -> bytes:
    output = io.BytesIO()
    with Image.open(png) as image:
        small = image.convert("RGB").quantize(colours, kmeans=2, dither=Image.Dither.NONE)
        small.save(output, format="png", optimize=True, dpi=(DPI, DPI))
    return output.getvalue()
