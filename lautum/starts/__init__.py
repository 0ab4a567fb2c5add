"""What `lautum new` writes: working, commented beginnings of an objective, a data set and a campaign, each with a test.

The files beside this one are those that are written, with the user's name in place of `my_objective`, `my_dataset` and
`my_campaign`. May import everything but the command line.
"""

import os
import re
from pathlib import Path

import numpy as np

import lautum
from lautum.data import by_path
from lautum.data.datasets import DATASETS
from lautum.errors import LautumError
from lautum.experiment.catalogue import BUILT_IN
from lautum.experiment.fields import NAME
from lautum.files import sha256_of_arrays, write_text

HERE = Path(__file__).parent
CONFIG = Path(lautum.__file__).resolve().parents[1] / "config/config.yaml"
# The images of a new data set: pixels, and how far up and to the side the lines of each class go.
SIDE = 16
CLASSES = {"bar": (4, 0), "cross": (4, 4), "dot": (0, 0)}


def write(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the beginning of an objective, a data set or a campaign into `folder`; returns the paths of its files.

    Raises LautumError for a name that cannot be used, and rather than replace a file.
    """
    what = "an objective" if kind == "objective" else f"a {kind}"
    valid = name.isidentifier() and name.isascii() if kind == "objective" else NAME.fullmatch(name)
    if not valid:
        also = "" if kind == "objective" else ", '.' and '-'"
        raise LautumError(f"the name of {what} may hold letters, digits, '_'{also}, not first, got {name!r}")
    if name in {"objective": BUILT_IN.objectives, "dataset": DATASETS, "campaign": ()}[kind]:
        raise LautumError(f"there is {what} {name!r} already; choose another name")
    suffix, test = (".py" if kind == "objective" else ".yaml"), f"test_{re.sub('[.-]', '_', name)}.py"
    paths = [folder / f"{name}{suffix}", folder / test]
    images = folder / name
    for path in [*paths, *([images] if kind == "dataset" else [])]:
        if path.exists():
            raise LautumError(f"{path} exists already; choose another name, or another --folder")
    texts = [(HERE / file).read_text(encoding="utf-8") for file in (f"my_{kind}{suffix}", f"test_my_{kind}.py")]
    if kind == "dataset":
        write_images(images)
        texts[0] = texts[0].replace("SHA256", _checksum(images))
    base, snakefile = (os.path.relpath(path, folder.resolve()) for path in (CONFIG, CONFIG.parents[1] / "Snakefile"))
    for path, text in zip(paths, texts, strict=True):
        write_text(path, text.replace(f"my_{kind}", name).replace("CONFIG", base).replace("SNAKEFILE", snakefile))
    return [*paths, images] if kind == "dataset" else paths


def write_images(folder: Path) -> None:
    """20 + 10 grey images of bars, crosses and dots, at random places and with noise, by part and class."""
    from PIL import Image

    rng = np.random.Generator(np.random.PCG64(0))
    for part, count in (("train", 20), ("test", 10)):
        for name, (tall, wide) in CLASSES.items():
            for number in range(count):
                image = rng.normal(40, 20, (SIDE, SIDE))
                y, x = rng.integers(4, SIDE - 4, 2)
                image[y - 1 : y + 2, x - 1 : x + 2] += 160
                image[y - tall : y + tall + 1, x] += 160
                image[y, x - wide : x + wide + 1] += 160
                path = folder / part / name / f"{number:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)


def _checksum(folder: Path) -> str:
    train, test = (by_path.read_folder(folder / part, (1, SIDE, SIDE), tuple(CLASSES)) for part in ("train", "test"))
    return sha256_of_arrays(*train, *test)
