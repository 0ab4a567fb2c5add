"""The real graph on a toy campaign: it runs to the end, shares what it can, reruns only what a change touches."""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import snakemake_executor_plugin_slurm
import yaml

from lautum.cli import main
from lautum.experiment.config import load
from lautum.experiment.layout import Layout
from lautum.results import collected, status, sums
from lautum.results.jobs import jobs as campaign_jobs

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
INSTALLED = {"PATH": f"{BIN}:{os.environ['PATH']}", "BASH_FUNC_lautum%%": '() { command lautum "$@"; }'}

BROKEN = {f"BASH_FUNC_{name}%%": "() { return 1; }" for name in ("lautum", "python")}  # every job fails

TOY = {
    "extends": str(ROOT / "config/config.yaml"),
    "name": "toy",
    "grid": {"tasks": ["digits-letters"], "seeds": 2},
    "tasks": {
        "digits-letters": {
            "label_counts": [20],
            "pretrain": {"steps": 12, "batch_size": 32},
            "transfer": {"steps": 8, "epochs": 2},
            "methods": {"lautum": {"pretrain": {"rank": 10}}},
        }
    },
}


@pytest.fixture(scope="module", autouse=True)
def commands(forked):
    """`snakemake` and `lautum` are forked here, which begins at once; where it matters they are those of INSTALLED."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in forked.items():
            patch.setenv(name, value)
        yield


def snakemake(folder: Path, *arguments: str, check: bool = True, variables: dict[str, str] | None = None) -> str:
    """Run the project's Snakefile in `folder` on its toy.yaml; returns all output."""
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), *arguments]
    if "--configfile" not in arguments:
        command += ["--configfile", str(folder / "toy.yaml")]
    environment = os.environ | (variables or {})
    command[0] = str(shutil.which(command[0], path=environment["PATH"]))
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    output = result.stdout + result.stderr
    assert not check or result.returncode == 0, output[-3000:]
    return output


def jobs(folder: Path, config: dict) -> Counter:
    """How many jobs of each rule a dry run with `config` lists."""
    (folder / "changed.yaml").write_text(yaml.safe_dump(config))
    output = snakemake(folder, "--dry-run", "--cores", "1", "--configfile", str(folder / "changed.yaml"))
    return Counter(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE))


def changed(**differences) -> dict:
    """The toy campaign with a task's, the grid's or the methods' entries replaced."""
    task = TOY["tasks"]["digits-letters"] | differences.pop("task", {})
    return TOY | {"tasks": {"digits-letters": task}, "grid": TOY["grid"] | differences.pop("grid", {})} | differences


@pytest.fixture(scope="module")
def finished(tmp_path_factory, builtin_data) -> Path:
    """A folder in which the toy campaign has run to its end."""
    folder = tmp_path_factory.mktemp("campaign")
    shutil.copytree(builtin_data, folder / "data")
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
    options = ["--cores", "2", "--scheduler", "greedy", "--verbose"]
    (folder / "driver.log").write_text(snakemake(folder, *options))
    return folder


def test_every_cell_and_every_page_is_there(finished):
    records = sorted((finished / "results/evaluated-test").rglob("*.json"))
    assert len(records) == 8  # 4 methods x 1 label count x 2 seeds
    assert {json.loads(path.read_text())["n_images"] for path in records} == {1000}
    names = {path.name for path in (finished / "reports/toy").iterdir()}
    assert {"index.html", "accuracy.md", "accuracy.tex", "records.csv", "digits-letters-accuracy.pdf"} <= names
    assert not list((finished / "results/checkpoints").rglob("*.safetensors"))


def test_the_driver_and_the_jobs_say_how_far_they_are(finished, monkeypatch):
    assert "0 of 8 cells, 0 jobs running, no estimate yet" in (finished / "driver.log").read_text()
    monkeypatch.chdir(finished)
    layout = Layout(load("toy.yaml"))
    wanted = list(campaign_jobs(layout))
    assert Counter(job.step for job in wanted) == {"pretrain": 6, "cells": 6}
    # Logs and results lie where `status` looks for them.
    assert all(job.result.exists() and str(job.result) in job.log.read_text() for job in wanted)
    now = status.read(layout)
    assert set(now.cells.values()) == {"done"} and now.running == now.failed == []


def test_the_scheduler_looks_at_the_jobs_when_one_has_ended_and_not_every_second_since(finished):
    log = (finished / "driver.log").read_text()
    looked, ended = (len(re.findall(text, log, re.MULTILINE)) for text in ("^Ready jobs: ", "^Finished jobid: "))
    assert 0 < looked <= ended + 1
    assert "\nExecute 2 jobs" in log


def test_standard_and_temporal_ensembling_share_their_pretraining(finished):
    pretrained = Counter(path.parts[-4] for path in (finished / "results/pretrained").rglob("*.safetensors"))
    assert pretrained == {"source_only": 2, "mk_mmd": 2, "lautum": 2}


def test_a_second_run_does_nothing_and_looks_for_every_file(finished):
    made = set((finished / "reports/toy").iterdir())
    output = snakemake(finished, "--summary")
    plans = dict(line.split("\t")[:: len(line.split("\t")) - 1] for line in output.splitlines() if "\t" in line)
    assert {plan for name, plan in plans.items() if name != "output_file"} == {"no update"}
    # Of the files of the report all but the collected ones.
    others = {path.name for path in made} - {Path(name).name for name in plans}
    assert others == {*collected.FILES, sums.NAME}


def test_what_is_defined_and_not_run_is_said_before_any_job(tmp_path):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    own = "methods: {own: {pretrain: source_only, transfer: supervised}}"
    (tmp_path / "mine.yaml").write_text(f"extends: toy.yaml\nname: mine\n{own}\n")
    output = snakemake(tmp_path, "--dry-run", "--configfile", str(tmp_path / "mine.yaml"))
    assert output.count("WARNING: ") == 1
    assert "mine.yaml: method own is not run; grid.methods leaves it out" in output.partition("Job stats")[0]


def test_a_path_of_no_job_is_no_target(tmp_path):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    layout = Layout(load(tmp_path / "toy.yaml"))
    (cell, *_) = layout.cells()
    network = layout.pretrained(cell.task, cell.method, cell.labels, cell.seed)
    for path in (layout.receipt(network), layout.batches([cell])[0].receipt):
        other = str(path).replace(cell.task, "digits+letters")
        output = snakemake(tmp_path, "--dry-run", "--configfile", str(tmp_path / "toy.yaml"), "--", other, check=False)
        assert "MissingRuleException" in output and other in output and "Error" not in output
        other = re.sub("/[0-9a-f]{12}/", "/0123456789ab/", str(path))
        output = snakemake(tmp_path, "--dry-run", "--configfile", str(tmp_path / "toy.yaml"), "--", other, check=False)
        assert "toy asks for no digits-letters/" in output and "KeyError" not in output


def test_a_new_seed_runs_only_its_own_jobs(finished):
    expected = {"split": 1, "pretrain": 3, "cells": 3, "collect": 1}
    assert expected.items() <= jobs(finished, changed(grid={"seeds": 3})).items()


def test_a_new_label_count_runs_only_its_own_jobs(finished):
    # The source-only pre-training of both seeds is already there.
    expected = {"split": 2, "pretrain": 4, "cells": 6}
    assert expected.items() <= jobs(finished, changed(task={"label_counts": [20, 40]})).items()


def test_a_changed_weight_reruns_only_its_method(finished):
    weight = {"methods": {"lautum": {"pretrain": {"rank": 10, "weight": 0.5}}}}
    listed = jobs(finished, changed(task=weight))
    assert {"pretrain": 2, "cells": 2}.items() <= listed.items()
    assert "split" not in listed


def test_a_changed_transfer_setting_keeps_the_pretraining(finished):
    transfer = {"transfer": {"steps": 9, "epochs": 2}}
    listed = jobs(finished, changed(task=transfer))
    assert listed["cells"] == 6
    assert "pretrain" not in listed


def test_a_new_method_of_old_objectives_reuses_their_pretraining(finished):
    methods = {"lautum_te": {"pretrain": "lautum", "transfer": "temporal_ensembling"}}
    own = {"lautum": {"pretrain": {"rank": 10}}, "lautum_te": {"pretrain": {"rank": 10}}}
    listed = jobs(
        finished,
        changed(grid={"methods": ["standard", "lautum_te"]}, methods=methods, comparisons=[], task={"methods": own}),
    )
    assert listed["cells"] == 4  # of two pre-trainings and two seeds
    assert "pretrain" not in listed


def test_the_same_campaign_elsewhere_gives_the_same_bytes(finished, tmp_path):
    shutil.copytree(finished / "data", tmp_path / "data")
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    (receipt,) = (finished / "results/finished-test/digits-letters/lautum").rglob("seed1-*.json")
    snakemake(tmp_path, "--cores", "1", str(receipt.relative_to(finished)), variables=INSTALLED)
    (cell,) = (finished / "results/transferred/digits-letters/lautum").rglob("seed1.safetensors")
    target = str(cell.relative_to(finished))
    compared = [
        target,
        *(str(p.relative_to(tmp_path)) for p in (tmp_path / "results/pretrained").rglob("*.safetensors")),
    ]
    compared += [str(path.relative_to(tmp_path)) for path in (tmp_path / "results/splits").rglob("*.json")]
    assert len(compared) == 3
    for name in compared:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_lost_record_is_made_again_alone(finished):
    (record,) = (finished / "results/evaluated-test/digits-letters/temporal_ensembling").rglob("seed0.json")
    made = [path for name in ("pretrained", "transferred") for path in (finished / "results" / name).rglob("seed*")]
    before = {path: path.stat().st_mtime_ns for path in made}
    whole = json.loads(record.read_text())
    record.unlink()
    (receipt,) = (finished / "results/finished-test/digits-letters/source_only").rglob("seed0-*.json")
    target = str(receipt.relative_to(finished))
    output = snakemake(finished, target, "--cores", "1", "--rerun-triggers", "mtime", "input")
    assert re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE) == ["cells"]
    again = json.loads(record.read_text())
    assert again["predictions_sha256"] == whole["predictions_sha256"] and again["transfer"] == whole["transfer"]
    assert {path: path.stat().st_mtime_ns for path in made} == before


def test_a_job_that_begins_again_or_fails_takes_nothing_away_that_was_finished(finished):
    """As the copy of a job does whose first driver was killed: what it would make may be finished by then."""
    kinds = ("data", "results/pretrained", "results/transferred", "results/evaluated-test")
    before = {path: path.stat().st_mtime_ns for kind in kinds for path in (finished / kind).rglob("*")}
    before |= {path: path.stat().st_mtime_ns for path in (finished / "reports/toy" / name for name in collected.FILES)}
    options = ["--cores", "2", "--scheduler", "greedy"]
    for rule in ("collect", "cells", "pretrain", "prepare"):
        output = snakemake(finished, *options, "-k", "--retries", "3", "-R", rule, variables=BROKEN, check=False)
        assert f"Error in rule {rule}" in output and {path: path.stat().st_mtime_ns for path in before} == before
        # What is tried again gets as much again, and three times as much at most.
        for name in ("mem_mb", "runtime"):
            job = rf"^localrule {rule}:\n(?:    .*\n)*?    resources: .*\b{name}=(\d+)"
            asked = sorted({int(value) for value in re.findall(job, output, re.MULTILINE)})
            cells = (1, 2) if (rule, name) == ("cells", "runtime") else (1,)  # in a job, which needs no more for each
            assert asked == sorted({(some + times - 1) * asked[0] for times in (1, 2, 3) for some in cells})
    output = snakemake(finished, *options, "-R", "prepare", "pretrain", "cells", "collect")
    assert all(f"rule {rule}:" in output for rule in ("prepare", "pretrain", "cells", "collect"))
    changed = {path for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed == {finished / "reports/toy" / name for name in collected.FILES}


def test_a_study_that_fails_leaves_its_page(tmp_path):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    shutil.copytree(ROOT / "reports/theorem", tmp_path / "reports/theorem")
    for made in ("results/studies/theorem", "results/benchmarks/studies/theorem.jsonl"):
        (tmp_path / made).parent.mkdir(parents=True)
        (tmp_path / made).touch()
    assert "Nothing to be done" in snakemake(tmp_path, "--dry-run", "theorem")
    (tmp_path / "reports/theorem/terms.csv").unlink()
    output = snakemake(tmp_path, "--cores", "1", "theorem", variables=BROKEN, check=False)
    assert "Error in rule theorem" in output and (tmp_path / "reports/theorem/index.html").exists()


def test_data_that_others_prepared_since_are_used_and_those_that_are_gone_prepared(finished):
    (file,) = (finished / "data").glob("digits-train.safetensors")
    content = file.read_bytes()
    rest = {"pretrain", "cells", "collect", "report"}
    for change, options, rules in (
        (lambda: file.write_bytes(content + b"x"), [], rest),
        (file.unlink, [], set()),  # nothing needs it
        (lambda: None, ["-R", "pretrain"], rest | {"prepare"}),
        (lambda: file.write_bytes(content), [], set()),  # the same again
    ):
        change()
        output = snakemake(finished, "--dry-run", *options)
        assert {*re.findall(r"^(?:local)?rule (\w+):$", output, re.MULTILINE)} - {"all"} == rules


def test_a_folder_that_cannot_be_looked_into_is_said_in_one_line(tmp_path):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    for name in ("collected", "finished-pretrain", "finished-test", "prepared", "studies"):
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / name).symlink_to("n" * 300)  # which no file system has
        output = snakemake(tmp_path, "--dry-run", check=False)
        assert "File name too long" in output and output.count("\n  File") == 1
        shutil.rmtree(tmp_path / "results")


def test_a_pretraining_that_is_lost_or_another_one_is_seen_by_the_next_driver(finished):
    (cost,) = (finished / "results/pretrained/digits-letters/lautum").rglob("seed0.json")
    (receipt,) = (finished / "results/finished-pretrain/digits-letters/lautum").rglob("seed0.json")
    cost.unlink()
    snakemake(finished, str(receipt.relative_to(finished)), "--cores", "1")
    assert cost.exists() and "Nothing to be done" in snakemake(finished, "--dry-run")  # the network is the same again
    # Trained elsewhere, say, by a driver that was stopped before its cells.
    whole = receipt.read_text()
    receipt.write_text(whole.replace(json.loads(whole)["results"].popitem()[1], "0" * 64))
    output = snakemake(finished, "--dry-run")
    receipt.write_text(whole)
    assert len(re.findall("^rule cells:$", output, re.MULTILINE)) == 1 and "rule pretrain:" not in output


def test_a_page_is_made_anew_when_only_the_configuration_changed_and_the_driver_was_stopped_after_collecting(
    finished,
):
    written = (finished / "toy.yaml").read_text()
    (finished / "toy.yaml").write_text(written + "about: Another.\n")
    snakemake(finished, "results/collected/toy", "--cores", "1")
    assert "rule report:" in snakemake(finished, "--dry-run")
    (finished / "toy.yaml").write_text(written)
    snakemake(finished, "--cores", "1")


def test_the_jobs_run_the_package_beside_the_graph_whatever_the_environment_has(tmp_path, builtin_data):
    shutil.copytree(builtin_data, tmp_path / "data")
    for name in ("Snakefile", "workflow", "lautum", "config"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    entry = tmp_path / "lautum/pipeline/split.py"
    entry.write_text(entry.read_text() + "\nprint('another clone')\n")
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY | {"extends": "config/config.yaml"}))
    command = [BIN / "snakemake", "--cores", "1", "--configfile", "toy.yaml", "--until", "split"]
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "BASH_FUNC" not in name
    }
    for name in ("lautum", "python"):  # those of the driver's environment are meant, active or not
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    logs = list((tmp_path / "results/logs/split").rglob("*.log"))
    assert logs and all("another clone" in log.read_text() for log in logs)


def test_several_pretrainings_and_their_cells_are_one_job_where_the_configuration_says_so(finished, tmp_path):
    shutil.copytree(finished / "data", tmp_path / "data")
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY | {"pretrainings_per_job": 4}))
    options = ["--cores", "2", "--scheduler", "greedy", "--max-jobs-per-timespan", "1/1s"]
    output = snakemake(tmp_path, *options, "--until", "cells")
    assert "Execute 1 jobs" in output and "Execute 2 jobs" not in output  # a limit that somebody set is kept
    listed = Counter(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE))
    assert listed == {"split": 2, "cells": 2}  # six pre-trainings, eight cells
    for name in ("pretrained", "transferred"):
        folder, other = finished / "results" / name, tmp_path / "results" / name
        made = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.safetensors")}
        assert made == {path.relative_to(other): path.read_bytes() for path in other.rglob("*.safetensors")}
    assert "rule cells:" not in snakemake(tmp_path, "--cores", "1", "--until", "cells")


def test_a_campaign_comes_to_its_end_whatever_became_of_its_files_before_they_were_collected(finished, monkeypatch):
    """The split that examples are shown of is damaged, and a receipt is of a time to come."""
    grid = {"methods": ["standard"], "seeds": 1}
    (finished / "late.yaml").write_text(yaml.safe_dump(changed(grid=grid) | {"name": "late"}))
    options = ["--cores", "2", "--scheduler", "greedy", "--configfile", str(finished / "late.yaml")]
    monkeypatch.chdir(finished)
    layout = Layout(load("late.yaml"))
    (batch,) = layout.batches(layout.cells())
    snakemake(finished, str(batch.receipt), *options)
    split = layout.split("digits-letters", 20, 0)
    whole = split.read_bytes()
    split.write_bytes(whole[:-9])
    future = time.time() + 3e8
    os.utime(batch.receipt, (future, future))
    assert main(["verify", "--config", "late.yaml"]) == 1
    snakemake(finished, *options)
    assert split.read_bytes() == whole
    assert (layout.report / "digits-letters-examples.png").exists() and (layout.report / "index.html").exists()


def test_a_grid_of_one_method_has_no_differences_to_draw(finished):
    (finished / "one.yaml").write_text(yaml.safe_dump(changed(grid={"methods": ["lautum"]}) | {"name": "one"}))
    options = ["--cores", "1", "--configfile", str(finished / "one.yaml")]
    output = snakemake(finished, *options)
    assert "\nDone. Open reports/one/index.html\n" in output
    names = {path.name for path in (finished / "reports/one").iterdir()}
    assert "digits-letters-accuracy.png" in names and "digits-letters-differences.png" not in names
    # A seed leaves the grid: its run stays in the table all the same.
    table = (finished / "reports/one/records.csv").read_text()
    smaller = changed(grid={"methods": ["lautum"], "seeds": [1]}) | {"name": "one"}
    (finished / "one.yaml").write_text(yaml.safe_dump(smaller))
    collected, log = "results/collected/one", finished / "results/logs/collect/one.log"
    snakemake(finished, collected, *options)
    header, *rows = table.splitlines()
    assert (finished / "reports/one/records.csv").read_text().splitlines() == [header, *reversed(rows)]
    assert "not in results: 1 " in log.read_text()
    # A table that is gone is collected again.
    (finished / "reports/one/records.csv").unlink()
    snakemake(finished, collected, *options)
    assert len((finished / "reports/one/records.csv").read_text().splitlines()) == 2


def test_a_search_runs_its_rungs_and_names_its_winners(finished):
    ranges = {"learning_rate": {"low": 1e-4, "high": 1e-2, "source": "chosen: for the test"}}
    search = {"trials": 3, "rungs": [1, 2, 3], "space": {"standard": {"transfer": ranges}}}
    values = changed(grid={"methods": ["standard"], "seeds": [10, 11, 12]}, comparisons=[], search=search)
    values |= {"name": "search", "evaluate": {"part": "validation", "validation_images": 100}}
    (finished / "search.yaml").write_text(yaml.safe_dump(values))
    options = ["--scheduler", "greedy", "--configfile", str(finished / "search.yaml")]
    output = snakemake(finished, "--cores", "2", *options, "--", "tune")
    ran = Counter(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):$", output, flags=re.MULTILINE))
    assert len(list((finished / "results/evaluated-validation").rglob("*.json"))) == 3 + 1 + 1
    assert ran["pretrain"] == ran["cells"] == 3  # the trials differ in the post-transfer stage only
    names = {path.name for path in (finished / "reports/search").iterdir()}
    assert {"trials.csv", "winners.yaml", "digits-letters-sensitivity-standard.png"} <= names
    assert "Nothing to be done" in snakemake(finished, "--cores", "1", *options, "--", "tune")
    # A job that fails does not take away what other configurations extend; without it, it is made again.
    arguments = ["--cores", "1", *options, "--forcerun", "trials", "--", "tune"]
    output = snakemake(finished, *arguments, variables=BROKEN, check=False)
    assert "Error in rule trials" in output and not (finished / "reports/search/index.html").exists()
    winners = (finished / "reports/search/winners.yaml").read_text()
    snakemake(finished, *arguments)
    (finished / "reports/search/winners.yaml").unlink()
    snakemake(finished, "--cores", "1", *options, "--", "tune")
    assert (finished / "reports/search/winners.yaml").read_text() == winners
    # A damaged ranking is made again, from the records that are there, and so is the one that rests on it.
    ranking, second = sorted((finished / "reports/search").glob("rung?-*.csv"))
    whole, whole_second = ranking.read_text(), second.read_text()
    ranking.write_text(whole[:40])
    (finished / "reports/search/trials.csv").unlink()
    output = snakemake(finished, "--cores", "2", *options, "--", "tune")
    assert f"{ranking.name} is not the ranking of rung 1" in output and "rule cells:" not in output
    assert f"{second.name}: it is now {second.name}.damaged" in output
    assert (ranking.read_text(), second.read_text()) == (whole, whole_second)
    # Another space is another search: its trials are run, those of the old one are not in its way.
    ranges["learning_rate"]["high"] = 2e-2
    (finished / "search.yaml").write_text(yaml.safe_dump(values))
    output = snakemake(finished, "--dry-run", *options, "--", "tune")
    assert len(re.findall(r"^rule cells:$", output, flags=re.MULTILINE)) == 1  # three trials on the first seed


def test_a_search_can_have_more_rungs_than_nine(tmp_path):
    ranges = {"learning_rate": {"low": 1e-4, "high": 1e-2, "source": "chosen: for the test"}}
    search = {"trials": 11, "rungs": list(range(1, 12)), "space": {"standard": {"transfer": ranges}}}
    values = changed(grid={"methods": ["standard"], "seeds": list(range(10, 21))}, comparisons=[], search=search)
    values |= {"name": "search", "evaluate": {"part": "validation", "validation_images": 100}}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    output = snakemake(tmp_path, "--dry-run", "--cores", "1", "--configfile", str(tmp_path / "toy.yaml"), "--", "tune")
    assert len(re.findall(r"^checkpoint rung:$", output, flags=re.MULTILINE)) == 10


def test_a_bad_configuration_stops_before_any_job(finished):
    (finished / "bad.yaml").write_text(yaml.safe_dump(TOY | {"grid": {"tasks": ["digit-letters"]}}))
    output = snakemake(finished, "--cores", "1", "--configfile", str(finished / "bad.yaml"), check=False)
    assert "unknown task 'digit-letters'; did you mean 'digits-letters'?" in output
    assert "Traceback" not in output


def test_names_that_mean_something_to_a_shell_are_names(tmp_path, builtin_data):
    name = "a 'b\"; touch X; $(touch X) `touch X` #&|<>*?[]\\\\"
    folders = {"data": "d", "results": f"results {name}", "reports": f"reports {name}"}
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(TOY | {"folders": folders}))
    options = ["--profile", str(ROOT / "profiles/local"), "--configfile", str(tmp_path / f"{name}.yaml")]
    # The cause of a failure is shown, though rules are quiet.
    elsewhere = INSTALLED | {"LAUTUM_OFFLINE": "/nowhere"}
    output = snakemake(tmp_path, *options, "--until", "prepare", check=False, variables=elsewhere)
    assert re.search(
        r"^results .*/logs/prepare/\w+\.log:lautum: error: the offline folder /nowhere does not", output, re.M
    )
    shutil.copytree(builtin_data, tmp_path / "d")
    output = snakemake(tmp_path, *options, "--until", "split", variables=INSTALLED)
    assert "\nDone.\n" in output  # of the page, which was not asked for, nothing is said
    assert {path.name for path in tmp_path.iterdir()} == {".snakemake", "d", folders["results"], f"{name}.yaml"}
    assert len(list((tmp_path / folders["results"] / "splits").rglob("seed?.json"))) == 2
    output = snakemake(tmp_path, *options, "--dry-run", "--printshellcmds", "--quiet", "host")
    commands = [shlex.split(command) for command in re.findall(r"^\s*(?:Shell command: )?(logged .*)$", output, re.M)]
    assert {command[3] for command in commands} == {"pretrain", "cells", "collect", "report"}
    assert all(command[4] == "--all" for command in commands if command[3] == "collect")
    for command in commands:
        assert command[1].startswith(f"results {name}/logs/{command[3]}/") and command[2] == "lautum"
        own, rest = command[4:], []
        if command[3] == "collect":
            own, rest = command[4:5], command[5:]
        assert not any(set(part) & set(" '$;`") for part in own)
        sums, stamp = f"reports {name}/toy/SHA256SUMS", f"results {name}/collected/toy"
        assert not rest or (rest[:3], rest[-2:]) == (["&&", "cat", sums], [">", stamp])


def test_the_slurm_profile_works_by_name_from_the_root(tmp_path):
    copy = tmp_path / "clone"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    command = [BIN / "snakemake", "--profile", "slurm", "--dry-run"]
    result = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    listed = Counter(re.findall(r"^rule (\w+):$", result.stdout + result.stderr, flags=re.MULTILINE))
    expected = 10 * sum(1 + 2 * len(task.label_counts) for name, task in grid_tasks())
    assert listed["cells"] == listed["pretrain"] == expected
    assert "slurm_partition=gpu" in result.stdout + result.stderr


@pytest.mark.parametrize(
    "profiles, expected",
    [
        (["local-gpu"], "gpu=1"),
        (["slurm", "site-account"], "slurm_account=my_project, slurm_partition=gpu"),
        (["slurm", "site-gres"], "gres=gpu:a100:1, slurm_extra=--signal=TERM@120"),
    ],
)
def test_the_other_profiles_ask_for_what_they_should(finished, tmp_path, profiles, expected):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(TOY))
    options = [part for name in profiles for part in ("--profile", str(ROOT / "profiles" / name))]
    output = snakemake(tmp_path, *options, "--dry-run", "--quiet", "progress")
    pretrain = re.search(r"^rule pretrain:\n(?:    .*\n)+", output, flags=re.MULTILINE).group()
    assert expected in pretrain


def test_a_scheduler_that_does_not_answer_is_asked_for_half_an_hour_whoever_is_asked():
    """An attempt may fail at once, and after the last one the executor forgets the jobs and waits for them for ever."""
    profiles = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "profiles").glob("*/profile.yaml"))]
    (attempts,) = [profile["slurm-status-attempts"] for profile in profiles if "slurm-status-attempts" in profile]
    (rate,) = [some for profile in profiles if (some := profile.get("max-status-checks-per-second"))]
    assert attempts / rate >= 30 * 60
    assert "asked again for half an hour" in (ROOT / "docs/cluster.md").read_text(encoding="utf-8")


def test_one_answer_of_the_controller_is_kept_and_no_answer_is_asked_for_again():
    """And the executor asks by the name under which the graph puts this."""
    looks = snakemake_executor_plugin_slurm.Executor.check_active_jobs
    assert "get_min_job_age" in looks.__code__.co_names and hasattr(snakemake_executor_plugin_slurm, "get_min_job_age")
    rules = (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")
    names: dict = {}
    (function,) = re.findall(r"^def first_answer.*?(?=^\S)", rules, flags=re.M | re.S)
    exec(function, names)
    answers = iter([None, 300])
    asked = names["first_answer"](lambda: next(answers), math.inf)
    assert [asked(), asked(), asked()] == [math.inf, 300, 300]


def grid_tasks():
    config = load(ROOT / "config/config.yaml")
    return [(name, config.tasks[name]) for name in config.grid.tasks]


def test_workflow_style():
    command = [BIN / "snakefmt", "--check", "Snakefile", "workflow"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    result = subprocess.run([BIN / "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    # Jobs run in the environment of the driver: that of environment.yml, or of `make`.
    lints = set(re.findall(r"^    \* (.*):$", result.stderr, flags=re.MULTILINE))
    assert lints == {"Specify a conda environment or container for each rule."}, result.stderr
