"""Images that lie on the user's disk: folders of images by class, pairs of NumPy files, pairs of idx files.

Nothing is converted: an image of another size, kind or class than was declared is refused by its name. Nothing is
unpickled.
"""

from pathlib import Path
from tokenize import TokenError

import numpy as np

from lautum.data.formats import read_idx_pair
from lautum.data.notmnist import UNREADABLE
from lautum.errors import LautumError, is_refusal, nearest

FORMATS = ("PNG", "JPEG", "BMP")
MODES = {1: "L", 3: "RGB"}  # what Pillow calls grey and colour images of 8 bits, by their channels


def read_folder(
    folder: Path, shape: tuple[int, int, int], class_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, C, H, W) and labels int64 (N,) of `folder`/CLASS/IMAGE, by class and then by file name.

    `shape` is (C, H, W). Hidden files are not looked at. Raises LautumError for a folder that is no class, a class
    without a folder, and a file that is no image of this shape.
    """
    if not folder.is_dir():
        raise LautumError(f"{folder} is no folder; it must hold a folder of images for each class")
    for found in sorted(folder.iterdir()):
        if not found.name.startswith(".") and found.name not in class_names:
            raise LautumError(f"{found} is none of the classes{nearest(found.name, class_names)}")
    images, labels = [], []
    for label, name in enumerate(class_names):
        if not (folder / name).is_dir():
            raise LautumError(f"{folder} holds no folder {name}, which is one of the classes")
        files = sorted(path for path in (folder / name).iterdir() if not path.name.startswith("."))
        images += [_pixels(path, shape) for path in files]
        labels += [label] * len(files)
    return np.stack(images) if images else np.empty((0, *shape), np.uint8), np.array(labels, dtype=np.int64)


def read_pair(images: Path, labels: Path, class_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, C, H, W) and labels int64 (N,) of two .npy files, or of two gzipped idx files.

    The images of a .npy file are (N, C, H, W) or, of one channel, (N, H, W). Raises LautumError when a file is missing,
    damaged or of another type.
    """
    for path in (images, labels):
        if not path.is_file():
            raise LautumError(f"{path} does not exist")
    if ".npy" not in (kinds := {images.suffix.lower(), labels.suffix.lower()}):
        return read_idx_pair(images, labels, class_count)
    if len(kinds) > 1:
        raise LautumError(f"{images} and {labels} must both be .npy, or both gzipped idx")
    pixels, numbers = _array(images), _array(labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise LautumError(f"{images} holds {pixels.dtype} {pixels.shape}, expected uint8 (N, C, H, W) or (N, H, W)")
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise LautumError(f"{labels} holds {numbers.dtype} {numbers.shape}, expected integers (N,)")
    return pixels[:, None] if pixels.ndim == 3 else pixels, numbers.astype(np.int64)


def _array(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    # From SyntaxError on: of the header's literal, and of the size that it declares.
    except (OSError, ValueError, EOFError, SyntaxError, TokenError, TypeError, RecursionError, MemoryError) as error:
        if is_refusal(error):
            raise
        what = (
            "does not fit into memory, or its header is wrong"
            if isinstance(error, MemoryError)
            else "is no NumPy array"
        )
        raise LautumError(f"{path} {what} ({' '.join(str(error).split())})") from error
    if not isinstance(array, np.ndarray):
        raise LautumError(f"{path} is no NumPy array but an archive of several (.npz)")
    return array


def _pixels(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (C, H, W)"""
    from PIL import Image

    channels, height, width = shape
    try:
        with Image.open(path, formats=FORMATS) as image:
            mode, size = _mode(image), image.size  # from the header: an absurd size costs no memory
            if (mode, size) == (MODES[channels], (width, height)):
                pixels = np.asarray(image)
                return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        if is_refusal(error):
            raise
        raise LautumError(f"{path} is no readable image, {' or '.join(FORMATS)} ({error})") from error
    raise LautumError(
        f"{path} is {size[0]} x {size[1]} of mode {mode}, expected {width} x {height} of mode {MODES[channels]}"
    )


def _mode(image) -> str:
    """Pillow's mode, with what it would lose without a word: other depths than 8 bits, transparency, more frames."""
    stored = image.tile[0][3] if image.tile else ""
    stored = stored if isinstance(stored, str) else str(stored[0])
    mode = stored if ";" in stored else image.mode  # e.g. RGB;16B, of which the lower halves would be cut off
    mode += " with transparency" * ("transparency" in image.info)
    return mode + " in several frames" * getattr(image, "is_animated", False)
