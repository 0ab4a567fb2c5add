"""`make mutants`: would the tests notice? Small faults are put into the core, one at a time, and its tests are run.

    python tests/mutants.py [--count 200] [--seed 0] [--workers 2]

A mutant is killed when a test fails. Only those tests are run that execute the mutated line, the fastest first, in
copies of the checkout. Results are kept in reports/mutants.csv as they are earned: the same command goes on where it
was stopped, and begins anew when code or tests were edited. Prints the survivors, those apart that
tests/mutants_survivors.yaml has a reason for, and the share that was killed; ends with code 1 if it is below 90 %.
"""

import argparse
import csv
import hashlib
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from importlib.util import cache_from_source
from itertools import islice
from pathlib import Path

import yaml
from mutant_sites import Mutant, Site, mutants
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
REPORT, REASONS = ROOT / "reports/mutants.csv", ROOT / "tests/mutants_survivors.yaml"
RECORD = ROOT / ".pytest_cache/mutants.json"  # what `measure` found, for a run that goes on
COLUMNS = ["file", "line", "operator", "before", "after", "outcome", "test", "seconds", "code", "tests"]
CORE = [
    "lautum/objectives/*.py",
    "lautum/training/*.py",
    "lautum/regularizer.py",
    "lautum/information.py",
    "lautum/mmd.py",
    "lautum/data/splits.py",
    "lautum/data/transforms.py",
    "lautum/results/statistics.py",
    "lautum/pipeline/split.py",
    "lautum/pipeline/loading.py",
    "lautum/pipeline/train.py",
    "lautum/pipeline/evaluate.py",
]
# Tests that are not run, by the beginning of their names, and why.
LEFT_OUT = {
    "tests/test_graph.py": "runs Snakemake, whose jobs are processes of their own",
    "tests/test_training.py::test_runs_killed": "kills processes of its own, again and again",
    "tests/test_digest.py": "reads the source text: every edit moves a digest",
    "tests/test_package.py": "imports the package in processes of its own",
    "tests/test_report.py": "takes half a minute to look at a page; what is on it is computed elsewhere",
    "tests/test_readme.py": "reads documents",
    "tests/test_mutants.py": "tests this script",
}
DECLARED = "tests/test_settings.py"  # reads what classes declare, which executes no line of theirs
SURVIVED, NOT_EXECUTED, KILLED, TIME_OUT = "survived", "not executed", "killed", "time-out"
MEMORY = 8 * 2**30  # bytes that a mutant may ask for


def copy_checkout(folder: Path) -> None:
    """What git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def pytest(copy: Path, *arguments: str, timeout: float | None = None, **environment: str) -> tuple[int | None, str]:
    """Run tests in `copy` up to the first failure; exit code (None: out of time) and output."""
    # The copy comes first in the path, before the checkout, from which the package is installed.
    environment = os.environ | {"PYTHONPATH": f"{copy}:{copy / 'tests'}"} | environment
    command = [sys.executable, "-m", "pytest", "-x", "--tb=short", "-rfE", "-p", "no:cacheprovider"]
    command += [f"--basetemp={copy}-tmp", *arguments]
    # A file, not a pipe, and a process group: what a mutant leaves running can hold up neither.
    with open(f"{copy}.log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=copy, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        return code, log.read()


def measure(copy: Path) -> dict:
    """Tests by executed line of each file ("lines") and what each test takes ("seconds"), by running all of them.

    They are run once more the fastest first, as they will be with mutants, which must make no difference.
    """
    record = Path(f"{copy}-lines.json")
    deselected = [part for name in LEFT_OUT for part in ("--deselect", name)]
    code, output = pytest(copy, "-p", "line_recorder", *deselected, LINE_RECORD=str(record))
    if code == 0:
        found = json.loads(record.read_text(encoding="utf-8"))
        if not found["lines"]:
            raise SystemExit(f"the tests do not import lautum from {copy}")
        code, output = pytest(copy, *sorted(found["seconds"], key=found["seconds"].get))
    if code:
        raise SystemExit(f"{output}\nthe tests fail without a mutant")
    return found


def select(site: Site, executed: dict[str, list[str]], seconds: dict[str, float]) -> list[str]:
    """The tests that execute the line of a site, the fastest first; `executed` has the tests by line of the file.

    A continuation line may not count as executed by itself, then the statement's first line tells. What runs at import
    is tested by all tests that execute any line of the file, or else by all there are.
    """
    # A function that ran at import has executed lines, but no test by which they were.
    at_import = site.statement is None or any(executed.get(str(line)) == [] for line in (*site.lines, site.statement))
    if at_import:
        tests = {test for found in executed.values() for test in found} or set(seconds)
        tests |= {test for test in seconds if test.startswith(DECLARED)}
    else:
        tests = {test for line in site.lines for test in executed.get(str(line), ())}
        tests = tests or set(executed.get(str(site.statement), ()))
    return sorted(tests, key=lambda test: (seconds[test], test))


def attempt(mutant: Mutant, tests: list[str], seconds: float, copy: Path) -> tuple[str, str]:
    """Outcome of the tests, which take `seconds` when nothing is wrong, and the test that failed."""
    if not tests:
        return NOT_EXECUTED, ""
    path = copy / mutant.file
    original = path.read_bytes()
    # Python tells compiled code from its source by size and whole seconds, which a mutant may share with the original.
    compiled = Path(cache_from_source(path))
    compiled.unlink(missing_ok=True)
    path.write_text(mutant.text, encoding="utf-8")
    try:
        code, output = pytest(copy, *tests, timeout=10 * seconds + 30)
    finally:
        path.write_bytes(original)
        compiled.unlink(missing_ok=True)
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, flags=re.MULTILINE)
    outcome = {0: SURVIVED, None: TIME_OUT}.get(code, KILLED)
    if outcome == KILLED and not failed:
        raise SystemExit(f"{output}\npytest ended with code {code}, which tells nothing of {mutant.key}")
    return outcome, failed[1] if outcome == KILLED and failed else ""


def read_report() -> dict[tuple, dict]:
    """Rows by what was tried."""
    with suppress(FileNotFoundError), open(REPORT, newline="", encoding="utf-8") as file:
        return {tuple(row[name] for name in COLUMNS[:5]): row for row in csv.DictReader(file)}
    return {}


def write_report(rows: list[dict]) -> None:
    partial = REPORT.with_suffix(".partial")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["file"], int(row["line"]), row["operator"], row["after"])))
    os.replace(partial, REPORT)


def digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()[:12]


def is_known(row: dict, code: str, tests: str) -> bool:
    """Whether an earlier row still holds: the core is the same, and so are the tests, or one of them has killed it.

    Whoever takes a test away that has killed a mutant begins anew.
    """
    killed = row["outcome"] in (KILLED, TIME_OUT)
    return row["code"] == code and (killed or row["tests"] == tests)


def run(count: int, seed: int, workers: int, top: Path) -> list[dict]:
    """Try those mutants of the sample that are not yet in the report; the rows of all."""
    copies = [top / str(number) for number in range(workers)]
    copy_checkout(copies[0])
    files = {str(path.relative_to(copies[0])): path for pattern in CORE for path in copies[0].glob(pattern)}
    sample = list(
        islice(mutants({name: path.read_text(encoding="utf-8") for name, path in files.items()}, seed), count)
    )
    code, tests = digest(files.values()), digest(copies[0].glob("tests/**/*.py"))
    earlier = {key: row for key, row in read_report().items() if is_known(row, code, tests)}
    rows = [earlier[mutant.key] for mutant in sample if mutant.key in earlier]
    todo = [mutant for mutant in sample if mutant.key not in earlier]
    if not todo:
        return rows
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    if record.get("code") != [code, tests]:
        print("running all tests without a mutant, twice: which lines do they execute?", file=sys.stderr, flush=True)
        record = {"code": [code, tests]} | measure(copies[0])
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text(json.dumps(record), encoding="utf-8")
    free = queue.SimpleQueue()
    for copy in copies:
        if copy != copies[0]:
            shutil.copytree(copies[0], copy, symlinks=True)
        free.put(copy)

    def row(mutant: Mutant) -> dict:
        chosen = select(mutant.site, record["lines"].get(mutant.file, {}), record["seconds"])
        copy, began = free.get(), time.perf_counter()
        outcome, test = attempt(mutant, chosen, sum(record["seconds"][name] for name in chosen), copy)
        free.put(copy)
        seconds = f"{time.perf_counter() - began:.1f}"
        return dict(zip(COLUMNS, (*mutant.key, outcome, test, seconds, code, tests), strict=True))

    bar = tqdm(total=len(sample), initial=len(rows), unit="mutant", smoothing=0)
    with bar, ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(row, mutant) for mutant in todo]
        try:
            for future in as_completed(futures):
                rows.append(future.result())
                write_report(rows)
                bar.update()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return rows


def summary(rows: list[dict], reasons: dict[tuple, str]) -> tuple[str, float]:
    """What is printed, and the share that was killed."""
    with_reason, without = [], []
    for row in rows:
        if row["outcome"] in (SURVIVED, NOT_EXECUTED):
            reason = reasons.get((row["file"], row["before"], row["after"]))
            text = f"  {row['file']}:{row['line']} {row['outcome']}\n    - {row['before']}\n    + {row['after']}"
            (with_reason if reason else without).append(f"{text}\n    {reason}" if reason else text)
    share = 1 - len(with_reason + without) / len(rows)
    lines = [f"survivors with a reason: {len(with_reason)}", *with_reason]
    lines += [f"survivors without a reason: {len(without)}", *without]
    outcomes = Counter(row["outcome"] for row in rows)
    lines.append(f"{len(rows)} mutants: " + ", ".join(f"{number} {name}" for name, number in outcomes.most_common()))
    return "\n".join([*lines, f"killed: {100 * share:.1f} %"]), share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="how many mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (default: %(default)s)")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    top = Path(tempfile.mkdtemp(prefix="lautum-mutants-"))
    try:
        rows = run(options.count, options.seed, options.workers, top)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    judged = yaml.safe_load(REASONS.read_text(encoding="utf-8"))
    text, share = summary(rows, {(entry["file"], entry["before"], entry["after"]): entry["reason"] for entry in judged})
    print(text)
    return 0 if share >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
