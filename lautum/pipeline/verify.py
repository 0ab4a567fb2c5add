"""Reads every finished file of a campaign and sets aside the damaged ones, so that the next run makes them again."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lautum import schema
from lautum.errors import Damaged, LautumError, in_one_line, is_refusal
from lautum.experiment.layout import Cell, Layout
from lautum.files import PARTIAL, read_arrays, set_aside
from lautum.pipeline import loading, receipt, run_record
from lautum.pipeline.receipt import Receipt
from lautum.training import checkpoint


class Verified(NamedTuple):
    """What `verify` found."""

    whole: int  # files
    damaged: dict[Path, str]  # what has become of each
    refused: list[str]  # what the system said of those that it did not let be read
    dated: dict[Path, str]  # likewise, of those from the future


def verify(layout: Layout, others: Iterable[Path] = ()) -> Verified:
    """Check prepared data, splits, networks, costs, records and receipts of the grid; missing files are no error.

    So are snapshots, and predictions without a record.

    A file must be whole, say of itself what its path says, and have been made from the data and splits that are there.
    What is dated in the future would make Snakemake refuse, for ever, whatever is made from it: it gets the time of
    what it was made from itself; so do collected files, what stands for them, and `others`, e.g. of the configuration.
    """
    whole, damaged, refused, made_from = 0, {}, [], {}
    for path, check, inputs in _Files(layout).all():
        try:
            check()
            whole += 1
            made_from[path] = inputs
        except Damaged as error:
            damaged[error.path] = set_aside(error.path)
        except LautumError:  # missing
            pass
        except OSError as error:
            if not is_refusal(error):
                raise
            refused.append(in_one_line(error))
    collected = sorted(layout.report.iterdir()) if layout.report.is_dir() else []
    others = [*collected, *sorted(layout.results.glob("collected/*")), *others]
    return Verified(whole, damaged, refused, _redate(made_from | dict.fromkeys(others, ())))


def _redate(made_from: Mapping[Path, Iterable[Path]]) -> dict[Path, str]:
    """Give files from the future, in the order in which they are made, a time that makes nothing else look outdated."""
    now, dated = time.time(), {}
    past = [moment for path in made_from if 0 < (moment := _time(path)) <= now]
    for path, inputs in made_from.items():
        if _time(path) > now:
            # Without inputs: older than all that may have been made from it.
            moment = max(map(_time, inputs), default=0) or min(past, default=now)
            try:
                os.utime(path, (moment, moment))
                dated[path] = "it now has the time of what it was made from"
            except OSError as error:
                dated[path] = f"its time cannot be changed ({error.strerror}): `touch` it"
    return dated


def _time(path: Path) -> float:
    """When a file was last changed, in seconds since 1970; 0 if it is not there."""
    with suppress(OSError):
        return path.stat().st_mtime
    return 0


class _Files:
    """The files that a grid leads to, each with what checks it and what it is made from, in the order of the graph."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.sha256: dict[Path, str] = {}  # of the content of data sets and splits that are whole

    def all(self) -> Iterator[tuple[Path, Callable[[], object], list[Path]]]:
        cells = self.layout.cells()
        yield from self._data(cells)
        yield from self._networks(cells)
        for cell in cells:
            inputs = [self.layout.transferred(cell), *self._evaluated_on(cell)]
            yield self.layout.record(cell), partial(self._record, cell), inputs
            yield from self._unclaimed(cell)
        # Of this campaign or another in the same folder: a receipt names its files.
        for path in sorted(self.layout.results.glob("finished-*/**/*.json")):
            if not path.name.startswith(PARTIAL):  # another process writes it, or was killed meanwhile
                yield path, partial(receipt.check, self.layout, path), self._results(path)

    def _data(self, cells: list[Cell]) -> Iterator:
        data, drawn = {}, {}
        for cell in cells:
            task = self.layout.config.tasks[cell.task]
            for dataset, part in ((task.source, "train"), (task.target, "train"), (task.target, "test")):
                data[self.layout.prepared(dataset, part)] = partial(self._prepared, dataset, part)
            path = self.layout.split(cell.task, cell.labels, cell.seed)
            drawn[path] = partial(self._split, cell), [self.layout.prepared(task.target, "train")]
        yield from ((path, check, []) for path, check in data.items())
        yield from ((path, *rest) for path, rest in drawn.items())

    def _networks(self, cells: list[Cell]) -> Iterator:
        pretrained, transferred = {}, {}
        for cell in cells:
            path, rest = self._stage(cell)
            pretrained[path] = rest
            key = self.layout.transfer_key(cell.task, cell.method, cell.labels)
            transferred[self.layout.transferred(cell)] = key, cell.seed, {"pretrained": path} | self._target(cell)
        for path, (key, seed, inputs) in (pretrained | transferred).items():
            yield path, partial(self._network, path, key, seed, inputs), list(inputs.values())
            cost = path.with_suffix(".json")
            yield cost, partial(run_record.read_cost, path, key, seed), list(inputs.values())

    def _stage(self, cell: Cell) -> tuple[Path, tuple[str, int, dict[str, Path]]]:
        layout, task = self.layout, self.layout.config.tasks[cell.task]
        inputs = {"source_train": layout.prepared(task.source, "train")}
        if layout.config.pretrain_settings(cell.task, cell.method).needs_target:
            inputs |= self._target(cell)
        key = layout.pretrain_key(cell.task, cell.method, cell.labels)
        return layout.pretrained(cell.task, cell.method, cell.labels, cell.seed), (key, cell.seed, inputs)

    def _target(self, cell: Cell) -> dict[str, Path]:
        target = self.layout.config.tasks[cell.task].target
        return {
            "target_train": self.layout.prepared(target, "train"),
            "split": self.layout.split(cell.task, cell.labels, cell.seed),
        }

    def _evaluated_on(self, cell: Cell) -> list[Path]:
        part = "test" if self.layout.config.evaluate.part == "test" else "train"
        return [self.layout.prepared(self.layout.config.tasks[cell.task].target, part)]

    def _prepared(self, dataset: str, part: str) -> None:
        self.sha256[self.layout.prepared(dataset, part)] = loading.prepared(self.layout, dataset, part).sha256

    def _split(self, cell: Cell) -> None:
        path, written = self.layout.split(cell.task, cell.labels, cell.seed), loading.split(self.layout, *_axes(cell))
        target = self.layout.prepared(written.target, "train")
        if target in self.sha256:
            schema.require_expected(path, written, {"target_train_sha256": self.sha256[target]})
        self.sha256[path] = written.sha256

    def _network(self, path: Path, key: str, seed: int, inputs: dict[str, Path]) -> None:
        _, origin = checkpoint.check(path)
        schema.require_expected(path, origin, {"key": key, "seed": seed} | self._known(inputs))

    def _record(self, cell: Cell) -> None:
        path, (record, *_) = self.layout.record(cell), run_record.read(self.layout, cell)
        _, (_, _, inputs) = self._stage(cell)
        inputs |= self._target(cell) | {"target_eval": self._evaluated_on(cell)[0]}
        schema.require_expected(path, record, self._known(inputs))

    def _unclaimed(self, cell: Cell) -> Iterator:
        """What no record answers for, and no job reads before it writes it: a folder there would be in its way."""
        record, snapshots = self.layout.record(cell), self.layout.snapshots(cell)
        for path in (*[record.with_suffix(".safetensors")] * (not record.exists()), snapshots):
            if os.path.lexists(path):
                yield path, partial(read_arrays, path), []

    def _known(self, inputs: dict[str, Path]) -> dict[str, str]:
        """What must be written in a file that was made from these: their hashes, as far as they are there and whole."""
        return {f"{name}_sha256": self.sha256[path] for name, path in inputs.items() if path in self.sha256}

    def _results(self, path: Path) -> list[Path]:
        try:
            names = schema.read(path, Receipt, "the receipt of a job").results
        except (LautumError, OSError):  # the check will say it
            return []
        return [self.layout.results / name for name in names]


def _axes(cell: Cell) -> tuple[str, int, int]:
    return cell.task, cell.labels, cell.seed
