"""Image files in and out: upright 8-bit RGB whatever the file holds, label maps as they are, errors that name the file.

Colour profiles are not applied, as in the papers' own loaders. Only the first frame of a file is read.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib.util
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from inpaintzoo.files.writing import write_whole
from inpaintzoo.pictures.colours import Levels, pixels_of
from inpaintzoo.pictures.tiffs import correct, describe, layout_of, prepare, true_type
from inpaintzoo.types import ConfigError, DataError
from inpaintzoo.words import counted

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
READ_FORMATS = {
    **dict.fromkeys(JPEG_SUFFIXES, "JPEG"),
    **{".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"},
    **{".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF"},
}
"""Pillow's names of the formats that are read, by suffix."""
# Formats that not every Pillow reads: what reads them, and how to get it.
_PLUGINS = {
    "AVIF": ("PIL._avif", 'pip install "pillow>=11.3"'),
    "HEIF": ("pillow_heif", 'pip install "inpaintzoo[heif]"'),
}


def _missing(form: str) -> bool:
    """Whether a format's plug-in is not installed."""
    return form in _PLUGINS and importlib.util.find_spec(_PLUGINS[form][0]) is None


IMAGE_SUFFIXES = tuple(suffix for suffix, form in READ_FORMATS.items() if not _missing(form))
_OTHER_SUFFIXES = (".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl")
# Pillow picks its decoder by content: without this list, PostScript named .png would be run by Ghostscript.
BUILT_IN = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
# These two begin alike, and the first takes a plug-in: the major brand of the file tells them apart.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif", b"mif1", b"msf1"), "HEIF"),
}
# What makes Pillow write a format with as little loss as it can.
ENCODINGS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0},  # lossless RGB
}
LIMIT = "INPAINTZOO_MAX_MEGAPIXELS"
"""The environment variable that replaces Pillow's limit on the size of a picture, 179 megapixels."""

# Pillow's layouts of grey levels that are scaled when they are decoded, and their highest level.
_TOPS = {"L;2": 3, "L;4": 15, "I;12": 4095}

# EXIF orientation -> what turns a Pillow image upright: five times as fast as `turn` and a copy
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def list_images(folder: str | Path, exclude: Sequence[Path] = ()) -> list[Path]:
    """The image files in a folder and its subfolders, sorted by path.

    Symbolic links are followed; files and folders whose name starts with a dot, and `__MACOSX`, are left out.

    Args:
        folder: where to search.
        exclude: subfolders to leave out, such as one with label maps.
    """
    return sorted((path for path in _files(folder, exclude) if is_image_name(path)), key=lambda path: path.as_posix())


def note_left_out(folder: str | Path, exclude: Sequence[Path] = ()) -> str:
    """A sentence about the pictures that `list_images` leaves out because of their format; empty if there are none."""
    suffixes = [path.suffix.lower() for path in _files(folder, exclude)]
    counts = collections.Counter(s for s in suffixes if s in _OTHER_SUFFIXES and s not in IMAGE_SUFFIXES)
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    total = sum(counts.values())
    verb = "is" if total == 1 else "are"
    remedy = f", or {_PLUGINS['HEIF'][1]} to read them" if {".heic", ".heif"} & counts.keys() else ""
    return (
        f"{folder}: {counted(total, 'picture')} in other formats {verb} left out ({kinds}); convert them to PNG or "
        f"JPEG{remedy}"
    )


def _files(folder: str | Path, exclude: Sequence[Path]) -> Iterator[Path]:
    left_out = {path.resolve() for path in exclude}
    seen: set[str] = set()  # real paths: a link to a parent folder must not loop forever
    for parent, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(parent) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        shown = sorted(name for name in folders if not _hidden(name))
        folders[:] = [name for name in shown if not left_out or Path(parent, name).resolve() not in left_out]
        yield from (Path(parent, name) for name in files if not _hidden(name))


def is_image_name(name: str | Path) -> bool:
    """Whether the suffix is one of `IMAGE_SUFFIXES`, in any case."""
    return os.fspath(name).lower().endswith(IMAGE_SUFFIXES)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


@contextlib.contextmanager
def open_image(path: str | Path, load: bool = True) -> Iterator[Image.Image]:
    """Open an image file; any error inside the `with`, decoding included, becomes a `DataError` that names the file.

    Args:
        path: the file.
        load: decode it now, except for JPEG, which `decode_rgb` may decode at a smaller scale. (Other formats
            may store their orientation after the pixels.) False reads the header only.

    Raises:
        DataError: the file is missing, damaged, not an image, or too large.
        ConfigError: the environment's limit on sizes is not a number.
    """
    _set_limit()
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise DataError(f"{path}: this is a pipe or device, not a regular file; save its data to a file first")
        with _opened(path) as image:
            if load and image.format != "JPEG":
                decode(image)
            yield image
    except DataError:
        raise
    except Exception as error:  # damaged bytes make Pillow's decoders raise almost anything
        raise DataError(f"{path}: {_reason(path, error)}") from error


def _opened(path: str | Path) -> Image.Image:
    try:
        return Image.open(path, formats=BUILT_IN)
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            start = file.read(12)
        form = _BRANDS.get(start[8:]) if start[4:8] == b"ftyp" else None
        if form is None:
            raise
        load_plugin(form, path)
        return Image.open(path, formats=(form,))


def load_plugin(form: str, path: str | Path) -> None:
    """Load what reads and writes a format, if Pillow needs a plug-in for it.

    Args:
        form: Pillow's name of the format.
        path: The file that the error names.

    Raises:
        DataError: The plug-in is not installed.
    """
    if _missing(form):
        raise DataError(f"{path}: {form} pictures need another package; {_PLUGINS[form][1]}")
    if form == "HEIF":
        import pillow_heif  # here: it is an extra

        pillow_heif.register_heif_opener()


def _set_limit() -> None:
    if given := os.environ.get(LIMIT):
        try:
            Image.MAX_IMAGE_PIXELS = max(1, int(float(given) * 1e6 / 2))  # Pillow refuses more than twice as many
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{LIMIT} must be a number of megapixels, got {given!r}") from error


def _reason(path: str | Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file does not exist"
    if isinstance(error, IsADirectoryError):
        return "this is a folder, not an image file"
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"{str(error).partition(', could be')[0]}; scale the picture down or, if you trust it, allow more with the "
            f"environment variable, such as {LIMIT}=500"
        )
    if isinstance(error, UnidentifiedImageError):
        with open(path, "rb") as file:
            start = file.read(16)
        if start.startswith((b"II", b"MM")) and (content := describe(path)):
            return f"TIFF files with {content} cannot be read; convert it to grey levels or RGB with 8 or 16 bits"
        known = "an image in JPEG, PNG, BMP, WebP, TIFF, AVIF or HEIF format"
        return f"not {known} (it begins with {start!r})" if start else "the file is empty"
    return f"the image cannot be decoded ({type(error).__name__}: {error})"


def decode(image: Image.Image) -> None:
    """Decode an opened picture, and correct in place what Pillow reads as something else than the file says."""
    layout, key = layout_of(image), image.info.get("transparency")
    prepare(image)
    image.load()
    if layout and image.format == "TIFF":
        correct(image)
    elif layout == "1" and isinstance(key, int):
        image.info["transparency"] = 255 * bool(key)
    elif layout and image.mode == "L" and isinstance(key, int):
        top = _TOPS.get(layout, 255)  # PNG counts levels in its own depth, and higher bits do not count
        image.info["transparency"] = (key & top) * 255 // top
    elif layout == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple(level & 255 for level in key)
    elif layout.startswith("RGB;16") and isinstance(key, tuple):
        image.info["transparency"] = tuple(level >> 8 for level in key)  # Pillow keeps the high bytes of the pixels


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of an opened picture once its EXIF orientation is applied."""
    return (image.width, image.height) if orientation_of(image) >= 5 else (image.height, image.width)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an opened picture, 1 to 8; 1 if there is none."""
    try:
        found = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF does not make the pixels unreadable
        return 1
    return found if 1 <= found <= 8 else 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """An upright view of stored pixels `(H, W, ...)` (EXIF 2.3, tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return pixels[rows, columns]


def decode_rgb(image: Image.Image, shrink: float = 1.0) -> tuple[Image.Image, int]:
    """Decode an opened picture to upright 8-bit RGB.

    Alpha is dropped and the colours beneath it are kept.
    16-bit greyscale is scaled from 0..65535, floating point from 0..1; CMYK is converted without a profile.

    Args:
        image: from `open_image`, or any Pillow image.
        shrink: how many times smaller the result may be; JPEG files then decode faster, at 1/2, 1/4 or 1/8.

    Returns:
        The picture, and the divisor used (1, 2, 4 or 8): its sides are the file's, divided and rounded up.
    """
    orientation = orientation_of(image)
    divisor = _draft(image, shrink, upright=orientation == 1)
    decode(image)  # here, where `open_image` still names the file if it is damaged
    rgb = _to_rgb(image)
    return (rgb if orientation == 1 else rgb.transpose(_UPRIGHT[orientation])), divisor


def grey_levels(image: Image.Image) -> np.ndarray:
    """Grey levels `(H, W)` in [0, 1] of an opened picture, upright, float32."""
    if image.mode in ("1", "L") and true_type(image) is None:  # RGB would take seconds for tens of megapixels
        return turn(np.asarray(image, dtype=np.float32) / (255 if image.mode == "L" else 1), orientation_of(image))
    return np.asarray(decode_rgb(image)[0].convert("L"), dtype=np.float32) / 255


def _draft(image: Image.Image, shrink: float, upright: bool) -> int:
    width, height = image.size
    for divisor in (8, 4, 2) if image.format in ("JPEG", "MPO") else ():  # HEIF would show its thumbnail
        # A side that does not divide evenly ends in a partial pixel, which turning would bring to the front.
        whole = upright or (width % divisor == 0 and height % divisor == 0)
        if divisor <= shrink and whole and min(width, height) >= divisor:
            image.draft(None, (width // divisor, height // divisor))  # type: ignore[arg-type]
            return divisor if image.size != (width, height) else 1
    return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")) or true_type(image) is not None:
        return Image.fromarray(_deep_to_8_bits(image)).convert("RGB")
    if image.mode in ("RGBa", "La"):  # colours premultiplied with alpha
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns about lost alpha if converted straight to RGB
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_to_8_bits(image: Image.Image) -> np.ndarray:
    values, colours = pixels_of(image)
    assert isinstance(colours, Levels)
    low, high = float(values.min()), float(values.max())
    if not (low >= colours.bottom and high <= colours.top):
        raise DataError(
            f"{getattr(image, 'filename', '') or 'image'}: {image.mode} pixels must lie in 0..{colours.top:g}, "
            f"got {low:g}..{high:g}; rescale them, or save the picture with 8 or 16 bits"
        )
    scale = 255.0 / (colours.top - colours.bottom)
    return np.round((values.astype(np.float64) - colours.bottom) * scale).astype(np.uint8)


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as `(H, W, 3)` uint8 RGB, upright; see `decode_rgb` for alpha, CMYK and deep pixels.

    Raises:
        DataError: the file is missing, damaged, or not an image; the message names it.
    """
    with open_image(path) as image:
        return np.array(decode_rgb(image)[0])


def read_labels(path: str | Path) -> np.ndarray:
    """Read a label map as `(H, W)` integers: grey values, or the indices of a palette file.

    Raises:
        DataError: the file cannot be read, has colours instead of indices, or is a JPEG.
    """
    with open_image(path, load=False) as image:
        layout = layout_of(image)
        decode(image)
        if image.format == "JPEG":
            raise DataError(f"{path}: JPEG does not keep class indices; store label maps as PNG")
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise DataError(
                f"{path}: a label map has one channel with a class index per pixel, this file is {image.mode}; "
                "turn its colours into indices first (greyscale or palette PNG)"
            )
        labels, _ = pixels_of(image)
        if image.mode in ("L", "I;16") and layout in _TOPS:  # levels were scaled to 8 or 16 bits
            labels = labels // ((255 if image.mode == "L" else 65535) // _TOPS[layout])
        if labels.min() < 0:
            raise DataError(f"{path}: label {labels.min()} is negative; class indices start at 0, 255 is ignored")
        return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


def image_to_tensor(image: Image.Image | np.ndarray) -> Tensor:
    """8-bit RGB, `(H, W, 3)`, to a `(3, H, W)` float32 tensor in [0, 1]."""
    pixels = torch.from_numpy(np.array(image))
    return pixels.permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)


def tensor_to_image(image: Tensor) -> Image.Image:
    """A `(3, H, W)` or `(1, H, W)` tensor in [0, 1] to an RGB or greyscale image; values are clipped and rounded."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"expected a (3, H, W) or (1, H, W) tensor, got shape {tuple(image.shape)}")
    pixels = image.detach().float().cpu().clamp(0.0, 1.0).mul(255.0).round().to(torch.uint8)
    return Image.fromarray(pixels[0].numpy() if pixels.shape[0] == 1 else pixels.permute(1, 2, 0).numpy())


def write_image(image: Tensor, path: str | Path) -> None:
    """Write a tensor in [0, 1] as an image file, atomically; the suffix decides the format (PNG is lossless).

    Args:
        image: `(3, H, W)` or `(1, H, W)`.
        path: The file; its folder is made if it is missing, and an existing file is replaced.

    Raises:
        ValueError: a suffix that is not in `IMAGE_SUFFIXES`, or a tensor of another shape.
    """
    if not is_image_name(path):
        raise ValueError(f"{path}: cannot tell the format; use one of {' '.join(IMAGE_SUFFIXES)}")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    form = READ_FORMATS[Path(path).suffix.lower()]
    load_plugin(form, path)
    save = functools.partial(tensor_to_image(image).save, format=form, **ENCODINGS.get(form, {}))
    write_whole(Path(path), save)
