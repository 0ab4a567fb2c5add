"""`make faults`: a small campaign under injected faults must end with the results of an undisturbed one.

    python tests/faults.py [--faults 60] [--seed 0] [--summary reports/faults.csv]

Runs the built-in task, four methods, one seed, again and again: while drivers and jobs run they are killed, their disk
is full, files are cut off, altered, removed, given other times or put in each other's place, and two drivers run at
once (`fault_kinds`). Several faults come at one moment, and some tens in a round; jobs are forked (`forking`). Then
`lautum verify` and one more start must bring the campaign to its end, and every network, prediction, split and record
and the tables are compared with the undisturbed run's. Prints the count by kind and the number of results lost or
different, and adds them to the summary, after every round: many faults can be injected in parts, each with a seed of
its own. A full disk is a small tmpfs that is filled, which needs root.
"""

import argparse
import csv
import io
import json
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import yaml
from fault_kinds import KINDS, Place, full_disk

from lautum import files
from lautum.files import write_text

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)  # or every job compiles the package anew
VERIFY = ["lautum", "verify", "--config", "toy.yaml"]
DRIVER = ["snakemake", "--profile", str(ROOT / "profiles/local"), "--snakefile", str(ROOT / "Snakefile")]
DRIVER += ["--quiet", "rules", "progress", "--configfile", "toy.yaml"]
TOY = {
    "extends": str(ROOT / "config/config.yaml"),
    "name": "toy",
    "checkpoint_seconds": 0.2,
    "grid": {"tasks": ["digits-letters"], "seeds": 1},
    "tasks": {
        "digits-letters": {
            "label_counts": [20],
            "pretrain": {"steps": 400, "batch_size": 32},
            "transfer": {"steps": 200, "epochs": 5},
            "methods": {"lautum": {"pretrain": {"rank": 10}}},
        }
    },
}
DISK = 40 * 2**20  # bytes of the small disk that holds the results
ROUND = 50  # faults
AT_ONCE = (1, 2, 4, 6, 10)  # faults of one moment
PAUSE = 0.15  # between two moments, at most, as a share of the time that the undisturbed run takes
STARTS = 5  # of drivers in a round, while faults are injected
HANGS = 900  # seconds after which a driver is held to wait for ever
STAGES = ("splits", "pretrained", "transferred", "evaluated-test")
NEEDED_ONCE = tuple(f"results/{name}/" for name in STAGES[:3])
# As long as these are there, Snakemake does not miss what they were made from.
FINAL = ("results/finished-test", "results/collected", "reports")


class Campaign(Place):
    """A folder with the toy campaign and what runs in it."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
        self.drivers: list[subprocess.Popen] = []

    def start(self, *options: str) -> None:
        """A driver in the background; after the only one, as a person would, `lautum verify` first."""
        self.drivers = [driver for driver in self.drivers if driver.poll() is None]
        command = f"exec {shlex.join([*DRIVER, *options])}"
        if not self.drivers:
            command = f"{shlex.join(VERIFY)}; {command}"
            self.unlock()
        with open(self.folder / "driver.log", "ab") as log:
            self.drivers.append(
                subprocess.Popen(["bash", "-c", command], cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log)
            )

    def drivers_at_work(self) -> list[subprocess.Popen]:
        found = []
        for driver in self.drivers:
            with suppress(OSError):
                if driver.poll() is None and Path(f"/proc/{driver.pid}/comm").read_text() == "snakemake\n":
                    found.append(driver)
        return found

    def run(self) -> int:
        """Repair and run to the end, in the foreground; the driver's exit code."""
        self.command(*VERIFY)
        self.unlock()
        return self.command(*DRIVER)

    def unlock(self) -> None:
        """What `snakemake --unlock` does, without its start."""
        shutil.rmtree(self.folder / ".snakemake/locks", ignore_errors=True)

    def remove(self, folders: Iterable[str]) -> None:
        for folder in folders:
            shutil.rmtree(self.folder / folder, ignore_errors=True)

    def command(self, *command: str) -> int:
        with open(self.folder / "driver.log", "ab") as log:
            return subprocess.run(
                command, cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log, timeout=HANGS
            ).returncode

    def running(self) -> bool:
        return any(driver.poll() is None for driver in self.drivers)

    def contents(self) -> dict[str, bytes]:
        """Networks, predictions, splits, records and tables by name, without the times in records."""
        paths = [path for name in STAGES for path in (self.results / name).rglob("seed*.safetensors")]
        paths += [*(self.results / "splits").rglob("seed*.json"), *(self.folder / "reports/toy").glob("a*.csv")]
        paths += [self.folder / f"reports/toy/{name}" for name in ("differences.csv", "examples.safetensors")]
        found = {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}
        for path in (self.results / "evaluated-test").rglob("seed*.json"):
            record = json.loads(path.read_text())
            del record["content_sha256"]  # times are part of it
            curves = [record.pop(stage).get("curve") for stage in ("pretrain", "transfer", "evaluate")]
            found[str(path.relative_to(self.folder))] = json.dumps([record, curves]).encode()
        return found

    def litter(self) -> list[Path]:
        """What killed writes have left and no start has removed."""
        return [*self.results.rglob(f"{files.PARTIAL}*"), *(self.folder / "reports").rglob(f"{files.PARTIAL}*")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=60, help="how many are injected (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the moments (default: %(default)s)")
    parser.add_argument("--summary", type=Path, default=ROOT / "reports/faults.csv", help="default: %(default)s")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    top = Path(tempfile.mkdtemp(prefix="lautum-faults-"))
    kinds = KINDS
    command = top / "bin"
    command.mkdir()
    forks = [sys.executable, Path(__file__).with_name("forking.py"), command, "lautum"]
    server = subprocess.Popen(forks, env=ENVIRONMENT)
    # In the graph's jobs the commands of the driver's environment come first in PATH: a function goes before.
    ENVIRONMENT["BASH_FUNC_lautum%%"] = f'() {{ {shlex.quote(str(command / "lautum"))} "$@"; }}'
    while not (command / "lautum").exists():
        if server.poll() is not None:
            raise SystemExit("the process that jobs are forked from has ended")
        time.sleep(0.1)
    reference, campaign = Campaign(top / "reference"), Campaign(top / "faults")
    campaign.results.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", campaign.results], stderr=subprocess.DEVNULL
        ).returncode
    )
    if not mounted:
        print("no small disk can be mounted (not root): the kind full_disk is left out", flush=True)
        kinds = [kind for kind in KINDS if kind is not full_disk]
    try:
        return inject(reference, campaign, kinds, options.faults, rng, options.summary)
    finally:
        for process in (*campaign.drivers, server):
            process.kill()
        if mounted:
            time.sleep(5)  # jobs whose driver was killed end by themselves
            subprocess.run(["umount", "--lazy", campaign.results])
        shutil.rmtree(top, ignore_errors=True)


def add_up(summary: Path, injected: Counter, survived: bool) -> None:
    """Add the faults of a round to the file that has all that were ever injected, by kind and machine."""
    machine = f"{platform.system()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    rows = {}
    if summary.exists():
        with open(summary, newline="") as file:
            rows = {(row["kind"], row["machine"]): row for row in csv.DictReader(file)}
    for kind, count in injected.items():
        row = rows.setdefault((kind, machine), {"kind": kind, "machine": machine})
        for column, more in (("injected", count), ("survived", count * survived), ("lost", count * (not survived))):
            row[column] = int(row.get(column, 0)) + more
    text = io.StringIO()
    table = csv.DictWriter(text, ["kind", "injected", "survived", "lost", "machine"], lineterminator="\n")
    table.writeheader()
    table.writerows(rows[key] for key in sorted(rows))
    write_text(summary, text.getvalue())


def inject(reference: Campaign, campaign: Campaign, kinds: list, faults: int, rng: random.Random, summary: Path) -> int:
    began = time.monotonic()
    if reference.run():
        print((reference.folder / "driver.log").read_text()[-3000:])
        raise SystemExit("the undisturbed run failed")
    expected, pause = reference.contents(), PAUSE * (time.monotonic() - began)
    # Every kind equally often, in random order.
    plan = [kinds[number % len(kinds)] for number in range(faults)]
    rng.shuffle(plan)
    counts, failures, rounds, idle = Counter(), 0, 0, 0
    while plan:
        began = time.monotonic()
        injected = disturb(campaign, plan, rng, pause)
        counts += injected
        starts, lost = repair(campaign, expected)
        found, left = campaign.contents(), campaign.litter()
        wrong = [name for name in expected if name in lost or found.get(name) != expected[name]]
        good = starts == 1 and not wrong and not left
        rounds, failures = rounds + 1, failures + len(wrong) + (not good)
        add_up(summary, injected, good)
        if not good:
            print((campaign.folder / "driver.log").read_text()[-10000:])
        print(
            f"round {rounds}: {sum(counts.values())} of {faults} faults; the end after {starts} start, "
            f"{time.monotonic() - began:.0f} s; "
            f"{len(expected) - len(wrong)} of {len(expected)} results as undisturbed {wrong}; left over: {left}",
            flush=True,
        )
        if starts > STARTS:
            raise SystemExit("the campaign does not come to its end")
        idle = 0 if injected else idle + 1
        if idle > 10:
            raise SystemExit(f"nothing to be hit by {sorted({kind.__name__ for kind in plan})}")
        campaign.remove([*FINAL, *(f"results/{name}" for name in STAGES if rng.random() < 0.5)])
    print(f"\n{sum(counts.values())} faults in {rounds} rounds of {len(expected)} results:")
    for name, count in sorted(counts.items()):
        print(f"  {name:<20} {count}")
    print(f"results lost or different, or a round that did not end at once: {failures}")
    return 1 if failures else 0


def disturb(campaign: Campaign, plan: list, rng: random.Random, pause: float) -> Counter:
    """Run drivers and inject the faults of a round, which leave the plan; returns when no driver runs any more."""
    counts = Counter()
    for _ in range(STARTS):
        campaign.start()
        while campaign.running() and plan and sum(counts.values()) < ROUND:
            time.sleep(rng.uniform(0, pause))
            wanted, nothing = rng.choice(AT_ONCE), set()
            # The first ones of the plan that find something to break: there may be no checkpoint at this moment.
            for kind in list(plan):
                if not wanted or kind in nothing:
                    continue
                if kind(campaign, rng):
                    plan.remove(kind)
                    counts[kind.__name__] += 1
                    wanted -= 1
                else:
                    nothing.add(kind)
        codes = [driver.wait(HANGS) for driver in campaign.drivers]
        if 0 in codes or not plan or sum(counts.values()) >= ROUND:
            break
    return counts


def repair(campaign: Campaign, expected: Iterable[str]) -> tuple[int, list[str]]:
    """Bring the campaign to its end, undisturbed: how many starts it took, and what of its results is not there then.

    A split or network that was damaged after its last use is not needed for them; it is made again when asked for.
    """
    starts = 1
    while campaign.run() and starts <= STARTS:
        starts += 1
    campaign.command(*VERIFY)
    missing = [name for name in expected if not (campaign.folder / name).exists()]
    if missing:
        campaign.remove(FINAL)
        campaign.command(*DRIVER)
    return starts, [name for name in missing if not name.startswith(NEEDED_ONCE)]


if __name__ == "__main__":
    sys.exit(main())
