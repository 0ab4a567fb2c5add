import dataclasses
import errno
import gzip
import hashlib
import io
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file, save_file

from lautum.data import datasets, download, formats, notmnist
from lautum.errors import Damaged, LautumError
from lautum.files import sha256_of_arrays, write_arrays

CLOSED = "http://127.0.0.1:1/"  # nothing listens on port 1


def prepared(name, folder, offline=None):
    paths = zip(datasets.prepare(name, folder, offline), ("train", "test"), strict=True)
    return [datasets.load(path, name, part) for path, part in paths]


def builtin(name, folder):
    return [datasets.load(folder / f"{name}-{part}.safetensors", name, part) for part in ("train", "test")]


def as_declared(*parts) -> bool:
    found = {(part.dataset, part.images.shape[1:], part.class_names) for part in parts}
    name = parts[0].dataset
    declared = datasets.DATASETS[name].train_counts
    counts = np.bincount(parts[0].labels, minlength=len(declared))
    assert all(count in (0, expected) for count, expected in zip(counts, declared, strict=True))  # 0: of a part of it
    return found == {(name, datasets.DATASETS[name].image_shape, datasets.DATASETS[name].class_names)}


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def idx_gz(array) -> bytes:
    array = np.asarray(array, dtype=np.uint8)
    return gzip.compress(
        struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes(), mtime=0
    )


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


# Real files


def test_mnist_has_the_published_counts_and_pixel_statistics(tmp_path, offline_folder):
    train, test = prepared("mnist", tmp_path, offline_folder)
    assert as_declared(train, test)
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.images.shape == (60000, 1, 28, 28) and test.images.shape == (10000, 1, 28, 28)
    assert train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert train.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert (train.dataset, train.part, test.part) == ("mnist", "train", "test")
    assert train.class_names == tuple("0123456789")
    assert train.source == "published files, checksums verified"


def test_notmnist10k_is_the_distinct_test_letters_in_a_fixed_split(tmp_path, offline_folder):
    train, test = prepared("notmnist10k", tmp_path, offline_folder)
    assert as_declared(train, test)
    assert (len(train.labels), len(test.labels)) == (7000, 2804)
    pixels = gzip.decompress((offline_folder / "notmnist/t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((offline_folder / "notmnist/t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    published = {pixels[784 * i : 784 * (i + 1)]: label for i, label in enumerate(labels)}
    found = {
        image.tobytes(): label
        for part in (train, test)
        for image, label in zip(part.images, part.labels.tolist(), strict=True)
    }
    assert len(found) == 9804  # hence no image is in both parts or twice in one
    assert found == published
    counts = np.bincount(list(published.values()))
    np.testing.assert_allclose(np.bincount(train.labels), counts * 7000 / 9804, rtol=0, atol=1)
    # The split is part of the benchmark: a change of these hashes makes all results incomparable.
    assert train.sha256 == "308bc07a16d627767b6b78016f7dbff96674c9c6b2002c97ba5c0ff39c1cb6b2"
    assert test.sha256 == "599e0bb6efd1f0a433867b46664f74763190f50e8d5b933a609039e3b4f0dae8"
    assert train.class_names == tuple("ABCDEFGHIJ")


def test_notmnist_small_is_all_distinct_letters_with_a_thousand_of_each_for_testing(tmp_path, offline_folder, capfd):
    train, test = prepared("notmnist-small", tmp_path, offline_folder)
    assert as_declared(train, test)
    assert len(train.labels) == 8230 and np.bincount(test.labels).tolist() == [1000] * 10
    assert len({image.tobytes() for part in (train, test) for image in part.images}) == 18230
    assert train.sha256 == "f4a9c289cd8019b8c2b1a99f5bbb312593095404958809459fd9abc9a076d6fb"
    assert test.sha256 == "dd2e235b31db43b6f76106b8dd10460906cd4233f54ae8c1afd4c1d4557b811a"
    said = capfd.readouterr().err
    assert all("/".join(key) in said for key in notmnist.EMPTY)


def test_notmnist_smalls_labels_are_the_published_ones():
    labels = np.repeat(np.arange(10, dtype=np.uint8), list(notmnist.SMALL.counts.values()))
    assert hashlib.sha256(labels).hexdigest() == "8f1264be132dd2d89765388d184fff7474715660255c4c22e46f6885f97f59fa"


def test_cifar10_has_the_published_counts_and_channel_means(tmp_path, offline_folder):
    parts = datasets.DATASETS["cifar10"].read(tmp_path, offline_folder)
    images, labels = parts.train
    assert images.shape == (50000, *datasets.DATASETS["cifar10"].image_shape)
    assert np.bincount(labels).tolist() == [5000] * 10 and np.bincount(parts.test[1]).tolist() == [1000] * 10
    means = [images[:, channel].mean() / 255 for channel in range(3)]
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert [parts.class_names[label] for label in labels[:3]] == ["frog", "truck", "truck"]
    record = (offline_folder / "cifar10/data_batch_3.bin").read_bytes()[17 * 3073 : 18 * 3073]
    assert labels[20017] == record[0]
    assert images[20017, 2, 31, 30] == record[1 + 2 * 1024 + 31 * 32 + 30]
    assert "unverified" in parts.source


def test_cifar100_keeps_the_fine_labels_and_all_names(tmp_path, offline_folder):
    train, test = prepared("cifar100", tmp_path, offline_folder)
    assert as_declared(train, test)
    assert len(train.class_names) == 100
    assert [train.class_names[number] for number in (0, 10, 20, 90)] == ["apple", "bowl", "chair", "train"]
    counts = np.bincount(train.labels, minlength=100)
    assert set(counts[::5]) == {500}
    np.testing.assert_array_equal(np.bincount(test.labels, minlength=100) * 5, counts)
    content = np.frombuffer((offline_folder / "cifar100/train.bin").read_bytes(), np.uint8).reshape(-1, 3074)
    coarse = (offline_folder / "cifar100/coarse_label_names.txt").read_text().split()
    assert {coarse[number] for number in content[train.labels == 0, 0]} == {"fruit_and_vegetables"}
    np.testing.assert_array_equal(train.images[7].reshape(-1), content[7, 2:])
    ten = [np.isin(part.labels, range(0, 100, 10)) for part in (train, test)]  # the task's classes
    shown, asked = ({image.tobytes() for image in part.images[of]} for part, of in zip((train, test), ten, strict=True))
    assert (len(shown), len(asked)) == (5000, 1000) and not shown & asked


# Built-in data sets


def test_digits_are_scikit_learns_enlarged_and_split_once(builtin_data):
    from sklearn.datasets import load_digits

    train, test = builtin("digits", builtin_data)
    assert as_declared(train, test)
    assert train.images.shape == (1397, 1, 16, 16) and test.images.shape == (400, 1, 16, 16)
    # Bilinear enlargement by two: each new pixel is 3/4 its own old pixel, 1/4 the neighbour's, per axis.
    weights = np.zeros((16, 8))
    for row in range(16):
        weights[row, row // 2] += 0.75
        weights[row, np.clip(row // 2 + (1 if row % 2 else -1), 0, 7)] += 0.25
    pixels, labels = load_digits(return_X_y=True)
    expected = weights @ np.rint(pixels.reshape(-1, 8, 8) * 255 / 16) @ weights.T
    images = np.concatenate([train.images, test.images])[:, 0]
    found = np.concatenate([train.labels, test.labels])
    distances = ((images.reshape(1797, 1, -1)[::40] - expected.reshape(1, 1797, -1)) ** 2).max(axis=2)
    partner = distances.argmin(axis=1)
    assert distances.min(axis=1).max() <= 1  # rounding
    np.testing.assert_array_equal(labels[partner], found[::40])
    np.testing.assert_array_equal(np.bincount(found), np.bincount(labels))
    assert len({image.tobytes() for image in images}) == 1797


def test_letters_are_balanced_legible_and_not_trivial(builtin_data):
    import matplotlib
    from scipy.optimize import linear_sum_assignment
    from sklearn.neighbors import KNeighborsClassifier

    train, test = builtin("letters", builtin_data)
    assert as_declared(train, test)
    assert np.bincount(train.labels).tolist() == [200] * 10 and np.bincount(test.labels).tolist() == [100] * 10
    assert train.images.shape[1:] == (1, 16, 16)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}
    # Of all ways to pair the classes' mean images with plain letters, the pairing by name fits best.
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 14)
    plain = []
    for name in train.class_names:
        image = Image.new("L", (16, 16))
        ImageDraw.Draw(image).text((8, 8), name, font=font, fill=255, anchor="mm")
        plain.append(np.asarray(image, dtype=float).reshape(-1))
    means = [train.images[train.labels == number].mean(axis=0).reshape(-1) for number in range(10)]
    likeness = np.corrcoef(means - np.mean(means, axis=0), plain - np.mean(plain, axis=0))[:10, 10:]
    assert linear_sum_assignment(likeness, maximize=True)[1].tolist() == list(range(10))
    neighbours = KNeighborsClassifier(3).fit(train.images.reshape(2000, -1), train.labels)
    assert 0.6 < neighbours.score(test.images.reshape(1000, -1), test.labels) < 0.95


def test_built_in_files_are_the_same_bytes_every_time(tmp_path, builtin_data):
    for name in ("digits", "letters"):
        for path in datasets.prepare(name, tmp_path, None):
            assert path.read_bytes() == (builtin_data / path.name).read_bytes()


def test_what_is_prepared_keeps_its_time_and_what_is_damaged_is_made_again(tmp_path):
    """A newer file would have all that was trained on it looked at again."""
    train, test = datasets.prepare("digits", tmp_path, None)
    whole = test.read_bytes()
    for path in (train, test):
        os.utime(path, (1e9, 1e9))
    for damage in (whole[:-1], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        test.write_bytes(damage)
        datasets.prepare("digits", tmp_path, None)
        assert test.read_bytes() == whole and train.stat().st_mtime == 1e9 < test.stat().st_mtime
    datasets.write_arrays(train, {"images": np.zeros(3)}, {"dataset": "digits"})
    datasets.prepare("digits", tmp_path, None)
    assert datasets.load(train, "digits", "train").sha256


# Duplicates and splits


def test_duplicates_keep_the_first_and_conflicting_groups_go():
    images = np.array([7, 8, 7, 9, 9, 6], dtype=np.uint8).reshape(6, 1, 1, 1)
    kept, labels = datasets.without_duplicates(images, np.array([1, 2, 1, 3, 4, 5]))
    assert kept.ravel().tolist() == [7, 8, 6]
    assert labels.tolist() == [1, 2, 5]


def test_ranked_split_gives_each_class_its_own_count():
    images, labels = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1), np.array([1, 0, 0, 1, 0, 0, 1])
    (train, train_labels), (test, test_labels) = datasets.ranked_split(images, labels, np.array([1, 3]))
    assert train_labels.tolist().count(0) == 1 and train_labels.tolist().count(1) == 3
    (first,) = train.ravel()[train_labels == 0]
    assert first == min([1, 2, 4, 5], key=lambda pixel: hashlib.sha256(bytes([pixel])).hexdigest())
    assert sorted([*train.ravel(), *test.ravel()]) == list(range(7)) and test_labels.tolist() == [0] * 3


def test_split_ranks_each_class_by_content_hash():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    labels = np.array([0, 1, 0, 0, 1, 0, 0, 1, 0, 0])
    (train, train_labels), (test, test_labels) = datasets.stratified_split(images, labels, train_count=6)
    # 7 and 3 images: shares 4.2 and 1.8, so 4 and 2.
    rank = sorted(range(10), key=lambda pixel: hashlib.sha256(bytes([pixel])).hexdigest())
    zeros, ones = [pixel for pixel in rank if labels[pixel] == 0], [pixel for pixel in rank if labels[pixel] == 1]
    assert train.ravel().tolist() == sorted(zeros[:4] + ones[:2])
    assert test.ravel().tolist() == sorted(zeros[4:] + ones[2:])
    np.testing.assert_array_equal(train_labels, labels[train.ravel()])
    np.testing.assert_array_equal(test_labels, labels[test.ravel()])


# Damaged original files

IMAGES = np.arange(3 * 4 * 5).reshape(3, 4, 5)
LABELS = [0, 2, 9]


def write_pair(folder, images=None, labels=None):
    paths = folder / "images.gz", folder / "labels.gz"
    paths[0].write_bytes(idx_gz(IMAGES) if images is None else images)
    paths[1].write_bytes(idx_gz(LABELS) if labels is None else labels)
    return paths


def test_idx_pair_round_trip(tmp_path):
    images, labels = formats.read_idx_pair(*write_pair(tmp_path), class_count=10)
    np.testing.assert_array_equal(images[:, 0], IMAGES)
    assert labels.tolist() == LABELS and labels.dtype == np.int64


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"images": idx_gz(IMAGES)[:-12]}, ["images.gz", "truncated"]),
        ({"images": gzip.decompress(idx_gz(IMAGES))}, ["images.gz", "not gzip"]),
        ({"images": b""}, ["images.gz", "magic 00000803"]),
        ({"images": idx_gz(LABELS)}, ["images.gz", "expected magic 00000803, found 00000801"]),
        ({"images": gzip.compress(bytes([0, 0, 8, 3, 0, 0]))}, ["images.gz", "16-byte header"]),
        ({"images": gzip.compress(gzip.decompress(idx_gz(IMAGES))[:-1])}, ["images.gz", "(3, 4, 5)", "60", "59"]),
        ({"images": gzip.compress(gzip.decompress(idx_gz(IMAGES)) + b"!")}, ["images.gz", "60", "61"]),
        ({"labels": idx_gz([0, 1])}, ["images.gz holds 3 images", "labels.gz 2 labels"]),
        ({"labels": idx_gz([0, 1, 10])}, ["labels.gz", "label 10", "0 to 9"]),
    ],
)
def test_damaged_idx_is_refused_by_name(tmp_path, damage, says):
    with pytest.raises(LautumError) as error:
        formats.read_idx_pair(*write_pair(tmp_path, **damage), class_count=10)
    message = one_line(error)
    assert all(text in message for text in says), message


def test_cifar_records_are_planar_with_the_last_label_byte():
    record = bytes([4, 51]) + bytes(1024 * [1] + 1024 * [2] + 1024 * [3])
    images, labels = formats.read_cifar(record + record, "train.bin", label_bytes=2, class_count=100)
    assert labels.tolist() == [51, 51]
    assert images[1].reshape(3, -1).tolist() == [[1] * 1024, [2] * 1024, [3] * 1024]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bytes(3073 + 3072), "6145 bytes, not a positive multiple of the record length 3073"),
        (b"", "0 bytes"),
        (bytes([10]) + bytes(3072), "label 10, expected 0 to 9"),
    ],
)
def test_damaged_cifar_is_refused_by_name(content, says):
    with pytest.raises(LautumError) as error:
        formats.read_cifar(content, "test_batch.bin", label_bytes=1, class_count=10)
    assert "test_batch.bin" in one_line(error) and says in one_line(error)


# Archives of PNG files


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


GREY = [np.full((28, 28), value) for value in (30, 20, 10)]
SMALL = {"A/x.png": png(GREY[0]), "A/y.png": png(GREY[1]), "B/0.png": png(GREY[2])}
SMALL |= {"/".join(key): b"" for key in notmnist.EMPTY if key[0] == "A"}
PUBLISHED = notmnist.Published({"A": 2, "B": 1}, hashlib.sha256(np.stack(GREY).astype(np.uint8)).hexdigest())


def tar_gz(files: dict[str, bytes], folder="notMNIST_small") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("notMNIST_small")
        for name, content in files.items():
            archive.writestr(f"notMNIST_small/{name}", content)
    return buffer.getvalue()


@pytest.fixture(params=["notMNIST_small.zip", "notMNIST_small.tar.gz"])
def archive_of(request, tmp_path):
    """Writes an archive of the given files and returns its path."""

    def write(files):
        path = tmp_path / request.param
        path.write_bytes(zipped(files) if path.suffix == ".zip" else tar_gz(files))
        return path

    return write


def test_archives_are_read_by_letter_and_name_without_what_is_no_image(archive_of, tmp_path, capfd):
    others = {"A/._x.png": b"resource fork", "read me.txt": bytes(10**6)}
    path = archive_of(dict(reversed(SMALL.items())) | others)
    images, labels = notmnist.read(path, PUBLISHED)
    np.testing.assert_array_equal(images[:, 0], GREY)
    assert images.dtype == np.uint8 and labels.tolist() == [0, 0, 1] and labels.dtype == np.int64
    assert f"{path}: left out A/RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png, known" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"A/y.png": None}, "holds 1 images of the letter A, expected 2"),
        ({"B/0.png": None}, "holds 0 images of the letter B, expected 1"),
        ({"B/1.png": SMALL["B/0.png"]}, "holds 2 images of the letter B, expected 1"),
        ({"C/0.png": SMALL["B/0.png"]}, "C/0.png in {path} belongs to none of the letters AB"),
        ({"./A/x.png": SMALL["B/0.png"]}, "A/x.png in {path} is there twice"),
        ({"A/y.png": b""}, "A/y.png in {path} is not a readable PNG"),
        ({"A/y.png": SMALL["A/y.png"][:50]}, "A/y.png in {path} is not a readable PNG"),
        ({"A/y.png": png(np.zeros((28, 27)))}, "A/y.png in {path} is 27 x 28 of mode L, expected grey 28 x 28"),
        ({"A/y.png": png(np.zeros((28, 28, 3)))}, "A/y.png in {path} is 28 x 28 of mode RGB, expected grey"),
        ({"A/y.png": bytes(2**20)}, "A/y.png in {path} declares 1048576 bytes, expected at most 65536"),
        ({"A/y.png": SMALL["B/0.png"]}, "{path} does not hold the published images"),
        ({"A/x.png": SMALL["A/y.png"], "A/y.png": SMALL["A/x.png"]}, "{path} does not hold the published images"),
    ],
)
def test_damage_within_an_archive_is_refused_by_name(archive_of, changes, says):
    path = archive_of({name: content for name, content in (SMALL | changes).items() if content is not None})
    with pytest.raises(LautumError) as error:
        notmnist.read(path, PUBLISHED)
    message = one_line(error)
    assert says.format(path=path) in message and str(path) in message and "fetch " in message


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    path = tmp_path / "notMNIST_small.tar.gz"
    (tmp_path / "y.png").write_bytes(SMALL["A/y.png"])
    with tarfile.open(path, "w:gz") as archive:
        (tmp_path / "link.png").symlink_to(tmp_path / "y.png")
        archive.add(tmp_path / "y.png", "notMNIST_small/A/x.png")
        archive.add(tmp_path / "link.png", "notMNIST_small/A/y.png")
    with pytest.raises(LautumError, match="holds 1 images of the letter A"):
        notmnist.read(path, PUBLISHED)


def test_a_damaged_archive_is_refused_by_name(archive_of):
    path = archive_of(SMALL)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"neither", b""):
        path.write_bytes(content)
        with pytest.raises(LautumError) as error:
            notmnist.read(path, PUBLISHED)
        assert f"{path} cannot be read" in one_line(error)


def test_an_archive_that_was_packed_anew_and_damaged_is_refused_by_name(tmp_path):
    """Its packing has no published checksum, and the readers of each kind have errors of their own."""
    paths, buffer = [tmp_path / f"notMNIST_small.{suffix}" for suffix in ("zip", "tar.gz")], io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("A/x.png", bytes(range(256)) * 9)
    packed = bytearray(buffer.getvalue())
    packed[60] ^= 255
    sparse = tarfile.TarInfo("A/x.png")
    sparse.pax_headers = {"GNU.sparse.size": "x", "GNU.sparse.map": "0,1"}
    with tarfile.open(paths[1], "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(sparse)
    paths[0].write_bytes(packed)
    for path in paths:
        with pytest.raises(LautumError) as error:
            notmnist.read(path, PUBLISHED)
        assert f"{path} cannot be read" in one_line(error)


def test_an_archive_member_larger_than_it_declares_is_not_unpacked(tmp_path):
    path = tmp_path / "notMNIST_small.zip"
    content = zipped({"A/x.png": bytes(2**24)})
    path.write_bytes(content.replace(struct.pack("<I", 2**24), struct.pack("<I", 100)))
    tracemalloc.start()
    with pytest.raises(LautumError, match="cannot be read .*CRC.*A/x.png"):
        notmnist.read(path, PUBLISHED)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


# Places: offline folder, downloads, mirrors


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder and the address under which its files are served."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "server"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: QuietHandler(*a, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def toy_notmnist(count=20):
    images, labels = np.arange(count * 784).reshape(count, 28, 28), np.arange(count) % 10
    return {
        f"{part}-{kind}-ubyte.gz": content
        for part in ("train", "t10k")
        for kind, content in (("images-idx3", idx_gz(images)), ("labels-idx1", idx_gz(labels)))
    }


@pytest.fixture
def toy(server, monkeypatch):
    """A toy notMNIST on the last of three mirrors: the first is not there, the second does not have the files."""
    folder, address = server
    files = toy_notmnist()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    mirrors = (CLOSED, f"{address}elsewhere/", address)
    remote = download.Remote("notmnist", mirrors, {name: md5(content) for name, content in files.items()}, "a note")
    monkeypatch.setattr(download, "NOTMNIST", remote)
    return folder, remote


def test_mirrors_are_tried_in_order_and_downloads_kept(tmp_path, toy, monkeypatch):
    _, remote = toy
    train, test = prepared("notmnist", tmp_path / "data")
    assert len(train.labels) == len(test.labels) == 20
    assert (tmp_path / "data/notmnist-train.safetensors").is_file()
    monkeypatch.setattr(download, "NOTMNIST", dataclasses.replace(remote, mirrors=(CLOSED,)))
    again, _ = prepared("notmnist", tmp_path / "data")
    assert again.sha256 == train.sha256


def test_files_missing_offline_are_downloaded_one_by_one(tmp_path, toy, monkeypatch):
    served, _ = toy
    offline = tmp_path / "offline/notmnist"
    offline.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (served / name).rename(offline / name)
    prepared("notmnist", tmp_path / "data", tmp_path / "offline")
    downloaded = sorted(path.name for path in (tmp_path / "data/downloads/notmnist").iterdir())
    assert downloaded == ["t10k-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]


def test_a_damaged_download_is_deleted_said_and_fetched_again(tmp_path, toy, capfd):
    path = tmp_path / "data/downloads/notmnist/train-images-idx3-ubyte.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of it")
    prepared("notmnist", tmp_path / "data")
    assert f"{path} is damaged" in capfd.readouterr().err
    assert md5(path.read_bytes()) == download.NOTMNIST.checksums[path.name]


def test_no_mirror_delivers(tmp_path, toy, monkeypatch):
    served, remote = toy
    name = "train-images-idx3-ubyte.gz"
    (served / name).write_bytes(toy_notmnist()[name][:-3])
    damaged = tmp_path / "data/downloads/notmnist" / name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half of it")
    with pytest.raises(LautumError) as error:
        datasets.prepare("notmnist", tmp_path / "data", None)
    message = one_line(error)
    assert f"{remote.mirrors[0]}{name} failed with <urlopen error" in message
    assert f"{remote.mirrors[1]}{name} failed with HTTP Error 404" in message
    assert f"{remote.mirrors[2]}{name} gave" in message and remote.checksums[name] in message
    assert f"FOLDER/notmnist/{name} and set LAUTUM_OFFLINE=FOLDER" in message and "a note" in message
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    (tmp_path / "mine").mkdir()
    with pytest.raises(LautumError) as error:
        datasets.prepare("notmnist", tmp_path / "data", tmp_path / "mine")
    assert f"place the file by hand at {tmp_path}/mine/notmnist/{name}" in one_line(error)
    (tmp_path / "mine/notmnist").mkdir()
    for other in (name.removesuffix(".gz"), name.replace("-idx", ".idx"), "README"):
        (tmp_path / "mine/notmnist" / other).write_bytes(b"")
    with pytest.raises(LautumError) as error:
        datasets.prepare("notmnist", tmp_path / "data", tmp_path / "mine")
    assert one_line(error).count("has another name or was unpacked: it must be as published") == 2


def test_a_connection_cut_halfway_is_not_taken_for_a_file(tmp_path, toy, monkeypatch):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(b"only this")

    monkeypatch.setattr(QuietHandler, "do_GET", cut)
    with pytest.raises(LautumError, match="gave 9 bytes"):
        datasets.prepare("notmnist", tmp_path / "data", None)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def answer(pieces=(), status=200, **headers):
    """A `do_GET` that sends the same for every file: a status, headers, then pieces while anybody listens."""

    def do_get(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with suppress(ConnectionError):
            for piece in pieces:
                handler.wfile.write(piece)

    return do_get


def test_a_stalled_server_is_given_up_and_the_processs_timeout_left_alone(tmp_path, toy, monkeypatch):
    seen, stop = [], threading.Event()

    def stall(handler):
        seen.append(socket.getdefaulttimeout())
        answer([b"only this"], Content_Length=1000)(handler)
        stop.wait(10)

    monkeypatch.setattr(QuietHandler, "do_GET", stall)
    monkeypatch.setattr(download, "STALLED_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(LautumError) as error:
        datasets.prepare("notmnist", tmp_path / "data", None)
    assert time.monotonic() - began < 5
    stop.set()
    name = "train-images-idx3-ubyte.gz"
    assert all(f"{mirror}{name} failed with" in one_line(error) for mirror in download.NOTMNIST.mirrors)
    assert one_line(error).count("failed with timed out") == 2
    assert seen == [None, None] and socket.getdefaulttimeout() is None


def test_an_answer_without_end_is_cut_off(tmp_path, toy, monkeypatch):
    monkeypatch.setattr(QuietHandler, "do_GET", answer(itertools.repeat(bytes(2**16))))
    monkeypatch.setattr(download, "LARGEST_BYTES", 10**6)
    with pytest.raises(LautumError, match="elsewhere/train-images.* gave more than 1000000 bytes.*; place the file by"):
        datasets.prepare("notmnist", tmp_path / "data", None)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("do_get", "says"),
    [
        (answer(status=503), "failed with HTTP Error 503"),
        (answer(status=302, Location=f"http://{'a' * 64}.invalid/"), "failed with "),  # no host may have such a name
        (answer(status=302, Location="http://127.0.0.1:port/"), "failed with nonnumeric port"),
        (answer(status=302, Location="file:///etc/hostname"), "failed with HTTP Error 302: Found - Redirection to url"),
        (answer([b"zz\r\n"], Transfer_Encoding="chunked"), "failed with IncompleteRead"),
        (answer([b"HTTP"] * 20, Content_Length="many"), "gave 80 bytes"),
    ],
)
def test_whatever_a_server_answers_is_named_with_its_address(tmp_path, toy, monkeypatch, do_get, says):
    monkeypatch.setattr(QuietHandler, "do_GET", do_get)
    monkeypatch.setattr(QuietHandler, "protocol_version", "HTTP/1.1")
    with pytest.raises(LautumError) as error:
        datasets.prepare("notmnist", tmp_path / "data", None)
    assert f"{download.NOTMNIST.mirrors[-1]}train-images-idx3-ubyte.gz {says}" in one_line(error)


def test_a_file_that_the_server_calls_compressed_is_kept_as_it_is(tmp_path, toy, monkeypatch):
    files = toy_notmnist()

    def labelled(handler):
        answer([files[Path(handler.path).name]], Content_Encoding="gzip")(handler)

    monkeypatch.setattr(QuietHandler, "do_GET", labelled)
    assert len(prepared("notmnist", tmp_path / "data")[0].labels) == 20


def test_a_full_disk_is_not_blamed_on_the_mirror(tmp_path, toy, monkeypatch):
    def full(url):
        yield b"some"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_fetched", full)
    with pytest.raises(LautumError, match="cannot write .*train-images.*; free some space"):
        datasets.prepare("notmnist", tmp_path / "data", None)


def test_mnists_mirrors_and_checksums_are_torchvisions():
    from torchvision.datasets import MNIST

    assert download.MNIST.mirrors == tuple(MNIST.mirrors)
    assert download.MNIST.checksums == {name: f"md5:{checksum}" for name, checksum in MNIST.resources}


def test_mnists_mirrors_are_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirrors = f"{CLOSED}a/", f"{CLOSED}b/"
    monkeypatch.setattr(download, "MNIST", dataclasses.replace(download.MNIST, mirrors=mirrors))
    with pytest.raises(LautumError) as error:
        datasets.prepare("mnist", tmp_path, None)
    assert f"{CLOSED}a/train-images" in one_line(error) and f"{CLOSED}b/train-images" in one_line(error)


def test_an_altered_file_in_the_offline_folder_is_refused(tmp_path, toy):
    path = tmp_path / "offline/notmnist/t10k-images-idx3-ubyte.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(idx_gz(IMAGES))
    with pytest.raises(LautumError) as error:
        datasets.prepare("notmnist10k", tmp_path / "data", tmp_path / "offline")
    assert str(path) in one_line(error) and "expected md5:" in one_line(error)
    assert path.is_file()


def test_git_blob_ids_are_accepted_as_checksums(tmp_path):
    # `printf 'hello\n' | git hash-object --stdin`
    remote = download.Remote("x", (CLOSED,), {"hello": "git:ce013625030ba8dba906f756967f9e9ca394464a"})
    (tmp_path / "x").mkdir()
    (tmp_path / "x/hello").write_bytes(b"hello\n")
    assert download.locate(remote, ["hello"], tmp_path / "downloads", tmp_path) == [tmp_path / "x/hello"]
    (tmp_path / "x/hello").write_bytes(b"hello")
    with pytest.raises(LautumError, match="not the published file"):
        download.locate(remote, ["hello"], tmp_path / "downloads", tmp_path)


def test_the_archive_of_notmnist_small_is_taken_from_the_first_place_that_has_it(tmp_path, server, monkeypatch):
    folder, address = server
    name = "notMNIST_small.zip"
    (folder / name).write_bytes(content := zipped(SMALL))
    remote = dataclasses.replace(download.NOTMNIST_SMALL, mirrors=(CLOSED, address), checksums={name: md5(content)})
    monkeypatch.setattr(download, "NOTMNIST_SMALL", remote)
    offline, downloads = tmp_path / "offline", tmp_path / "downloads"
    assert notmnist.find(downloads, offline) == notmnist.find(downloads, None) == downloads / "notmnist" / name
    assert notmnist.read(downloads / "notmnist" / name, PUBLISHED)[1].tolist() == [0, 0, 1]
    (offline / "notmnist").mkdir(parents=True)
    for placed in ("notMNIST_small.tar.gz", name):  # the latter comes before the former
        (offline / "notmnist" / placed).write_bytes(b"packed anew")
        assert notmnist.find(downloads, offline) == offline / "notmnist" / placed


def test_where_to_place_the_archive_of_notmnist_small_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    remote = dataclasses.replace(download.NOTMNIST_SMALL, mirrors=(CLOSED,))
    monkeypatch.setattr(download, "NOTMNIST_SMALL", remote)
    with pytest.raises(LautumError, match=f"{CLOSED}notMNIST_small.zip failed.* FOLDER/notmnist/.*_small.tar.gz"):
        datasets.prepare("notmnist-small", tmp_path, None)


def test_cifar_archives_are_read_without_unpacking(tmp_path, server, monkeypatch):
    folder, address = server
    ten = {f"data_batch_{n}.bin": bytes([n]) + bytes(3072 * [n]) for n in (5, 4, 3, 2, 1)}
    ten |= {"test_batch.bin": bytes([9]) + bytes(3072)}
    names = datasets.CIFAR100_CLASSES
    hundred = {"fine_label_names.txt": "\n".join(names).encode() + b"\n"}
    hundred |= {"test.bin": bytes(3074), "train.bin": bytes([1, 99]) + bytes(3072 * [7])}
    for attribute, name, files in (
        ("CIFAR10", "cifar-10-binary.tar.gz", ten),
        ("CIFAR100", "cifar-100-binary.tar.gz", hundred),
    ):
        (folder / name).write_bytes(content := tar_gz(files, "cifar-binary"))
        remote = dataclasses.replace(getattr(download, attribute), mirrors=(address,), checksums={name: md5(content)})
        monkeypatch.setattr(download, attribute, remote)
    incomplete = tmp_path / "offline/cifar10"
    incomplete.mkdir(parents=True)
    (incomplete / "data_batch_1.bin").write_bytes(bytes(3073))
    train, test = prepared("cifar10", tmp_path / "data", tmp_path / "offline")
    assert train.labels.tolist() == [1, 2, 3, 4, 5] and train.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert test.labels.tolist() == [9] and train.source == "published files, checksums verified"
    train, test = prepared("cifar100", tmp_path / "data")
    assert train.labels.tolist() == [99] and train.images.min() == 7 and train.class_names == tuple(names)


def test_what_an_archive_lacks_is_said_once(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(tar_gz({"test_batch.bin": b""}, "cifar-10-batches-bin"))
    with pytest.raises(LautumError) as error:
        formats.read_tar(path, ["test_batch.bin", "data_batch_1.bin"])
    assert str(error.value) == f"{path} holds no file data_batch_1.bin; fetch it again"


def test_cifar100_needs_no_more_than_its_two_files_of_images(tmp_path):
    folder = tmp_path / "offline/cifar100"
    folder.mkdir(parents=True)
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(b"".join(bytes([3, number]) + bytes(3072) for number in range(100)))
    train, test = prepared("cifar100", tmp_path / "data", tmp_path / "offline")
    assert train.class_names[train.labels[-1]] == test.class_names[test.labels[-1]] == "worm"


# Mistakes


def test_unknown_name():
    with pytest.raises(LautumError, match="'notmist'.*did you mean 'notmnist'.*letters"):
        datasets.prepare("notmist", Path("unused"), None)


def test_offline_folder_that_does_not_exist(tmp_path):
    with pytest.raises(LautumError, match="nowhere does not exist; .*LAUTUM_OFFLINE"):
        datasets.prepare("mnist", tmp_path, tmp_path / "nowhere")


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(LautumError, match="data is where a folder belongs; move it away"):
        datasets.prepare("letters", tmp_path / "data", None)


# Prepared files


def write_prepared(path, images=None, labels=None, sha256=None, **metadata):
    images = np.zeros((2, 1, 3, 3), np.uint8) if images is None else images
    labels = np.array([0, 1]) if labels is None else labels
    metadata = {"class_names": ["a", "b"], "dataset": "toy", "part": "train", "source": "test"} | metadata
    metadata["sha256"] = sha256 or sha256_of_arrays(images, labels)
    write_arrays(path, {"images": images, "labels": labels}, metadata)


def test_load_returns_what_was_written(tmp_path):
    images = np.arange(18, dtype=np.uint8).reshape(2, 1, 3, 3)
    write_prepared(tmp_path / "toy.safetensors", images)
    loaded = datasets.load(tmp_path / "toy.safetensors", "toy", "train")
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels.tolist() == [0, 1] and loaded.class_names == ("a", "b")
    # SHA-256 written out by hand: name and shape, then the bytes, of both arrays.
    content = b"uint8(2, 1, 3, 3)" + bytes(range(18)) + b"int64(2,)" + struct.pack("<2q", 0, 1)
    assert loaded.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": np.zeros((2, 3, 3), np.uint8)}, "expected uint8 (N, C, H, W)"),
        ({"images": np.zeros((2, 1, 3, 3), np.float32)}, "images float32"),
        ({"labels": np.array([0, 1, 1])}, "labels int64 (3,)"),
        ({"labels": np.array([0, 1], np.int32)}, "labels int32"),
        ({"labels": np.array([0, 2])}, "labels 0 to 2, expected 0 to 1"),
        ({"labels": np.array([-1, 1])}, "labels -1 to 1"),
        ({"sha256": "0" * 64}, "is damaged"),
    ],
)
def test_load_refuses_a_file_that_is_not_right(tmp_path, changes, says):
    path = tmp_path / "toy.safetensors"
    write_prepared(path, **changes)
    with pytest.raises(LautumError) as error:
        datasets.load(path, "toy", "train", "run `lautum prepare toy`")
    message = one_line(error)
    assert str(path) in message and says in message and message.endswith("; run `lautum prepare toy`")


def test_load_refuses_damage_truncation_and_foreign_files(tmp_path, builtin_data):
    whole = (builtin_data / "digits-test.safetensors").read_bytes()
    path = tmp_path / "digits-test.safetensors"
    with pytest.raises(LautumError, match="does not exist; run `lautum prepare NAME`"):
        datasets.load(path, "digits", "test")
    path.write_bytes(whole[:-1])
    with pytest.raises(LautumError, match="digits-test.safetensors cannot be read"):
        datasets.load(path, "digits", "test")
    path.write_bytes(whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:])
    with pytest.raises(LautumError, match="digits-test.safetensors is damaged"):
        datasets.load(path, "digits", "test")
    save_file(load_file(builtin_data / "digits-test.safetensors"), path)
    with pytest.raises(LautumError, match="was not written by this program"):
        datasets.load(path, "digits", "test")


def test_load_refuses_whole_files_of_something_else(tmp_path, builtin_data):
    path = tmp_path / "digits-test.safetensors"
    for other, said in (
        ("digits-train", "belongs elsewhere: part is 'train', expected 'test'"),
        ("letters-test", "belongs elsewhere: dataset is 'letters', expected 'digits'"),
    ):
        shutil.copy(builtin_data / f"{other}.safetensors", path)
        with pytest.raises(Damaged, match=said):
            datasets.load(path, "digits", "test")


def test_nothing_in_a_prepared_file_can_change_unnoticed(tmp_path):
    path = tmp_path / "toy.safetensors"
    write_prepared(path, class_names=["apple", "bowl"], source="a mirror")
    content = path.read_bytes()
    for old, new in ((b"bowl", b"bawl"), (b"mirror", b"minor!")):
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))
        with pytest.raises(Damaged, match="is damaged"):
            datasets.load(path, "toy", "train")


def test_importing_and_loading_need_no_heavy_library(builtin_data):
    code = (
        "import sys; from lautum.data import datasets; datasets.load(sys.argv[1], 'digits', 'test');"
        "print({'torch', 'torchvision', 'sklearn', 'PIL', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(builtin_data / "digits-test.safetensors")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "set()\n"
