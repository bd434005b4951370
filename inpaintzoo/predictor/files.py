"""Picture files in and out, with every bit and with their metadata.

Pillow reads and writes the pixels, but for 16-bit colour, which it has no mode for: see `deep`.
"""

from __future__ import annotations

import dataclasses
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from inpaintzoo.data.images import IMAGE_SUFFIXES, is_image_name, open_image, orientation_of
from inpaintzoo.predictor.colours import Colours, colours_of_image
from inpaintzoo.predictor.deep import deep_reader, write_deep
from inpaintzoo.predictor.metadata import XMP_TEXT, add_metadata, stored_metadata, upright_exif, upright_xmp
from inpaintzoo.predictor.pictures import Picture, image_like, turn
from inpaintzoo.types import DataError
from inpaintzoo.weights.files import write_whole

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"),
}
_LOSSLESS_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd", "lzma")
DEEP = "16-bit colour"


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """A picture with what its file said beside it.

    Attributes:
        path: of the file.
        picture: its pixels; `finish` makes an upright Pillow image.
        mode: Pillow's mode, or `DEEP`.
        format: Pillow's name of the format.
        metadata: options of Pillow's `save` that keep what the file said.
        encoding: options that keep how a file of the same format was compressed.
    """

    path: Path
    picture: Picture
    mode: str
    format: str
    metadata: dict[str, Any]
    encoding: dict[str, Any]

    def check_target(self, target: Path) -> None:
        """Raise `DataError` unless a file of the target's suffix can hold this picture."""
        if not is_image_name(target):
            raise DataError(f"{target}: cannot tell the format; use one of {' '.join(IMAGE_SUFFIXES)}")
        wanted = _FORMATS[target.suffix.lower()]
        if self.mode == DEEP and wanted in ("PNG", "TIFF"):
            return
        if self.mode not in _MODES[wanted]:
            fitting = [name for name, modes in _MODES.items() if self.mode in modes] or ["PNG", "TIFF"]
            raise DataError(
                f"{target}: {wanted} does not hold pictures of mode {self.mode} as {self.path} is; write "
                f"{' or '.join(fitting)}"
            )

    def write(self, pixels: np.ndarray, target: Path) -> None:
        """Write pixels like the picture's, upright, complete or not at all, with the metadata."""
        self.check_target(target)
        wanted = _FORMATS[target.suffix.lower()]
        write_whole(target, lambda file: self._save(pixels, file, wanted))

    def _save(self, pixels: np.ndarray, file: str, form: str) -> None:
        if self.mode == DEEP:
            write_deep(self.picture.upright(pixels), file, form, self.metadata)
        else:
            options = {**_fitting(self.metadata, form), **(self.encoding if self.format == form else {})}
            if form == "JPEG" and not options.get("qtables"):
                options.update(quality=95, subsampling=0)
            if form == "WEBP":
                options.update(lossless=True, exact=True)
            self.picture.finish(pixels).save(file, format=form, **options)
        if form == "TIFF":
            add_metadata(file, self.metadata.get("exif", b""), self.metadata.get("xmp", b""), self.path)


def read_picture(path: str | Path) -> PictureFile:
    """Read a picture file with every bit, upright.

    Raises:
        DataError: the file is missing, damaged, no image, or of a kind that cannot be filled; the message names it.
    """
    with open_image(path, load=False) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # whose other frames are the camera's previews
            warnings.warn(f"{path}: only the first of its {frames} frames is read, and written", stacklevel=3)
        deep = deep_reader(image, path)
        stored = orientation_of(image) if image.format == "TIFF" else 1
        form = "JPEG" if image.format == "MPO" else str(image.format)
        pixels, colours = (deep or _plain_pixels)(image, path)
        # Behind the decoding, since some formats store these behind the pixels, and TIFF files are turned by it.
        orientation = orientation_of(image)
        metadata, encoding = _metadata(image, path, turned=max(stored, orientation) >= 5), _encoding(image)

    def finish(filled: np.ndarray) -> Image.Image:
        if deep:
            raise DataError(f"{path}: Pillow has no mode for 16-bit colour; use Predictor.fill_file, or pass an array")
        made = image_like(image, turn(filled, orientation))
        if "exif" in metadata:
            made.info["exif"] = metadata["exif"]
        return made

    mode = DEEP if deep else image.mode
    return PictureFile(Path(path), Picture(pixels, colours, finish, orientation), mode, form, metadata, encoding)


def _plain_pixels(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    image.load()
    try:
        return np.array(image), colours_of_image(image)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


# -- metadata --------------------------------------------------------------------------------------------------------


def _metadata(image: Image.Image, path: str | Path, turned: bool) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    exif, xmp = stored_metadata(image, path)
    if exif:
        kept["exif"] = upright_exif(exif, turned)
    if image.info.get("icc_profile"):
        kept["icc_profile"] = image.info["icc_profile"]
    if xmp:
        kept["xmp"] = upright_xmp(xmp)
    dpi = image.info.get("dpi")
    if dpi and all(float(value) > 0 for value in dpi):
        kept["dpi"] = tuple(float(value) for value in (dpi[::-1] if turned else dpi))
    if image.info.get("comment"):
        kept["comment"] = image.info["comment"]
    if image.format == "PNG" or xmp:
        kept["pnginfo"] = _png_chunks(image, kept.get("xmp"))
    if image.format == "PNG":
        key = image.info.get("transparency")
        if isinstance(key, tuple):
            kept["transparency"] = key
    return kept


def _png_chunks(image: Image.Image, xmp: bytes | None) -> PngImagePlugin.PngInfo:
    """What a PNG file says of its colours, its texts, and the XMP packet of any file, which is a text there."""
    chunks = PngImagePlugin.PngInfo()
    for name, key in ((b"gAMA", "gamma"), (b"cHRM", "chromaticity")):
        if key in image.info:
            values = np.atleast_1d(image.info[key])
            chunks.add(name, struct.pack(f">{len(values)}I", *(round(float(value) * 100_000) for value in values)))
    for name, text in getattr(image, "text", {}).items():
        if name != XMP_TEXT:
            chunks.add_itxt(name, str(text), getattr(text, "lang", "") or "")
    if xmp is not None:
        chunks.add_itxt(XMP_TEXT, xmp.decode("utf-8", "replace"))
    return chunks


def _fitting(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    """What Pillow's writer of a format knows."""
    known = {
        "JPEG": ("exif", "icc_profile", "xmp", "dpi", "comment"),
        "PNG": ("exif", "icc_profile", "dpi", "pnginfo"),
        "WEBP": ("exif", "icc_profile", "xmp"),
        "TIFF": ("icc_profile", "dpi"),  # the rest by `add_metadata`
        "BMP": ("dpi",),
    }
    return {name: value for name, value in metadata.items() if name in known[form]}


def _encoding(image: Image.Image) -> dict[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.quantization:
        # With the same tables, blocks that nobody touched are quantised as they were.
        sampling = JpegImagePlugin.get_sampling(image)
        return {"qtables": image.quantization, **({"subsampling": sampling} if sampling >= 0 else {})}
    if image.format == "TIFF" and image.info.get("compression") in _LOSSLESS_TIFF:
        return {"compression": image.info["compression"]}
    return {}
