"""The code digest in a result's key moves with the code it depends on, and with nothing else."""

import shutil

import pytest

from lautum.experiment import digest
from lautum.objectives.settings import PRETRAIN, TRANSFER


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the sources that may be edited."""
    copy = tmp_path / "lautum"
    shutil.copytree(provenance.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    provenance.code_digest.cache_clear()
    yield copy
    provenance.code_digest.cache_clear()


def digests() -> dict[str, str]:
    provenance.code_digest.cache_clear()
    return {name: provenance.code_digest(f"lautum.objectives.{name}", "lautum.pipeline.stages") for name in (*PRETRAIN, *TRANSFER)}


def moved(before: dict[str, str]) -> set[str]:
    return {name for name, digest in digests().items() if digest != before[name]}


def edit(path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_comments_docstrings_and_layout_do_not_count(package):
    before = digests()
    edit(package / "mmd.py", '"""Multi-kernel', '"""The multi-kernel')
    edit(package / "training.py", "    first = 0\n", "    first = (  # where to begin\n        0\n    )\n")
    assert moved(before) == set()


# All that take a Lautum or mutual information.
LAUTUM = {name for name in (*PRETRAIN, *TRANSFER) if "lautum" in name} | {"mutual_information"}


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("mmd.py", "1e-6, 1e-5", "2e-6, 1e-5", {"mk_mmd"}),
        ("information.py", ".square().sum()", ".abs().sum()", LAUTUM),
        ("regularizer.py", "+ 1e-12", "+ 1e-11", LAUTUM),
        ("objectives/two_stream.py", "return 0 *", "return 1 *", LAUTUM | {"mk_mmd", "entropy"}),
        ("objectives/source_only.py", ", 0.9", ", 0.8", {*PRETRAIN, "supervised_lautum"}),
        ("objectives/supervised.py", ", 0.9", ", 0.8", {"supervised", "supervised_lautum", "supervised_all_labels"}),
        ("optimiser.py", "eps: float = 1e-8", "eps: float = 1e-7", {*PRETRAIN, *TRANSFER}),
        ("networks.py", "dropout=0.5", "dropout=0.4", {*PRETRAIN, *TRANSFER}),
        ("stages.py", "drawn.unlabelled", "drawn.labelled", {*PRETRAIN, *TRANSFER}),
        ("figures.py", "import", "import os\nimport", set()),
        ("tables.py", "import", "import os\nimport", set()),
        ("cli.py", "import", "import os\nimport", set()),
    ],
)
def test_an_edit_moves_what_depends_on_it(package, name, old, new, expected):
    before = digests()
    edit(package / name, old, new)
    assert moved(before) == expected
