"""What importing costs, and what each use of the package needs."""

import subprocess
import sys

import pytest

import lautum

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
