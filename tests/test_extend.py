"""The walk of docs/extend.md in a folder outside the checkout: a method, a network, a data set, to a table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lautum import starts
from lautum.cli import main
from lautum.data import datasets
from lautum.errors import LautumError
from lautum.experiment import config

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def walk(tmp_path_factory, forked) -> tuple[Path, str]:
    """The folder in which everything was done that the page says, in its order, and what was printed."""
    folder, output = tmp_path_factory.mktemp("walk"), ""
    environment = os.environ | forked | {"SUITE": str(ROOT), "PYTHONPATH": str(ROOT)}
    for kind, text in BLOCK.findall((ROOT / "docs/extend.md").read_text(encoding="utf-8")):
        if kind == "sh":
            command = ["bash", "-e", "-c", text]
            ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
            output += ran.stdout + ran.stderr
        elif file := re.match(r"# (\S+\.\w+)\n", text):
            (folder / file[1]).write_text(text)
    return folder, output


def test_a_method_a_network_and_a_data_set_from_outside_come_to_a_table(walk):
    folder, output = walk
    table = (folder / "reports/my_campaign/accuracy.md").read_text()
    assert table in output
    rows = [line.split(" | ") for line in table.splitlines() if "my_shapes" in line]
    assert [row[:3] for row in rows] == [[f"| {name}", "digits → my_shapes", "6"] for name in ("Standard", "my method")]
    assert (folder / "reports/my_campaign/index.html").is_file()
    assert {path.name for path in (folder / "results/pretrained/digits-my_shapes").iterdir()} == {
        "source_only",
        "my_method",
    }
    assert len(list((folder / "data").glob("my_shapes-*-train.safetensors"))) == 1


def test_the_data_set_in_a_file_that_the_page_shows_is_prepared(walk, monkeypatch):
    folder, _ = walk
    monkeypatch.chdir(folder)
    task = {"source": "digits", "target": "my_stripes", "label_counts": [4], "network": "conv16-32-fc128"}
    task |= {"transfer": {"head": "reinitialise"}}
    values = {"extends": [str(ROOT / "config/config.yaml")], "name": "stripes", "plugins": ["my_stripes.py"]}
    values |= {"grid": {"tasks": ["digits-stripes"]}, "tasks": {"digits-stripes": task}}
    Path("stripes.yaml").write_text(yaml.safe_dump(values))
    assert main(["prepare", "my_stripes", "--config", "stripes.yaml"]) == 0
    (train,) = (folder / "data").glob("my_stripes-*-train.safetensors")
    found = datasets.load(train, "my_stripes", "train")
    assert found.images.shape == (40, 1, 16, 16) and found.class_names == ("rows", "columns")
    rows = found.images[found.labels == 0].mean(axis=(0, 1, 3))
    assert set(rows[::2]) == {255} and set(rows[1::2]) == {0}


def test_the_page_shows_the_objective_that_is_written(walk):
    folder, _ = walk
    text = (folder / "my_method.py").read_text()
    (shown,) = [block for kind, block in BLOCK.findall((ROOT / "docs/extend.md").read_text()) if "two_stream" in block]
    code = [
        line.replace("source: Stream, target: Stream) -> tuple[Tensor, dict[str, Tensor]]:", "source, target):")
        for line in text.splitlines()
    ]
    assert [line for line in shown.splitlines() if line and line not in code] == []


def test_a_new_campaign_is_accepted_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "campaign", "mine-2", "--folder", "below"]) == 0
    assert capsys.readouterr().out.split() == ["below/mine-2.yaml", "below/test_mine_2.py"]
    names: dict = {"__file__": str(tmp_path / "below/test_mine_2.py")}
    exec((tmp_path / "below/test_mine_2.py").read_text(), names)
    names["test_the_grid_has_all_its_cells"]()


@pytest.mark.parametrize("name", ["MY_CONFIG", "SNAKEFILE", "SHA256", "x.2026"])
def test_whatever_name_is_taken_is_accepted_in_what_is_written(name, tmp_path, monkeypatch):
    """In a folder that YAML and a shell would take for something else."""
    folder = tmp_path / "my #place, x: 'y'"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert starts.write("campaign", name, Path("."))
    assert config.load(f"{name}.yaml").name == name
    assert starts.write("dataset", f"{name}-images", Path("."))
    values = {"extends": [f"{name}.yaml", f"{name}-images.yaml"], "grid": {"tasks": [f"digits-{name}-images"]}}
    values |= {"name": "both", "tasks": {f"digits-{name}-images": {"label_counts": [6]}}}
    Path("both.yaml").write_text(yaml.safe_dump(values))
    assert main(["prepare", f"{name}-images", "--config", "both.yaml"]) == 0


@pytest.mark.parametrize("kind", ["objective", "dataset", "campaign"])
def test_a_folder_that_cannot_be_written_to_is_named(kind, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["new", kind, "mine", "--folder", str(tmp_path / "file")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{tmp_path}/file is where a folder belongs" in told


def test_without_a_clone_or_the_benchmarks_packages_the_command_says_what_is_needed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(starts, "CONFIG", tmp_path / "config/config.yaml")
    assert main(["new", "campaign", "mine", "--folder", str(tmp_path)]) == 1
    assert f"{tmp_path}/config/config.yaml, which a campaign extends, is not there" in capsys.readouterr().err
    code = "import sys; sys.modules['pydantic'] = None; import lautum.cli"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1 and "pip install '.[benchmark]'" in ran.stderr and ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("objectiv", "mine", "unknown kind 'objectiv'; did you mean 'objective'?"),
        (
            "objective",
            "my-method",
            "the name of an objective may hold letters, digits, '_', not first, got 'my-method'",
        ),
        ("objective", "lautum", "there is an objective 'lautum' already; choose another name"),
        ("dataset", "mnist", "there is a dataset 'mnist' already"),
        ("campaign", "a/b", "the name of a campaign may hold letters, digits, '_', '.' and '-'"),
        ("campaign", "2026", "a configuration takes '2026' for 2026, which is no text; choose another name"),
        ("campaign", "1e3", "a configuration takes '1e3' for 1000.0, which is no text"),
        ("dataset", "null", "a configuration takes 'null' for None, which is no text"),
        ("campaign", "estimator", "name 'estimator' is another file or folder of the reports; choose another name"),
        ("campaign", "index.html", "name 'index.html' is another file or folder of the reports; choose another name"),
        (
            "objective",
            "random",
            "'random' is a module that the file would hide from Python; choose another name for an",
        ),
        ("objective", "torch", "'torch' is a module that the file would hide from Python; choose another name for an"),
        ("objective", "class", "'class' is a word of Python's own; choose another name for an objective"),
    ],
)
def test_names_that_cannot_be_used_are_refused(kind, name, message, tmp_path, capsys):
    assert main(["new", kind, name, "--folder", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced(tmp_path):
    (tmp_path / "test_mine.py").write_text("mine")
    with pytest.raises(LautumError, match="test_mine.py exists already; choose another name, or another --folder"):
        starts.write("objective", "mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]
