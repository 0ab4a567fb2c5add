"""The configuration at the door: what ships is accepted, what is wrong is refused in one line that says why."""

import copy
import datetime
import math
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from lautum.data.datasets import DATASETS
from lautum.errors import LautumError
from lautum.experiment import config, config_files, fields
from lautum.experiment.layout import Layout
from lautum.objectives import PRETRAIN, TRANSFER
from lautum.objectives.settings import SOURCES
from lautum.training.objective import Objective

ROOT = Path(__file__).parent.parent
TO_BE_FILLED_IN = ROOT / "config/appendix.yaml"
SHIPPED = sorted({*(ROOT / "config").glob("*.yaml")} - {TO_BE_FILLED_IN})


BASE = {"extends": str(ROOT / "config/config.yaml"), "name": "mine"}


def write(folder: Path, values) -> Path:
    path = folder / "mine.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(BASE | values))
    return path


def task(**values) -> dict:
    return {"grid": {"tasks": ["digits-letters"]}, "tasks": {"digits-letters": values}}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_load_and_every_value_has_a_source(path):
    loaded = config.load(path)
    rows = config.hyper_parameters(path)
    assert len(rows) >= 8 * len(loaded.grid.tasks) * len(loaded.grid.methods)
    for row in rows:
        assert row["source"].split(":")[0] in SOURCES
        assert row["unit"] and row["description"]


def test_values_that_nobody_knows_are_named_and_nothing_runs_without_them(tmp_path):
    with pytest.raises(LautumError) as refused:
        config.load(TO_BE_FILLED_IN)
    for key in ("tasks.mnist-notmnist.methods.lautum.pretrain.weight", "tasks.cifar10-cifar100.classes"):
        assert key in str(refused.value)
    # One command answers as soon as they are there.
    filled = yaml.safe_load(TO_BE_FILLED_IN.read_text().replace("unknown", "1"))
    steps = {"batch_size": 128, "learning_rate": 0.001, "optimiser": "adam", "steps": 9}
    for task, definition in filled["tasks"].items():
        definition["network"] = "conv32-64-fc1024"
        definition["pretrain"] = steps | {"scaling": "unit", "initialisation": "pytorch"}
        definition["transfer"] = steps | {"head": "keep", "trained": "all"}
        definition["methods"]["lautum"]["pretrain"]["decay"] = 0.99
        definition["methods"]["temporal_ensembling"]["transfer"]["epochs"] = 5
        if "classes" in definition:
            del definition["classes"]
        assert task in filled["grid"]["tasks"]
    path = tmp_path / "filled.yaml"
    path.write_text(yaml.safe_dump(filled | {"extends": str(ROOT / "config/config.yaml")}))
    loaded = config.load(path)
    assert loaded.pretrain_settings("cifar10-cifar100", "lautum").scaling == "unit"


def test_winners_that_were_not_selected_yet_are_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: ../reports/tuning-mine/winners.yaml\n")
    with pytest.raises(LautumError, match="tuning-mine/winners.yaml does not exist; .* a tuning campaign ends with"):
        config.load(tmp_path / "mine.yaml")


def test_a_control_is_what_it_controls_but_for_the_one_term():
    """Beside Temporal Ensembling as its search selected it: its settings, the winner's rate among them, no weight."""
    loaded = config.load(ROOT / "config/notmnist-small.yaml")
    of = {name: loaded.methods[name] for name in ("temporal_ensembling", "temporal_ensembling_unweighted")}
    assert len({(method.pretrain, method.transfer) for method in of.values()}) == 1
    before, after = (
        [settings("mnist-notmnist-small", name) for name in of]
        for settings in (loaded.pretrain_settings, loaded.transfer_settings)
    )
    assert before[0] == before[1]
    assert after[1].weight == 0 < after[0].weight
    assert after[1].model_copy(update={"weight": after[0].weight}) == after[0]


def test_a_file_holds_only_what_differs(tmp_path):
    values = task(label_counts=[10], pretrain={"steps": {"value": 7, "source": "chosen: for the test"}})
    values["tasks"]["digits-letters"]["methods"] = {"lautum": {"pretrain": {"rank": 3}}}
    path = write(tmp_path, values | {"name": "mine"})
    loaded, shipped = config.load(path), config.load(ROOT / "config/config.yaml")
    assert loaded.tasks["digits-letters"].label_counts == (10,)
    assert loaded.pretrain_settings("digits-letters", "lautum").rank == 3
    assert loaded.pretrain_settings("digits-letters", "mk_mmd").steps == 7
    assert loaded.tasks["mnist-notmnist"] == shipped.tasks["mnist-notmnist"]
    assert loaded.grid.seeds == tuple(range(10))
    sources = {(row["method"], row["name"]): row["source"] for row in config.hyper_parameters(path)}
    assert sources["standard", "steps"].startswith("chosen:")
    assert [path.name for path in config_files.files(path)] == ["config.yaml", "mine.yaml"]


def test_a_file_that_two_others_extend_does_not_undo_the_first_of_them(tmp_path):
    base = ROOT / "config/config.yaml"
    (tmp_path / "seeds.yaml").write_text(f"extends: {base}\ngrid: {{seeds: 3}}\n")
    (tmp_path / "tasks.yaml").write_text(f"extends: {base}\ngrid: {{tasks: [digits-letters]}}\n")
    (tmp_path / "both.yaml").write_text("extends: [seeds.yaml, tasks.yaml]\nname: both\n")
    loaded = config.load(tmp_path / "both.yaml")
    assert (loaded.grid.seeds, loaded.grid.tasks, loaded.name) == ((0, 1, 2), ("digits-letters",), "both")
    names = [path.name for path in config_files.files(tmp_path / "both.yaml")]
    assert names == ["config.yaml", "seeds.yaml", "tasks.yaml", "both.yaml"]


def test_what_is_extended_may_be_named_by_a_variable_as_folders_may(tmp_path, monkeypatch):
    monkeypatch.setenv("SUITE", str(ROOT))
    monkeypatch.setenv("HOME", str(ROOT / "config"))
    for place in ("$SUITE/config", "${SUITE}/config", "~"):
        (tmp_path / "mine.yaml").write_text(f"extends: ['{place}/config.yaml']\nname: mine\n")
        assert config_files.files(tmp_path / "mine.yaml")[0].samefile(ROOT / "config/config.yaml")


def test_a_file_wins_over_those_it_extends_wherever_it_is_listed(tmp_path):
    (tmp_path / "few.yaml").write_text(f"extends: {ROOT / 'config/config.yaml'}\ngrid: {{seeds: 3}}\n")
    (tmp_path / "more.yaml").write_text("extends: few.yaml\ngrid: {seeds: 4}\n")
    for order in ("[few.yaml, more.yaml]", "[more.yaml, few.yaml]"):
        (tmp_path / "mine.yaml").write_text(f"extends: {order}\nname: mine\n")
        assert config.load(tmp_path / "mine.yaml").grid.seeds == (0, 1, 2, 3)


def test_looks_are_those_of_one_campaign(tmp_path):
    """Nobody looked at results of a campaign that extends another."""
    assert config.load(write(tmp_path, task(looks=[2], seeds=3))).tasks["digits-letters"].looks == (2,)
    (tmp_path / "more.yaml").write_text("extends: mine.yaml\nname: more\n")
    assert config.load(tmp_path / "more.yaml").tasks["digits-letters"].looks == ()
    (tmp_path / "again.yaml").write_text(
        "extends: [more.yaml, mine.yaml]\nname: again\ntasks: {digits-letters: {looks: [1]}}"
    )
    assert config.load(tmp_path / "again.yaml").tasks["digits-letters"].looks == (1,)


def test_a_bare_value_over_a_declared_one_takes_the_file_as_its_source(tmp_path):
    path = write(tmp_path, task(pretrain={"steps": 9}))
    rows = [row for row in config.hyper_parameters(path) if row["name"] == "steps" and row["stage"] == "pretrain"]
    assert {(row["value"], row["source"]) for row in rows} == {(9, "chosen: set in mine.yaml")}


def test_a_bare_value_over_none_takes_the_configuration_as_its_source(tmp_path):
    rows = config.hyper_parameters(write(tmp_path, task(transfer={"optimiser": "sgd"})))
    found = {row["source"] for row in rows if row["name"] == "optimiser" and row["stage"] == "transfer"}
    assert found == {"chosen: set in the configuration"}


def test_shared_stage_settings_reach_only_objectives_that_have_them(tmp_path):
    loaded = config.load(write(tmp_path, task(transfer={"steps": 11, "epochs": 5, "learning_rate": 0.5})))
    supervised = loaded.transfer_settings("digits-letters", "lautum")
    ensembling = loaded.transfer_settings("digits-letters", "temporal_ensembling")
    assert (supervised.steps, supervised.learning_rate) == (11, 0.5)
    assert (ensembling.epochs, ensembling.learning_rate) == (5, 0.5)
    assert not hasattr(ensembling, "steps")


@pytest.mark.parametrize("where", ["task", "method"])
def test_null_takes_away_what_is_inherited_unless_it_is_a_value(where, tmp_path):
    (tmp_path / "base.yaml").write_text(
        yaml.safe_dump(
            {"extends": str(ROOT / "config/quickstart.yaml"), "name": "base"}
            | task(transfer={"snapshots": [3]}, methods={"standard": {"transfer": {"trained": "head"}}})
        )
    )
    given = {"labelled_epochs": 30, "steps": None, "snapshots": None, "clip_norm": None}
    own = {"methods": {"standard": {"transfer": {"trained": None} | (given if where == "method" else {})}}}
    changed = own | ({"transfer": given} if where == "task" else {})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"extends": "base.yaml", "name": "mine"} | task(**changed)))
    settings = config.load(tmp_path / "mine.yaml").transfer_settings("digits-letters", "standard")
    assert settings == TRANSFER["supervised"](labelled_epochs=30, clip_norm=None)
    for row in config.hyper_parameters(tmp_path / "mine.yaml"):
        if (row["method"], row["stage"]) == ("standard", "transfer"):
            said = row["name"] in ("labelled_epochs", "clip_norm")
            declared = TRANSFER["supervised"].model_fields[row["name"]].json_schema_extra["source"]
            assert row["source"] == ("chosen: set in the configuration" if said else declared)


BAD = [
    ({"naem": "x"}, "unknown key 'naem'; did you mean 'name'?"),
    ({"grid": {"seeds": 1_000_000_000}}, "seeds is a count of .* at most 10000, .*, got 1000000000"),
    ({"grid": {"seeds": [2**31]}}, "grid.seeds.0: Input should be less than 2147483648, got 2147483648"),
    (task(methods={"lautum": {"transfer": {"stps": None}}}), "unknown key 'stps'; did you mean 'steps'?"),
    (
        task(transfer={"labelled_epochs": 3}),
        "instead of steps and snapshots; give one; null takes an inherited one away",
    ),
    ({"grid": {"methods": ["lautum", "lautum"]}}, "grid.methods: must be a non-empty list without repetitions"),
    ({"grid": {"seeds": 10_000}}, "the grid has 240000 cells, tasks x methods x label counts x seeds; at most 100000"),
    ({"threads": 10**9}, "threads: Input should be less than or equal to 1024"),
    (
        {"grid": {"task": ["digits-letters"]}},
        "grid: unknown key 'task'; did you mean 'tasks'? allowed: tasks, methods, seeds",
    ),
    ({"grid": {"tasks": ["mnist-notmnst"]}}, "unknown task 'mnist-notmnst'; did you mean 'mnist-notmnist'?"),
    ({"grid": {"methods": ["lautm"]}}, "unknown method 'lautm'; did you mean 'lautum'?"),
    ({"grid": {"seeds": 0}}, "seeds is a count of at least 1 .* or a list of seeds, got 0"),
    ({"grid": {"seeds": [1, 1]}}, "grid.seeds: must be a non-empty list without repetitions, got [1, 1]"),
    ({"grid": {"seeds": "many"}}, "grid.seeds: .*got 'many'"),
    ({"comparisons": [["lautum", "mkmmd"]]}, "unknown method 'mkmmd'; did you mean 'mk_mmd'?"),
    (
        {"methods": {"x": {"pretrain": "lautom", "transfer": "supervised"}}},
        "unknown pretrain objective 'lautom'; did you mean 'lautum'?",
    ),
    ({"methods": {"x": {"pretrain": "lautum"}}}, "methods.x.transfer: Field required"),
    *[
        (
            {"methods": {"x": {"pretrain": "lautum", "transfer": "supervised"} | given}},
            "methods.x: arm and universe belong to a campaign with universes; remove them",
        )
        for given in ({"arm": "lautum"}, {"universe": 0})
    ],
    ({"methods": {"a/b": {"pretrain": "lautum", "transfer": "supervised"}}}, "name 'a/b' may hold letters, digits"),
    (task(lable_counts=[10]), "tasks.digits-letters: unknown key 'lable_counts'; did you mean 'label_counts'?"),
    (task(looks=[3, 2]), "looks must be rising numbers of seeds, got [3, 2]"),
    (
        task(looks=[3, 9], seeds=9),
        "tasks.digits-letters.looks must be below the task's number of seeds, 9, .* got [3, 9]",
    ),
    (task(label_counts=[10, 10]), "label_counts must be distinct positive integers, got [10, 10]"),
    (task(label_counts=[55]), "label_counts must be multiples of the 10 classes, got 55"),
    (
        task(label_counts=[50, 2000]),
        "label_counts: 2000 labelled and 0 validation images are 200 of each class, but letters has 200 training",
    ),
    (task(label_counts=[]), "label_counts: .* at least 1 item"),
    (task(network="conv16-32-fc127"), "unknown network 'conv16-32-fc127'; did you mean 'conv16-32-fc128'?"),
    (task(target="leters"), "unknown data set 'leters'; did you mean 'letters'?"),
    (task(classes=["A", "A"]), "classes must name at least 2 classes, each once"),
    (task(paper_table="table-1"), "unknown paper_table 'table-1'"),
    (task(seeds=[-1]), "seeds.0: Input should be greater than or equal to 0, got -1"),
    ({"comparisons": [["lautum", "lautum"]]}, "comparisons must be pairs of two different methods, each once"),
    ({"comparisons": [["lautum", "standard"]] * 2}, "comparisons must be pairs of two different methods, each once"),
    ({"comparisons": [["lautum", "standard"], ["standard", "lautum"]]}, "each once and one way round, got"),
    (task(seeds=[]), "tasks.digits-letters.seeds: must be a non-empty list without repetitions"),
    (task(seeds=0), "seeds is a count of at least 1 .* or a list of seeds, got 0"),
    (task(precision="float16"), "precision: Input should be 'float32' or 'bfloat16', got 'float16'"),
    (task(classes=["A", "K"]), "unknown class of letters 'K'"),
    (task(classes=["A"]), "classes must name at least 2 classes, each once"),
    (
        task(classes=["A", "B"]),
        "head: keep needs as many target as source classes, got 2 and 10; set head: reinitialise",
    ),
    (task(source="mnist"), "method standard: source images are (1, 28, 28), target images (1, 16, 16)"),
    (task(augmentation="flip"), "augmentation: Input should be 'none' or 'flip-shift', got 'flip'"),
    (task(pretrain={"stps": 3}), "unknown key 'stps' in pretrain; did you mean 'steps'?"),
    (task(pretrain={"steps": 0}), "method standard: steps: .*greater than or equal to 1, got 0"),
    (
        task(methods={"lautum": {"pretrain": {"wieght": 1}}}),
        "method lautum: unknown key 'wieght'; did you mean 'weight'?",
    ),
    (task(methods={"lautum": {"pretrain": {"decay": 1.0}}}), "method lautum: decay: .*less than 1, got 1.0"),
    (task(methods={"lautm": {}}), "unknown method in tasks.digits-letters.methods 'lautm'; did you mean 'lautum'?"),
    (
        task(pretrain={"steps": {"value": 3, "source": "guessed"}}),
        "tasks.digits-letters.pretrain.steps: source 'guessed' must begin with one of paper",
    ),
    ({"evaluate": {"part": "validation"}}, "part: validation goes with validation_images above 0, got 0"),
    (task(pretrain={"steps": True}), "method standard: steps: Input should be a valid integer, got True"),
    (task(pretrain={"steps": "yes"}), "method standard: steps: Input should be a valid integer, got 'yes'"),
    (task(pretrain={"steps": 7.0}), "method standard: steps: Input should be a valid integer, got 7.0"),
    (task(pretrain={"learning_rate": "1"}), "learning_rate: Input should be a valid number, got '1'"),
    (task(pretrain={"learning_rate": math.inf}), "learning_rate: Input should be a finite number, got inf"),
    (task(pretrain={"weight": math.nan}), "weight: Input should be a finite number, got nan"),
    (task(pretrain={"weight": datetime.date(2001, 1, 1)}), "weight: Input should be a valid number, got '2001-01-01'"),
    (task(classes=[1, 2]), "classes.0: Input should be a valid string, got 1"),
    (task(label_counts=50), "label_counts: Input should be a list, got 50"),
    ({"checkpoint_seconds": math.inf}, "checkpoint_seconds: Input should be a finite number"),
    ({"name": 5}, "name: Input should be a valid string, got 5"),
    *[
        (values, f"{key}: only a task's values have a source; write the value alone")
        for key, values in {
            "name": {"name": {"value": "config"}},
            "comparisons": {"comparisons": {"value": [["lautum", "standard"]], "source": "chosen: x"}},
            "universes.count": {"universes": {"count": {"value": 2, "source": "chosen: x"}}},
            "search.trials": {"search": {"trials": {"value": 2}}},
        }.items()
    ],
    (task(pretrain={"steps": {"value": 3, "source": "chosen"}}), "source 'chosen' must begin with one of paper"),
    ({"name": "theorem"}, "name 'theorem' is another file or folder of the reports"),
    ({"name": "index.html"}, "name 'index.html' is another file or folder of the reports"),
    ({"name": "-n"}, "name: name '-n' may hold .*the first a letter or digit"),
    ({"methods": {"-x": {"pretrain": "lautum", "transfer": "supervised"}}}, "name '-x' may hold"),
    ({"campaigns": ["../../etc"]}, "name '../../etc' may hold"),
    *[({"folders": {"results": path}}, "folders.results: path") for path in ("", "-r", "a{task}", "r" * 256, "a\tb")],
    ({"cells_per_job": 1001}, "cells_per_job: Input should be less than or equal to 1000"),
    ({"pretrainings_per_job": 101}, "pretrainings_per_job: Input should be less than or equal to 100"),
    ({"folders": {"data": "a\0"}}, "(folders.data): a control character is not allowed"),
    (
        {"folders": {"data": "$NO_SUCH/x"}},
        "this machine has no variable $NO_SUCH; write the path out",
    ),
    ({"folders": {"data": "~no-such-user/x"}}, "this machine has no such user; write the path out"),
    ({"device": "gpu"}, "device: Input should be 'auto', 'cpu' or 'cuda', got 'gpu'"),
    ({"name": "a b"}, "name: name 'a b' may hold letters, digits"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_what_is_wrong_is_named_in_one_line(values, message, tmp_path):
    with pytest.raises(LautumError) as caught:
        config.load(write(tmp_path, values))
    text = str(caught.value)
    wanted = ".*".join(re.escape(part) for part in message.split(".*"))
    assert re.search(wanted, text), text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "cannot be read"),
        ("- 1\n", "must be a mapping"),
        ("extends: mine.yaml\n", "extends itself"),
        ("extends: nowhere.yaml\n", "nowhere.yaml does not exist; see config/"),
        ("extends: [1]\n", "`extends` is the path of a file, or a list of such, got 1"),
        ("extends: /dev/zero\n", "/dev/zero cannot be read: it is not a file"),
        ("extends: .\n", "cannot be read: it is not a file"),
        (
            "extends: [$NO_SUCH/config.yaml]\n",
            "mine.yaml: extends: path .* has no variable .NO_SUCH; write the path out",
        ),
        ("extends: ~no-such-user/c.yaml\n", "mine.yaml: extends: path .* has no such user; write the path out"),
        (f"extends: {'x' * 300}\n", "cannot be read: File name too long"),
        ('extends: "a\\0"\n', "a control character is not allowed"),
    ],
)
def test_files_that_are_no_configuration(content, message, tmp_path):
    with pytest.raises(LautumError, match=message):
        config.load(write(tmp_path, content))


def test_a_name_is_not_inherited(tmp_path):
    published = ROOT / "config/published.yaml"
    (tmp_path / "mine.yaml").write_text(f"extends: {published}\ngrid: {{seeds: 3}}\n")
    with pytest.raises(LautumError, match="mine.yaml needs a `name`"):
        config.load(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text(f"extends: {published}\nname: published\n")
    with pytest.raises(LautumError, match="the name 'published' is taken by .*published.yaml, which it extends"):
        config.load(tmp_path / "mine.yaml")


def test_what_a_campaign_says_of_itself_is_not_inherited(tmp_path):
    nearest = ROOT / "config/nearest-mnist.yaml"
    assert "universe 20" in config.load(nearest).about
    (tmp_path / "mine.yaml").write_text(f"extends: {nearest}\nname: mine\n")
    assert config.load(tmp_path / "mine.yaml").about == ""


def test_seeds_of_the_grid_are_heard_or_refused(tmp_path):
    (tmp_path / "own.yaml").write_text(
        f"extends: {ROOT / 'config/config.yaml'}\nname: own\n"
        "grid: {tasks: [digits-letters, mnist-notmnist], seeds: 3}\ntasks: {digits-letters: {seeds: 5}}\n"
    )
    loaded = config.load(tmp_path / "own.yaml")  # in one file the task's own hold
    assert (len(loaded.seeds("digits-letters")), len(loaded.seeds("mnist-notmnist"))) == (5, 3)

    def extended(text: str) -> config.Config:
        (tmp_path / "mine.yaml").write_text(f"extends: own.yaml\nname: mine\n{text}\n")
        return config.load(tmp_path / "mine.yaml")

    message = "mine.yaml: grid.seeds does not reach task digits-letters, which has seeds of its own in .*own.yaml; set"
    with pytest.raises(LautumError, match=message):
        extended("grid: {seeds: 4}")
    assert len(extended("grid: {seeds: 4, tasks: [mnist-notmnist]}").seeds("mnist-notmnist")) == 4
    assert len(extended("grid: {seeds: 4}\ntasks: {digits-letters: {seeds: 2}}").seeds("digits-letters")) == 2
    assert len(extended("grid: {seeds: 4}\ntasks: {digits-letters: {seeds: null}}").seeds("digits-letters")) == 4
    assert len(extended("tasks: {digits-letters: {seeds: 6}}").seeds("digits-letters")) == 6
    (tmp_path / "mine.yaml").write_text(f"extends: {ROOT}/config/published.yaml\nname: mine\ngrid: {{seeds: 4}}\n")
    with pytest.raises(LautumError, match="grid.seeds does not reach task mnist-notmnist10k, .*config/published.yaml"):
        config.load(tmp_path / "mine.yaml")


def test_what_a_file_says_without_effect_is_named(tmp_path):
    """What a file itself has: of what it extends most is for other campaigns."""
    own = "tasks: {mine: {source: digits, target: letters, label_counts: [50], network: conv16-32-fc128}}\n"
    own += "methods: {own: {pretrain: source_only, transfer: supervised}}\n"
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {ROOT / 'config/config.yaml'}\nname: mine\n{own}")
    assert config.unheard(path) == [
        f"{path}: task mine is not run; grid.tasks leaves it out",
        f"{path}: method own is not run; grid.methods leaves it out",
    ]
    path.write_text(path.read_text() + "grid: {tasks: [mine], methods: [standard, own]}\n")
    assert config.unheard(path) == []

    published = ROOT / "config/notmnist-small.yaml"
    winners = ROOT / "reports/tuning-mnist-notmnist-small/winners.yaml"
    own = "lautum: {transfer: {steps: 9}}, entropy: {pretrain: {steps: 3}}, mk_mmd: {transfer: {steps: null}}"
    task = f"{{transfer: {{steps: 7}}, pretrain: {{clip_norm: 1}}, methods: {{{own}}}}}"
    path.write_text(f"extends: {published}\nname: mine\ntasks: {{mnist-notmnist-small: {task}}}\n")
    steps = {
        method: config.load(path).transfer_settings("mnist-notmnist-small", method).steps
        for method in ("standard", "mk_mmd", "lautum")
    }
    default = TRANSFER["supervised"]().steps
    assert (steps["lautum"], steps["mk_mmd"]) == (9, default) and 7 not in steps.values()  # the task's reach none
    assert config.unheard(path) == [
        f"{path}: method entropy is not run; grid.methods leaves it out",
        f"{path}: tasks.mnist-notmnist-small.transfer.steps does not reach standard, with values of their own in "
        f"{winners}; set tasks.mnist-notmnist-small.methods.<method>.transfer.steps",
    ]
    base = "grid: {tasks: [digits-letters]}\ntasks: {digits-letters: {methods: {lautum: {network: conv16-32-fc128}}}}\n"
    (tmp_path / "base.yaml").write_text(f"extends: {ROOT / 'config/config.yaml'}\nname: base\n{base}")
    path.write_text("extends: base.yaml\nname: mine\ntasks: {digits-letters: {network: conv32-64-fc512}}\n")
    (line,) = config.unheard(path)
    assert config.load(path).network("digits-letters", "lautum") == "conv16-32-fc128"
    assert "tasks.digits-letters.network does not reach lautum, with values of their own in" in line
    for committed in [*ROOT.glob("config/*.yaml"), *ROOT.glob("examples/*.yaml")]:
        assert config.unheard(committed) == []


def test_a_setting_that_no_method_of_the_grid_has_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    grid = "grid: {tasks: [digits-letters], methods: [standard, lautum]}"
    path.write_text(
        f"extends: {ROOT / 'config/config.yaml'}\nname: mine\n{grid}\n"
        "tasks: {digits-letters: {transfer: {epochs: 30}}}\n"
    )
    vain = "tasks.digits-letters.transfer.epochs is not used; no method of the grid has it"
    assert config.unheard(path) == [f"{path}: {vain}"]
    path.write_text(path.read_text().replace("lautum]", "temporal_ensembling]"))
    assert config.unheard(path) == []


def test_images_that_a_network_makes_nothing_of_are_refused(tmp_path):
    data = {"title": "x", "train": "a", "test": "b", "shape": [1, 3, 8], "classes": ["a", "b"], "sha256": "0" * 64}
    task = {"source": "small", "target": "small", "label_counts": [2], "network": "conv16-32-fc128"}
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "mine", "datasets": {"small": data}}
    values |= {"grid": {"tasks": ["own"], "methods": ["standard"]}, "tasks": {"own": task}, "comparisons": []}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(LautumError, match="conv16-32-fc128 halves images twice and needs 4 x 4 pixels, .* 3 x 8"):
        config.load(tmp_path / "mine.yaml")
    data["shape"] = [1, 4, 4]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    assert config.load(tmp_path / "mine.yaml").name == "mine"


def test_what_a_file_says_of_settings_that_are_drawn_is_named(tmp_path):
    path, task = tmp_path / "mine.yaml", "tasks.mnist-notmnist-small"
    method = f"{task}.methods.lautum"
    own = "{pretrain: {weight: 0.5, clip_norm: 1}, transfer: {learning_rate: 0.0007}}"
    said = f"{{transfer: {{learning_rate: 0.0005, weight_decay: 0.1}}, methods: {{lautum: {own}}}}}"
    text = f"tasks: {{mnist-notmnist-small: {said}}}\nuniverses: {{only: 3}}\n"
    path.write_text(f"extends: {ROOT / 'config/universes-mnist.yaml'}\nname: mine\n{text}")
    drawn = config.load(path)
    assert drawn.transfer_settings("mnist-notmnist-small", "standard").learning_rate != 0.0005
    assert drawn.pretrain_settings("mnist-notmnist-small", "lautum").weight != 0.5
    assert drawn.transfer_settings("mnist-notmnist-small", "standard").weight_decay == 0.1
    vain = "is not used; `universes` draws it, for all methods"
    own = [f"{method}.{key}" for key in ("pretrain.weight", "pretrain.clip_norm", "transfer.learning_rate")]
    # But it has no weight decay of its own.
    assert config.unheard(path) == [f"{path}: {key} {vain}" for key in (f"{task}.transfer.learning_rate", *own)]
    # A universe that has one; and what some methods, or some universes, have from the file after all.
    text = "tasks: {mnist-notmnist-small: {transfer: {weight_decay: 0.1}, pretrain: {weight: 3}}}\n"
    path.write_text(f"extends: {ROOT / 'config/universes-mnist.yaml'}\nname: mine\nuniverses: {{only: 0}}\n{text}")
    assert config.load(path).transfer_settings("mnist-notmnist-small", "standard").weight_decay == 0.0005
    assert config.unheard(path) == [
        f"{path}: {task}.{key} {vain}" for key in ("pretrain.weight", "transfer.weight_decay")
    ]
    text = "tasks: {mnist-notmnist-small: {transfer: {weight_decay: 0.1, batch_size: 64}}}\n"
    path.write_text(f"extends: {ROOT / 'config/universes-mnist.yaml'}\nname: mine\n{text}")
    loaded = config.load(path)
    assert loaded.transfer_settings("mnist-notmnist-small", "temporal_ensembling-u00").batch_size == 64
    assert config.unheard(path) == []
    search = ROOT / "config/tuning-mnist-notmnist-small.yaml"
    own = "{pretrain: {weight: 2}, methods: {lautum: {pretrain: {weight: 1}}}}"
    path.write_text(f"extends: {search}\nname: mine\ntasks: {{mnist-notmnist-small: {own}}}\n")
    vain = "is not used; `search` draws it, for all methods"
    assert config.unheard(path) == [f"{path}: {key}.pretrain.weight {vain}" for key in (task, method)]


def test_files_that_extend_each_other_along_many_ways_are_read_once(tmp_path):
    (tmp_path / "0.yaml").write_text(f"extends: {ROOT / 'config/config.yaml'}\n")
    for level in range(1, 30):  # half a billion ways down
        for side in "ab":
            below = [f"{level - 1}{other}.yaml" for other in "ab"] if level > 1 else "0.yaml"
            (tmp_path / f"{level}{side}.yaml").write_text(yaml.safe_dump({"extends": below, "name": f"{level}{side}"}))
    assert len(config_files.files(tmp_path / "29a.yaml")) == 1 + 1 + 2 * 28 + 1
    assert config.load(tmp_path / "29a.yaml").name == "29a"


def test_a_chain_without_end_is_refused(tmp_path):
    for number in range(900):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\nname: n{number}\n")
    with pytest.raises(LautumError, match="a configuration consists of 100 files at most"):
        config.load(tmp_path / "0.yaml")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LautumError, match="loop cannot be read: Too many levels of symbolic links"):
        config.load(write(tmp_path, {"extends": "loop"}))


def test_folders_may_name_the_home_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    folders = {"data": "~/data", "results": "${SCRATCH}/r", "reports": "$SCRATCH/a b;$(c)'\"&", "offline": "~"}
    loaded = config.load(write(tmp_path, {"folders": folders})).folders
    assert (loaded.data, loaded.results, loaded.offline) == ("/home/me/data", "/scratch/me/r", "/home/me")
    assert loaded.reports == "/scratch/me/a b;$(c)'\"&"  # nothing else is the shell's


def test_a_task_can_have_seeds_of_its_own(tmp_path):
    values = task(label_counts=[10], seeds=2)
    values["grid"] = {"tasks": ["digits-letters", "mnist-notmnist"], "seeds": [5]}
    cells = Layout(config.load(write(tmp_path, values))).cells()
    assert {(cell.task, cell.seed) for cell in cells} == {
        ("digits-letters", 0),
        ("digits-letters", 1),
        ("mnist-notmnist", 5),
    }


def test_every_objective_has_a_class():
    for name in (*PRETRAIN, *TRANSFER):
        assert issubclass(import_module(f"lautum.objectives.{name}").Objective, Objective)
    assert all(len(set(data_set.class_names)) in (10, 100) for data_set in DATASETS.values())


def test_studies_have_the_names_that_campaigns_may_not_have():
    made = {path.name.removesuffix(".py") for path in (ROOT / "lautum/studies").glob("*.py")}
    assert set(fields.STUDIES) <= made
    rules = (ROOT / "workflow/rules/studies.smk").read_text()
    assert set(re.findall(r'^    "([a-z_]+)": \[', rules, re.MULTILINE)) == set(fields.STUDIES)


def nodes(value, path=()):
    """Every place below a mapping or list."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from nodes(below, (*path, key))


@pytest.mark.parametrize("name", ["quickstart", "quickstart-universes", "tuning-mnist-notmnist10k"])
def test_whatever_stands_anywhere_is_taken_or_refused_in_one_line(name, tmp_path):
    """An ordinary campaign, one over universes and a search; also where nothing stood, of a method and its stages."""
    text = (ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    bases = values["extends"] if isinstance(values["extends"], list) else [values["extends"]]
    values["extends"] = [str(ROOT / "config" / base) for base in bases]
    (task,) = values["grid"]["tasks"][:1]
    values.setdefault("tasks", {}).setdefault(task, {}).setdefault("methods", {}).setdefault("lautum", {})
    values["tasks"][task]["methods"]["lautum"] |= {"pretrain": {}, "transfer": {}, "seeds": [0]}
    path, refused = tmp_path / "odd.yaml", 0
    for place in nodes(values):
        for odd in (None, 3, "x", [3], {"x": None}):
            changed = copy.deepcopy(values)
            inside = changed
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = odd
            path.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8")
            try:
                Layout(config.load(path)).cells()
            except LautumError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 100
