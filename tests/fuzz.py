"""`make fuzz`: damaged and falsified files of every kind are refused with an error of the suite, or mean the same.

    python tests/fuzz.py [--count 10000] [--seed 0]

Bytes are flipped, cut out, repeated and inserted; values in JSON, CSV, YAML and safetensors are replaced by others.
Some get a matching hash of the content ("forged": these need not be refused, but must not crash).
Prints, by kind: inputs, refused, of the same meaning, and the failures: other exceptions, a changed meaning, more than
10 s or 2 GB.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: more wait for each other on a busy machine

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from pydantic import BaseModel
from test_records import TRIALS, write_record
from test_search import write as write_search
from test_training import run as run_stage
from test_universes import made_of

from lautum import schema
from lautum.data import by_path, datasets, formats, notmnist, splits
from lautum.data.transforms import InputTransform
from lautum.errors import LautumError
from lautum.experiment import config, config_files
from lautum.experiment.layout import Layout
from lautum.files import packed, read_arrays, sha256_of_arrays, write_arrays
from lautum.objectives import TRANSFER
from lautum.pipeline import receipt, run_record
from lautum.pipeline.receipt import Receipt
from lautum.pipeline.run_record import StageCost
from lautum.report import index_page
from lautum.results import collected, jobs, records, selection, status, sums, universes
from lautum.training import checkpoint, network_file, networks
from lautum.training.interruption import Interrupted

ROOT = Path(__file__).parent.parent
SHORT = TRANSFER["supervised"](steps=3, batch_size=16)
SECONDS, BYTES = 10, 2 * 2**30  # that no input may take
VALUES = [None, True, False, -1, 0, 1, 2**31, 2**63, 10**400, 0.5, -0.0, 1e308, "", "text", "a\0b", "../..", [], {}]
VALUES += [[[]], {"a": 1}, "é" * 300, "1", [1, 2], ["x"] * 50]
TYPES = [b"F8_E4M3", b"BF16", b"F64", b"I8", b"BOOL", b"U64", b"F16", b"X"]


@dataclass
class Kind:
    """A kind of file: those that are mutated, and how they are read."""

    files: list[Path]
    read: Callable[[], object]
    meaning: bool = True  # False: the format has no hash, a checksum of the whole file is compared before it is read
    sums: Path | None = None  # folder whose SHA256SUMS names the file: some changes are entered there, too


def kinds(folder: Path) -> dict[str, Kind]:
    """Small whole files of every kind below `folder`."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 1, 4, 4)).astype(np.uint8), np.arange(6) % 2
    (folder / "trial.yaml").write_text(TRIALS.format(root=ROOT, folder=folder))
    layout = Layout(config.load(folder / "trial.yaml"))
    cells = layout.cells()
    paths = [write_record(layout, cell, 5) for cell in cells]
    prepared, drawn = folder / "toy.safetensors", folder / "split.json"
    described = datasets.Prepared(
        dataset="toy", part="train", class_names=["a", "b"], sha256=sha256_of_arrays(images, labels), source="here"
    )
    write_arrays(prepared, {"images": images, "labels": labels}, described.model_dump())
    target = datasets.load(prepared, "toy", "train")
    split = splits.draw(labels, [0, 1], 2, 0, "toy")
    splits.write(drawn, split, target, [0, 1], 0, "key")
    cost, bill = folder / "network.json", folder / f"seed0-{'0' * 12}.json"
    stage = json.loads(paths[0].read_text())["pretrain"]
    schema.write(cost, StageCost(**stage | {"key": "key", "seed": 0}))
    listed = {paths[0].relative_to(layout.results).as_posix(): hashlib.sha256(paths[0].read_bytes()).hexdigest()}
    schema.write(bill, Receipt(key="0" * 12, seed=0, results=listed))
    state, network = folder / "state.safetensors", folder / "network.safetensors"
    checkpoint.save(state, {"network": {"w": torch.ones(3)}, "noise": torch.zeros(2).byte()}, {"step": 3, "curve": {}})
    built = networks.build("conv16-32-fc128", (1, 8, 8), 2, 0)
    expected = {"key": "key", "seed": 0, "image_shape": [1, 8, 8]}
    transform = InputTransform.for_source(torch.zeros(2, 1, 8, 8).byte() + torch.arange(8).byte(), "none")
    network_file.save(network, built, transform, expected)
    records.collect(layout)
    idx = [folder / f"{name}.gz" for name in ("images", "labels")]
    for path, array in zip(idx, (images[:, 0], labels.astype(np.uint8)), strict=True):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
        path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))
    cifar = folder / "batch.bin"
    cifar.write_bytes(bytes(2 * 3073))
    letters, archive = rng.integers(0, 256, (2, 28, 28)).astype(np.uint8), folder / "letters.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, pixels in zip("AB", letters, strict=True):
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            file.writestr(f"x/{name}/one.png", content.getvalue())
    published = notmnist.Published({"A": 1, "B": 1}, hashlib.sha256(letters.tobytes()).hexdigest())
    report = [layout.report / name for name in (*collected.FILES, "SHA256SUMS")]
    first, cpu = cells[0], torch.device("cpu")
    trials, _ = selection.write_trials(folder / "trial.yaml")
    search = folder / "search"
    search.mkdir()
    searched = Layout(config.load(write_search(search)))
    for cell in selection.rung_cells(searched, 1):
        write_record(searched, cell, 5)
    rung = selection.write_rung(search / "search.yaml", 1)
    several = yaml.safe_load((ROOT / "config/quickstart-universes.yaml").read_text(encoding="utf-8"))
    several |= {"extends": str(ROOT / "config/config.yaml"), "name": "several"}
    several["universes"]["count"] = 2
    several["folders"] = {"results": f"{folder}/several", "reports": f"{folder}/reports"}
    (folder / "several.yaml").write_text(yaml.safe_dump(several))
    many = Layout(config.load(folder / "several.yaml"))
    made_of(many)
    universes.collect(many)
    campaigns = [folder / "trial.yaml", search / "search.yaml", folder / "several.yaml"]
    batches = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(batches, "w:gz") as file:
        for name in ("data_batch_1.bin", "test_batch.bin"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 2 * 3073
            file.addfile(member, io.BytesIO(rng.bytes(member.size)))
    tarred = folder / "letters.tar.gz"
    with tarfile.open(tarred, "w:gz") as file, zipfile.ZipFile(archive) as pictures:
        for name in pictures.namelist():
            member = tarfile.TarInfo(name)
            member.size = pictures.getinfo(name).file_size
            file.addfile(member, io.BytesIO(pictures.read(name)))
    own = [folder / "own-images.npy", folder / "own-labels.npy"]
    for path, array in zip(own, (images, labels), strict=True):
        np.save(path, array)
    pictured = folder / "pictures"
    for number, name in enumerate(("a", "b")):
        (pictured / name).mkdir(parents=True)
        Image.fromarray(images[number, 0]).save(pictured / name / "one.png")
    stage, stopped = {"stop_at": 1, "seed": 3}, folder / "stage.safetensors"
    with suppress(Interrupted):
        run_stage("supervised", stopped, SHORT, **stage)
    (job,) = (job for job in jobs.jobs(layout) if job.step == "cells" and first in job.cells)
    card, benchmark = (
        layout.report / "card.json",
        layout.results / "benchmarks" / job.log.relative_to(layout.results / "logs").with_suffix(".jsonl"),
    )
    card.write_text(json.dumps({"title": "T", "line": "L", "thumbnail": "answer.png"}))
    for path in (job.result, job.log, benchmark):
        path.parent.mkdir(parents=True, exist_ok=True)
    job.log.write_text(f"{job.stages[0].name}: step 3/9, loss 0.5\n{job.result}\n")
    benchmark.write_text('{"s": 3.5, "h:m:s": "0:00:03"}\n')
    return {
        "archive of CIFAR": Kind([batches], lambda: formats.read_tar(batches, ["test_batch.bin"]), meaning=False),
        "archive of letters, tar": Kind([tarred], lambda: notmnist.read(tarred, published)),
        "own arrays": Kind(own, lambda: by_path.read_pair(*own, class_count=2), meaning=False),
        "own images": Kind(
            sorted(pictured.glob("*/*.png")),
            lambda: by_path.read_folder(pictured, (1, 4, 4), ("a", "b")),
            meaning=False,
        ),
        "rung": Kind([rung], lambda: selection.read_rung(searched, 1), sums=rung.parent),
        "trials": Kind([trials], lambda: selection.read_trials(trials), sums=trials.parent),
        "universes": Kind([many.report / universes.FILE], lambda: universes.read(many), sums=many.report),
        "winners": Kind(
            [trials.with_name("winners.yaml")],
            lambda: config_files.files(trials.with_name("winners.yaml")),
            meaning=False,
        ),
        "resumed stage": Kind([stopped], lambda: run_stage("supervised", stopped, SHORT)[0]),
        "status": Kind([job.log, benchmark], lambda: status.read(layout).text(), meaning=False),
        "card of a page": Kind(
            [card], lambda: index_page.write(layout.report.parent, [layout.report.name]).read_bytes(), meaning=False
        ),
        "idx": Kind(idx, lambda: formats.read_idx_pair(*idx, class_count=2), meaning=False),
        "cifar": Kind([cifar], lambda: formats.read_cifar(cifar.read_bytes(), "batch", 1, 10), meaning=False),
        "archive of letters": Kind([archive], lambda: notmnist.read(archive, published)),
        "prepared data": Kind([prepared], lambda: datasets.load(prepared, "toy", "train")),
        "split": Kind([drawn], lambda: splits.read(drawn, {"target": "toy", "seed": 0, "key": "key"}).split()),
        "cost": Kind([cost], lambda: run_record.read_cost(network, "key", 0)),
        "record": Kind([paths[0]], lambda: run_record.read(layout, first)),
        "predictions": Kind([paths[0].with_suffix(".safetensors")], lambda: run_record.read(layout, first)),
        "receipt": Kind([bill], lambda: receipt.check(layout, bill)),
        "checkpoint": Kind([state], lambda: checkpoint.load(state)),
        "network": Kind(
            [network], lambda: weights(network_file.load(network, expected, "conv16-32-fc128", "float32", "none", cpu))
        ),
        "collected": Kind(report, lambda: records.read(layout), sums=layout.report),
        "configuration": Kind(campaigns, lambda: [*map(config.load, campaigns)], meaning=False),
    }


def weights(loaded: network_file.Loaded) -> object:
    return loaded.network.state_dict(), loaded.transform.mean, loaded.transform.std, loaded.origin


def mutated(content: bytes, suffix: str, rng: random.Random) -> tuple[bytes, bool]:
    """Other content, and whether it is forged: with a hash that matches."""
    if rng.random() < 0.5:
        for change in rng.sample([_json, _arrays, _text], 3):
            with_values = change(content, suffix, rng)
            if with_values:
                return with_values
    return _bytes(content, rng), False


def _bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        # Headers are short, and where a change does most.
        place = rng.randrange(min(len(changed), rng.choice([64, 1000, 10**9])) or 1)
        piece = slice(place, place + rng.choice([1, 2, 7, 40]))
        what = rng.randrange(6)
        if what == 0:
            del changed[place:]
        elif what == 1:
            del changed[piece]
        elif what == 2:
            changed[place:place] = changed[piece]
        elif what == 3:
            changed[place:place] = rng.randbytes(rng.choice([1, 4, 30]))
        elif what == 4:
            changed[piece] = rng.randbytes(len(changed[piece]))
        elif changed:
            changed[place % len(changed)] ^= 1 << rng.randrange(8)
        if not changed:
            break
    return bytes(changed)


def _replaced(value: object, rng: random.Random) -> object:
    """`value` with something somewhere in it replaced, removed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        if rng.random() < 0.1:
            return {key: some for key, some in value.items() if key != name}
        if rng.random() < 0.1:
            return value | {"unknown": rng.choice(VALUES)}
        return value | {name: _replaced(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return value[:place] + [_replaced(value[place], rng)] * rng.choice([0, 1, 1, 2]) + value[place + 1 :]
    return rng.choice(VALUES)


def _dumped(value: object) -> bytes:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(10000)  # to write the long numbers of VALUES; they are read under the usual limit
    try:
        return json.dumps(value).encode()
    finally:
        sys.set_int_max_str_digits(limit)


def _json(content: bytes, suffix: str, rng: random.Random) -> tuple[bytes, bool] | None:
    if suffix != ".json":
        return None
    value = _replaced(json.loads(content), rng)
    forged = isinstance(value, dict) and rng.random() < 0.5
    if forged:
        rest = {name: some for name, some in value.items() if name != schema.SEAL}
        value = rest | {schema.SEAL: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}
    return _dumped(value) if rng.random() < 0.98 else b"[" * 10**5, forged


def _arrays(content: bytes, suffix: str, rng: random.Random) -> tuple[bytes, bool] | None:
    if suffix != ".safetensors":
        return None
    if rng.random() < 0.3:
        old = rng.choice([b"F32", b"U8", b"I64"])
        return content.replace(old, rng.choice(TYPES), 1), False
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        Path(file.name).write_bytes(content)
        arrays, metadata = read_arrays(Path(file.name))
    name = rng.choice(list(arrays) or ["new"])
    array = arrays.get(name, np.zeros(3))
    rows = np.atleast_1d(array)
    others = [rows[:0], rows[:-1], array[None], array.astype(np.float64), array.astype(np.int16), array.ravel()]
    if rng.random() < 0.5:
        arrays = {key: some for key, some in arrays.items() if key != name or rng.random() < 0.7}
        arrays |= {rng.choice([name, "", "a/b", f"{name}/x"]): np.array(rng.choice(others))}
    else:
        metadata = _replaced(metadata, rng)
    return packed(arrays, metadata), True


def _text(content: bytes, suffix: str, rng: random.Random) -> tuple[bytes, bool] | None:
    """A word or number of a text replaced."""
    if suffix not in (".csv", ".yaml", ""):
        return None
    separator = "," if suffix == ".csv" else " "
    words = content.decode().split(separator)
    value = rng.choice(VALUES)
    words[rng.randrange(len(words))] = value if isinstance(value, str) else _dumped(value).decode()
    return separator.join(words).encode(), False


def meaning(value: object) -> object:
    """What was read, in a form that can be compared."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if is_dataclass(value):
        return meaning(vars(value))
    if isinstance(value, Mapping):
        return {name: meaning(some) for name, some in value.items()}
    if isinstance(value, list | tuple):
        return [meaning(some) for some in value]
    return value


def fuzz(folder: Path, count: int, seed: int) -> tuple[dict[str, Counter], list[str]]:
    """Read `count` mutated inputs; what became of them, by kind, and a line for each failure."""
    rng, counts, failures = random.Random(seed), {}, []

    def too_long(*_):
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    files = kinds(folder)
    expected = {name: meaning(kind.read()) for name, kind in files.items()}
    known = {name: (kind.sums / sums.NAME).read_text() for name, kind in files.items() if kind.sums}
    for number in range(count):
        name = list(files)[number % len(files)]
        kind = files[name]
        path = rng.choice(kind.files)
        whole = path.read_bytes()
        content, forged = mutated(whole, path.suffix, rng)
        path.write_bytes(content)
        if kind.sums and rng.random() < 0.5 and path.name != sums.NAME:
            forged, named = True, hashlib.sha256(content).hexdigest()
            lines = [line for line in known[name].splitlines() if not line.endswith(f"  {path.name}")]
            (kind.sums / sums.NAME).write_text("\n".join([*lines, f"{named}  {path.name}", ""]))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            found = meaning(kind.read())
            same = found == expected[name]
            outcome = "the same" if same else "forged" if forged else "unhashed" if not kind.meaning else "CHANGED"
        except LautumError:
            outcome = "refused"
        except Exception as error:
            outcome = f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10 > BYTES:
            outcome = "TOO LARGE"
        if outcome not in ("refused", "the same", "forged", "unhashed"):
            failures.append(f"{name} (input {number}, {path.name}{', forged' * forged}): {outcome}")
            outcome = "FAILED"
        counts.setdefault(name, Counter())[outcome] += 1
        path.write_bytes(whole)
        if kind.sums:
            (kind.sums / sums.NAME).write_text(known[name])
    signal.signal(signal.SIGALRM, before)
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000, help="of inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of their changes (default: %(default)s)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lautum-fuzz-"))
    os.chdir(folder)
    try:
        counts, failures = fuzz(folder, options.count, options.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(failures))
    print(pd.DataFrame(counts).T.fillna(0).astype(int).to_string())
    print(f"{options.count} inputs, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
