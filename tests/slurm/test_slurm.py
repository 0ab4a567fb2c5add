"""The built-in task through a real Slurm: killed, preempted, short of memory, driver cancelled; the same bytes at last.

Run with `pytest -m slurm` where `tests/slurm/lab.sh install` succeeds: as root, with Debian's packages.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
LAB = ROOT / "tests/slurm/lab.sh"
ENVIRONMENT = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
SLURM = ["snakemake", "--profile", "slurm", "--profile", "tests/slurm/profile", "--configfile", "toy.yaml"]

TOY = {
    "extends": "config/config.yaml",
    "name": "toy",
    "checkpoint_seconds": 0.5,
    "grid": {"tasks": ["digits-letters"], "seeds": 2},
    "tasks": {
        "digits-letters": {
            "label_counts": [20],
            "pretrain": {"steps": 600, "batch_size": 32},
            "transfer": {"steps": 20, "epochs": 2},
            "methods": {"lautum": {"pretrain": {"rank": 10}}},
        }
    },
    # Less than a pre-training and its Snakemake take (900 MB): the first attempt is killed, the second has twice.
    "resources": {"pretrain": {"mem_mb": 600}},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    subprocess.run([LAB, "up", folder], check=True)
    yield folder
    subprocess.run([LAB, "down", folder], check=True)


def clone(folder: Path) -> Path:
    """A copy of the tracked files, as a user's clone would be, with the toy campaign."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
    return folder


def run(folder: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 0, (result.stdout + result.stderr)[-5000:]
    return result.stdout + result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Networks, predictions and splits by name: everything but what times enter."""
    results = folder / "results"
    paths = [path for path in results.rglob("*.safetensors") if "checkpoints" not in path.parts]
    return {str(p.relative_to(results)): p.read_bytes() for p in (*paths, *(results / "splits").rglob("*.json"))}


class Watch:
    """What the campaign's jobs do, seen from outside."""

    def __init__(self, folder: Path):
        self.folder, self.devices, self.killed = folder, [], None

    def look(self, kill: bool = False) -> None:
        """Note the devices of the GPU jobs that run now; with `kill`, SIGKILL one training that has a checkpoint."""
        shown = subprocess.run(["scontrol", "--details", "show", "job"], capture_output=True, text=True).stdout
        jobs = [job for job in shown.split("\n\n") if "JobState=RUNNING" in job and "gpu" in job]
        self.devices.append([re.search(r"GRES=gpu\S*\(IDX:([\d,-]+)\)", job).group(1) for job in jobs])
        for name, pid in self.trainings().items() if kill else ():
            if self.killed is None:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed = name

    def trainings(self) -> dict[str, int]:
        """The pids of the trainings that run and have a checkpoint, by their results' names; none that was killed."""
        checkpoints, found = self.folder / "results/checkpoints", {}
        for lock in checkpoints.rglob("*.lock"):
            with suppress(OSError, ValueError):
                pid = json.loads(lock.read_text())["pid"]
                name = str(lock.relative_to(checkpoints).with_suffix(""))
                if lock.with_suffix(".safetensors").exists() and Path(f"/proc/{pid}").exists() and name != self.killed:
                    found[name] = pid
        return found

    def resumed_at(self, name: str) -> list[int]:
        """The steps at which a training that is finished was resumed; nothing until then."""
        cost = self.folder / "results" / f"{name}.json"
        return json.loads(cost.read_text())["resumed_at"] if cost.exists() else []


def restart_controller(lab: Path, away: float) -> None:
    """As for an upgrade: it does not answer for so many seconds, and jobs go on meanwhile."""
    pid = int((lab / "slurmctld.pid").read_text())
    os.kill(pid, signal.SIGTERM)
    time.sleep(away)
    assert not Path(f"/proc/{pid}").exists()
    subprocess.run(["slurmctld"], check=True)


def until(condition, watch: Watch, kill: bool = False, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, subprocess.run(["squeue"], capture_output=True, text=True).stdout
        watch.look(kill)
        time.sleep(0.5)


def test_a_campaign_survives_what_a_cluster_does_to_it(lab, tmp_path_factory):
    reference, folder = (clone(tmp_path_factory.mktemp(name)) for name in ("reference", "cluster"))
    run(reference, "snakemake", "--profile", "local", "--configfile", "toy.yaml")
    watch = Watch(folder)

    # The driver is a job itself, as on clusters that do not let users run anything on the login node.
    # `exec`: the lab's Slurm kills the processes that it started, where one with cgroups kills theirs, too.
    wrapped = f"cd {folder} && exec {' '.join(SLURM)}"
    driver = run(
        folder, "sbatch", "--parsable", "--partition=cpu", "--mem=2000", "--output=driver.log", "--wrap", wrapped
    )
    until(lambda: watch.killed, watch, kill=True)
    # Somebody with more priority wants both GPUs: Slurm requeues what trains (stopped, so that it does not end before).
    preempted: dict[str, int] = {}
    until(lambda: preempted.update(watch.trainings()) or preempted, watch)
    for pid in preempted.values():
        os.kill(pid, signal.SIGSTOP)
    both = ("--partition=urgent", "--gres=gpu:2", "--mem=100", "--output=/dev/null", "--wrap", "true")
    urgent = run(folder, "sbatch", "--parsable", *both).strip()
    until(lambda: "JobState=COMPLETED" in run(folder, "scontrol", "show", "job", urgent), watch)
    assert "Restarts=1" in run(folder, "scontrol", "show", "job")
    trained = folder / "results/pretrained"
    until(lambda: all(map(watch.resumed_at, {watch.killed, *preempted})), watch)
    assert all(min(watch.resumed_at(name)) > 0 for name in (watch.killed, *preempted))
    until(lambda: len(list(trained.rglob("*.safetensors"))) >= 4, watch)
    run(folder, "scancel", driver.strip())
    until(lambda: not re.search(rf"^\s*{driver.strip()} ", run(folder, "squeue", "-h"), re.M), watch)

    # Whatever it left is whole, and what it started may still run.
    assert ", 0 damaged" in run(folder, "lautum", "verify", "--config", "toy.yaml")
    run(folder, "snakemake", "--unlock", "--configfile", "toy.yaml")
    with open(folder / "second.log", "wb") as log:
        second = subprocess.Popen(SLURM, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT)
        until(lambda: "has been submitted with SLURM jobid" in (folder / "second.log").read_text(), watch)
        time.sleep(5)  # whatever else is ready is submitted, too, and no status has been asked for yet
        restart_controller(lab, away=60)
        until(lambda: second.poll() is not None, watch, seconds=600)
    log = (folder / "second.log").read_text()
    assert second.returncode == 0 and "Falling back to 'sacct'" not in log, log[-5000:]

    assert contents(folder) == contents(reference)
    log = (folder / "driver.log").read_text()
    assert "mem_mb=600" in log and "mem_mb=1200" in log
    assert any(
        "exceeded memory limit" in path.read_text() for path in (folder / ".snakemake/slurm_logs").rglob("*.log")
    )
    together = [devices for devices in watch.devices if len(devices) > 1]
    assert together and all(max(Counter(devices).values()) == 1 for devices in together)


def test_a_partition_that_does_not_exist_is_named(lab, tmp_path_factory):
    folder = clone(tmp_path_factory.mktemp("wrong"))
    site = {"default-resources": {"slurm_partition": "nowhere"}, "retries": 0}
    (folder / "site").mkdir()
    (folder / "site/profile.yaml").write_text(yaml.safe_dump(site))
    command = [*SLURM, "--profile", "site", "results/prepared/digits"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode != 0
    assert "invalid partition specified: nowhere" in result.stdout + result.stderr


def test_cells_of_one_pretraining_share_one_job_and_keep_their_own_files(lab, tmp_path_factory):
    folder = clone(tmp_path_factory.mktemp("together"))
    quick = {"digits-letters": TOY["tasks"]["digits-letters"] | {"pretrain": {"steps": 10, "batch_size": 32}}}
    (folder / "toy.yaml").write_text(yaml.safe_dump(TOY | {"tasks": quick, "grid": TOY["grid"] | {"seeds": 1}}))
    output = run(folder, *SLURM, "--until", "cells")
    assert len(set(re.findall(r"rule_cells/\S+\.log", output))) == 3  # Standard and TE in one, Mk-MMD, Lautum
    assert len(list((folder / "results/transferred").rglob("seed0.safetensors"))) == 4
    assert len(list((folder / "results/evaluated-test").rglob("seed0.json"))) == 4
