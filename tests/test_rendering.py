"""The committed reports come out again byte for byte, with the versions that constraints.txt names."""

import re
import shutil
from importlib import metadata
from pathlib import Path

import committed
import pytest

from lautum.experiment import config
from lautum.experiment.layout import Layout
from lautum.report import campaign, index_page, selection_page, universes_page

ROOT = Path(__file__).parent.parent
PINNED = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))


def test_what_rendering_rests_on_is_installed_as_pinned():
    assert {"matplotlib", "numpy", "pandas", "scipy", "pillow", "fonttools", "Jinja2"} <= set(PINNED)
    assert {name: metadata.version(name) for name in PINNED} == PINNED, "`make` installs what constraints.txt names"
    needed = {
        re.match(r"[\w-]+", requirement)[0].lower()
        for name in ("matplotlib", "pandas", "Jinja2")
        for requirement in metadata.requires(name) or ()
        if "extra ==" not in requirement and "sys_platform" not in requirement
    }
    assert needed - {"tzdata"} <= {name.lower() for name in PINNED}


def copied(tmp_path: Path, name: str) -> Layout:
    """A campaign's layout in a folder of its own, with what its page is made from."""
    layout = Layout(config.load(ROOT / f"config/{name}.yaml"))
    folders = layout.config.folders.model_copy(update={"reports": str(tmp_path)})
    shutil.copytree(ROOT / "reports" / name, tmp_path / name)
    shutil.copy(ROOT / "reports/index.html", tmp_path)
    for path in (tmp_path / name).iterdir():
        if path.suffix in (".html", ".png", ".pdf", ".md", ".tex") or path.name == "card.json":
            path.unlink()
    return Layout(layout.config.model_copy(update={"folders": folders}))


def require_equal(folder: Path, committed: Path) -> None:
    names = {path.name for path in committed.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    assert [name for name in sorted(names) if (folder / name).read_bytes() != (committed / name).read_bytes()] == []


def test_a_campaign_of_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    layout = copied(tmp_path, "fifty-labels")
    campaign.write(layout, "config/fifty-labels.yaml")
    require_equal(tmp_path / "fifty-labels", ROOT / "reports/fifty-labels")


def test_a_search(tmp_path):
    layout = copied(tmp_path, "tuning-cifar10-cifar100-mk_mmd")
    selection_page.write_all(layout, tmp_path / "tuning-cifar10-cifar100-mk_mmd/trials.csv")
    require_equal(tmp_path / "tuning-cifar10-cifar100-mk_mmd", ROOT / "reports/tuning-cifar10-cifar100-mk_mmd")


@pytest.mark.parametrize("name", ["universes-mnist", "universes-cifar"])
def test_a_campaign_over_universes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    universes_page.write_all(copied(tmp_path, name), f"config/{name}.yaml")
    require_equal(tmp_path / name, ROOT / "reports" / name)


def test_the_list_of_all_pages(tmp_path):
    loaded = config.load(ROOT / "config/published.yaml")
    for path in committed.reports("*/card.json"):
        (tmp_path / path.parent.name).mkdir()
        shutil.copy(path, tmp_path / path.parent.name)
    index = index_page.write(tmp_path, loaded.campaigns)
    assert index.read_bytes() == (ROOT / "reports/index.html").read_bytes()


@pytest.mark.parametrize(
    "path",
    [path for name in ("records.csv", "universes.csv") for path in committed.reports(f"*/{name}")],
    ids=lambda path: path.parent.name,
)
def test_every_campaign_with_records_is_in_the_list(path):
    listed = f'href="{path.parent.name}/index.html"' in (ROOT / "reports/index.html").read_text(encoding="utf-8")
    assert listed == path.with_name("index.html").exists()  # an unfinished one has no page yet
