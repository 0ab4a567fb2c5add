"""A page read back, with the rules that hold for every page: `Page`."""

import re
from html.parser import HTMLParser

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Page(HTMLParser):
    """Text outside <style>, tags with their attributes, tables, and whether every element was closed in order."""

    VOID = {"meta", "img", "br"}

    def __init__(self, html: str):
        super().__init__()
        self.html = html
        self.text, self.tags, self.open = "", [], []
        self.headings: list[tuple[int, str]] = []
        self.tables: list[dict] = []  # columns, rows of cells, and whether the table can be scrolled and is folded
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag in HEADINGS:
            self.headings.append((int(tag[1]), ""))
        if tag == "table":
            inside = [name for name, _ in self.open]
            scrolls = any(name == "div" and "scroll" in (given.get("class") or "") for name, given in self.open)
            self.tables.append({"head": [], "rows": [], "scrolls": scrolls, "folded": "details" in inside})
        if tag == "tr":
            self.tables[-1]["rows"].append([])
        if tag in ("th", "td"):
            self.tables[-1]["rows"][-1].append("")
            if tag == "th":
                assert attributes["scope"] in ("col", "row", "rowgroup")
        if tag not in self.VOID:
            self.open.append((tag, attributes))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        inside = [name for name, _ in self.open]
        if not inside or inside[-1] == "style":
            return
        self.text += " ".join(data.split()) + "\n"
        if any(name in HEADINGS for name in inside):
            level, text = self.headings[-1]
            self.headings[-1] = level, text + data
        if "td" in inside or "th" in inside:
            self.tables[-1]["rows"][-1][-1] += " ".join(data.split()) + " "

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]

    def require_accessible(self) -> None:
        """What can be told without a browser: one title, headings in order, ids and anchors, texts of pictures.

        And that nothing unknown is shown as a number.
        """
        assert "nan" not in re.findall(r"\w+", self.text.lower())
        levels = [level for level, _ in self.headings]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
        assert all(text.strip() for _, text in self.headings)
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(set(ids)) == len(ids)
        for link in self.all("a"):
            if link["href"].startswith("#"):
                assert link["href"][1:] in ids
        for picture in self.all("svg"):
            assert picture["role"] == "img" and len(picture["aria-label"]) > 20
        assert all("alt" in picture for picture in self.all("img"))
        assert all(table["scrolls"] for table in self.tables)
        assert self.all("html") == [{"lang": "en"}] and len(self.all("main")) == 1
        assert '<meta name="viewport"' in self.html
