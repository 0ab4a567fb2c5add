"""The code digest in a result's key: it moves with the code that computes, with nothing else, on every Python alike."""

import re
import shutil

import pytest

from lautum.experiment import digest
from lautum.experiment.layout import TRAINING
from lautum.objectives import PRETRAIN, TRANSFER

ALL = {*PRETRAIN, *TRANSFER}
# All that take a Lautum or mutual information.
LAUTUM = {name for name in ALL if "lautum" in name} | {"mutual_information"}


def forget() -> None:
    """Sources are read once in a process."""
    for remembered in (digest.code_digest, digest._module, digest._bound):
        remembered.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the sources that may be edited."""
    copy = tmp_path / "lautum"
    shutil.copytree(digest.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digest, "PACKAGE", copy)
    forget()
    yield copy
    forget()


def digests() -> dict[str, str]:
    digest.code_digest.cache_clear()
    found = {name: digest.code_digest(f"lautum.objectives.{name}", TRAINING) for name in ALL}
    others = {"split": "lautum.pipeline.split", "record": "lautum.pipeline.evaluate"}
    return found | {name: digest.code_digest(module) for name, module in others.items()}


def moved(before: dict[str, str]) -> set[str]:
    return {name for name, value in digests().items() if value != before[name]}


TWO_STREAM = LAUTUM | {"mk_mmd", "entropy"}
EVALUATED = ALL | {"record"}
LOADING = EVALUATED | {"split"}
# What an edit of a module moves; modules that are not named here must move nothing.
DEPENDENTS = {
    "mmd": {"mk_mmd"},
    "information": LAUTUM,
    "regularizer": LAUTUM,
    "averaging": LAUTUM,
    "precision": LAUTUM | {"mk_mmd"},
    "seeds": EVALUATED,
    "data/__init__": LOADING,
    "data/splits": LOADING,
    "data/transforms": EVALUATED,
    "training/__init__": EVALUATED,
    "training/architectures": EVALUATED,
    "training/batches": ALL,
    "training/checkpoint": EVALUATED,
    "training/device": EVALUATED,
    "training/loop": ALL,
    "training/network_file": EVALUATED,
    "training/networks": EVALUATED,
    "training/objective": ALL,
    "training/optimiser": ALL,
    "training/torchvision_networks": EVALUATED,
    "pipeline/__init__": LOADING,
    "pipeline/evaluate": {"record"},
    "pipeline/loading": LOADING,
    "pipeline/split": {"split"},
    "pipeline/train": ALL,
    "objectives/__init__": ALL,
    "objectives/settings": ALL,
    "objectives/two_stream": TWO_STREAM,
    "objectives/source_only": {"source_only"} | TWO_STREAM,
    "objectives/lautum": LAUTUM,
    "objectives/supervised": {"supervised", "supervised_lautum", "supervised_all_labels"},
    **{f"objectives/{name}": {name} for name in ALL - {"source_only", "lautum", "supervised"}},
}


def test_an_edit_moves_what_depends_on_the_module_and_nothing_else(package, monkeypatch):
    before, found = digests(), {}
    # All modules but the edited one are read once.
    read, known = digest._module.__wrapped__, {}

    def module(name: str) -> tuple:
        if name not in known:
            known[name] = read(name)
        return known[name]

    with monkeypatch.context() as patch:
        patch.setattr(digest, "_module", module)
        for path in sorted(package.rglob("*.py")):
            text, place = path.read_text(), path.relative_to(package).with_suffix("")
            edited = ".".join(["lautum", *(part for part in place.parts if part != "__init__")])
            path.write_text(text + "\nEDITED = 1\n")
            known.pop(edited, None)
            if changed := moved(before):
                found[place.as_posix()] = changed
            path.write_text(text)
            known.pop(edited, None)
    assert found == DEPENDENTS


MODULE = '''
"""A module."""


def half(x: float, name: str) -> float:
    """Half of x."""
    if x < 0:
        raise ValueError(f"{name} is {x}, which is below 0")
    print("halving", x)
    return x / 2  # exact


def read(path, what="a file", remedy: str = "run again"):
    assert path, "there must be a path"
    return open(path, what="the file", remedy="look again")


class Settings(Base):
    """Settings."""

    rate: float = setting(1e-3, "per step", "chosen: usual", "a rate", gt=0)
    fixed: ClassVar[bool] = True
'''


def digest_of(package, text: str) -> str:
    (package / "sample.py").write_text(text, encoding="utf-8")
    forget()
    return digest.code_digest("lautum.sample")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""One module."""'),
        ('"""Half of x."""', ""),
        ("  # exact", "  # without any error"),
        ("return x / 2", "return (\n        x / 2\n    )"),
        ("x: float, name: str) -> float", "x, name)"),
        ("which is below 0", "it must not be negative"),
        ('raise ValueError(f"{name} is {x}, which is below 0")', 'raise ValueError("negative") from None'),
        ('    print("halving", x)\n', ""),
        ("1e-3", "1e-2"),  # a default: the value that is used is in the key by itself
        ("chosen: usual", "inferred: from the text"),
        ("there must be a path", "no path"),
        ("look again", "make it again"),
        ('"run again"', '"start again"'),
        ('what="a file"', 'what="this"'),
    ],
)
def test_what_only_talks_moves_nothing(package, old, new):
    assert old in MODULE
    assert digest_of(package, MODULE) == digest_of(package, MODULE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"), [("x / 2", "x / 3"), ("x < 0", "x <= 0"), ("ValueError", "OSError"), ("= True", "= False")]
)
def test_what_computes_moves_it(package, old, new):
    assert old in MODULE
    assert digest_of(package, MODULE) != digest_of(package, MODULE.replace(old, new))


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
        "from lautum.room.starred import value",
        "from lautum.room.starred import replaced",
        "from lautum.room import starred\nvalue = starred.value",
        "from lautum.hall import *",
    ],
)
def test_every_way_of_importing_is_followed(package, statement):
    (package / "extra.py").write_text("value = 1\n")
    (package / "room").mkdir()
    (package / "room/__init__.py").write_text(
        "from lautum.extra import value\nfrom lautum.extra import value as renamed\n"
    )
    (package / "room/inside.py").write_text("from lautum.extra import value\n")
    (package / "room/starred.py").write_text(
        "from lautum.seeds import generator as replaced\nfrom lautum.extra import *\n"
    )
    (package / "hall").mkdir()
    (package / "hall/__init__.py").write_text("__all__ = ['inside']\n")
    (package / "hall/inside.py").write_text("from lautum.extra import value\n")
    (package / "objectives/mine.py").write_text(statement + "\n")
    found = []
    for number in (1, 2):
        (package / "extra.py").write_text(f"value = {number}\n")
        forget()
        found.append(digest.code_digest("lautum.objectives.mine"))
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from lautum.extra import first as value", "from lautum.extra import second as value"),
        (
            "try:\n    from lautum.extra import value\nexcept ImportError:\n    from lautum.passed import value",
            "try:\n    from lautum.other import value\nexcept ImportError:\n    from lautum.passed import value",
        ),
    ],
)
def test_what_a_name_stands_for_is_in_the_digest_where_another_module_decides_it(package, one, other):
    (package / "extra.py").write_text("first, second, value = 1, 2, 3\n")
    for name in ("other", "passed"):
        (package / f"{name}.py").write_text("value = 4\n")
    (package / "objectives/mine.py").write_text("from lautum.passing import value\n")
    found = []
    for text in (one, other):
        (package / "passing.py").write_text(f"{text}\n")
        forget()
        found.append(digest.code_digest("lautum.objectives.mine"))
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from lautum.mmd import *", "value"),
        ("from math import *", "sqrt"),
        ("import xml.dom", "xml"),
        ("", "__file__"),
    ],
)
def test_a_name_that_no_definition_or_import_of_it_gives_is_the_module_s_own(package, text, name):
    (package / "extra.py").write_text(text + "\n")
    (package / "objectives/mine.py").write_text(f"from lautum.extra import {name}\n")
    digest.code_digest("lautum.objectives.mine")
    assert digest._module("lautum.objectives.mine")[1][0] == "lautum.extra"


def test_an_expression_that_is_too_long_is_refused_also_where_a_name_is_taken_from_beside_it(package):
    (package / "extra.py").write_text(f"value = {' + '.join(['1'] * 1200)}\n")
    (package / "objectives/mine.py").write_text("from lautum.extra import value\n")
    with pytest.raises(ImportError, match="an expression in lautum.extra is too long; split it"):
        digest.code_digest("lautum.objectives.mine")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import lautum.nothing", "lautum.objectives.mine imports lautum.nothing, which does not exist"),
        ("from lautum.nothing import value", "lautum.objectives.mine imports lautum.nothing, which does not exist"),
        ("from lautum.mmd import nothing", "lautum.objectives.mine imports 'nothing' of lautum.mmd, which has no such"),
        ("from lautum import nothing", "lautum.objectives.mine imports 'nothing' of lautum, which has no such"),
        ("import lautum\nvalue = lautum.nothing.value", "imports 'nothing' of lautum, which has no such name"),
        ("from importlib import import_module as load\nload(name)", "line 1: an import by a computed name"),
        ("import importlib.util", "line 1: an import by a computed name"),
        ("value = __import__(name)", "line 1: an import by a computed name"),
        ("from lautum.extra import inner", "lautum.objectives.mine imports 'inner' of lautum.extra, which has no such"),
    ],
)
def test_what_cannot_be_followed_is_refused(package, statement, message):
    (package / "extra.py").write_text("def function():\n    inner = 1\n")
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


SAMPLE_DIGEST = "8dfd49d1a142d5c929315243464d1e35bcc80aefc56511d03ca16343a6cf299c"


def test_the_digest_of_a_fixed_sample_is_the_same_on_every_python(package):
    """Written down here: whichever version runs the tests must find it."""
    assert digest_of(package, SAMPLE) == SAMPLE_DIGEST
