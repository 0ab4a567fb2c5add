"""Data sets by path: read as they lie there, and refused at `prepare` when they are not what was declared."""

import gzip
import hashlib
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lautum.cli import main
from lautum.data import by_path, datasets
from lautum.errors import LautumError
from lautum.experiment import config
from lautum.experiment.layout import Layout

ROOT = Path(__file__).parent.parent
CLASSES = ["bar", "cross", "dot"]
SHAPES = {"grey": (1, 6, 8), "colour": (3, 6, 8)}


def examples(shape: tuple[int, int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Different images, by class."""
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, np.sort(np.arange(count) % 3)


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> str:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / CLASSES[label] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(path)
    (folder / ".hidden").touch()
    return folder.name


def write_arrays(folder: Path, images: np.ndarray, labels: np.ndarray) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "x.npy", images[:, 0] if images.shape[1] == 1 else images)
    np.save(folder / "y.npy", labels.astype(np.uint8))
    return {"images": f"{folder.name}/x.npy", "labels": f"{folder.name}/y.npy"}


def write_idx(folder: Path, images: np.ndarray, labels: np.ndarray) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("x", images[:, 0]), ("y", labels)):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    return {"images": f"{folder.name}/x.gz", "labels": f"{folder.name}/y.gz"}


WRITERS = {"folder": write_folder, "arrays": write_arrays, "idx": write_idx}


def declare(folder: Path, kind: str = "folder", colour: str = "grey", **changes) -> Path:
    """A configuration with a data set `mine` of 12 + 6 images in `folder`/data-of-mine, and these entries changed."""
    below = folder / "lies here"
    below.mkdir()
    shape = SHAPES[colour]
    entry = {"title": "My own", "shape": list(shape), "classes": CLASSES}
    for part, count in (("train", 12), ("test", 6)):
        entry[part] = WRITERS[kind](below / part, *examples(shape, count))
    values = {"extends": str(ROOT / "config/config.yaml"), "name": "by-path", "datasets": {"mine": entry | changes}}
    path = below / "by-path.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def prepare(path: Path) -> tuple[datasets.Images, ...]:
    loaded = config.load(path)
    written = datasets.prepare("mine", path.parent.parent / "data", None, loaded.catalogue.datasets)
    return tuple(datasets.load(file, "mine", part) for file, part in zip(written, ("train", "test"), strict=True))


def with_checksum(path: Path) -> Path:
    """The configuration with the checksum that `prepare` asks for."""
    with pytest.raises(LautumError, match="datasets.mine needs the checksum of its content: `sha256: ") as asked:
        prepare(path)
    values = yaml.safe_load(path.read_text())
    values["datasets"]["mine"]["sha256"] = str(asked.value).split("`")[1].removeprefix("sha256: ")
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("kind", "colour"),
    [("folder", "grey"), ("folder", "colour"), ("arrays", "grey"), ("arrays", "colour"), ("idx", "grey")],
)
def test_every_format_gives_the_images_and_labels_that_were_written(kind, colour, tmp_path):
    train, test = prepare(with_checksum(declare(tmp_path, kind, colour)))
    for found, count in ((train, 12), (test, 6)):
        images, labels = examples(SHAPES[colour], count)
        assert np.array_equal(found.images, images) and np.array_equal(found.labels, labels)
        assert found.class_names == tuple(CLASSES)
    assert train.source == "files of the configuration, checksum verified"


def test_the_checksum_is_that_of_the_pixels_and_labels_in_any_format(tmp_path):
    found = set()
    for kind in WRITERS:
        (tmp_path / kind).mkdir()
        path = with_checksum(declare(tmp_path / kind, kind))
        found.add(yaml.safe_load(path.read_text())["datasets"]["mine"]["sha256"])
    digest = hashlib.sha256()
    for count in (12, 6):
        for array in examples(SHAPES["grey"], count):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    assert found == {digest.hexdigest()}


def test_changed_files_are_refused(tmp_path):
    path = with_checksum(declare(tmp_path))
    shutil.copy(path.parent / "train/bar/00.png", path.parent / "train/bar/01.png")
    with pytest.raises(LautumError, match="has the SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}; restore the files"):
        prepare(path)


def test_another_content_or_other_classes_have_other_prepared_files_and_keys(tmp_path):
    names, keys, settings = set(), set(), set()
    task = {"source": "digits", "target": "mine", "classes": None, "label_counts": [6], "network": "conv16-32-fc128"}
    task |= {"transfer": {"head": "reinitialise"}}
    for number, change in enumerate(({"sha256": "0" * 64}, {"sha256": "1" * 64}, {"classes": ["c", "b", "a"]}, {})):
        (tmp_path / f"{number}").mkdir()
        path = declare(tmp_path / f"{number}", "arrays", **{"sha256": "0" * 64, "shape": [1, 16, 16]} | change)
        values = yaml.safe_load(path.read_text()) | {"tasks": {"t": task}, "comparisons": []}
        path.write_text(yaml.safe_dump(values | {"grid": {"tasks": ["t"], "methods": ["standard"], "seeds": 1}}))
        layout = Layout(config.load(path))
        names.add(layout.prepared("mine", "train").name)
        keys.add((layout.split("t", 6, 0), layout.transfer_key("t", "standard", 6)))
        settings.add(layout.settings_key("t", "standard", 6))
    assert len(names) == len(keys) == len(settings) == 3  # the first and the last are the same


def spoil_size(folder: Path) -> None:
    Image.new("L", (9, 6)).save(folder / "train/dot/00.png")


def spoil_mode(folder: Path) -> None:
    Image.new("RGB", (8, 6)).save(folder / "train/dot/00.png")


def spoil_image(folder: Path) -> None:
    (folder / "test/dot/notes.txt").write_text("none")


def spoil_class(folder: Path) -> None:
    (folder / "train/crosses").mkdir()


def lose_class(folder: Path) -> None:
    shutil.rmtree(folder / "test/cross")


def empty_class(folder: Path) -> None:
    lose_class(folder)
    (folder / "test/cross").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_size, "train/dot/00.png is 9 x 6 of mode L, expected 8 x 6 of mode L"),
        (spoil_mode, "train/dot/00.png is 8 x 6 of mode RGB, expected 8 x 6 of mode L"),
        (spoil_image, "test/dot/notes.txt is no readable image, PNG or JPEG or BMP"),
        (spoil_class, "train/crosses is none of the classes; did you mean 'cross'?"),
        (lose_class, "test holds no folder cross, which is one of the classes"),
        (empty_class, "datasets.mine.test: there is no image of class cross"),
        (lambda folder: shutil.rmtree(folder / "test"), "test is no folder; it must hold a folder of images for"),
    ],
)
def test_folders_that_are_not_what_was_declared_are_refused_by_prepare(spoil, message, tmp_path, capsys, monkeypatch):
    path = declare(tmp_path)
    spoil(path.parent)
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "mine", "--config", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not list(Path("data").rglob("mine*"))


def png(depth: int, kind: int, rows: bytes, more: bytes = b"") -> bytes:
    """A PNG of 8 x 6 pixels; `kind` 0: grey, 2: colour; `more` chunks before the pixels, which are rows of bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, depth, kind, 0, 0, 0))
    pixels = zlib.compress(b"".join(b"\0" + rows for _ in range(6)))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


TRANSPARENT = struct.pack(">I", 2) + b"tRNS" + bytes(2) + struct.pack(">I", zlib.crc32(b"tRNS" + bytes(2)))


@pytest.mark.parametrize(
    ("colour", "content", "mode"),
    [
        ("grey", png(2, 0, bytes(2)), "L;2"),
        ("grey", png(4, 0, bytes(4)), "L;4"),
        ("grey", png(16, 0, bytes(16)), "I;16B"),
        ("grey", png(8, 0, bytes(8), TRANSPARENT), "L with transparency"),
        ("colour", png(16, 2, bytes(48)), "RGB;16B"),
    ],
)
def test_images_that_would_have_to_be_converted_are_refused(colour, content, mode, tmp_path):
    path = declare(tmp_path, "folder", colour)
    (path.parent / "train/dot/00.png").write_bytes(content)
    with pytest.raises(LautumError, match=f"00.png is 8 x 6 of mode {mode}, expected"):
        prepare(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_whole_images_of_8_bits_are_read_in_every_format(suffix, mode, tmp_path):
    shape = (6, 8, 3)[: 2 + (mode == "RGB")]
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(pixels).save(tmp_path / f"a/x{suffix}")
    images, _ = by_path.read_folder(tmp_path, (3 if mode == "RGB" else 1, 6, 8), ("a",))
    found = images[0].transpose(1, 2, 0) if mode == "RGB" else images[0, 0]
    assert (found == np.asarray(Image.open(tmp_path / f"a/x{suffix}"))).all()
    assert suffix == ".jpg" or (found == pixels).all()


def test_suffixes_of_arrays_may_be_upper_case_and_must_agree(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 4), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(2))
    for name in "xy":
        (tmp_path / f"{name}.npy").rename(tmp_path / f"{name.upper()}.NPY")
    images, labels = by_path.read_pair(tmp_path / "X.NPY", tmp_path / "Y.NPY", 2)
    assert images.shape == (2, 1, 4, 4) and labels.tolist() == [0, 1]
    (tmp_path / "y.gz").write_bytes(b"")
    with pytest.raises(LautumError, match="must both be .npy, or both gzipped idx"):
        by_path.read_pair(tmp_path / "X.NPY", tmp_path / "y.gz", 2)


HUGE = "{'descr': '<i8', 'fortran_order': False, 'shape': (60000600000000,)}"
HEADERS = (  # as somebody may have made them
    "{'descr': '<i8', 'fortran_order': False, 1: (12,)}",
    "{[1]: 2}",
    "-" * 5000 + "1",
)


def headed(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(96)


@pytest.mark.parametrize(
    ("kind", "file", "content", "message"),
    [
        ("arrays", "x.npy", np.zeros((12, 6, 9), np.uint8), "images are (1, 6, 9) (C, H, W), expected (1, 6, 8)"),
        ("arrays", "x.npy", np.zeros((11, 6, 8), np.uint8), "there are 11 images but 12 labels"),
        ("arrays", "x.npy", np.zeros((12, 6, 8)), "holds float64 (12, 6, 8), expected uint8 (N, C, H, W) or (N, H, W)"),
        ("arrays", "y.npy", np.arange(12) % 4, "labels are 0 to 3, expected 0 to 2, the places of the 3 classes"),
        ("arrays", "y.npy", np.zeros(12), "holds float64 (12,), expected integers (N,)"),
        ("arrays", "y.npy", np.array([{}], dtype=object), "y.npy is no NumPy array (Object arrays cannot be loaded"),
        ("arrays", "y.npy", b"\x93NUMPY", "y.npy is no NumPy array"),
        ("arrays", "y.npy", headed(HUGE), "y.npy does not fit into memory, or its header is wrong"),
        *(("arrays", "y.npy", headed(header), "y.npy is no NumPy array") for header in HEADERS),
        ("arrays", "y.npy", None, "y.npy does not exist"),
        ("arrays", "y.npy", {"labels": np.zeros(12)}, "y.npy is no NumPy array but an archive of several (.npz)"),
        ("idx", "y.gz", b"", "y.gz is not an idx file of this kind"),
    ],
)
def test_arrays_that_are_not_what_was_declared_are_refused(kind, file, content, message, tmp_path):
    path = declare(tmp_path, kind)
    spoilt = path.parent / "train" / file
    spoilt.unlink()
    if isinstance(content, np.ndarray):
        np.save(spoilt, content, allow_pickle=True)
    elif isinstance(content, dict):
        with open(spoilt, "wb") as archive:
            np.savez(archive, **content)
    elif content is not None:
        spoilt.write_bytes(content)
    with pytest.raises(LautumError) as refused:
        prepare(path)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [2, 6, 8]}, "datasets.mine.shape.0: Input should be 1 or 3"),
        ({"shape": [1, 6, 0]}, "datasets.mine.shape.2: Input should be greater than 0"),
        ({"classes": ["a", "a"]}, "datasets.mine.classes: must name each class once"),
        ({"classes": ["a"]}, "datasets.mine.classes: Tuple should have at least 2 items"),
        ({"sha256": "abc"}, "datasets.mine.sha256: String should match pattern"),
        ({"titel": "x"}, "datasets.mine: unknown key 'titel'; did you mean 'title'?"),
        ({"classes": ["a", ""]}, "datasets.mine.classes: names must not be empty"),
        ({"classes": ["a", "../b"]}, "classes are names of folders, without / and not hidden, got '../b'"),
        ({"train": {"image": "x", "labels": "y"}}, "datasets.mine.train: unknown key 'image'; did you mean 'images'?"),
        ({"title": ""}, "datasets.mine.title: String should have at least 1 character"),
    ],
)
def test_a_declaration_that_is_wrong_is_refused_before_any_job(changes, message, tmp_path):
    with pytest.raises(LautumError) as refused:
        config.load(declare(tmp_path, **changes))
    assert message in str(refused.value)


def test_the_name_of_a_built_in_data_set_is_taken(tmp_path):
    path = declare(tmp_path)
    path.write_text(json.dumps(json.loads(json.dumps(yaml.safe_load(path.read_text()))) | {"name": "x"}))
    path.write_text(path.read_text().replace('"mine"', '"mnist"'))
    with pytest.raises(LautumError, match="datasets.mnist: there is a data set of this name already; choose another"):
        config.load(path)
