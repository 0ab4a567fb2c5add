"""`make faults`: a small campaign under injected faults must end with the results of an undisturbed one.

    python tests/faults.py [--faults 54] [--seed 0] [--summary reports/faults.csv]

Runs the built-in task, four methods, one seed, again and again: while drivers and jobs run they are killed, their disk
is full, files are cut off, altered, removed, given other times or put in each other's place, and two drivers run at
once. Every time the campaign has come to its end, every network, prediction and split is compared with the undisturbed
run's. Prints the count by kind and the number of results lost or different, and adds them to the summary, after every
round: many faults can be injected in parts, each with a seed of its own. A full disk is a small tmpfs that is filled,
which needs root.
"""

import argparse
import csv
import io
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import yaml

from lautum.files import write_text

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
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


class Campaign:
    """A folder with the toy campaign and what runs in it."""

    def __init__(self, folder: Path):
        self.folder, self.results = folder, folder / "results"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "toy.yaml").write_text(yaml.safe_dump(TOY))
        self.drivers: list[subprocess.Popen] = []

    def start(self, *options: str) -> None:
        log = open(self.folder / "driver.log", "ab")
        self.drivers.append(
            subprocess.Popen([*DRIVER, *options], cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log)
        )
        log.close()

    def run(self) -> int:
        """Repair and run to the end, in the foreground; the driver's exit code."""
        self.command("lautum", "verify", "--config", "toy.yaml")
        self.command(*DRIVER, "--unlock")
        return self.command(*DRIVER)

    def command(self, *command: str) -> int:
        with open(self.folder / "driver.log", "ab") as log:
            return subprocess.run(command, cwd=self.folder, env=ENVIRONMENT, stdout=log, stderr=log).returncode

    def running(self) -> bool:
        return any(driver.poll() is None for driver in self.drivers)

    def contents(self) -> dict[str, bytes]:
        """Networks, predictions, splits and records by name, without the times in records."""
        paths = [p for p in self.results.rglob("seed*.safetensors") if "checkpoints" not in p.parts]
        paths += (self.results / "splits").rglob("seed*.json")
        found = {str(path.relative_to(self.results)): path.read_bytes() for path in paths}
        for path in (self.results / "evaluated-test").rglob("seed*.json"):
            record = json.loads(path.read_text())
            del record["content_sha256"]  # times are part of it
            curves = [record.pop(stage).get("curve") for stage in ("pretrain", "transfer", "evaluate")]
            found[str(path.relative_to(self.results))] = json.dumps([record, curves]).encode()
        return found

    def finished(self) -> list[Path]:
        """All whole result files."""
        folders = ("splits", "pretrained", "transferred", "evaluated-test", "finished-test")
        return sorted(
            path for name in folders for suffix in (".json", ".safetensors") for path in self._found(name, suffix)
        )

    def checkpoints(self) -> list[Path]:
        return sorted(self._found("checkpoints", ".safetensors"))

    def _found(self, folder: str, suffix: str) -> list[Path]:
        found = []
        with suppress(FileNotFoundError):  # a folder that vanishes while it is read
            found += (path for path in (self.results / folder).rglob(f"seed*{suffix}") if path.is_file())
        return found

    def data(self) -> list[Path]:
        return sorted((self.folder / "data").glob("*.safetensors"))


def signal_training(campaign: Campaign, number: int, rng: random.Random) -> bool:
    """Send a signal to a running training job that has a checkpoint."""
    for path in rng.sample(campaign.checkpoints(), len(campaign.checkpoints())):
        with suppress(OSError, ValueError, KeyError):
            os.kill(json.loads(path.with_suffix(".lock").read_text())["pid"], number)
            return True
    return False


def sigkill(campaign, rng):
    return signal_training(campaign, signal.SIGKILL, rng)


def sigterm(campaign, rng):
    return signal_training(campaign, signal.SIGTERM, rng)


def driver_killed(campaign, rng):
    """Its jobs go on without it, and the next driver starts them once more."""
    alive = [driver for driver in campaign.drivers if driver.poll() is None]
    if alive:
        alive[0].kill()
        campaign.command(*DRIVER, "--unlock")
        campaign.start()
    return bool(alive)


def two_drivers(campaign, rng):
    campaign.start("--nolock")
    return True


def full_disk(campaign, rng):
    filler = campaign.results / "filler"
    with suppress(OSError), open(filler, "wb") as file:  # around both: closing writes what is left, and fails too
        while True:
            file.write(bytes(2**16))
            file.flush()
    time.sleep(rng.uniform(1, 4))
    filler.unlink(missing_ok=True)
    return True


def truncated_result(campaign, rng):
    files = campaign.finished()
    if files:
        path = rng.choice(files)
        with suppress(FileNotFoundError):
            os.truncate(path, rng.randrange(max(1, path.stat().st_size)))
            return True
    return False


def corrupt_checkpoint(campaign, rng):
    return _flip(campaign.checkpoints(), rng)


def corrupt_dataset(campaign, rng):
    return _flip(campaign.data(), rng)


def clock_jump(campaign, rng):
    """Files of ten years ago or in ten years' time."""
    files = campaign.finished() + campaign.checkpoints()
    for path in rng.sample(files, min(3, len(files))):
        moment = time.time() + rng.choice([-1, 1]) * 3e8
        with suppress(FileNotFoundError):
            os.utime(path, (moment, moment))
    return bool(files)


def dated_ahead(campaign, rng):
    """One file that others are made from, of next year."""
    files = campaign.finished() + campaign.data()
    moment = time.time() + 3e7
    with suppress(FileNotFoundError):
        if files:
            os.utime(rng.choice(files), (moment, moment))
            return True
    return False


def lost_file(campaign, rng):
    """A split or data set that is gone when what was made from it is finished."""
    files = [path for path in campaign.finished() if "splits" in path.parts] + campaign.data()
    if files:
        rng.choice(files).unlink(missing_ok=True)
    return bool(files)


def wrong_place(campaign, rng):
    """A whole file in the place of another."""
    files = campaign.finished() + campaign.data()
    path = rng.choice(files) if files else None
    others = [other for other in files if path and other != path and other.suffix == path.suffix]
    with suppress(FileNotFoundError):
        if others:
            draft = path.with_name(f".{path.name}-copy")
            shutil.copy(rng.choice(others), draft)
            os.replace(draft, path)
            return True
    return False


def other_content(campaign, rng):
    """Valid JSON in which a value is another."""
    files = [path for path in campaign.finished() if path.suffix == ".json"]
    with suppress(FileNotFoundError, ValueError):
        if files:
            path = rng.choice(files)
            content = json.loads(path.read_text())
            name = rng.choice(sorted(content))
            draft = path.with_name(f".{path.name}-copy")
            draft.write_text(json.dumps(content | {name: rng.choice([None, 0, "other", [], {}])}))
            os.replace(draft, path)
            return True
    return False


def folder_in_place(campaign, rng):
    """A folder where a result was."""
    files = campaign.finished()
    with suppress(OSError):
        if files:
            path = rng.choice(files)
            path.unlink()
            path.mkdir()
            return True
    return False


def litter(campaign, rng):
    """What a write leaves that was killed."""
    folders = sorted({path.parent for path in campaign.finished()})
    with suppress(OSError):
        if folders:
            (rng.choice(folders) / f".partial-{rng.random()}.safetensors").write_bytes(rng.randbytes(1000))
            return True
    return False


def _flip(files: list[Path], rng: random.Random) -> bool:
    """Change one byte of one file in place."""
    if not files:
        return False
    with suppress(FileNotFoundError), open(rng.choice(files), "r+b") as file:
        position = rng.randrange(os.fstat(file.fileno()).st_size)
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 0xFF]))
        return True
    return False


KINDS = [
    sigkill,
    sigterm,
    driver_killed,
    two_drivers,
    full_disk,
    truncated_result,
    corrupt_checkpoint,
    corrupt_dataset,
    clock_jump,
    dated_ahead,
    lost_file,
    wrong_place,
    other_content,
    folder_in_place,
    litter,
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=54, help="how many are injected (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the moments (default: %(default)s)")
    parser.add_argument("--summary", type=Path, default=ROOT / "reports/faults.csv", help="default: %(default)s")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    top = Path(tempfile.mkdtemp(prefix="lautum-faults-"))
    kinds = KINDS
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
        for driver in campaign.drivers:
            driver.kill()
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
    if reference.run():
        print((reference.folder / "driver.log").read_text()[-3000:])
        raise SystemExit("the undisturbed run failed")
    expected = reference.contents()
    # Every kind equally often, in random order.
    plan = [kinds[number % len(kinds)] for number in range(faults)]
    rng.shuffle(plan)
    counts, different, rounds = Counter(), 0, 0
    while plan:
        before = Counter(counts)
        campaign.start()
        while campaign.running() and plan:
            time.sleep(rng.uniform(0.2, 3))
            # The first of the plan that finds something to break: there may be no checkpoint at this moment.
            for number, kind in enumerate(plan):
                if kind(campaign, rng):
                    counts[plan.pop(number).__name__] += 1
                    print(f"{sum(counts.values())}/{faults} {kind.__name__}", flush=True)
                    break
        for driver in campaign.drivers:
            driver.wait()
        campaign.drivers.clear()
        attempts = 0
        while campaign.run():
            attempts += 1
            if attempts == 10:
                add_up(summary, counts - before, survived=False)
                print((campaign.folder / "driver.log").read_text()[-5000:])
                raise SystemExit("the campaign does not come to its end")
        # A network that was damaged after its last use is not needed for the report; it is made again when asked for.
        campaign.command("lautum", "verify", "--config", "toy.yaml")
        lost = [str(campaign.results / name) for name in expected if not (campaign.results / name).exists()]
        if lost:
            shutil.rmtree(campaign.results / "finished-test", ignore_errors=True)
            campaign.command(*DRIVER)
        rounds += 1
        found = campaign.contents()
        wrong = [name for name in expected if found.get(name) != expected[name]]
        different += len(wrong)
        add_up(summary, counts - before, survived=not wrong)
        if wrong:
            print((campaign.folder / "driver.log").read_text()[-5000:])
        print(
            f"round {rounds}: {len(expected) - len(wrong)} of {len(expected)} results as undisturbed {wrong}",
            flush=True,
        )
        # The next round starts anew; with its tables there, Snakemake would not miss what they were made from.
        for folder in (
            "results/splits",
            "results/pretrained",
            "results/transferred",
            "results/evaluated-test",
            "results/finished-test",
            "reports",
        ):
            shutil.rmtree(campaign.folder / folder, ignore_errors=True)
    print(f"\n{sum(counts.values())} faults in {rounds} rounds of {len(expected)} results:")
    for name, count in sorted(counts.items()):
        print(f"  {name:<20} {count}")
    print(f"results lost or different: {different}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
