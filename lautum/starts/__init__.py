"""What `lautum new` writes: working, commented beginnings of an objective, a data set and a campaign, each with a test.

The files beside this one are those that are written, with the user's name in place of `my_objective`, `my_dataset` and
`my_campaign`. May import everything but the command line.
"""

import io
import json
import keyword
import os
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

import lautum
from lautum.data import by_path
from lautum.data.datasets import DATASETS
from lautum.errors import LautumError
from lautum.experiment import yaml_reader
from lautum.experiment.catalogue import BUILT_IN
from lautum.experiment.fields import NAME, Campaign
from lautum.files import sha256_of_arrays, write_bytes, write_text
from lautum.schema import first_complaint

HERE = Path(__file__).parent
CONFIG = Path(lautum.__file__).resolve().parents[1] / "config/config.yaml"
# The images of a new data set: pixels, and how far up and to the side the lines of each class go.
SIDE = 16
CLASSES = {"bar": (4, 0), "cross": (4, 4), "dot": (0, 0)}


def write(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the beginning of an objective, a data set or a campaign into `folder`; returns the paths of its files.

    Raises LautumError for a name that cannot be used, rather than replace a file, where nothing can be written, and for
    a campaign where there is no clone whose configuration it could extend.
    """
    what = "an objective" if kind == "objective" else f"a {kind}"
    _require_usable(kind, what, name)
    if kind == "campaign" and not CONFIG.exists():
        raise LautumError(f"{CONFIG}, which a campaign extends, is not there: use the package of a clone (`make`)")
    suffix, test = (".py" if kind == "objective" else ".yaml"), f"test_{re.sub('[.-]', '_', name)}.py"
    paths = [folder / f"{name}{suffix}", folder / test]
    images = folder / name
    for path in [*paths, *([images] if kind == "dataset" else [])]:
        if os.path.lexists(path):
            raise LautumError(f"{path} exists already; choose another name, or another --folder")
    if kind == "objective" and _is_module(name):
        raise LautumError(f"{name!r} is a module that the file would hide from Python; choose another name for {what}")
    texts = [(HERE / file).read_text(encoding="utf-8") for file in (f"my_{kind}{suffix}", f"test_my_{kind}.py")]
    base, snakefile = (os.path.relpath(path, folder.resolve()) for path in (CONFIG, CONFIG.parents[1] / "Snakefile"))
    said = {f"my_{kind}": name, "CONFIG": _in_yaml(base), "SNAKEFILE": shlex.quote(snakefile)}
    if kind == "dataset":
        write_images(images)
        said["SHA256"] = _checksum(images)
    for path, text in zip(paths, texts, strict=True):
        write_text(path, re.sub("|".join(said), lambda found: said[found[0]], text))
    return [*paths, images] if kind == "dataset" else paths


def _require_usable(kind: str, what: str, name: str) -> None:
    """Refuse what a configuration, Python or YAML would refuse later, or take for something else."""
    valid = name.isidentifier() and name.isascii() if kind == "objective" else NAME.fullmatch(name)
    if not valid:
        also = "" if kind == "objective" else ", '.' and '-'"
        raise LautumError(f"the name of {what} may hold letters, digits, '_'{also}, not first, got {name!r}")
    if keyword.iskeyword(name) and kind == "objective":
        raise LautumError(f"{name!r} is a word of Python's own; choose another name for {what}")
    if (read := yaml_reader.parse(name)) != name:
        raise LautumError(f"a configuration takes {name!r} for {read!r}, which is no text; choose another name")
    if name in {"objective": BUILT_IN.objectives, "dataset": DATASETS, "campaign": ()}[kind]:
        raise LautumError(f"there is {what} {name!r} already; choose another name")
    if kind == "campaign":
        try:
            TypeAdapter(Campaign).validate_python(name)
        except ValidationError as error:
            raise LautumError(first_complaint(error)) from None


def _is_module(name: str) -> bool:
    if name in sys.stdlib_module_names or name in sys.modules:
        return True
    found = find_spec(name)
    return found is not None and found.origin is not None  # a mere folder has none


def _in_yaml(path: str) -> str:
    """A path as YAML's text, in quotes where it needs them, also inside a list."""
    try:
        plain = yaml_reader.parse(f"[{path}]") == [path]
    except (yaml.YAMLError, LautumError):
        plain = False
    return path if plain else json.dumps(path)


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
                content = io.BytesIO()
                Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(content, "png")
                write_bytes(folder / part / name / f"{number:02d}.png", content.getvalue())


def _checksum(folder: Path) -> str:
    train, test = (by_path.read_folder(folder / part, (1, SIDE, SIDE), tuple(CLASSES)) for part in ("train", "test"))
    return sha256_of_arrays(*train, *test)
