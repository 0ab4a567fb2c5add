"""The list of all pages in a folder of reports: reports/index.html."""

import json
from collections.abc import Sequence
from pathlib import Path

from lautum.errors import LautumError
from lautum.report import page
from lautum.report.page import Section, Tile, parts

STUDIES = ("theorem", "estimator")  # need no data, so no configuration names them


def write(folder: Path, campaigns: Sequence[str]) -> Path:
    """Write `folder`/index.html: a line and a picture of each of `campaigns`, and of the studies, that has a page."""
    lists = [("Campaigns", campaigns), ("Studies", STUDIES)]
    sections = []
    for heading, names in lists:
        tiles = [_tile(folder / name) for name in names if (folder / name / "card.json").exists()]
        if tiles:
            sections.append(Section(heading.lower(), heading, parts().tiles(tiles)))
    return page.write_list(folder / "index.html", "Campaigns and studies", sections)


def _tile(folder: Path) -> Tile:
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        picture = f"{folder.name}/{card['thumbnail']}" if card["thumbnail"] else ""
        return Tile(f"{folder.name}/index.html", folder.name, card["title"], card["line"], picture)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise LautumError(f"{path} is not what a page leaves there; render {folder.name} again") from None
