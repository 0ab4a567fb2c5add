"""Objectives, networks and data sets from outside: named, checked and keyed as the built-in ones are."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from lautum.data import datasets
from lautum.errors import LautumError
from lautum.experiment import config, digest
from lautum.experiment.layout import Cell, Layout
from lautum.files import sha256_of_arrays
from lautum.pipeline import train
from lautum.pipeline.split import split

ROOT = Path(__file__).parent.parent
GRID = {"tasks": ["digits-letters"], "methods": ["standard"], "seeds": 1}
OBJECTIVE = '''
"""An objective."""

from lautum.objectives import supervised
from lautum.objectives.settings import setting


class Settings(supervised.Settings):
    """As supervised, with a factor."""

    factor: float = setting(2.0, "times", "chosen: for the test", "factor of the loss", gt=0)


class Objective(supervised.Objective):
    """A multiple of the cross-entropy."""

    def step(self, step):
        loss, images, scalars = super().step(step)
        return type(super().step(step))(self.settings.factor * loss, images, scalars)
'''
TWO_STREAM = (ROOT / "lautum/starts/my_objective.py").read_text()
NETWORK = """
from torch import nn

from lautum.training import networks


class Network(networks.Network):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        channels, height, width = image_shape
        self.linear = nn.Linear(channels * height * width, 8)
        self.head = nn.Linear(8, num_classes)

    def body(self, x):
        return self.linear(x.flatten(1)).relu()
"""
DATA_SET = """
import numpy as np

from lautum.data.datasets import DataSet, Parts


def _read(downloads, offline):
    images = np.arange(60 * 256, dtype=np.int64).reshape(60, 1, 16, 16).astype(np.uint8)
    examples = images, np.arange(60) % 3
    return Parts(examples, examples, ("a", "b", "c"), "counted")


DATA_SET = DataSet("Counted", (1, 16, 16), ("a", "b", "c"), _read)
"""


def campaign(folder: Path, *plugins: str, **values) -> Path:
    """A configuration in `folder` with these plugins and a method of the objective `mine`."""
    values = {
        "extends": str(ROOT / "config/config.yaml"),
        "name": "mine",
        "plugins": list(plugins),
        "methods": {"mine": {"pretrain": "source_only", "transfer": "mine2"}},
        "grid": {"tasks": ["digits-letters"], "methods": ["standard", "mine"], "seeds": 1},
        "comparisons": [],
    } | values
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def keys(folder: Path, *plugins: str, **values) -> dict[str, tuple[str, ...]]:
    """The keys of both methods."""
    layout = Layout(config.load(campaign(folder, *plugins, **values)))
    names = "pretrain_key", "transfer_key", "record_key", "settings_key"
    return {
        method: tuple(getattr(layout, name)("digits-letters", method, 50) for name in names)
        for method in ("standard", "mine")
    }


def test_a_file_beside_the_configuration_brings_an_objective(tmp_path):
    write(tmp_path, mine2=OBJECTIVE)
    task = {"transfer": {"steps": 7}, "methods": {"mine": {"transfer": {"factor": 3}}}}
    path = campaign(tmp_path, "mine2.py", tasks={"digits-letters": task})
    settings = config.load(path).transfer_settings("digits-letters", "mine")
    assert (settings.factor, settings.steps) == (3, 7)
    rows = [row for row in config.hyper_parameters(path) if (row["method"], row["name"]) == ("mine", "factor")]
    assert [(row["objective"], row["value"], row["unit"]) for row in rows] == [("mine2", 3, "times")]


def test_paths_are_relative_to_the_file_that_names_them(tmp_path, monkeypatch):
    write(tmp_path / "base", mine2=OBJECTIVE)
    campaign(tmp_path / "base", "mine2.py")
    (tmp_path / "other.yaml").write_text("extends: base/campaign.yaml\nname: other\n")
    monkeypatch.chdir(tmp_path / "base")
    assert config.load("../other.yaml").catalogue.objectives["mine2"]


@pytest.mark.parametrize("path", ["~/mine2.py", "$HOME/mine2.py", "${HOME}/$NAMED.py", "$NAMED.py"])
def test_paths_may_name_the_home_and_variables(path, tmp_path, monkeypatch):
    write(tmp_path, mine2=OBJECTIVE)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NAMED", "mine2")
    assert config.load(campaign(tmp_path, path)).catalogue.objectives["mine2"]


def test_what_is_wrong_with_a_value_is_said_as_for_a_built_in_objective(tmp_path):
    write(tmp_path, mine2=OBJECTIVE)
    for value, message in (
        ({"factr": 1}, "unknown key 'factr'; did you mean 'factor'?"),
        ({"factor": 0}, "factor: Input should be greater than 0, got 0"),
    ):
        task = {"methods": {"mine": {"transfer": value}}}
        with pytest.raises(LautumError, match=re.escape(message)):
            config.load(campaign(tmp_path, "mine2.py", tasks={"digits-letters": task}))
    with pytest.raises(LautumError, match="unknown transfer objective 'mine2'"):
        config.load(campaign(tmp_path))


CHECK = """
    @model_validator(mode="after")
    def _sound(self):
        return self if self.facter else None
"""


def test_a_mistake_in_a_check_of_a_plugin_is_told_with_its_place(tmp_path):
    checked = OBJECTIVE.replace("\n\nclass Objective", f"{CHECK}\n\nclass Objective", 1)
    write(tmp_path, mine2=f"from pydantic import model_validator\n{checked}")
    message = r"mine2.py, line \d+: AttributeError: .*'facter'"
    with pytest.raises(LautumError, match=message):
        config.load(campaign(tmp_path, "mine2.py"))
    space = {"mine": {"transfer": {"factor": {"low": 1.0, "high": 2.0, "source": "chosen: x"}}}}
    drawn = {
        "grid": {"tasks": ["digits-letters"], "methods": ["mine"], "seeds": [1000]},
        "comparisons": [],
        "search": {"trials": 2, "rungs": [1], "space": space},
        "evaluate": {"part": "validation", "validation_images": 100},
    }
    with pytest.raises(LautumError, match=message):
        config.load(campaign(tmp_path, "mine2.py", **drawn))


@pytest.mark.parametrize("name", ["value", "source"])
def test_a_setting_with_a_name_that_configurations_take_is_refused(name, tmp_path):
    write(tmp_path, mine2=OBJECTIVE.replace("factor", name))
    with pytest.raises(LautumError, match=f"mine2.py: Settings.{name}: .*choose another"):
        config.load(campaign(tmp_path, "mine2.py"))


def listed(annotation: str, default: str) -> str:
    """An objective with a setting of several values."""
    setting = f'    widths: {annotation} = setting({default}, "units", "chosen: for the test", "several values")\n'
    return OBJECTIVE.replace("\n\nclass Objective", f"{setting}\n\nclass Objective")


@pytest.mark.parametrize("annotation", ["tuple[int, ...] | None", "list[int] | tuple[int, ...] | None"])
def test_a_setting_that_is_a_tuple_takes_a_list(annotation, tmp_path):
    write(tmp_path, mine2=listed(annotation, "(3, 4)"))
    for widths in ([5, 6], None):
        task = {"methods": {"mine": {"transfer": {"widths": widths}}}}
        loaded = config.load(campaign(tmp_path, "mine2.py", tasks={"digits-letters": task}))
        assert loaded.transfer_settings("digits-letters", "mine").widths == (widths and tuple(widths))


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        ("list[int]", "[3, 4]"),
        ("list", "[3, 4]"),
        ("list[int] | None", "None"),
        ("tuple[list[int], ...]", "()"),
        ("set[int]", "{3}"),
        ("frozenset[int]", "frozenset()"),
    ],
)
def test_a_setting_that_no_list_of_a_configuration_can_be_is_refused(annotation, default, tmp_path):
    write(tmp_path, mine2=listed(annotation, default))
    says = f"Settings.widths must be a tuple, such as tuple[int, ...], for a configuration to set it, got {annotation}"
    with pytest.raises(LautumError, match=re.escape(says)):
        config.load(campaign(tmp_path, "mine2.py"))


HELPED = OBJECTIVE.replace("self.settings.factor *", "helpers.twice(self.settings.factor) *").replace(
    "from lautum.objectives import", "from . import helpers\nfrom lautum.objectives import"
)


def test_the_code_of_a_plugin_and_of_what_it_imports_beside_it_is_in_the_keys_of_what_uses_it(tmp_path):
    variants = {
        "first": {"mine2": HELPED, "helpers": "def twice(x):\n    return 2 * x\n"},
        "same": {"mine2": "# a comment\n" + HELPED, "helpers": 'def twice(x):\n    """2 x"""\n    return 2 * x\n'},
        "edited": {"mine2": HELPED.replace("super().step(step)\n", "super().step(step + 0)\n"), "helpers": ""},
        "helper": {"mine2": HELPED, "helpers": "def twice(x):\n    return 3 * x\n"},
    }
    variants["edited"]["helpers"] = variants["first"]["helpers"]
    found = {}
    for name, files in variants.items():
        write(tmp_path / name, **files)
        found[name] = keys(tmp_path / name, "mine2.py")
    first = found["first"]
    assert found["same"] == first
    for name in ("edited", "helper"):
        assert found[name]["standard"] == first["standard"]
        pretrain, transfer, record, settings = found[name]["mine"]
        assert pretrain == first["mine"][0] and settings == first["mine"][3]
        assert transfer != first["mine"][1] and record != first["mine"][2]


@pytest.mark.parametrize(("head", "encoding"), [("", "utf-8-sig"), ("# -*- coding: latin-1 -*-\n", "latin-1")])
def test_a_plugin_may_be_in_any_encoding_that_python_reads_and_its_key_says_nothing_of_it(head, encoding, tmp_path):
    text = OBJECTIVE + "\nNAME = 'é'\n"
    write(tmp_path / "plain", mine2=text)
    (tmp_path / "encoded").mkdir()
    (tmp_path / "encoded/mine2.py").write_bytes((head + text).encode(encoding))
    assert keys(tmp_path / "encoded", "mine2.py") == keys(tmp_path / "plain", "mine2.py")


def test_the_code_of_a_network_is_in_the_keys_of_all_that_have_it(tmp_path):
    found = {}
    for name, text in {"first": NETWORK, "same": NETWORK, "other": NETWORK.replace(".relu()", ".tanh()")}.items():
        write(tmp_path / name, mine2=OBJECTIVE, small=text)
        task = {"network": "small"}
        found[name] = keys(tmp_path / name, "mine2.py", "small.py", tasks={"digits-letters": task})
    assert found["first"] == found["same"]
    for method in ("standard", "mine"):
        *moved, settings = zip(found["first"][method], found["other"][method], strict=True)
        assert all(one != other for one, other in moved) and settings[0] == settings[1]


def test_a_data_set_of_a_plugin_has_files_that_another_of_its_name_cannot_take(tmp_path):
    paths, found = set(), {}
    for name, text in {"first": DATA_SET, "other": DATA_SET.replace("% 3", "// 20")}.items():
        write(tmp_path / name, mine2=OBJECTIVE, counted=text)
        transfer = {"head": "reinitialise"}
        task = {"target": "counted", "label_counts": [30], "transfer": transfer}
        path = campaign(tmp_path / name, "mine2.py", "counted.py", tasks={"digits-letters": task})
        layout = Layout(config.load(path))
        assert layout.config.tasks["digits-letters"].class_count == 3
        paths.add(layout.prepared("counted", "train").name)
        found[name] = [layout.transfer_key("digits-letters", "mine", 30), layout.split("digits-letters", 30, 0)]
    assert len(paths) == 2 and all(re.fullmatch(r"counted-[0-9a-f]{12}-train\.safetensors", path) for path in paths)
    assert all(one != other for one, other in zip(found["first"], found["other"], strict=True))
    assert layout.prepared("letters", "test").name == "letters-test.safetensors"


def test_a_module_of_a_package_is_a_plugin_too(tmp_path, monkeypatch):
    write(tmp_path / "my_methods_of_a_test", __init__="", mine2=HELPED.replace("from . import", "from .sub import"))
    write(tmp_path / "my_methods_of_a_test/sub", helpers="def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded = config.load(campaign(tmp_path, "my_methods_of_a_test.mine2"))
    assert loaded.catalogue.code_of("mine2", "conv16-32-fc128") == ["my_methods_of_a_test.mine2"]
    before = keys(tmp_path, "my_methods_of_a_test.mine2")["mine"]
    for name in [name for name in sys.modules if name.startswith("my_methods_of_a_test")]:
        del sys.modules[name]
    assert keys(tmp_path, "my_methods_of_a_test.mine2")["mine"] == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine2", "x = (\n", "plugin .*mine2.py cannot be read: mine2.py, line 1: '\\(' was never closed"),
        ("mine2", "x = 1\ny = z\n", "mine2.py cannot be imported: mine2.py, line 2: NameError: name 'z' is not"),
        ("mine2", "import nothing_at_all\n", "line 1: ModuleNotFoundError: No module named 'nothing_at_all'"),
        ("mine2", "import sys\nsys.exit()\n", "mine2.py cannot be imported: mine2.py, line 2: SystemExit"),
        ("mine2", "import json\njson.loads('')\n", "mine2.py cannot be imported: mine2.py, line 2: JSONDecodeError: "),
        ("mine2", TWO_STREAM.replace("def term", "def trm"), "mine2.py: Objective must define term"),
        ("mine2", TWO_STREAM.replace("needs_target: ", "needs: "), "so Settings must say `needs_target: ClassVar"),
        ("mine2", "x = 1\n", "mine2.py brings nothing: it must define Settings and Objective, Network, or DATA_SET"),
        ("mine2", "Settings = 1\n", "it must define a class Settings derived from PretrainSettings or Transfer"),
        ("mine2", OBJECTIVE.split("class Objective")[0], "it must define a class Objective derived from"),
        (
            "mine2",
            OBJECTIVE.split("class Objective")[0] + "from lautum.training.objective import Objective\n",
            "Objective must define schedule and step",
        ),
        (
            "mine2",
            OBJECTIVE.replace('setting(2.0, "times", "chosen: for the test", "factor of the loss", gt=0)', "2.0"),
            r"Settings.factor must be declared with setting\(default, unit, source, description\)",
        ),
        ("mine2", OBJECTIVE.replace("chosen: ", ""), "Settings.factor must be declared with .* one of paper, infer"),
        ("mine2", OBJECTIVE + "import importlib\n", "mine2, line .*: an import by a computed name cannot be followed"),
        ("mine2", "class Network:\n    pass\n", "Network must be a class derived from lautum.training.networks.Net"),
        ("mine2", "DATA_SET = 1\n", "DATA_SET must be a lautum.data.datasets.DataSet"),
        ("lautum", OBJECTIVE, "there is 'lautum' built in among the objectives; rename the file"),
        ("my-method", OBJECTIVE, "its name may hold letters, digits and '_' only"),
        ("digits", DATA_SET, "there is 'digits' built in among the datasets"),
    ],
)
def test_a_plugin_that_cannot_work_is_refused_in_one_line(name, text, message, tmp_path):
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(LautumError, match=message) as refused:
        config.load(campaign(tmp_path, f"{name}.py"))
    assert "\n" not in str(refused.value) and "lautum_plugins_" not in str(refused.value)


DECLARED = 'DataSet("Counted", (1, 16, 16), ("a", "b", "c"), _read)'
HEXADECIMAL = "DATA_SET.sha256 must be 64 hexadecimal digits, or empty, got"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"Counted"', '""', "DATA_SET.title must be a text that is not empty, got ''"),
        ('"Counted"', "None", "DATA_SET.title must be a text that is not empty, got None"),
        ("(1, 16, 16)", "[1, 16, 16]", "DATA_SET.image_shape must be a tuple of channels, .*, got .1, 16, 16.$"),
        ("(1, 16, 16)", "(16, 16)", "DATA_SET.image_shape must be .*, each a whole number above 0, got .16, 16.$"),
        ("(1, 16, 16)", "(1, 16, 0)", "DATA_SET.image_shape must be .*, got .1, 16, 0.$"),
        ("(1, 16, 16)", "(1, 16, 16.0)", "DATA_SET.image_shape must be .*, got .1, 16, 16.0.$"),
        ("(1, 16, 16)", "np.ones((3, 3))", "DATA_SET.image_shape must be .*, got array"),
        (
            '("a", "b", "c")',
            '["a", "b", "c"]',
            "DATA_SET.class_names must be a tuple of different texts, .*, got .'a'",
        ),
        (
            '("a", "b", "c")',
            '("a", "b", "a")',
            "DATA_SET.class_names must be a tuple of different texts, .*, got .'a'",
        ),
        (
            '("a", "b", "c")',
            "(0, 1, 2)",
            "DATA_SET.class_names must be a tuple of different texts, .*, got .0, 1, 2.$",
        ),
        ('("a", "b", "c")', '("a",)', "DATA_SET.class_names must name 2 to 256 classes, got 1$"),
        ('("a", "b", "c")', "tuple(map(str, range(257)))", "DATA_SET.class_names must name 2 to 256 classes, got 257$"),
        ("_read)", '"here")', "DATA_SET.read must be a function of .*, got 'here'"),
        ("_read)", "lambda downloads: _read(downloads, None))", "DATA_SET.read must be a function of the downloads' "),
        ("_read)", "_read, (100,))", "DATA_SET.train_counts must have a number for each of the 3 classes, .*, got 1$"),
        ("_read)", "_read, [20] * 3)", "DATA_SET.train_counts must be a tuple of whole numbers above 0, got .20, 20"),
        ("_read)", '_read, (20, 20, "x"))', "DATA_SET.train_counts must be a tuple of whole numbers above 0, got"),
        ("_read)", '_read, sha256="../mine")', f"{HEXADECIMAL} '../mine'"),
        ("_read)", "_read, sha256=None)", f"{HEXADECIMAL} None"),
    ],
)
def test_a_data_set_that_jobs_would_fail_with_is_refused_when_the_configuration_is_read(old, new, message, tmp_path):
    assert DECLARED.count(old) == 1
    write(tmp_path, mine2=OBJECTIVE, counted=DATA_SET.replace(DECLARED, DECLARED.replace(old, new)))
    task = {"target": "counted", "label_counts": [30], "transfer": {"head": "reinitialise"}}
    with pytest.raises(LautumError, match=f"plugin .*counted.py: {message}") as refused:
        config.load(campaign(tmp_path, "mine2.py", "counted.py", tasks={"digits-letters": task}))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("Parts(examples, tuple(part[:0] for part in examples), ", "data set counted, test: there are no images"),
        ("Parts(tuple(part[:0] for part in examples), examples, ", "data set counted, train: there are no images"),
        ("Parts(examples, examples, tuple('cba'), '') or (", "has the classes .'c', 'b', 'a'., expected .'a', 'b'"),
        ("(examples, examples, ", "what reads it must return lautum.data.datasets.Parts, got tuple"),
        (
            "Parts((images, [0] * 60), examples, ",
            "Parts.train must be two NumPy arrays, images and labels, got ndarray, l",
        ),
        ("Parts(examples, images, ", "Parts.test must be two NumPy arrays, images and labels, got ndarray$"),
        ("exit() or (", "data set counted: counted.py, line 10: SystemExit: None"),
        ("None.train, (", "data set counted: counted.py, line 10: AttributeError: 'NoneType' object has no attribute"),
        (
            "Parts(examples, examples, tuple('abc'), None) or (",
            "Parts.source must say where the content came from, got",
        ),
        ("Parts(examples, examples, None, '') or (", "Parts.class_names must be a tuple of texts, got None"),
    ],
)
def test_a_data_set_that_is_read_as_something_that_cannot_be_measured_is_refused_by_prepare(new, message, tmp_path):
    write(tmp_path, mine2=OBJECTIVE, counted=DATA_SET.replace("Parts(examples, examples, ", new))
    known = config.load(campaign(tmp_path, "mine2.py", "counted.py")).catalogue.datasets
    with pytest.raises(LautumError, match=message):
        datasets.prepare("counted", tmp_path / "data", None, known)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (["absent.py"], "absent.py does not exist; paths are relative to the configuration"),
        (
            ["$NO_SUCH/mine2.py"],
            "campaign.yaml: plugins: path '$NO_SUCH/mine2.py': this machine has no variable $NO_SUCH",
        ),
        (["~no-such-user/mine2.py"], "this machine has no such user; write the path out"),
        ([f"{'x' * 300}.py"], "x.py does not exist; paths are relative to the configuration"),
        (["mine2.py", "again/mine2.py"], "there is 'mine2' of another plugin among the objectives"),
        (["mine2"], "'mine2' is in no package; give the path of its file, mine2.py"),
        (["no module"], "'no module' is neither the path of a .py file nor the name of a module"),
        (["nothing.at_all"], "nothing.at_all cannot be imported: ModuleNotFoundError: No module named 'nothing'"),
        (["later.py"], "later.py cannot be read: broken.py, line 2: '(' was never closed"),
        (["long.py"], "long.py: an expression in long is too long; split it"),
        (["absolute.py"], "line 1: write `from . import helpers` for a file beside it"),
        ("mine2.py", "plugins must be a list of files and modules, got mine2.py"),
    ],
)
def test_what_is_no_plugin_is_refused(plugins, message, tmp_path, monkeypatch):
    write(tmp_path, mine2=OBJECTIVE, absolute="import helpers\n" + OBJECTIVE, helpers="x = 1\n")
    write(tmp_path / "again", mine2=OBJECTIVE)
    write(tmp_path, later=OBJECTIVE + "\n\ndef later():\n    from . import broken\n", broken="\nx = (\n")
    write(tmp_path, long=f"{OBJECTIVE}\nx = {' + '.join(['1'] * 600)}\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # or the import itself would fail
    path = campaign(tmp_path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"plugins": plugins}))
    with pytest.raises(LautumError, match=re.escape(message)):
        config.load(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('what="mean"', 'what="variance"'),
        ("remedy=1.0", "remedy=2.0"),
        ("ValueError(0.5)", "ValueError(0.25)"),
        ("print(x.append(1))", "print(x.append(2))"),
    ],
)
def test_in_a_plugin_nothing_that_runs_is_taken_for_talk(old, new, tmp_path):
    more = """

def helper(x, what, remedy=1.0):
    print(x.append(1))
    raise ValueError(0.5)


def use(x):
    return helper(x, what="mean")
"""
    write(tmp_path, mine2=OBJECTIVE + more)
    before = keys(tmp_path, "mine2.py")
    sys.modules.pop(next(name for name in sys.modules if name.endswith(".mine2")))
    digest.code_digest.cache_clear()
    digest._module.cache_clear()
    assert old in more
    write(tmp_path, mine2=OBJECTIVE + more.replace(old, new))
    after = keys(tmp_path, "mine2.py")
    assert after["standard"] == before["standard"] and after["mine"][1] != before["mine"][1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("self.head = nn.Linear(8, num_classes)", "self.head = nn.Linear(8, num_classes, False)", "with a bias"),
        ("self.head = nn.Linear(8, num_classes)", "self.head = nn.Linear(8, 7)", "an output for each class"),
        (
            "self.head = nn.Linear(8, num_classes)",
            "self.head = nn.Linear(9, num_classes)",
            "gives .2, 8., .head. takes .2, 9.",
        ),
        (
            "self.head = nn.Linear(8, num_classes)",
            "self.head = nn.Linear(8, num_classes); self.more = nn.ModuleDict({'a/b': nn.BatchNorm1d(8)})",
            "the name 'more.a/b.weight' of a weight must not hold '/'; rename the layer",
        ),
        ("self.head = nn.Linear(8, num_classes)", "self.last = None", "AttributeError"),
        ("def body(", "def bodies(", "NotImplementedError"),
        ("image_shape, num_classes):", "image_shape):", "TypeError"),
    ],
)
def test_a_network_that_cannot_work_is_refused_before_any_job(old, new, message, tmp_path):
    assert NETWORK.count(old) == 1
    write(tmp_path, mine=NETWORK.replace(old, new))
    path = campaign(tmp_path, "mine.py", tasks={"digits-letters": {"network": "mine"}}, methods={}, grid=GRID)
    with pytest.raises(LautumError, match=f"network mine, 10 classes, images .1, 16, 16.: .*{message}"):
        train.try_networks(Layout(config.load(path)))
    write(tmp_path / "whole", mine=NETWORK)
    path = campaign(tmp_path / "whole", "mine.py", tasks={"digits-letters": {"network": "mine"}}, methods={}, grid=GRID)
    train.try_networks(Layout(config.load(path)))


def test_a_data_set_is_read_anew_when_its_code_changes_also_where_it_says_what_its_content_is(tmp_path):
    found = []
    namespace: dict = {}
    exec(DATA_SET, namespace)
    parts = namespace["_read"](None, None)
    content = sha256_of_arrays(*parts.train, *parts.test)
    for number, text in enumerate((DATA_SET, DATA_SET.replace("% 3", "% 3 + 0"))):  # other code, the same content
        text = text.replace("_read)", f'_read, sha256="{content}")')
        write(folder := tmp_path / str(number), mine2=OBJECTIVE, counted=text)
        known = config.load(campaign(folder, "mine2.py", "counted.py")).catalogue.datasets
        found.append([path.name for path in datasets.prepare("counted", tmp_path / "data", None, known)])
    assert not {*found[0]} & {*found[1]}
    write(folder := tmp_path / "wrong", mine2=OBJECTIVE, counted=text.replace("% 3 + 0", "// 20"))
    known = config.load(campaign(folder, "mine2.py", "counted.py")).catalogue.datasets
    with pytest.raises(
        LautumError, match=f"data set counted: its content has the SHA-256 .*, expected {content}; restore"
    ):
        datasets.prepare("counted", tmp_path / "data", None, known)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("loss, images =", "ValueError: too many values to unpack"),
        ("loss, images, scalars = self.nothing,", "AttributeError: .* has no attribute 'nothing'"),
        ("loss, images, scalars = self.network(self.data.labelled.images[0].float()),", "RuntimeError: "),
    ],
)
def test_a_mistake_that_shows_as_a_plugin_trains_is_told_with_its_place(
    wrong, message, tmp_path, monkeypatch, builtin_data
):
    shutil.copytree(builtin_data, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    text = OBJECTIVE.replace("loss, images, scalars =", wrong)
    line = 1 + text.splitlines().index(f"        {wrong} super().step(step)")
    stage = "digits-letters mine n50 seed 0"
    write(tmp_path, mine2=text)
    task = {"pretrain": {"steps": 1}, "transfer": {"steps": 1}}
    layout = Layout(config.load(campaign(tmp_path, "mine2.py", tasks={"digits-letters": task})))
    split(layout, "digits-letters", 50, 0)
    train.pretrain(layout, "digits-letters", "mine", 50, 0)
    with pytest.raises(LautumError, match=f"^{stage}: mine2.py, line {line}: {message}"):
        train.transfer(layout, Cell("digits-letters", "mine", 50, 0))


def test_a_data_set_may_be_mapped_and_its_reader_a_partial_function(tmp_path):
    partial = DATA_SET.replace("_read)", "functools.partial(_read))").replace(
        "import numpy", "import functools\n\nimport numpy"
    )
    mapped = partial.replace("np.arange(60) % 3", "(np.arange(60) % 3).view(np.memmap)")
    write(tmp_path, mine2=OBJECTIVE, counted=mapped)
    known = config.load(campaign(tmp_path, "mine2.py", "counted.py")).catalogue.datasets
    train, _ = datasets.prepare("counted", tmp_path / "data", None, known)
    assert len(datasets.load(train, "counted", "train").labels) == 60
    write(tmp_path / "other", mine2=OBJECTIVE, counted=partial.replace("% 3", "% {}['x']"))
    known = config.load(campaign(tmp_path / "other", "mine2.py", "counted.py")).catalogue.datasets
    with pytest.raises(LautumError, match="data set counted: KeyError: 'x'"):
        datasets.prepare("counted", tmp_path / "data", None, known)
