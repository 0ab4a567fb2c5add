"""Data sets by name: original files are read once and written as two prepared files, train and test.

Two files, so that code which trains is never even given the test images.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lautum.data import builtin, download, notmnist
from lautum.data.content import require_sound
from lautum.data.formats import read_cifar, read_idx_pair, read_tar
from lautum.errors import Damaged, LautumError, described, place, require_known
from lautum.files import read_arrays, sha256_of_arrays, write_arrays
from lautum.schema import Strict, first_complaint, require_expected

DIGITS = tuple("0123456789")
LETTERS = tuple("ABCDEFGHIJ")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_CLASSES = tuple(
    (
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel "
        "can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur "
        "dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion "
        "lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree "
        "pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea "
        "seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank "
        "telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
    ).split()
)

VERIFIED = "published files, checksums verified"
UNVERIFIED = "files without published checksums, unverified"

Examples = tuple[np.ndarray, np.ndarray]  # images uint8 (N, C, H, W), labels int64 (N,)


@dataclass(frozen=True)
class Images:
    """One prepared file."""

    images: np.ndarray  # uint8 (N, C, H, W)
    labels: np.ndarray  # int64 (N,), indices into class_names
    class_names: tuple[str, ...]
    sha256: str  # hex, of images and labels (`lautum.files.sha256_of_arrays`)
    dataset: str
    part: str  # "train" or "test"
    source: str  # where the content came from and whether its checksums were verified


class Prepared(Strict):
    """What a prepared file says of itself."""

    dataset: str
    part: str
    class_names: list[str]
    sha256: str  # hex, of images and labels (`lautum.files.sha256_of_arrays`)
    source: str


@dataclass(frozen=True)
class Parts:
    """A whole data set, as read from its original files."""

    train: Examples
    test: Examples
    class_names: tuple[str, ...]
    source: str


def prepare(
    name: str, folder: Path, offline: Path | None, known: Mapping[str, "DataSet"] | None = None
) -> tuple[Path, Path]:
    """Write `folder`/NAME-train.safetensors and `folder`/NAME-test.safetensors and return their paths.

    A file that is there already, whole and with the same content, keeps its time: nothing that was made from it looks
    outdated.

    `known` are all data sets by name (None: those that are built in).

    Original files are looked for in `offline` (subfolders mnist, notmnist, cifar10, cifar100; published file names),
    then in `folder`/downloads, then on the mirrors.

    Raises LautumError when `name` is unknown, a file is nowhere to be had, damaged or not what the data set is declared
    to be, or when `folder` cannot be written to.
    """
    known = DATASETS if known is None else known
    require_known("data set", name, known)
    if offline is not None and not offline.is_dir():
        raise LautumError(
            f"the offline folder {offline} does not exist; create it, or correct LAUTUM_OFFLINE or `folders.offline`"
        )
    try:
        parts = known[name].read(folder / "downloads", offline)
    except LautumError:
        raise
    except (Exception, SystemExit) as error:  # the latter would end the process without a word
        if not known[name].code:  # no plugin's
            raise
        where = place(error, [getattr(known[name].read, "__module__", None) or ""])
        raise LautumError(f"data set {name}: {where}{described(error)}") from error
    _require_parts(name, parts)
    if tuple(parts.class_names) != known[name].class_names:
        given, expected = list(parts.class_names), list(known[name].class_names)
        raise LautumError(f"data set {name}: what is read has the classes {given}, expected {expected}")
    paths, both = [], (("train", parts.train), ("test", parts.test))
    for part, (images, labels) in both:
        require_sound(f"data set {name}, {part}", images, labels, known[name].image_shape, known[name].class_names)
    if (expected := known[name].sha256) and known[name].code:  # a plugin's
        found = sha256_of_arrays(*parts.train, *parts.test)
        if found != expected:
            raise LautumError(
                f"data set {name}: its content has the SHA-256 {found}, expected {expected}; restore its files, or "
                "correct DATA_SET.sha256"
            )
    for part, (images, labels) in both:
        paths.append(folder / known[name].prepared(name, part))
        contents = Prepared(
            dataset=name,
            part=part,
            class_names=list(parts.class_names),
            sha256=sha256_of_arrays(images, labels),
            source=parts.source,
        )
        arrays, metadata = {"images": images, "labels": labels}, contents.model_dump()
        if not _is_written(paths[-1], metadata):
            write_arrays(paths[-1], arrays, metadata)
    return paths[0], paths[1]


def _require_parts(name: str, parts: object) -> None:
    """Raise LautumError unless what a data set is read by, which may be a user's own, has returned what it must."""
    if not isinstance(parts, Parts):
        raise LautumError(
            f"data set {name}: what reads it must return lautum.data.datasets.Parts, got {type(parts).__name__}"
        )
    for part, examples in (("train", parts.train), ("test", parts.test)):
        given = examples if isinstance(examples, tuple | list) else [examples]
        if len(given) != 2 or not all(isinstance(array, np.ndarray) for array in given):
            raise LautumError(
                f"data set {name}: Parts.{part} must be two NumPy arrays, images and labels, got "
                f"{', '.join(type(array).__name__ for array in given)}"
            )
    if not isinstance(parts.source, str):
        raise LautumError(f"data set {name}: Parts.source must say where the content came from, got {parts.source!r}")
    if not isinstance(parts.class_names, tuple | list):
        raise LautumError(f"data set {name}: Parts.class_names must be a tuple of texts, got {parts.class_names!r}")


def _is_written(path: Path, metadata: object) -> bool:
    """Whether the file of a part is there, whole, and says the same of itself, which has the hash of its arrays."""
    try:
        return read_arrays(path)[1] == metadata
    except LautumError:
        return False


def load(path: Path, dataset: str, part: str, remedy: str = "run `lautum prepare NAME`") -> Images:
    """Read the prepared file of a part ("train" or "test") of a data set.

    Raises LautumError when the file is missing, Damaged when it is no prepared data set, altered, or of another data
    set or part, with `remedy` as the advice.
    """
    arrays, metadata = read_arrays(path, remedy)
    try:
        described = Prepared.model_validate(metadata, strict=True)
        images, labels = arrays["images"], arrays["labels"]
    except ValidationError as error:
        raise Damaged(path, f"{path} is not a prepared data set ({first_complaint(error)}); {remedy}") from error
    except KeyError as error:
        raise Damaged(path, f"{path} is not a prepared data set (no {error}); {remedy}") from error
    require_expected(path, described, {"dataset": dataset, "part": part}, remedy)
    if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        raise Damaged(
            path,
            f"{path} holds images {images.dtype} {images.shape} and labels {labels.dtype} {labels.shape}, "
            f"expected uint8 (N, C, H, W) and int64 (N,); {remedy}",
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(described.class_names):
        raise Damaged(
            path,
            f"{path} holds labels {labels.min()} to {labels.max()}, "
            f"expected 0 to {len(described.class_names) - 1}; {remedy}",
        )
    if sha256_of_arrays(images, labels) != described.sha256:
        raise Damaged(path, f"{path} is damaged: its images do not have the SHA-256 written in it; {remedy}")
    return Images(images, labels, tuple(described.class_names), described.sha256, dataset, part, described.source)


def without_duplicates(images: np.ndarray, labels: np.ndarray) -> Examples:
    """The first of each group of byte-identical images; a group with conflicting labels is left out altogether."""
    groups: dict[bytes, list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(image.tobytes(), []).append(index)
    kept = [group[0] for group in groups.values() if len(set(labels[group].tolist())) == 1]
    return images[kept], labels[kept]


def stratified_split(images: np.ndarray, labels: np.ndarray, train_count: int) -> tuple[Examples, Examples]:
    """Split distinct images into `train_count` and the rest, with the same share of every class up to rounding.

    Within a class as `ranked_split`.
    """
    counts = np.bincount(labels)
    shares = counts * train_count / counts.sum()
    take = np.floor(shares).astype(int)
    largest_remainders = np.argsort(take - shares, kind="stable")[: train_count - take.sum()]
    take[largest_remainders] += 1
    return ranked_split(images, labels, take)


def ranked_split(images: np.ndarray, labels: np.ndarray, train_counts: np.ndarray) -> tuple[Examples, Examples]:
    """Split distinct images into `train_counts` (classes,) of each class, and the rest.

    Within a class the images with the smallest SHA-256 of their bytes go to the first part: no random numbers, so the
    split is the same on any machine. Both parts keep the original order.
    """
    ranked = sorted(range(len(images)), key=lambda index: hashlib.sha256(images[index].tobytes()).digest())
    ranked = np.array(ranked)
    train = np.concatenate([ranked[labels[ranked] == number][:count] for number, count in enumerate(train_counts)])
    is_train = np.isin(np.arange(len(images)), train)
    return (images[is_train], labels[is_train]), (images[~is_train], labels[~is_train])


def _idx_examples(remote: download.Remote, part: str, downloads: Path, offline: Path | None) -> Examples:
    names = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
    return read_idx_pair(*download.locate(remote, names, downloads, offline), class_count=10)


def _mnist(downloads: Path, offline: Path | None) -> Parts:
    train, test = (_idx_examples(download.MNIST, part, downloads, offline) for part in ("train", "t10k"))
    return Parts(train, test, DIGITS, VERIFIED)


def _notmnist(downloads: Path, offline: Path | None) -> Parts:
    train, test = (_idx_examples(download.NOTMNIST, part, downloads, offline) for part in ("train", "t10k"))
    return Parts(train, test, LETTERS, VERIFIED)


def _notmnist10k(downloads: Path, offline: Path | None) -> Parts:
    distinct = without_duplicates(*_idx_examples(download.NOTMNIST, "t10k", downloads, offline))
    return Parts(*stratified_split(*distinct, train_count=7000), LETTERS, VERIFIED)


def _notmnist_small(downloads: Path, offline: Path | None) -> Parts:
    published = notmnist.read(notmnist.find(downloads, offline), notmnist.SMALL)
    images, labels = without_duplicates(*published)
    parts = ranked_split(images, labels, np.bincount(labels) - 1000)
    return Parts(*parts, LETTERS, "published images, checksum of their pixels verified")


def _cifar_files(
    remote: download.Remote, names: list[str], downloads: Path, offline: Path | None
) -> tuple[list[tuple[str, bytes]], str]:
    """(where, content) of each named file, and their source: the offline folder if all lie there, else the archive."""
    given = [offline / remote.folder / name for name in names] if offline else []
    if given and all(path.is_file() for path in given):
        return [(str(path), path.read_bytes()) for path in given], UNVERIFIED
    (path,) = download.locate(remote, remote.checksums, downloads, offline)
    return [
        (f"{name} in {path}", content) for name, content in zip(names, read_tar(path, names), strict=True)
    ], VERIFIED


def _cifar10(downloads: Path, offline: Path | None) -> Parts:
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    files, source = _cifar_files(download.CIFAR10, names, downloads, offline)
    *batches, test = [read_cifar(content, where, label_bytes=1, class_count=10) for where, content in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return Parts((images, labels), test, CIFAR10_CLASSES, source)


def _cifar100(downloads: Path, offline: Path | None) -> Parts:
    files, source = _cifar_files(download.CIFAR100, ["train.bin", "test.bin"], downloads, offline)
    train, test = (read_cifar(content, where, label_bytes=2, class_count=100) for where, content in files)
    return Parts(train, test, CIFAR100_CLASSES, source)


def _digits(downloads: Path, offline: Path | None) -> Parts:
    return Parts(*stratified_split(*builtin.digits(), train_count=1397), DIGITS, "built in: scikit-learn")


def _letters(downloads: Path, offline: Path | None) -> Parts:
    train, test = builtin.letters(per_class=200, stream=0), builtin.letters(per_class=100, stream=1)
    return Parts(train, test, LETTERS, "built in: rendered from the fonts of matplotlib")


@dataclass(frozen=True)
class DataSet:
    """All that a data set needs to take part."""

    title: str  # in tables and figures
    image_shape: tuple[int, int, int]  # C, H, W
    class_names: tuple[str, ...]
    read: Callable[[Path, Path | None], Parts]  # (downloads, offline)
    train_counts: tuple[int, ...] = ()  # training images of each class, so that too many labels are refused early
    # Of what is not built in, which may be something else under the same name in the next configuration.
    sha256: str = ""  # hex; of a plugin's the arrays' (`lautum.files.sha256_of_arrays`: train, then test), or empty
    code: str = ""  # digest of the code that reads it, of a plugin

    def prepared(self, name: str, part: str) -> str:
        """The name of a prepared file: NAME-train.safetensors, or NAME-HASH-train.safetensors if it is not built in."""
        return "-".join(filter(None, (name, (self.code or self.sha256)[:12], part))) + ".safetensors"


DATASETS = {
    # Handwritten digits, 60,000 + 10,000.
    "mnist": DataSet(
        "MNIST", (1, 28, 28), DIGITS, _mnist, (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ),
    # Letters A-J from many fonts, 60,000 + 10,000, duplicates as published.
    "notmnist": DataSet(
        "notMNIST", (1, 28, 28), LETTERS, _notmnist, (6000,) * 10
    ),  # on average: not all copies are at hand
    # The 10,000 test letters of notmnist without duplicates: 7,000 + 2,804.
    "notmnist10k": DataSet(
        "notMNIST (10,000)", (1, 28, 28), LETTERS, _notmnist10k, (712, 712, 712, 708, 708, 708, 711, 709, 611, 709)
    ),
    # The letters of notMNIST_small without duplicates: 8,230 + 10,000.
    "notmnist-small": DataSet(
        "notMNIST small", (1, 28, 28), LETTERS, _notmnist_small, (848, 852, 848, 847, 847, 850, 850, 845, 595, 848)
    ),
    # Photographs, 50,000 + 10,000.
    "cifar10": DataSet("CIFAR-10", (3, 32, 32), CIFAR10_CLASSES, _cifar10, (5000,) * 10),
    "cifar100": DataSet("CIFAR-100", (3, 32, 32), CIFAR100_CLASSES, _cifar100, (500,) * 100),
    # Built in: scikit-learn's handwritten digits, 1,397 + 400.
    "digits": DataSet("digits", (1, 16, 16), DIGITS, _digits, (138, 142, 138, 142, 141, 141, 141, 139, 135, 140)),
    # Built in: letters A-J from matplotlib's fonts, 2,000 + 1,000.
    "letters": DataSet("letters", (1, 16, 16), LETTERS, _letters, (200,) * 10),
}
