"""Data sets that a configuration declares by their paths, under `datasets:`."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, PositiveInt, Tag, model_validator

from lautum.data import by_path
from lautum.data.content import MOST_CLASSES, require_every_class, require_sound
from lautum.data.datasets import DataSet, Examples, Parts
from lautum.errors import LautumError
from lautum.experiment.fields import FilePath
from lautum.files import sha256_of_arrays
from lautum.schema import Strict


def _distinct(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(classes)) < len(classes):
        raise ValueError(f"must name each class once, got {list(classes)}")
    if "" in classes:
        raise ValueError(f"names must not be empty, got {list(classes)}")
    return classes


class Pair(Strict):
    """Images and their labels in two files: .npy, or gzipped idx."""

    images: FilePath
    labels: FilePath


def _kind(value: object) -> str:
    return "(pair)" if isinstance(value, dict | Pair) else "(folder)"


# By its kind, so that a misspelt key is told; `first_complaint` leaves the names of kinds out.
FolderOrPair = Annotated[Annotated[FilePath, Tag("(folder)")] | Annotated[Pair, Tag("(pair)")], Discriminator(_kind)]


class Declared(Strict):
    """All that a data set needs to take part. Paths are relative to the file that they stand in."""

    title: str = Field(min_length=1)  # in tables and figures
    train: FolderOrPair  # a folder with a folder of images for each class, or two files
    test: FolderOrPair
    shape: tuple[Literal[1, 3], PositiveInt, PositiveInt]  # channels, height, width
    # In the order of the labels.
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_CLASSES), AfterValidator(_distinct)]
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")  # of the content; `lautum prepare` says what it is

    @model_validator(mode="after")
    def _names_of_folders(self):
        if isinstance(self.train, Pair) and isinstance(self.test, Pair):
            return self
        for name in self.classes:
            if "/" in name or name.startswith("."):
                raise ValueError(f"classes are names of folders, without / and not hidden, got {name!r}")
        return self

    def data_set(self, name: str) -> DataSet:
        """What a campaign needs of it. `read` raises LautumError when files are missing or not what was declared."""

        def read(downloads: Path, offline: Path | None) -> Parts:
            train, test = self._examples(name, "train"), self._examples(name, "test")
            found = sha256_of_arrays(*train, *test)
            if not self.sha256:
                raise LautumError(f"datasets.{name} needs the checksum of its content: `sha256: {found}`")
            if found != self.sha256:
                raise LautumError(
                    f"datasets.{name}: the content of these files has the SHA-256 {found}, expected {self.sha256}; "
                    "restore the files, or correct sha256 if they were changed on purpose"
                )
            return Parts(train, test, self.classes, "files of the configuration, checksum verified")

        identity = hashlib.sha256(json.dumps([self.sha256, self.classes]).encode()).hexdigest()
        return DataSet(self.title, self.shape, self.classes, read, sha256=identity)

    def _examples(self, name: str, part: str) -> Examples:
        where = getattr(self, part)
        if isinstance(where, Pair):
            examples = by_path.read_pair(Path(where.images), Path(where.labels), len(self.classes))
        else:
            examples = by_path.read_folder(Path(where), self.shape, self.classes)
        require_sound(f"datasets.{name}.{part}", *examples, self.shape, self.classes)
        require_every_class(f"datasets.{name}.{part}", examples[1], self.classes)
        return examples
