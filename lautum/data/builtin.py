"""The data sets that need no files: scikit-learn's handwritten digits, and letters rendered from matplotlib's fonts."""

from pathlib import Path

import numpy as np

SIZE = 16  # pixels, both data sets

# The fonts with Latin capitals that matplotlib ships, by name: one added by a later release must not change the data.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-BoldOblique",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-BoldItalic",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralBolIta",
    "STIXGeneralItalic",
    "cmb10",
    "cmmi10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's handwritten digits, enlarged from 8 x 8 to 16 x 16.

    Source: test part of UCI's Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), all images distinct.

    Returns images uint8 (1797, 1, 16, 16) and labels int64 (1797,).
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    loaded = load_digits(return_X_y=True)
    pixels, labels = np.asarray(loaded[0]), np.asarray(loaded[1])
    small = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = [np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for image in small]
    return np.stack(images)[:, None], labels.astype(np.int64)


def letters(per_class: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Capitals A-J, white on black, each in a random font with random slant, size, place, contrast and noise.

    The same `stream` gives the same images wherever NumPy draws and Pillow renders alike; different streams differ.

    Returns images uint8 (10 * per_class, 1, 16, 16) and labels int64, classes taking turns.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    scale = 4  # glyphs are drawn and distorted at four times the final resolution
    canvas = SIZE * scale
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(folder / f"{name}.ttf", 16 * scale) for name in FONTS]
    # PCG64 by name: `default_rng` may change its bit generator between NumPy releases.
    rng = np.random.Generator(np.random.PCG64([20190519, stream]))
    labels = np.tile(np.arange(10), per_class)
    images = []
    for label in labels:
        glyph = Image.new("L", (canvas, canvas))
        font = fonts[int(rng.random() * len(fonts))]
        ImageDraw.Draw(glyph).text((canvas / 2, canvas / 2), "ABCDEFGHIJ"[label], font=font, fill=255, anchor="mm")
        angle, shear, stretch = rng.uniform(-0.3, 0.3), rng.uniform(-0.25, 0.25), rng.uniform(0.85, 1.15)
        size, shift = rng.uniform(0.8, 1.1), rng.uniform(-1.0, 1.0, 2) * scale
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([stretch, 1 / stretch]) / size
        offset = canvas / 2 - matrix @ (canvas / 2 + shift)
        coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
        distorted = glyph.transform((canvas, canvas), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        small = np.asarray(distorted.reduce(scale), dtype=np.float64)
        images.append(small * rng.uniform(0.6, 1.0) + rng.normal(0.0, 20.0, (SIZE, SIZE)))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)[:, None], labels.astype(np.int64)
