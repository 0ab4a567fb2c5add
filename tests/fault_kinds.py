"""The faults that `make faults` injects. Each returns whether it hit something: only then does it count."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from lautum import files
from lautum.pipeline import locks


class Place:
    """A campaign's folder: what is there to be broken, and what faults have broken."""

    def __init__(self, folder: Path):
        self.folder, self.results = folder, folder / "results"
        # No file is hit again before it was repaired or written anew: the later fault would hide the earlier.
        self.hit: dict[Path, tuple] = {}

    def finished(self) -> list[Path]:
        """All whole result files."""
        folders = ("splits", "pretrained", "transferred", "evaluated-test", "finished-pretrain", "finished-test")
        return sorted(
            path for name in folders for suffix in (".json", ".safetensors") for path in self._found(name, suffix)
        )

    def checkpoints(self) -> list[Path]:
        return sorted(self._found("checkpoints", ".safetensors"))

    def data(self) -> list[Path]:
        return sorted((self.folder / "data").glob("*.safetensors"))

    def training(self) -> dict[Path, int]:
        """The checkpoints of jobs that train, each with the number of its process."""
        found = {}
        for path in self.checkpoints():
            with suppress(OSError, ValueError, KeyError):
                holder = json.loads(path.with_suffix(".lock").read_text())
                # Not another process that has the number of one that is gone.
                if locks._started(holder["pid"]) == holder["started"] and self.free([path]):
                    found[path] = holder["pid"]
        return found

    def free(self, paths: list[Path]) -> list[Path]:
        """Those that no fault has hit since something else last changed them."""
        return [path for path in paths if path not in self.hit or self.hit[path] != _state(path)]

    def mark(self, path: Path) -> None:
        self.hit[path] = _state(path)

    def drivers_at_work(self) -> list:
        """Running drivers; a plain folder has none."""
        return []

    def _found(self, folder: str, suffix: str) -> Iterator[Path]:
        with suppress(FileNotFoundError):  # a folder that vanishes while it is read
            yield from (path for path in (self.results / folder).rglob(f"seed*{suffix}") if path.is_file())


def _state(path: Path) -> tuple:
    """What differs once a file was replaced, written to or given another time; empty where there is none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()


def one_of(place: Place, paths: list[Path], rng: random.Random, change: Callable[[Path], bool]) -> bool:
    """Change one file; it may be replaced or vanish at the same time."""
    free = place.free(paths)
    with suppress(OSError, ValueError):
        if free and change(path := rng.choice(free)):
            place.mark(path)
            return True
    return False


def signalled(place: Place, number: int, rng: random.Random) -> bool:
    """Send a signal to a training job that has a checkpoint."""
    training = place.training()
    return one_of(place, list(training), rng, lambda path: os.kill(training[path], number) is None)


def sigkill(place, rng):
    return signalled(place, signal.SIGKILL, rng)


def sigterm(place, rng):
    return signalled(place, signal.SIGTERM, rng)


def driver_killed(place, rng):
    """Its jobs go on without it, and the next driver starts them once more."""
    drivers = place.drivers_at_work()
    if drivers:
        drivers[0].kill()
        drivers[0].wait()
        place.start()
    return bool(drivers)


def two_drivers(place, rng):
    alone = len(place.drivers_at_work()) == 1
    if alone:
        place.start("--nolock")
    return alone


def full_disk(place, rng):
    """While a job trains, which writes its checkpoint again and again."""
    if not place.training():
        return False
    filler = place.results / "filler"
    with suppress(OSError), open(filler, "wb") as file:  # around both: closing writes what is left, and fails too
        while True:
            file.write(bytes(2**16))
            file.flush()
    time.sleep(rng.uniform(1, 3))
    filler.unlink(missing_ok=True)
    return True


def truncated_result(place, rng):
    def cut(path: Path) -> bool:
        size = path.stat().st_size
        os.truncate(path, rng.randrange(max(1, size)))
        return size > 0

    return one_of(place, place.finished(), rng, cut)


def corrupt_checkpoint(place, rng):
    """Of a job that is killed at the same moment, or was: another would write over it unread."""
    training = place.training()

    def flip(path: Path) -> bool:
        pid = training.get(path)
        if pid is None:
            return flip_byte(path, rng)
        os.kill(pid, signal.SIGSTOP)
        try:
            return flip_byte(path, rng)
        finally:
            os.kill(pid, signal.SIGKILL)

    return one_of(place, place.checkpoints(), rng, flip)


def corrupt_dataset(place, rng):
    return one_of(place, place.data(), rng, lambda path: flip_byte(path, rng))


def flip_byte(path: Path, rng: random.Random) -> bool:
    """Change one byte in place."""
    with open(path, "r+b") as file:
        position = rng.randrange(os.fstat(file.fileno()).st_size)
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 0xFF]))
        return os.path.samestat(os.fstat(file.fileno()), path.stat())  # not the one that another has replaced


def clock_jump(place, rng):
    """Files of ten years ago or in ten years' time."""
    paths, changed = place.free(place.finished() + place.checkpoints()), 0
    for path in rng.sample(paths, min(3, len(paths))):
        moment = time.time() + rng.choice([-1, 1]) * 3e8
        with suppress(FileNotFoundError):
            os.utime(path, (moment, moment))
            place.mark(path)
            changed += 1
    return changed > 0


def dated_ahead(place, rng):
    """One file that others are made from, of next year."""
    moment = time.time() + 3e7
    return one_of(place, place.finished() + place.data(), rng, lambda path: os.utime(path, (moment, moment)) is None)


def lost_file(place, rng):
    """A split or data set that is gone when what was made from it is finished."""
    paths = [path for path in place.finished() if "splits" in path.parts] + place.data()
    return one_of(place, paths, rng, lambda path: path.unlink() is None)


def wrong_place(place, rng):
    """A whole file in the place of another."""
    paths = place.finished() + place.data()

    def put(path: Path) -> bool:
        others = [other for other in paths if other.suffix == path.suffix and other.read_bytes() != path.read_bytes()]
        if others:
            draft = path.with_name(f".{path.name}-copy")
            shutil.copy(rng.choice(others), draft)
            os.replace(draft, path)
        return bool(others)

    return one_of(place, paths, rng, put)


def other_content(place, rng):
    """Valid JSON in which a value is another."""

    def alter(path: Path) -> bool:
        content = json.loads(path.read_text())
        name, value = rng.choice(sorted(content)), rng.choice([None, 0, "other", [], {}])
        draft = path.with_name(f".{path.name}-copy")
        draft.write_text(json.dumps(content | {name: value}))
        os.replace(draft, path)
        return content[name] != value

    return one_of(place, [path for path in place.finished() if path.suffix == ".json"], rng, alter)


def folder_in_place(place, rng):
    """A folder where a result was."""

    def replace(path: Path) -> bool:
        path.unlink()
        path.mkdir()
        return True

    return one_of(place, place.finished(), rng, replace)


def litter(place, rng):
    """What a write leaves that was killed."""

    def leave(path: Path) -> bool:
        name = f"{files.PARTIAL}{files._machine()}-{rng.randrange(10**9)}.safetensors"
        path.with_name(name).write_bytes(rng.randbytes(1000))
        return True

    return one_of(place, place.finished(), rng, leave)


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
