"""What importing costs, and what each use of the package needs."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import lautum

ROOT = Path(__file__).parent.parent

HEAVY = ("torch", "torchvision", "pandas", "matplotlib", "scipy.stats", "statsmodels", "sklearn")


def loaded_after(code: str, *arguments: str, without: tuple[str, ...] = ()) -> set[str]:
    """Which of HEAVY a fresh process has imported after `code`; importing one of `without` fails there."""
    block = f"import sys; sys.modules.update(dict.fromkeys({without!r}))\n"
    report = f"\nprint(*[name for name in {HEAVY!r} if sys.modules.get(name)], file=sys.stderr)"
    command = [sys.executable, "-c", block + code + report, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.split("\n")[-2].split())


@pytest.mark.parametrize(
    "module", ["lautum", "lautum.cli", "lautum.experiment.config", "lautum.objectives", "lautum.data.splits"]
)
def test_what_every_step_imports_is_light(module):
    assert loaded_after(f"import {module}") == set()


@pytest.mark.parametrize("step", ["split", "verify"])
def test_steps_that_do_not_compute_do_not_import_torch(step, tmp_path, builtin_data):
    config = tmp_path / "light.yaml"
    config.write_text(
        f"extends: {lautum.__path__[0]}/../config/config.yaml\nname: light\n"
        f"grid: {{tasks: [digits-letters], seeds: 1}}\nfolders: {{data: {builtin_data}, results: {tmp_path}/results}}\n"
    )
    cell = ["--task", "digits-letters", "--labels", "50", "--seed", "0"] if step == "split" else []
    code = "from lautum.cli import main; assert main(sys.argv[1:]) == 0"
    assert loaded_after(code, step, "--config", str(config), *cell) == set()
    assert step != "split" or list(tmp_path.rglob("seed0.json"))


def test_the_method_needs_nothing_of_the_benchmark():
    code = (
        "import torch\n"
        "from lautum import LautumRegularizer, lautum_information, multi_kernel_mmd, mutual_information\n"
        "pool, outputs = torch.randn(300, 5), torch.randn(300, 2)\n"
        "value = LautumRegularizer(pool, outputs, rank=3)(pool[:64], outputs[:64])\n"
        "assert value.isfinite() and multi_kernel_mmd(pool, pool + 1) > 0\n"
    )
    benchmark = ("pandas", "matplotlib", "statsmodels", "sklearn", "pydantic", "safetensors", "yaml", "jinja2", "tqdm")
    benchmark += ("threadpoolctl",)
    assert "torch" in loaded_after(code, without=benchmark)


def test_the_public_names_are_the_method():
    from lautum.information import lautum_information, mutual_information
    from lautum.mmd import multi_kernel_mmd
    from lautum.regularizer import LautumRegularizer

    public = [lautum.LautumRegularizer, lautum.lautum_information, lautum.multi_kernel_mmd, lautum.mutual_information]
    assert set(lautum.__all__) == {name.__name__ for name in public} | {"load"}
    assert public == [LautumRegularizer, lautum_information, multi_kernel_mmd, mutual_information]
    with pytest.raises(AttributeError, match="module 'lautum' has no attribute 'Lautum'"):
        lautum.Lautum  # noqa: B018


@pytest.mark.parametrize(
    "door", ["from lautum.cli import main; main([]); import lautum.report.style", "import lautum.studies.theorem"]
)
def test_figures_do_not_depend_on_the_users_matplotlib(door, tmp_path):
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "matplotlibrc").write_text("text.usetex: true\nfont.size: 30\n")
    code = f"{door}\nimport matplotlib as m\nassert m.get_backend().lower() == 'agg'\n"
    code += "assert m.rcParams | {'backend': 0} == m.rcParamsDefault | {'backend': 0}"
    for folder in ("here", "."):  # one without and one with a matplotlibrc beside the one that is named
        environment = os.environ | {"MPLBACKEND": "no-such-backend", "MATPLOTLIBRC": str(tmp_path / "elsewhere")}
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / folder, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr


def test_the_conda_environment_is_the_package_with_all_that_it_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, installed = environment["dependencies"]
    assert SpecifierSet(project["requires-python"]).contains(python.removeprefix("python="))
    assert pip == "pip" and environment["channels"] == ["conda-forge"]  # pip installs all else
    constraints, package = installed["pip"]
    assert (ROOT / constraints.removeprefix("-c ")).is_file()
    (root, extra) = re.fullmatch(r"-e (\S+)\[(\w+)\]", package).groups()
    assert (ROOT / root / "pyproject.toml").is_file()
    extras = {name: [Requirement(text) for text in texts] for name, texts in project["optional-dependencies"].items()}
    reached = {extra} | {name for needed in extras[extra] if needed.name == project["name"] for name in needed.extras}
    assert reached == set(extras)
    assert f"conda activate {environment['name']}`" in (ROOT / "README.md").read_text()
