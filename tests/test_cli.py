"""The command line: one cell by hand from data to report, and one line for whatever a user gets wrong."""

import dataclasses
import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lautum import files
from lautum.cli import COMMANDS, main
from lautum.errors import listed
from lautum.experiment import config
from lautum.experiment.layout import Layout

ROOT = Path(__file__).parent.parent
CELL = ["--task", "digits-letters", "--labels", "20", "--seed", "0"]


@pytest.fixture
def campaign(tmp_path, monkeypatch, builtin_data) -> Path:
    """A working directory with prepared data and a configuration, mine.yaml, whose jobs take a moment."""
    shutil.copytree(builtin_data, tmp_path / "data")
    settings = {
        "label_counts": [20],
        "pretrain": {"steps": 4, "batch_size": 32},
        "transfer": {"steps": 3, "epochs": 2},
        "methods": {"lautum": {"pretrain": {"rank": 10}}},
    }
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "mine", "device": "cpu"}
    values |= {"grid": {"tasks": ["digits-letters"], "seeds": 2}, "tasks": {"digits-letters": settings}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUTUM_CONFIG", "mine.yaml")
    monkeypatch.delenv("LAUTUM_OFFLINE", raising=False)
    return tmp_path


def change(**values) -> None:
    path = Path("mine.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def run(*arguments: str) -> None:
    assert main(list(arguments)) == 0


def fails(capsys, *arguments: str) -> str:
    """Run a command that must fail with one line; returns it."""
    capsys.readouterr()
    assert main(list(arguments)) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lautum: error: ")]
    assert len(errors) == 1
    return errors[0]


def only(pattern: str) -> Path:
    (path,) = Path("results").rglob(pattern)
    return path


def test_a_cell_by_hand_and_a_partial_report(campaign, capsys):
    run("split", *CELL)
    run("pretrain", "--objective", "lautum", *CELL)
    run("transfer", "--method", "lautum", *CELL)
    run("evaluate", "--method", "lautum", *CELL)
    assert not list(Path("results").rglob("checkpoints/**/*.safetensors"))
    run("collect")
    captured = capsys.readouterr()
    assert "1 of 8 cells" in captured.out
    assert "missing: digits-letters standard, 20 labels, seeds 0–1" in captured.err
    for step in ("table", "plot", "report"):
        run(step)
    table = Path("reports/mine/accuracy.md").read_text()
    assert "no interval (n = 1)" in table and "missing" in table
    capsys.readouterr()
    collected = [Path(f"reports/mine/{name}") for name in ("records.csv", "curves.csv.gz", "examples.safetensors")]
    before = [path.read_bytes() for path in collected]
    only("evaluated-test/**/seed0.json").unlink()
    only("splits/**/seed0.json").unlink()
    assert "nothing to collect" in fails(capsys, "collect", "--drop")
    run("collect")
    captured = capsys.readouterr()
    assert "1 of 8 cells" in captured.out and "kept from what was collected before, not in results: 1 " in captured.out
    assert [path.read_bytes() for path in collected] == before
    assert "missing" in Path("reports/mine/index.html").read_text()


def test_repeating_a_job_gives_the_same_bytes(campaign):
    run("split", *CELL)
    run("pretrain", "--objective", "lautum", *CELL)
    network, first = only("lautum/**/seed0.safetensors"), only("lautum/**/seed0.safetensors").read_bytes()
    network.unlink()
    run("pretrain", "--objective", "lautum", *CELL)
    assert network.read_bytes() == first


def test_names_and_numbers_that_do_not_exist(campaign, capsys):
    rest = ["--labels", "20", "--seed", "0"]
    message = fails(capsys, "transfer", "--task", "digit-letters", "--method", "lautum", *rest)
    assert "unknown task 'digit-letters'; did you mean 'digits-letters'?" in message
    message = fails(capsys, "transfer", "--task", "digits-letters", "--method", "latum", *rest)
    assert "unknown method 'latum'; did you mean 'lautum'?" in message
    assert "unknown pretrain objective 'x'" in fails(capsys, "pretrain", "--objective", "x", *CELL)
    message = fails(capsys, "split", "--task", "digits-letters", "--labels", "30", "--seed", "0")
    assert "task digits-letters has no label count 30; its label_counts are 20" in message
    message = fails(capsys, "pretrain", "--objective", "lautum", "--task", "digits-letters", "--seed", "0")
    assert "objective lautum uses the unlabelled target images, so it needs --labels" in message
    assert "unknown data set 'mnst'; did you mean 'mnist'?" in fails(capsys, "prepare", "mnst")
    assert "none.yaml does not exist" in fails(capsys, "collect", "--config", "none.yaml")


def test_what_the_system_says_of_a_file_is_one_line_and_what_it_says_of_none_a_bug(capsys, monkeypatch):
    assert "File name too long" in fails(capsys, "compare", "n" * 300, "x")

    def broken(options):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setitem(COMMANDS, "status", dataclasses.replace(COMMANDS["status"], run=broken))
    with pytest.raises(OSError, match="Invalid argument"):
        main(["status"])


def test_an_output_that_is_closed_stops_nothing():
    command = [Path(sys.executable).with_name("lautum"), "status", "--config", "config/quickstart.yaml"]
    closed = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=ROOT, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_the_command_line_itself(capsys):
    assert "unknown step 'pretran'; did you mean 'pretrain'? allowed: prepare, " in fails(capsys, "pretran")
    for command in COMMANDS:
        assert "option '--hlp'; did you mean '--help'?" in fails(capsys, command, "--hlp")
    # Also when it stands for one that must be given, and never as an abbreviation of a known one.
    message = fails(capsys, "split", "--task", "x", "--label=20", "--seed", "0")
    assert "unknown `lautum split` option '--label'; did you mean '--labels'?" in message
    message = fails(capsys, "split", "--task", "x", "--labels", "-20", "--seed", "0")
    assert "argument --labels: must be a number, 0 or above, got '-20'; see `lautum split --help`" in message
    for most in (str(2**31), "9" * 5000):
        assert f"argument --watch: must be at most {2**31 - 1}, got '{most[:10]}" in fails(
            capsys, "status", "--watch", most
        )
    assert "the following arguments are required: --task, --labels, --seed" in fails(capsys, "split")
    assert "the following arguments are required: STEP" in fails(capsys)


@pytest.mark.parametrize(
    ("kind", "command", "remedy"),
    [("tuning-mnist-notmnist-small", name, "`lautum trials` makes all") for name in ("report", "table", "plot")]
    + [("universes-mnist", name, "`lautum report` makes all") for name in ("table", "plot")]
    + [
        (kind, name, "`trial_of` for each method")
        for kind in ("universes-mnist", "published")
        for name in ("trials", "rung")
    ],
)
def test_what_another_command_shows_is_refused_and_left_as_it_was(campaign, capsys, kind, command, remedy):
    shutil.copytree(ROOT / f"reports/{kind}", f"reports/{kind}")
    before = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    number = ["1"] if command == "rung" else []
    message = fails(capsys, command, *number, "--config", str(ROOT / f"config/{kind}.yaml"))
    assert remedy in message and len(message) < 300
    assert {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("method", "message"),
    [("lautm-u03", "did you mean 'lautum-u03'?"), ("x", "unknown method 'x'; allowed: standard, ")],
)
def test_a_name_that_is_none_of_hundreds_takes_one_readable_line(campaign, capsys, method, message):
    cell = ["--task", "mnist-notmnist-small", "--labels", "50", "--seed", "200", "--method", method]
    told = fails(capsys, "transfer", "--config", str(ROOT / "config/universes-mnist.yaml"), *cell)
    assert message in told and re.search(r" and \d{3} more$", told) and len(told) < 800


def test_names_beyond_thirty_are_counted():
    names = [f"n{number}" for number in range(32)]
    assert listed(names[:30]) == ", ".join(names[:30])
    assert listed(names[:31]) == ", ".join(names[:30]) + " and 1 more"
    assert listed(iter(names), most=2) == "n0, n1 and 30 more"


def test_a_changed_setting_stops_a_planned_job(campaign, capsys):
    message = fails(capsys, "transfer", "--method", "lautum", *CELL, "--key", "0123456789ab")
    assert "settings or the code changed since this job was planned (key 0123456789ab, now" in message


def test_the_key_of_an_evaluation_is_that_of_its_record(campaign, capsys):
    layout = Layout(config.load("mine.yaml"))
    keys = {name: getattr(layout, name)("digits-letters", "standard", 20) for name in ("record_key", "transfer_key")}
    for step, planned, other in (
        ("evaluate", "record_key", "transfer_key"),
        ("transfer", "transfer_key", "record_key"),
    ):
        told = fails(capsys, step, "--method", "standard", *CELL, "--key", keys[other])
        assert f"since this job was planned (key {keys[other]}, now {keys[planned]})" in told
        told = fails(capsys, step, "--method", "standard", *CELL, "--key", keys[planned])
        assert "since this job was planned" not in told


@pytest.mark.parametrize(
    "step", [["transfer", "--method", "entropy", *CELL], ["cells", *CELL[:2], *CELL[4:], "entropy:20"]]
)
def test_settings_of_a_method_outside_the_grid_are_checked_when_it_is_run(step, campaign, capsys):
    file = yaml.safe_load(Path("mine.yaml").read_text())
    file.setdefault("tasks", {}).setdefault("digits-letters", {}).setdefault("methods", {})["entropy"] = {
        "pretrain": {"weigth": 3}
    }
    Path("mine.yaml").write_text(yaml.safe_dump(file))
    told = fails(capsys, *step)
    assert "tasks.digits-letters, method entropy: unknown key 'weigth'; did you mean 'weight'?" in told


def test_steps_in_the_wrong_order(campaign, capsys):
    assert "run `lautum split` for task digits-letters" in fails(capsys, "pretrain", "--objective", "lautum", *CELL)
    run("split", *CELL)
    message = fails(capsys, "transfer", "--method", "standard", *CELL)
    assert "seed0.safetensors does not exist; run the stage that makes it" in message
    Path("data/letters-train.safetensors").unlink()
    assert "run `lautum prepare letters`" in fails(capsys, "split", *CELL)
    assert "reports/mine/records.csv does not exist; run `lautum collect`" in fails(capsys, "table")


def test_damaged_files_are_named(campaign, capsys):
    run("split", *CELL)
    run("pretrain", "--objective", "source_only", *CELL)
    network, split = only("source_only/**/*.safetensors"), only("splits/**/*.json")
    whole = network.read_bytes()
    network.write_bytes(whole[:2000])
    assert "seed0.safetensors cannot be read" in fails(capsys, "transfer", "--method", "standard", *CELL)
    network.write_bytes(whole)
    text = split.read_text()
    split.write_text(text.replace('"labelled": [\n', '"labelled": [\n  0,\n'))
    assert "seed0.json is damaged: its content does not have the SHA-256" in fails(
        capsys, "transfer", "--method", "standard", *CELL
    )
    split.write_text(text[:-200])
    assert "seed0.json is not a split (invalid JSON" in fails(capsys, "transfer", "--method", "standard", *CELL)
    data = Path("data/letters-train.safetensors")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    assert "letters-train.safetensors" in fails(capsys, "split", *CELL)


def test_a_damaged_file_is_set_aside_and_made_again(campaign, capsys):
    run("split", *CELL)
    run("pretrain", "--objective", "source_only", *CELL)
    network = only("source_only/**/*.safetensors")
    whole = network.read_bytes()
    network.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    message = fails(capsys, "transfer", "--method", "standard", *CELL)
    assert "does not have the SHA-256 written in it" in message and "(it is now seed0.safetensors.damaged)" in message
    assert not network.exists()
    run("pretrain", "--objective", "source_only", *CELL)
    assert network.read_bytes() == whole


def test_verify_finds_every_kind_of_damage(campaign, capsys):
    run("split", *CELL)
    run("pretrain", "--objective", "source_only", *CELL)
    run("transfer", "--method", "standard", *CELL)
    run("evaluate", "--method", "standard", *CELL)
    capsys.readouterr()
    run("verify")
    # Data 3, a split, two networks and costs, a record and the receipt of the pre-training.
    assert capsys.readouterr().out == "10 files are whole, 0 damaged\n"
    victims = [
        Path("data/letters-test.safetensors"),
        only("splits/**/*.json"),
        only("transferred/**/*.safetensors"),
        only("pretrained/**/*.json"),
        only("evaluated-test/**/*.json"),
    ]
    for path in victims:
        path.write_bytes(path.read_bytes()[:-200])
    assert "run the campaign again to make the damaged files anew" in fails(capsys, "verify")
    for path in victims:
        assert not path.exists() and path.with_name(f"{path.name}.damaged").exists()
    run("verify")
    assert capsys.readouterr().out == "6 files are whole, 0 damaged\n"  # the record's predictions among them


def test_verify_names_a_collected_file_that_was_altered_and_leaves_it(campaign, capsys):
    run("split", *CELL)
    run("pretrain", "--objective", "source_only", *CELL)
    run("transfer", "--method", "standard", *CELL)
    run("evaluate", "--method", "standard", *CELL)
    run("collect")
    run("verify")
    for name in ("records.csv", "settings.json", "curves.csv.gz"):
        path = Path("reports/mine") / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        message = fails(capsys, "verify")
        assert f"{path} is not what was written there" in message and "lautum collect --drop" in message
        assert path.read_bytes() == whole[:-20]
        path.write_bytes(whole)
    run("verify")


def test_a_record_whose_predictions_are_damaged_goes_with_them(campaign, capsys):
    run("split", *CELL)
    run("pretrain", "--objective", "source_only", *CELL)
    run("transfer", "--method", "standard", *CELL)
    run("evaluate", "--method", "standard", *CELL)
    predictions = only("evaluated-test/**/*.safetensors")
    predictions.write_bytes(b"short")
    fails(capsys, "verify")
    run("verify")
    assert not predictions.with_suffix(".json").exists()
    run("evaluate", "--method", "standard", *CELL)
    assert predictions.with_suffix(".json").exists() and len(predictions.read_bytes()) > 1000


def test_settings_that_cannot_be_computed_are_refused_before_any_job(campaign, capsys):
    values = yaml.safe_load(Path("mine.yaml").read_text())["tasks"]
    values["digits-letters"]["methods"]["lautum"]["pretrain"]["rank"] = 5000
    change(tasks=values)
    message = fails(capsys, "split", *CELL)
    assert "method lautum: pretrain.rank must be at most 256, the inputs of an image of letters, got 5000" in message
    values["digits-letters"]["methods"]["lautum"]["pretrain"] |= {"rank": 250, "decay": 0.0}
    change(tasks=values)
    message = fails(capsys, "split", *CELL)
    assert "pretrain.batch_size 32 with decay 0 averages over about 32 samples, which must be more than rank" in message
    assert not list(Path("results").rglob("*.safetensors"))


def test_a_loss_that_is_not_finite_leaves_no_result(campaign, capsys):
    values = yaml.safe_load(Path("mine.yaml").read_text())["tasks"]
    values["digits-letters"]["pretrain"]["learning_rate"] = 1e30
    change(tasks=values)
    message = fails(capsys, "pretrain", "--objective", "source_only", *CELL)
    assert "lower learning_rate or the objective's weight" in message
    assert not list(Path("results").rglob("*.safetensors"))


def test_cuda_asked_for_and_absent(campaign, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    change(device="cuda")
    assert "offers no CUDA device; use `device: auto` or `cpu`" in fails(
        capsys, "pretrain", "--objective", "source_only", *CELL
    )


def test_folders_that_cannot_be_written_to(campaign, capsys, monkeypatch):
    Path("results").write_text("a file where a folder should be")
    assert "results is where a folder belongs" in fails(capsys, "split", *CELL)
    Path("results").unlink()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    message = fails(capsys, "split", *CELL)
    assert "no space left on the device; free some space" in message
    assert not [path for path in Path("results").rglob("*") if path.is_file()]


def test_a_log_on_a_full_disk_does_not_end_a_job(campaign, monkeypatch):
    main(["split", *CELL])
    change(checkpoint_seconds=0)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        monkeypatch.setattr(sys, "__stderr__", full)
        assert main(["pretrain", "--objective", "source_only", "--task", "digits-letters", "--seed", "0"]) == 0
        print("said after the job", file=sys.stderr, flush=True)
        with pytest.raises(OSError, match="No space left"):
            full.flush()  # nothing of what was said is there
        full.buffer.raw.close()  # which empties no buffer


def test_output_that_does_not_fit_is_an_error(campaign):
    with open("/dev/full", "w") as full:
        command = ["lautum", "status"]
        process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 1
    assert process.stderr == "lautum: error: no space left on the device for what this prints; free some space\n"


def test_help_and_errors_of_the_installed_command(campaign):
    command = Path(sys.executable).parent / "lautum"
    text = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    for step in "prepare split pretrain transfer evaluate trials collect table plot report".split():
        assert f"\n    {step} " in text
        with pytest.raises(SystemExit) as ended:
            main([step, "--help"])
        assert ended.value.code == 0
    result = subprocess.run(
        [command, "split", "--task", "x", "--labels", "20", "--seed", "0"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("lautum: error: unknown task 'x'") and result.stderr.count("\n") == 1
