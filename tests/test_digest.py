"""The code digest in a result's key: it moves with the code that computes, with nothing else, on every Python alike."""

import re
import shutil
from pathlib import Path

import pytest

from lautum.experiment import digest
from lautum.experiment.layout import JOBS
from lautum.objectives import PRETRAIN, TRANSFER

ALL = {*PRETRAIN, *TRANSFER}
# All that take a Lautum or mutual information.
LAUTUM = {name for name in ALL if "lautum" in name} | {"mutual_information"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the sources that may be edited."""
    copy = tmp_path / "lautum"
    shutil.copytree(digest.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "PACKAGE", copy)
    digest.code_digest.cache_clear()
    yield copy
    digest.code_digest.cache_clear()


def digests() -> dict[str, str]:
    digest.code_digest.cache_clear()
    found = {name: digest.code_digest(f"lautum.objectives.{name}", *JOBS) for name in ALL}
    return found | {"split": digest.code_digest("lautum.data.splits")}


def moved(before: dict[str, str]) -> set[str]:
    return {name for name, value in digests().items() if value != before[name]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mmd.py", '"""Multi-kernel', '"""The multi-kernel'),
        (
            "training/loop.py",
            "            run.step += 1\n",
            "            run.step += (  # one more\n                1\n            )\n",
        ),
        ("training/loop.py", "a weight is not finite", "some weight is not finite"),
        ("training/progress.py", "loss {loss:.4f}", "loss {loss:.2f}"),
        ("training/device.py", "sharing the first", "the first is shared"),
        ("pipeline/train.py", "was trained with another version", "comes from another version"),
        ("data/splits.py", "lower the label count", "ask for fewer labels"),
        ("regularizer.py", "lower the rank", "use a lower rank"),
        ("objectives/lautum.py", "averages about 200 batches", "averages some 200 batches"),
        ("objectives/lautum.py", '50, "principal', '60, "principal'),  # a default, which is in the key by itself
        ("objectives/source_only.py", "labels: Tensor)", "labels: torch.Tensor)"),
        ("data/datasets.py", "photographs of 10 classes", "pictures of 10 classes"),
        ("report/figures.py", "import", "import os\nimport"),
        ("report/tables.py", "import", "import os\nimport"),
        ("experiment/config.py", "import", "import os\nimport"),
        ("cli.py", "import", "import os\nimport"),
    ],
)
def test_what_only_talks_moves_nothing(package, name, old, new):
    before = digests()
    edit(package / name, old, new)
    assert moved(before) == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("mmd.py", "1e-6, 1e-5", "2e-6, 1e-5", {"mk_mmd"}),
        ("information.py", ".square().sum()", ".abs().sum()", LAUTUM),
        ("regularizer.py", "+ 1e-12", "+ 1e-11", LAUTUM),
        (
            "objectives/two_stream.py",
            "return 0 *",
            "return 1 *",
            LAUTUM | {"mk_mmd", "entropy"},
        ),
        ("objectives/supervised.py", ", 0.9", ", 0.8", {"supervised", "supervised_lautum", "supervised_all_labels"}),
        ("objectives/supervised_all_labels.py", "= True", "= False", {"supervised_all_labels"}),
        ("training/optimiser.py", "eps: float = 1e-8", "eps: float = 1e-7", ALL),
        ("training/networks.py", "F.max_pool2d(self.conv1(x), 2)", "F.avg_pool2d(self.conv1(x), 2)", ALL),
        ("training/architectures.py", '"dropout": 0.5', '"dropout": 0.4', ALL),
        ("training/device.py", "allow_tf32 = False", "allow_tf32 = True", ALL),
        ("training/device.py", "set_num_threads(threads)", "set_num_threads(2 * threads)", ALL),
        ("training/device.py", 'mode("error")', 'mode("default")', ALL),
        ("data/transforms.py", "self.mean) / self.std", "self.mean) * self.std", ALL),
        ("pipeline/train.py", "drawn.unlabelled", "drawn.labelled", ALL),
        ("pipeline/evaluate.py", "argmax", "argmin", ALL),
        (
            "data/splits.py",
            "labelled.append(members[taken:per_class])",
            "labelled.append(members[:per_class])",
            ALL | {"split"},
        ),
    ],
)
def test_an_edit_moves_what_depends_on_it(package, name, old, new, expected):
    before = digests()
    edit(package / name, old, new)
    assert moved(before) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "import lautum.extra",
        "import lautum.extra as other",
        "from lautum import extra",
        "from lautum.extra import value",
        "from lautum.extra import *",
        "from .. import extra",
        "from ..extra import value",
        "from lautum import room\nvalue = room.inside.value",
        "import lautum\nvalue = lautum.extra.value",
        "from lautum.room import value",
        "from lautum.room import renamed",
        "def later():\n    from lautum import extra",
    ],
)
def test_every_way_of_importing_is_followed(package, statement):
    (package / "extra.py").write_text("value = 1\n")
    (package / "room").mkdir()
    (package / "room/__init__.py").write_text(
        "from lautum.extra import value\nfrom lautum.extra import value as renamed\n"
    )
    (package / "room/inside.py").write_text("from lautum.extra import value\n")
    (package / "objectives/mine.py").write_text(statement + "\n")
    found = []
    for number in (1, 2):
        (package / "extra.py").write_text(f"value = {number}\n")
        digest.code_digest.cache_clear()
        found.append(digest.code_digest("lautum.objectives.mine"))
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import lautum.nothing", "lautum.objectives.mine imports lautum.nothing, which does not exist"),
        ("from lautum.nothing import value", "lautum.objectives.mine imports lautum.nothing, which does not exist"),
        ("from lautum.mmd import nothing", "lautum.objectives.mine imports 'nothing' of lautum.mmd, which has no such"),
        ("from lautum import nothing", "lautum.objectives.mine imports 'nothing' of lautum, which has no such"),
        ("import lautum\nvalue = lautum.nothing.value", "imports 'nothing' of lautum, which has no such name"),
        ("from importlib import import_module\nimport_module(name)", "line 2: an import by a computed name"),
    ],
)
def test_what_cannot_be_followed_is_refused(package, statement, message):
    (package / "objectives/mine.py").write_text(statement + "\n")
    with pytest.raises(ImportError, match=re.escape(message)):
        digest.code_digest("lautum.objectives.mine")
    with pytest.raises(ImportError, match="there is no module lautum.objectives.absent"):
        digest.code_digest("lautum.objectives.absent")


SAMPLE = '''
"""A module with what versions of Python parse, unparse or dump differently."""
from __future__ import annotations
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """Docstring."""

    name: str = "a" f"{'quoted'}" 'b' f"b{1!r:>{10}} {{}} {3.0:.2f}" "c"
    numbers: list = field(default_factory=lambda: [1_000, 0x10, 1e-8, -1j, 1e400])

    async def method(self, *args: int, key: str = "\\u20ac\\U0001F600\\n", **kwargs) -> dict[str, int]:
        with (open("a") as one, open("b") as other):
            x = y = [*args, *(value for value in kwargs.values() if value)]
        match x:
            case [first, *_] if (n := len(first)) > 2:
                return {**kwargs, "n": n}
            case {"a": 1} | None:
                raise ValueError(f"only {key!r} talks") from None
        try:
            await one[1:2, ..., ::3](lambda a, /, b, *, c=1: (a, b, c))
        except* (TypeError, OSError) as error:
            print("talk", error)
        return not (x and y or -x ** 2 @ y // 3 <= 2 != 1), f"""{x=} {'a' "b"}"""  # a comment
'''


SAMPLE_DIGEST = "583f53bae51e57d104f5be47e5360eac361674cf8155fb138f6d798850a0287d"


def test_the_digest_of_a_fixed_sample_is_the_same_on_every_python(package):
    """Written down here: whichever version runs the tests must find it."""
    (package / "sample.py").write_text(SAMPLE, encoding="utf-8")
    assert digest.code_digest("lautum.sample") == SAMPLE_DIGEST
