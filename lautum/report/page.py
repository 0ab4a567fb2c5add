"""The frame of every page: a question with its answer on top, contents, sections. One HTML file, no script, no network.

What a kind of campaign shows is decided by a module of its own, which makes a card and sections out of the parts that
stand here: `campaign_page` is one.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from lautum.files import write_text
from lautum.report import answers, svg
from lautum.report.table_text import NONE

HERE = Path(__file__).parent
ANSWER = "answer"  # anchor of the card


class Section(NamedTuple):
    id: str  # anchor; `write` adds a number where the page has it already, as of a task that is called "data"
    heading: str
    html: Markup
    folded: bool = False  # shown on demand


class Tile(NamedTuple):
    """A page in a list of pages."""

    href: str
    name: str
    title: str
    line: str
    thumbnail: str = ""  # address of a picture


def write(
    path: Path,
    *,
    title: str,
    question: str,
    line: str,
    card: Markup,
    sections: Sequence[Section],
    about: str = "",
    notices: Sequence[str] = (),
    thumbnail: str = "",
) -> Path:
    """Write a page, and beside it card.json with what a list of pages says of it; returns `path`.

    Args:
        title: what the page is about, in a line.
        question: what was asked: the heading of the card.
        line: the answer in one sentence, without markup.
        card: the answer: sentences, the decisive figure, a small table.
        sections: in order; with more than one the page has contents.
        about: what its campaign says of itself, before the answer here and in a list.
        notices: what a reader must know before any number, e.g. that runs are missing.
        thumbnail: name of a picture in the folder of the page.

    Raises LautumError when the folder cannot be written to.
    """
    html = _html(
        title=title,
        question=question,
        line=line,
        card=card,
        sections=_with_own_ids(sections),
        about=about,
        notices=notices,
        up="../index.html" if (path.parent.parent / "index.html").exists() else None,
    )
    write_text(path, html)
    tile = {"title": title, "line": f"{about} {line}".lstrip(), "thumbnail": thumbnail}
    write_text(path.with_name("card.json"), json.dumps(tile, indent=1, ensure_ascii=False) + "\n")
    return path


def _with_own_ids(sections: Sequence[Section]) -> list[Section]:
    taken, named = {ANSWER}, []
    for section in sections:
        number, name = 2, section.id
        while name in taken:
            number, name = number + 1, f"{section.id}-{number}"
        taken.add(name)
        named.append(section._replace(id=name))
    return named


def write_list(path: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write a page that leads to others, as `write` does; returns `path`."""
    html = _html(title=title, line=title, question=None, card=None, sections=sections, about="", notices=[], up=None)
    write_text(path, html)
    return path


def table(head: Sequence[str], rows: Iterable[Sequence], caption: str = "", kind: str = "") -> Markup:
    """A table; the first cell of a row names it, and a row of one cell is the heading of those below it.

    `kind` "whole" sets it small: all columns of something of which the page shows a few.
    """
    rows = list(rows)
    return parts().table(head, rows, caption, kind) if rows else Markup('<p class="missing">Nothing to show yet.</p>')


def data_frame(frame: pd.DataFrame, caption: str = "") -> Markup:
    """All of a data frame: texts as they stand, numbers with up to four digits, a dash for what is not known."""
    return table(list(frame.columns), _texts(frame).itertuples(index=False), caption, "whole")


def picture(figure: Figure, name: str, text: str, caption: str = "") -> Markup:
    """A figure with its caption; `name` and `text` as in `svg.embed`."""
    return parts().picture(svg.embed(figure, name, text), caption)


def verdict(word: str, symbol: str, kind: str) -> Markup:
    """A word with its symbol in the colour of its kind, "good", "bad" or "open"; colour alone says nothing."""
    return parts().verdict(word, symbol, kind)


def word(verdict: str) -> Markup | str:
    """A verdict of `answers.LOOKS` as it looks there, a dash for any other."""
    return parts().verdict(*answers.LOOKS[verdict]) if verdict in answers.LOOKS else NONE


def small(text: str | Markup) -> Markup:
    """In small letters."""
    return Markup("<small>{}</small>").format(text)


def join(*pieces: Markup) -> Markup:
    """Pieces of a page, one after the other."""
    return Markup("\n").join(pieces)


def parts() -> Any:
    """The macros of parts.html.j2: table, picture, definitions, paragraphs, bullets, subsection, folded, tiles, ..."""
    return _environment().get_template("parts.html.j2").module


def _html(**content) -> str:
    style = Markup((HERE / "page.css").read_text(encoding="utf-8").rstrip())
    return _environment().get_template("page.html.j2").render(style=style, **content)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _texts(frame: pd.DataFrame) -> pd.DataFrame:
    texts = frame.map(lambda value: format(value, ".4g") if isinstance(value, float) else str(value))
    return texts.where(frame.notna(), NONE)
