"""Figures as part of a page: SVG with letters that are letters, and marks that say what they are when pointed at.

The picture is its own static version: it needs no script and no network, prints, and is the same bytes every time.
"""

import hashlib
import re
from collections.abc import Sequence

from markupsafe import Markup, escape
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from lautum.report import style

POINTED_AT = "pointed-at:"  # before the text of a mark, where matplotlib puts its link
FONT = "DejaVu Sans, Verdana, sans-serif"  # the first is what the figures are laid out with


def name_marks(marks: PathCollection, texts: Sequence[str]) -> None:
    """Give each mark of `axes.scatter` the text that shows while it is pointed at; on paper there is none.

    Raises ValueError when there are not as many texts as marks.
    """
    if len(texts) != len(marks.get_offsets()):
        raise ValueError(f"{len(texts)} texts for {len(marks.get_offsets())} marks")
    marks.set_urls([POINTED_AT + text for text in texts])


def embed(figure: Figure, name: str, text: str) -> Markup:
    """A figure as an element of a page.

    `name` is unique on the page; `text` says what is seen, to those who do not see it.
    """
    source = style.render(figure, ["svg"])["svg"].decode()
    box = re.search(r'viewBox="([^"]*)"', source)
    assert box is not None, "matplotlib writes one"
    body = _condensed(_with_own_ids(_smaller(source[source.index("<g id=") :]), name))
    # The link becomes a title: <a xlink:href="pointed-at:TEXT" target="_blank">...</a>
    body = re.sub(rf"""<a xlink:href=(["']){POINTED_AT}(.*?)\1[^>]*>""", r"<g class='mark'><title>\2</title>", body)
    body = body.replace("</a>", "</g>")
    label = escape(text)
    return Markup(
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" role="img" aria-label="{label}" '
        f'style="stroke-linejoin:round;font-family:{FONT}">{body}'
    )


def _smaller(body: str) -> str:
    """Hundredths of a point are enough, no font list in every word, no spaces that say nothing."""
    body = re.sub(r"<!--.*?-->\s*", "", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"(font: [0-9.]+px) '[^;\"]*", rf"\1 {FONT}", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    body = re.sub(r' (d|x|y|width|height|transform)="([^"]*)"', _rounded, body)
    body = re.sub(r' d="[^"]*"', lambda match: " " + re.sub(r" ?([MLQCz]) ?", r"\1", match[0][1:]), body)
    body = re.sub(r' style="[^"]*"', lambda match: re.sub(r"([:;]) ", r"\1", match[0]), body)
    return re.sub(r">\s+<", "><", body)


def _rounded(attribute: re.Match) -> str:
    value = re.sub(r"-?\d+\.\d{3,}", lambda match: f"{round(float(match[0]), 2):g}", " ".join(attribute[2].split()))
    return f' {attribute[1]}="{value}"'


def _with_own_ids(body: str, name: str) -> str:
    """Only what is referred to keeps its id, a short one that no other figure of the page has."""
    prefix = f"f{hashlib.sha256(name.encode()).hexdigest()[:6]}-"
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    short = {old: f"{prefix}{number}" for number, old in enumerate(used)}
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{short[match[1]]}"' if match[1] in short else "", body)
    return re.sub(r'(href="#|url\(#)([^")]+)', lambda match: match[1] + short[match[2]], body)


def _condensed(body: str) -> str:
    """The same picture in fewer elements: no bare groups, lines joined, no style on a reference that its target has."""
    body = re.sub(r'(?:<path d="[^"]*"[^>]*/>){2,}', _joined, _without_bare_groups(body))
    styles = dict(re.findall(r'<path id="([^"]*)"[^>]* style="([^"]*)"/>', body))
    return re.sub(
        r'(<use xlink:href="#([^"]*)"[^>]*) style="([^"]*)"/>',
        lambda match: f"{match[1]}/>" if styles.get(match[2]) == match[3] else match[0],
        body,
    )


def _without_bare_groups(body: str) -> str:
    """Without groups that say nothing of their content, or are closed as soon as they are opened."""
    kept, said = [], []
    for part in re.split(r"(<g(?: [^>]*)?>|</g>)", re.sub(r"<g(?: [^>]*)?/>", "", body)):
        if part.startswith("<g"):
            said.append(part != "<g>")
        if part == "<g>" or (part == "</g>" and not said.pop()):
            continue
        kept.append(part)
    return "".join(kept)


def _joined(paths: re.Match) -> str:
    """Lines in a row that are drawn alike become one; what shines through would look different where it crosses."""
    joined: list[list[str]] = []
    for line, look in re.findall(r'<path d="([^"]*)"([^>]*)/>', paths[0]):
        if joined and joined[-1][1] == look and "fill:none" in look and "opacity" not in look:
            joined[-1][0] += line
        else:
            joined.append([line, look])
    return "".join(f'<path d="{line}"{look}/>' for line, look in joined)
